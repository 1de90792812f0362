# SPDX-License-Identifier: BSD-2-Clause
#
# imx8mm_evk: NXP's i.MX 8M Mini EVK. Microkit manual, "i.MX8MM-EVK".

include support/make/aarch64.mk
SERIAL := imx_uart 0x30890000 59
LOADED_AT := 0x41000000
