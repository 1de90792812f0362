#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Mutation testing of the cores: changes one expression after the other, and runs the tests, of
# which one has to fail. mutants.sh [OPTION…] passes options on to `cargo mutants`.
#
# In the environment: SHARD=k/n for every nth change only, from the kth on. The tool's own file in
# the folder .cargo has the crates and the tests; build/mutants has what was not found.
set -euo pipefail

command -v cargo-mutants >/dev/null ||
	{ echo 'cargo-mutants is not installed: cargo install --locked cargo-mutants' >&2; exit 1; }
out=build/mutants
mkdir -p "$out"
export CARGO_PROFILE_DEV_DEBUG=0
# It fails if it misses a change, too; what counts here is that it came to the end.
status=0
cargo mutants --output "$out" --shard "${SHARD:-0/200}" --sharding round-robin --colors never "$@" ||
	status=$?
# 2: something was missed; 3: a test took too long.
[[ $status =~ ^[023]$ ]] || exit $status
count() { wc -l <"$out/mutants.out/$1.txt"; }
caught=$(count caught) missed=$(count missed) slow=$(count timeout) unviable=$(count unviable)
cat "$out/mutants.out/missed.txt"
echo "mutants: mutants $((caught + missed + slow + unviable)), caught $caught, missed $missed," \
	"timeouts $slow, unviable $unviable"
