#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The crash test on a board: crash.sh MAKE OUT RUNS. A program changes files as a seed says, once
# while the disk keeps a log of what is written, and once while fsserver is killed RUNS times.
#
# The power is cut at random moments of the log: what was flushed before is on the disk, and of what
# was written since then any part is. (When QEMU itself is killed, all that it has handed to the host
# is there: that is one of the cuts.) e2fsck has to replay the journal and then find no fault, and
# what was made to last has to be there. RUNS of the cut disks are booted, too: the demo has to find
# the files that e2fsck has found, and print checksums of them.
#
# In the environment, from the Makefile: BOARD CONFIG SEED.
set -euo pipefail

make=$1 out=$2 runs=$3
PATH=$PATH:/usr/sbin:/sbin
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
# Cuts that are judged on the host alone, for each that is booted.
JUDGED=10
work=$out/crash/cut
fail() { echo "crash: $*; SEED=$seed repeats it, the files are in $out/crash" >&2; exit 1; }
crash() { cargo run --quiet --package crash-host -- "$@"; }

# Runs the program with an order.
run() {
	ORDER="seed $seed, kills $1, operations $2" "$make" boot SYSTEM=crash >"$out/crash.log" 2>&1 ||
		{ tail -n 20 "$out/crash.log" >&2; fail "the program failed"; }
	grep '^crash: ' "$out/crash.txt"
}

# Cuts the power by a number, and judges what e2fsck finds then. Leaves that in $work/files.
cut() {
	rm -rf "$work"
	mkdir -p "$work/files"
	local disk=$out/crash/disk.img mark
	mark=$(crash cut --seed "$1" --disk "$disk.before" --log "$disk.log" "$work/disk.img")
	cp --sparse=always "$work/disk.img" "$work/replayed.img"
	timeout 60 e2fsck -fy -E journal_only "$work/replayed.img" >"$work/replay.txt" 2>&1 || true
	# On some damaged disks it does not end.
	timeout 60 e2fsck -fn "$work/replayed.img" >"$work/check.txt" 2>&1 ||
		{ tail -n 20 "$work/check.txt" >&2; fail "cut $1: e2fsck finds faults, or does not end"; }
	debugfs -R "rdump / $work/files" "$work/replayed.img" >"$work/dump.txt" 2>&1
	crash judge --seed "$seed" --mark "${mark%% *}" "$work/files" || fail "cut $1, $mark"
}

mkdir -p "$out/crash"
support/make/compile.sh 'what cuts the power (about 10 seconds the first time)' \
	cargo build --package crash-host
echo "crash: $BOARD, $CONFIG, SEED=$seed"
run 0 400
for number in $(seq $((runs * JUDGED))); do
	cut "$number"
done
echo "crash: cuts $((runs * JUDGED)), judged on the host"
for number in $(seq "$runs"); do
	cut "$number"
	"$make" boot SYSTEM=demo IMAGE="$work/disk.img" >"$out/crash.log" 2>&1 ||
		{ tail -n 20 "$out/crash.log" >&2; fail "cut $number: the demo failed"; }
	support/make/verify.sh "$out/demo.txt" "$work/files" "$out/demo/disk.img" >"$out/crash.log" 2>&1 ||
		{ cat "$out/crash.log" >&2; fail "cut $number: the demo found other files"; }
done
echo "crash: cuts $runs, booted"
run "$runs" $((runs * 100))
rm -rf "$work"
mkdir -p "$work"
support/make/verify.sh "$out/crash.txt" "$work" "$out/crash/disk.img"
