# SPDX-License-Identifier: BSD-2-Clause
#
# Makes the boot image of a system whose own programs are in C. A Makefile says which, and includes this:
#
#     PROGRAMS := hello.elf greeter.elf
#     SYSTEM_FILE := system.xml
#     include $(PMSERVER)/support/c/system.mk
#
# From the command line, as in Microkit's own examples: MICROKIT_SDK MICROKIT_BOARD MICROKIT_CONFIG
# BUILD_DIR. Two things are not as there: the include path, and the tool that makes the image.

MICROKIT_SDK ?= $(HOME)/microkit-sdk-2.3.0
MICROKIT_BOARD ?= qemu_virt_aarch64
MICROKIT_CONFIG ?= debug
BUILD_DIR ?= build
# What is built beside the programs; with a file system virtio-blk and fsserver, too.
SERVERS ?= console pmserver

BOARD_DIR := $(MICROKIT_SDK)/board/$(MICROKIT_BOARD)/$(MICROKIT_CONFIG)
IS_X86 := $(filter x86_64%,$(MICROKIT_BOARD))
CC := $(if $(IS_X86),x86_64-linux-gnu-gcc -march=x86-64,aarch64-linux-gnu-gcc -mstrict-align)
CFLAGS := -O2 -g -Wall -Wextra -Werror -ffreestanding -fno-pie -fno-stack-protector
CFLAGS += -I$(PMSERVER)/support/c/include -isystem $(BOARD_DIR)/include
LDFLAGS := -nostdlib -static -no-pie -L$(BOARD_DIR)/lib -lmicrokit -Tmicrokit.ld -Wl,--build-id=none,-z,noexecstack

# RAM is asked for only on x86, where the kernel finds its memory at boot.
RAM := $(if $(IS_X86),--ram 1G)

.PHONY: image parts
image: $(PROGRAMS:%=$(BUILD_DIR)/%) parts
	$(BUILD_DIR)/image --sdk $(MICROKIT_SDK) --board $(MICROKIT_BOARD) --config $(MICROKIT_CONFIG) \
	  $(RAM) --search-path $(BUILD_DIR) --output $(BUILD_DIR)/loader.img $(SYSTEM_FILE)

# The servers and the image tool, built where pmserver is.
parts: | $(BUILD_DIR)
	$(MAKE) -C $(PMSERVER) parts BOARD=$(MICROKIT_BOARD) CONFIG=$(MICROKIT_CONFIG) \
	  MICROKIT_SDK=$(MICROKIT_SDK) PARTS=$(abspath $(BUILD_DIR)) SERVERS='$(SERVERS)'

$(BUILD_DIR)/%.elf: %.c Makefile | $(BUILD_DIR)
	$(CC) $(CFLAGS) $(filter %.c,$^) -o $@ $(LDFLAGS)

$(BUILD_DIR):
	mkdir -p $@
