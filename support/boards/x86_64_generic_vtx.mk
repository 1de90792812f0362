# SPDX-License-Identifier: BSD-2-Clause
#
# x86_64_generic_vtx: the same with a kernel for virtual machines, which QEMU's emulated processors
# cannot run. Microkit manual, "x86-64 generic (with VT-x)".

include support/make/x86_64.mk
SERIAL := io_ports 0x3f8 4
DEMO := region
