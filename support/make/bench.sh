#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs the bench on BOARD: bench.sh MAKE VERB. The verb is `table`, which prints the figures, `check`,
# which prints what is worse than the accepted figures, or `accept`, which makes these the accepted
# ones.
#
# It boots twice: the release kernel for instructions, with a processor for which each takes 1 ns, and
# the benchmark kernel, if the SDK has one, for how often servers enter the kernel (decision 0034).
# `check` compares instructions only, and boots once.
#
# In the environment, from the Makefile: BOARD.
set -euo pipefail

make=$1 verb=$2
out=build/$BOARD files=build/bench-files

# What fsserver serves: a file of 2 MiB.
mkdir -p "$files/data"
seq 1 400000 | head -c $((2 << 20)) >"$files/data/two-mib.txt" || true

boot() {
	mkdir -p "$out/$1"
	"$make" boot SYSTEM=bench BOARD="$BOARD" CONFIG="$1" ICOUNT=0 FILES="$files" TIMEOUT=600 \
		>"$out/$1/bench.log" 2>&1 || { tail -n 20 "$out/$1/bench.log"; exit 1; }
}

boot release
transcripts=("$out/release/bench.txt")
if [ "$verb" != check ]; then
	missing=$("$make" missing BOARD="$BOARD" CONFIG=benchmark)
	if [ -z "$missing" ]; then
		boot benchmark
		transcripts+=("$out/benchmark/bench.txt")
	else
		echo "invocations and calls were not counted: $missing"
	fi
fi
mkdir -p target/bench
cargo run --quiet --package report -- "$verb" --board "$BOARD" --json "target/bench/$BOARD.json" \
	--accepted "support/bench/$BOARD.json" "${transcripts[@]}"
