#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs each fuzzer that is guided by coverage: from the corpus in the repository on, into a folder
# in build.
#
#   fuzz-coverage.sh SECONDS   runs each target so long
#   fuzz-coverage.sh minimise  puts what covers the same with the fewest inputs into the repository
set -euo pipefail

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
	echo 'cargo-fuzz or a nightly compiler is missing: run' >&2
	echo '`rustup toolchain install nightly` and `cargo install cargo-fuzz`' >&2
	exit 1
fi

folder=support/testing/fuzz
targets=(decode ext4 core)
# The artefact of a failure is an input; `fuzz` prints how to run it again.
fuzz() { cargo +nightly fuzz "$1" --fuzz-dir "$folder" --sanitizer none "${@:2}"; }

executions=0 edges=0 corpus=0
for target in "${targets[@]}"; do
	new=build/fuzz-coverage/$target kept=$folder/corpus/$target
	mkdir -p "$new"
	if [ "$1" = minimise ]; then
		merged=$(mktemp -d)
		fuzz run "$target" "$merged" "$kept" "$new" -- -merge=1
		rm -r "$kept"
		mv "$merged" "$kept"
		continue
	fi
	log=build/fuzz-coverage/$target.log
	fuzz run "$target" "$new" "$kept" -- -max_total_time="$1" -print_final_stats=1 \
		-verbosity=1 -close_fd_mask=0 2>&1 | tee "$log"
	last() { grep -oE "$1" "$log" | tail -n 1 | grep -oE '[0-9]+$'; }
	executions=$((executions + $(last 'number_of_executed_units: *[0-9]+')))
	edges=$((edges + $(last 'cov: [0-9]+')))
	corpus=$((corpus + $(last 'corp: [0-9]+')))
done
[ "$1" = minimise ] || echo "fuzz-coverage: executions $executions, edges $edges, corpus $corpus"
