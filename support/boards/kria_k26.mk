# SPDX-License-Identifier: BSD-2-Clause
#
# kria_k26: AMD's Kria K26. Microkit manual, "Kria K26": U-Boot has to be patched as for zcu102.

include support/make/aarch64.mk
SERIAL := cadence_uart 0xff010000 54
LOADED_AT := 0x40000000
