# SPDX-License-Identifier: BSD-2-Clause
#
# odroidc2: Hardkernel's Odroid-C2. Microkit manual, "Odroid-C2".

include support/make/aarch64.mk
SERIAL := meson_uart 0xc81004c0 225 edge
LOADED_AT := 0x20000000
