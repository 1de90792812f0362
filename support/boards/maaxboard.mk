# SPDX-License-Identifier: BSD-2-Clause
#
# maaxboard: Avnet's MaaXBoard. Microkit manual, "MaaXBoard".

include support/make/aarch64.mk
SERIAL := imx_uart 0x30860000 58
LOADED_AT := 0x50000000
