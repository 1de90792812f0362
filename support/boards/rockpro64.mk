# SPDX-License-Identifier: BSD-2-Clause
#
# rockpro64: Pine64's ROCKPro64. Microkit manual, "Pine64 ROCKPro64".

include support/make/aarch64.mk
SERIAL := ns16550 0xff1a0000 132
LOADED_AT := 0x30000000
