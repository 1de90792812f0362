# SPDX-License-Identifier: BSD-2-Clause
#
# imx8mp_iotgate: Compulab's IOT-GATE-IMX8PLUS. Microkit manual, "Compulab IOT-GATE-IMX8MPLUS".

include support/make/aarch64.mk
SERIAL := imx_uart 0x30890000 59
LOADED_AT := 0x50000000
