# SPDX-License-Identifier: BSD-2-Clause
#
# zcu102: Xilinx's ZCU102 (Zynq UltraScale+), and QEMU's model of it. Microkit manual, "ZCU102": U-Boot
# has to be patched so that `go` stays in EL2.

include support/make/aarch64.mk
SERIAL := cadence_uart 0xff000000 53
LOADED_AT := 0x40000000

ICOUNT ?= 5
ICOUNTS ?= 5

QEMU := qemu-system-aarch64
# The loader starts in EL3, as only there it can leave all interrupts to the kernel in EL2. Then it asks
# for the version of PSCI, which traps in EL2 as there is no firmware, at 0x200: the answer is -1.
#     mrs x0, elr_el2; add x0, x0, #4; msr elr_el2, x0; mov x0, #-1; eret
WITHOUT_PSCI := 0x200,data=0x91001000d53c4020,data-len=8 0x208,data=0x92800000d51c4020,data-len=8 \
	0x210,data=0xd69f03e0,data-len=4
QEMU_FLAGS = -machine xlnx-zcu102,secure=on,virtualization=on -m size=4G $(QEMU_NO_WINDOW) \
	-audio none -serial stdio $(QEMU_ICOUNT) $(QEMU_LOADER) \
	$(WITHOUT_PSCI:%=-device loader$(comma)addr=%)
