# SPDX-License-Identifier: BSD-2-Clause
#
# What all boards for x86-64 have in common; their files in support/boards include this.

TARGET := x86_64-unknown-none
# Microkit places programs at the addresses that they were linked for.
TARGET_RUSTFLAGS := -C relocation-model=static

# RAM of the machine: what QEMU gives it, and what the image tool checks a system against.
RAM ?= 1G
IMAGE_FLAGS := --ram $(RAM)

ON_THE_BOARD = boot sel4_32.elf with the module loader.img, by a boot loader for Multiboot
