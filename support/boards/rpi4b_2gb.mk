# SPDX-License-Identifier: BSD-2-Clause
#
# rpi4b_2gb: a Raspberry Pi 4B with 2 GiB. Microkit manual, "Raspberry Pi 4B". QEMU's model has 2 GiB.

include support/make/aarch64.mk
# The mini UART, in the block of the auxiliaries.
SERIAL := ns16550 0xfe215040 125
LOADED_AT := 0x10000000
ON_THE_BOARD = fatload mmc 0 $(LOADED_AT) loader.img; go $(LOADED_AT)

ICOUNT ?= 5
ICOUNTS ?= 5

QEMU := qemu-system-aarch64
# What the firmware of the board does first, in EL3: it leaves all interrupts to the kernel in EL2.
#     movz x0, #0xff84, lsl #16; add x1, x0, #0x1000; mov w2, #-1; mov w3, #7
#     1: str w2, [x1, #0x80]; add x1, x1, #4; subs w3, w3, #1; b.ne 1b
#     add x0, x0, #0x2000; mov w2, #0xf0; str w2, [x0, #4]; movz x4, #0x1000, lsl #16; br x4
# The other processors sleep (wfi; b .-4): else each takes as much of the counted instructions as the
# first. Both are in memory of the graphics processor.
FIRMWARE := 3c000000,data=0x17ffffffd503207f 3c000100,data=0x91400401d2bff080 \
	3c000108,data=0x528000e312800002 3c000110,data=0x91001021b9008022 3c000118,data=0x54ffffa171000463 \
	3c000120,data=0x52801e0291400800 3c000128,data=0xd2a20004b9000402 3c000130,data=0x00000000d61f0080
# The second port of QEMU's model is the mini UART.
QEMU_FLAGS = -machine raspi4b -global arm_gic.has-security-extensions=on -m size=2G $(QEMU_NO_WINDOW) \
	-serial null -serial stdio $(QEMU_ICOUNT) \
	-device loader,file=$(IMAGE_DIR)/loader.img,addr=$(LOADED_AT) \
	$(FIRMWARE:%=-device loader$(comma)data-len=8$(comma)addr=0x%) -device loader,addr=0x3c000100,cpu-num=0 \
	$(foreach cpu,1 2 3,-device loader,addr=0x3c000000,cpu-num=$(cpu))
