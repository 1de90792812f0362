#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs the benches on BOARD: bench.sh MAKE VERB. The verb is `table`, which prints the figures, `check`,
# which prints what is worse than the accepted figures, or `accept`, which makes these the accepted
# ones.
#
# It boots three times, with a processor for which each instruction takes 1 ns: the release kernel for
# instructions, the benchmark kernel, if the SDK has one, for how often servers enter the kernel
# (decision 0034), and the release kernel with files on a disk (decision 0053). `check` compares
# instructions only, and leaves the second out.
#
# In the environment, from the Makefile: BOARD.
set -euo pipefail

make=$1 verb=$2
out=build/$BOARD files=build/bench-files disk_files=build/disk-bench-files

# What fsserver serves: a file of 2 MiB; on a disk one of 32 MiB, too, and 128 small ones.
mkdir -p "$files/data" "$disk_files/data" "$disk_files/small"
lines() { seq 1 5000000 | head -c $(($1 << 20)) || true; }
lines 2 | tee "$disk_files/data/two-mib.txt" >"$files/data/two-mib.txt"
lines 32 >"$disk_files/data/thirty-two-mib.txt"
for number in {000..127}; do echo "$number" >"$disk_files/small/$number"; done

# Boots a system with a kernel and files.
boot() {
	mkdir -p "$out/$2"
	"$make" boot SYSTEM="$1" BOARD="$BOARD" CONFIG="$2" ICOUNT=0 FILES="$3" TIMEOUT=600 \
		>"$out/$2/$1.log" 2>&1 || { tail -n 20 "$out/$2/$1.log"; exit 1; }
}

boot bench release "$files"
boot disk-bench release "$disk_files"
transcripts=("$out"/release/{bench,disk-bench}.txt)
if [ "$verb" != check ]; then
	missing=$("$make" missing BOARD="$BOARD" CONFIG=benchmark)
	if [ -z "$missing" ]; then
		boot bench benchmark "$files"
		transcripts+=("$out/benchmark/bench.txt")
	else
		echo "invocations and calls were not counted: $missing"
	fi
fi
mkdir -p target/bench
cargo run --quiet --package report -- "$verb" --board "$BOARD" --json "target/bench/$BOARD.json" \
	--accepted "support/bench/$BOARD.json" "${transcripts[@]}"
