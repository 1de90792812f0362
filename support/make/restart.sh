#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The demo on a disk that an earlier run has left: restart.sh MAKE BOARD OUT, after a run of the demo
# that was verified. The system is started anew on the disk of the demo, and on one on which files
# were changed while fsserver was killed again and again. Each time the demo has to find the files
# that were there, and sha256sum has to accept what it prints for what debugfs finds on the disk.
#
# In the environment, from the Makefile: FILES.
set -euo pipefail

make=$1 board=$2 out=$3
nothing=$(mktemp -d)
trap 'rm -rf "$nothing"' EXIT

# Runs a system; the transcript goes to a file of that name.
run() {
	if [ "$board" = sim ]; then
		"$make" simulate SYSTEM="$1" BOARD=sim "${@:2}" >"$out/$1.txt" || { cat "$out/$1.txt"; exit 1; }
	else
		"$make" boot SYSTEM="$1" "${@:2}"
	fi
}

# Starts the demo on the disk of a system, and verifies what it says: restart SYSTEM FOLDER.
restart() {
	run restart IMAGE="$out/$1/disk.img" WRITE=yes
	support/make/verify.sh "$out/restart.txt" "$2" "$out/restart/disk.img" "$out/$1.txt"
}

restart demo "$FILES"
cp "$out/restart.txt" "$out/restarted.txt"
ORDER='seed 5, kills 8, operations 800' run crash
support/make/verify.sh "$out/crash.txt" "$nothing" "$out/crash/disk.img"
restart crash "$nothing"
