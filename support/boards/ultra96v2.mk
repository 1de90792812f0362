# SPDX-License-Identifier: BSD-2-Clause
#
# ultra96v2: Avnet's Ultra96-V2. Microkit manual, "Ultra96V2": U-Boot has to be patched as for zcu102.
# The port is the one of the USB-to-JTAG/UART pod.

include support/make/aarch64.mk
SERIAL := cadence_uart 0xff010000 54
LOADED_AT := 0x40000000
