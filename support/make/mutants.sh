#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Mutation testing of the cores: changes one expression after the other, and runs the tests, of
# which one has to fail. mutants.sh [OPTION…] passes options on to `cargo mutants`.
#
# Building and running all tests takes a minute or more for each change, and most changes are
# noticed by any test that goes through the changed lines. So there are rounds: the first one has
# quick tests of the changed crate only, and each further round has more tests for those changes
# that were not noticed so far. Only what no round noticed is missed.
#
# In the environment: SHARD=k/n for every nth change only, from the kth on. The tool's own file in
# the folder .cargo has the crates; build/mutants has what each round found.
set -euo pipefail

command -v cargo-mutants >/dev/null ||
	{ echo 'cargo-mutants is not installed: cargo install --locked cargo-mutants' >&2; exit 1; }
out=build/mutants
options=("$@")
# cargo-nextest, if it is there, ends a run with the first test that fails.
if command -v cargo-nextest >/dev/null; then
	options+=(--test-tool=nextest)
fi
# All rounds share what they build, and what they do not change is there from the last time. The
# tool copies the whole tree, but neither this folder nor what Git ignores.
export CARGO_TARGET_DIR="$PWD/target/mutants"
export CARGO_PROFILE_DEV_DEBUG=0
rm -rf "$out"/round-*

# round NAME [OPTION…]: one run of the tool.
round() {
	local status=0
	mkdir -p "$out/round-$1"
	cargo mutants --output "$out/round-$1" --gitignore true --colors never \
		"${options[@]}" "${@:2}" || status=$?
	# 2: something was missed; 3: a test took too long. What counts is that it came to the end.
	[[ $status =~ ^[023]$ ]] || exit $status
}

# found ROUNDS LIST: what these rounds (a pattern) have in one of the tool's lists.
# shellcheck disable=SC2086
found() { cat "$out"/round-$1/mutants.out/"$2".txt; }

# again NAME BEFORE [OPTION…]: one run with what the rounds BEFORE missed. The tool is told that all
# others were caught: --re does not select among the changes that delete a field.
again() {
	local lists="$out/round-$1/mutants.out"
	mkdir -p "$lists"
	touch "$lists/"{caught,missed,timeout,unviable}.txt
	[[ -n $(found "$2" missed) ]] || return 0
	cargo mutants --list --colors never | grep -vxFf <(found "$2" missed) >"$lists/caught.txt"
	round "$1" --iterate "${@:3}"
}

shard=(--shard "${SHARD:-0/200}" --sharding round-robin)
# With only some test files, the others are not built either.
only() { only=("${@/#/--cargo-arg=--test=}"); }
# Of the core all tests but those that try very much, which take ten times as long as all others.
# The tests of one program all run, also if the first one fails.
long=(bound_runs:: clusters hostile:: invariants:: refusals:: refuse no_count_goes_wrong
	at_another_address at_every_offset faults_for_ever is_told_by_a_reply
	is_freed_without_a_page for_what_another_does)
skips=()
for test in "${long[@]}"; do
	skips+=(--skip "$test")
done
round 1-core "${shard[@]}" --package pmserver-core -- --test suite -- "${skips[@]}"
round 1-rest "${shard[@]}" --package fsserver-core --package pmserver-api \
	--package pmserver-client --package pmserver-setup --package fsserver-setup \
	--package block-api --package block-core
again 2-cores '1-*' --test-package fsserver-core --test-package pmserver-api \
	--test-package pmserver-client --test-package pmserver-core --test-package pmserver-setup \
	--test-package fsserver-setup
# Of the simulator the quick tests: all of them take longer than those of all cores together.
only conformance lent_memory lent_reads strict_reads
again 3-sim 2-cores --test-package sim --cargo-arg=--package=sim "${only[@]}"

count() { found "$1" "$2" | wc -l; }
caught=$(count '*' caught) slow=$(count '*' timeout) unviable=$(count '*' unviable)
missed=$(count 3-sim missed)
found 3-sim missed
echo "mutants: mutants $((caught + missed + slow + unviable)), caught $caught, missed $missed," \
	"timeouts $slow, unviable $unviable"
