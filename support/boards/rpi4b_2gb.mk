# SPDX-License-Identifier: BSD-2-Clause
#
# rpi4b_2gb: a Raspberry Pi 4B with 2 GiB. Microkit manual, "Raspberry Pi 4B". QEMU's model has 2 GiB.

include support/make/aarch64.mk
# The mini UART, in the block of the auxiliaries.
SERIAL := ns16550 0xfe215040 125
LOADED_AT := 0x10000000
ON_THE_BOARD = fatload mmc 0 $(LOADED_AT) loader.img; go $(LOADED_AT)

ICOUNT ?= 5
ICOUNTS ?= 3 4 5 6

QEMU := qemu-system-aarch64
# The other processors have no firmware that holds them: they sleep here (wfi; b .-4), in memory of the
# graphics processor. Else each takes as much of the counted instructions as the first.
SLEEP := 0x3c000000
# The second port of QEMU's model is the mini UART.
QEMU_FLAGS = -machine raspi4b -m size=2G $(QEMU_NO_WINDOW) -serial null -serial stdio \
	$(QEMU_ICOUNT) $(QEMU_LOADER) -device loader,addr=$(SLEEP),data=0x17ffffffd503207f,data-len=8 \
	$(foreach cpu,1 2 3,-device loader,addr=$(SLEEP),cpu-num=$(cpu))
