# SPDX-License-Identifier: BSD-2-Clause
#
# zcu102: Xilinx's ZCU102 (Zynq UltraScale+), and QEMU's model of it. Microkit manual, "ZCU102": U-Boot
# has to be patched so that `go` stays in EL2.

include support/make/aarch64.mk
SERIAL := cadence_uart 0xff000000 53
LOADED_AT := 0x40000000

ICOUNT ?= 5
ICOUNTS ?= 3 4 5 6

QEMU := qemu-system-aarch64
QEMU_FLAGS = -machine xlnx-zcu102,virtualization=on -m size=4G $(QEMU_NO_WINDOW) \
	-serial stdio $(QEMU_ICOUNT) $(QEMU_LOADER)
