# SPDX-License-Identifier: BSD-2-Clause
#
# qemu_virt_aarch64_el1: the machine of qemu_virt_aarch64 with the kernel in EL1. Microkit manual, "QEMU
# virt (AArch64) in EL1".

include support/make/aarch64.mk
SERIAL := pl011 0x9000000 33
LOADED_AT := 0x70000000
ON_THE_BOARD :=
# A root table is smaller there than in EL2.
KTEST_LACKS := sizes of objects of a kernel in EL1

ICOUNT ?= 5
ICOUNTS ?= 5

QEMU := qemu-system-aarch64
# The loader begins in EL2 and leaves it. Without EL2, QEMU has no SMC for what the loader asks PSCI.
QEMU_FLAGS = -machine virt,virtualization=on -cpu cortex-a53 -m size=2G $(QEMU_NO_WINDOW) \
	-nic none -serial stdio $(QEMU_ICOUNT) $(QEMU_LOADER)
