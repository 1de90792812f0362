# SPDX-License-Identifier: BSD-2-Clause
#
# rpi4b_1gb: a Raspberry Pi 4B with 1 GiB. Microkit manual, "Raspberry Pi 4B".

include support/make/aarch64.mk
# The mini UART, in the block of the auxiliaries.
SERIAL := ns16550 0xfe215040 125
LOADED_AT := 0x10000000
ON_THE_BOARD = fatload mmc 0 $(LOADED_AT) loader.img; go $(LOADED_AT)
