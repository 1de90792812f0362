#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Draws who holds what in the shell's system: map.sh MAKE BOARD. The simulator, or QEMU, is told to lend
# memory and to print a snapshot; target/map/BOARD.html is the page, and BOARD.txt what was printed.
set -euo pipefail

make=$1 board=$2
out=target/map
how=boot
if [ "$board" = sim ]; then how=simulate; fi
mkdir -p "$out"
"$make" "$how" SYSTEM=shell BOARD="$board" shell_TYPED=support/map/typed.txt >"$out/$board.txt" ||
	{ cat "$out/$board.txt"; exit 1; }
cargo run --quiet --package map -- --transcript "$out/$board.txt" --title "$board" --output "$out/$board.html"
