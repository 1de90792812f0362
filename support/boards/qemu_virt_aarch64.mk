# SPDX-License-Identifier: BSD-2-Clause
#
# qemu_virt_aarch64: QEMU's virtual machine "virt" with its Cortex-A53 in EL2. Microkit manual,
# "QEMU virt (AArch64)": memory size and processor are fixed when the SDK is built, and the loader
# expects the image at this address. Included by the Makefile with IMAGE_DIR set.

TARGET := aarch64-unknown-none
# The target aligns all accesses: what two stores do, LLVM would build as a vector on the stack and
# then load word by word.
TARGET_RUSTFLAGS := -C no-vectorize-slp

# The SDK was built for 2 GiB of RAM: the image tool knows that from the SDK. The Cortex-A53 has
# instructions for checksums.
IMAGE_FLAGS := --crc32

# How fast the processor is beside its clock (decision 0024): an instruction takes 2^ICOUNT ns. From 7
# on, single calls take longer than the times that scenarios wait for.
ICOUNT ?= 5
ICOUNTS ?= 3 4 5 6

QEMU := qemu-system-aarch64
QEMU_FLAGS = -machine virt,virtualization=on -cpu cortex-a53 -m size=2G \
	-display none -monitor none -nic none -no-reboot -serial stdio $(QEMU_ICOUNT) \
	-device loader,file=$(IMAGE_DIR)/loader.img,addr=0x70000000,cpu-num=0

# A disk for systems with a driver: the first of the board's 32 virtio devices.
QEMU_DISK = -global virtio-mmio.force-legacy=false $(QEMU_DRIVE) \
	-device virtio-blk-device,drive=disk,bus=virtio-mmio-bus.0
