# SPDX-License-Identifier: BSD-2-Clause
#
# imx8mq_evk: NXP's i.MX 8M Quad EVK. Microkit manual, "i.MX8MQ-EVK".

include support/make/aarch64.mk
SERIAL := imx_uart 0x30860000 58
LOADED_AT := 0x41000000
