# SPDX-License-Identifier: BSD-2-Clause
#
# qemu_virt_aarch64: QEMU's virtual machine "virt" with its Cortex-A53 in EL2. Microkit manual,
# "QEMU virt (AArch64)": memory size and processor are fixed when the SDK is built. Included by the
# Makefile with IMAGE_DIR set.

include support/make/aarch64.mk
SERIAL := pl011 0x9000000 33
LOADED_AT := 0x70000000
ON_THE_BOARD :=
DEMO := demo

# How fast the processor is beside its clock (decision 0024): an instruction takes 2^ICOUNT ns. From 7
# on, single calls take longer than the times that scenarios wait for.
ICOUNT ?= 5
ICOUNTS ?= 3 4 5 6

# The same while several cores take turns.
ICOUNT_OF_CORES := 4

QEMU := qemu-system-aarch64
QEMU_FLAGS = -machine virt,virtualization=on -cpu cortex-a53 -m size=2G $(QEMU_NO_WINDOW) \
	-nic none -serial stdio $(QEMU_ICOUNT) $(QEMU_CORES) $(QEMU_LOADER)

# A disk for systems with a driver: the first of the board's 32 virtio devices.
QEMU_DISK = -global virtio-mmio.force-legacy=false $(QEMU_DRIVE) \
	-device virtio-blk-device,drive=disk,bus=virtio-mmio-bus.0
