# SPDX-License-Identifier: BSD-2-Clause
#
# tqma8xqp1gb: TQ-Systems' TQMa8XQP with 1 GiB, on the carrier MBa8Xx. Microkit manual, "TQMa8XQP 1GB".

include support/make/aarch64.mk
SERIAL := imx_lpuart 0x5a070000 378
LOADED_AT := 0x90000000
ON_THE_BOARD = tftpboot $(LOADED_AT) loader.img; dcache flush; icache flush; go $(LOADED_AT)
