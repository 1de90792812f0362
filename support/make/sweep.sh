#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs the scenarios on a board whose processor is slower or faster beside its clock:
# sweep.sh MAKE OUT EXPECTED ICOUNT ICOUNTS…. Each run must print what the simulator prints; and the
# run with ICOUNT must print the same again, lines of kernel and loader included.
#
# In the environment, from the Makefile: BOARD CONFIG.
set -euo pipefail

make=$1 out=$2 expected=$3 chosen=$4
shift 4

# Boots the scenarios; leaves the console's output in the file $2.
boot() {
	"$make" boot SYSTEM=scenarios ICOUNT="$1" >"$2" || { tail -n 20 "$2"; exit 1; }
	cargo run --quiet --package boot -- compare "$expected" "$out/scenarios.txt"
}

mkdir -p "$out/sweep"
for icount in "$@"; do
	boot "$icount" "$out/sweep/$icount.txt"
	echo "ICOUNT=$icount: $BOARD, $CONFIG: all scenarios as in the simulator"
done
boot "$chosen" "$out/sweep/first.txt"
boot "$chosen" "$out/sweep/second.txt"
cmp "$out/sweep/first.txt" "$out/sweep/second.txt"
echo "ICOUNT=$chosen: $BOARD, $CONFIG: the same $(wc -c <"$out/sweep/first.txt") bytes in two runs"
echo "sweep: runs $(($# + 2))"
