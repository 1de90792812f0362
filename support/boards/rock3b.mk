# SPDX-License-Identifier: BSD-2-Clause
#
# rock3b: Radxa's ROCK 3B. Microkit manual, "Radxa ROCK 3B".

include support/make/aarch64.mk
SERIAL := ns16550 0xfe660000 150
LOADED_AT := 0x30000000
