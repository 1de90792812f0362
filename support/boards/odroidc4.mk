# SPDX-License-Identifier: BSD-2-Clause
#
# odroidc4: Hardkernel's Odroid-C4. Microkit manual, "Odroid-C4".

include support/make/aarch64.mk
SERIAL := meson_uart 0xff803000 225 edge
LOADED_AT := 0x20000000
