# SPDX-License-Identifier: BSD-2-Clause
#
# x86_64_generic: a PC. Microkit manual, "x86-64 generic": QEMU wants the 32-bit kernel, and the
# image is its boot module. Included by the Makefile with IMAGE_DIR set.

include support/make/x86_64.mk
SERIAL := io_ports 0x3f8 4
DEMO := demo

# How fast the processor is beside its clock (decision 0024): an instruction takes 2^ICOUNT ns. With
# every other number the kernel of the SDK gets no timer interrupts on QEMU's processor.
ICOUNT ?= 4
ICOUNTS ?= 4

QEMU := qemu-system-x86_64
# -no-reboot: a triple fault ends QEMU instead of starting the system again.
QEMU_FLAGS = -cpu qemu64,+fsgsbase,+pdpe1gb,+xsaveopt,+xsave -m $(RAM) \
	-display none -monitor none -nic none -no-reboot -serial stdio $(QEMU_ICOUNT) $(QEMU_CORES) \
	-kernel $(IMAGE_DIR)/sel4_32.elf -initrd $(IMAGE_DIR)/loader.img

# A disk for systems with a driver, in the slot of which the system file knows the interrupt.
QEMU_DISK = $(QEMU_DRIVE) \
	-device virtio-blk-pci,drive=disk,disable-legacy=on,addr=$(DISK_SLOT)
DISK_SLOT := 4

QEMU_HAS_IOMMU = $(shell $(QEMU) -device help | grep -q intel-iommu && echo yes || echo no)

# A newer PC with an IOMMU. The interrupt that slot 4 has there is another one.
ifeq ($(IOMMU),yes)
IMAGE_FLAGS += --iommu
QEMU_FLAGS += -machine q35,kernel-irqchip=split -device intel-iommu
DISK_SLOT := 3,iommu_platform=on
endif
