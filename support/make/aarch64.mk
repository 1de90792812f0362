# SPDX-License-Identifier: BSD-2-Clause
#
# What all boards for aarch64 have in common; their files in support/boards include this.

TARGET := aarch64-unknown-none
# The target aligns all accesses: what two stores do, LLVM would build as a vector on the stack and
# then load word by word.
TARGET_RUSTFLAGS := -C no-vectorize-slp

# The size of the RAM was fixed when the SDK was built: the image tool knows it from the SDK. All of
# these processors (Cortex-A35, A53, A55, A72) have instructions for checksums.
IMAGE_FLAGS := --crc32

# A board with a driver for a disk says otherwise.
DEMO := region

# How an image gets onto the board, in U-Boot: LOADED_AT is where the loader of the SDK has to be.
ON_THE_BOARD = tftpboot $(LOADED_AT) loader.img; go $(LOADED_AT)
QEMU_LOADER = -device loader,file=$(IMAGE_DIR)/loader.img,addr=$(LOADED_AT),cpu-num=0
QEMU_NO_WINDOW := -display none -monitor none -no-reboot
