# SPDX-License-Identifier: BSD-2-Clause
#
# stm32mp2: ST's STM32MP257F-EV1. Microkit manual, "STM32MP2": the firmware's watchdog resets the board
# after 30 seconds.

include support/make/aarch64.mk
SERIAL := stm32_usart 0x400e0000 147
LOADED_AT := 0x88000000
ON_THE_BOARD = ext2load mmc 0:8 $(LOADED_AT) loader.img; go $(LOADED_AT)
