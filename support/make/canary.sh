#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Builds the system with one protection taken out, and runs the test that has to fail. Each file of
# support/testing/canary is such a change, a patch; the line `Fails:` before its first hunk names
# the test. canary.sh NAME… tries only these; canary.sh apply only says which patches do not apply
# any more. Works on a copy of the tracked files in build/canary.
set -euo pipefail

root=$PWD
place=$root/build/canary
log=$place/log.txt
patches=$root/support/testing/canary
export CARGO_TARGET_DIR=$place/target CARGO_PROFILE_DEV_DEBUG=0
mkdir -p "$place/tree"

# git on the copy, with an index of its own: it writes files that differ and no others, so that
# cargo compiles what a patch changed and no more.
in_copy() {
	GIT_DIR=$(git -C "$root" rev-parse --absolute-git-dir) GIT_WORK_TREE=$place/tree \
		GIT_INDEX_FILE=$place/index git -C "$place/tree" "$@"
}
commit=$(git stash create)
commit=${commit:-HEAD}

# A patch has little context, so that it applies as long as the lines that it changes are there.
apply() {
	in_copy apply "$patches/$1.patch" 2>"$log" || { echo "the patch does not apply"; return 1; }
}

# Prints the result of one change. Returns 1 unless a test failed because of it.
try() {
	local fails
	fails=$(sed -n 's/^Fails: cargo test //p; /^diff/q' "$patches/$1.patch")
	[ -n "$fails" ] || { echo "no line 'Fails: cargo test …'"; return 1; }
	apply "$1" || return 1
	cd "$place/tree"
	# shellcheck disable=SC2086 # The arguments are words.
	cargo test --quiet --no-run $fails >"$log" 2>&1 || { echo "does not compile: see $log"; return 1; }
	# shellcheck disable=SC2086
	if timeout 600 cargo test --quiet $fails >"$log" 2>&1; then
		echo "NOT FOUND by cargo test $fails"
		return 1
	fi
	echo "found"
}

test=try
[ "${1:-}" != apply ] || { test=apply; shift; }
names=("$@")
[ $# -gt 0 ] || for patch in "$patches"/*.patch; do
	name=${patch##*/}
	names+=("${name%.patch}")
done
missed=0
for name in "${names[@]}"; do
	in_copy read-tree --reset -u "$commit"
	in_copy checkout --force --quiet -- .
	if [ $test = apply ]; then
		result=$(apply "$name") || { echo "$name: $result"; missed=$((missed + 1)); }
		continue
	fi
	printf '%-32s ' "$name"
	(try "$name") || missed=$((missed + 1))
done
[ $test = apply ] ||
	echo "canary: twins ${#names[@]}, found $((${#names[@]} - missed)), missed $missed"
[ $missed -eq 0 ]
