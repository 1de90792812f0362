#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Prints how the instructions of pmserver's calls grow with its books: counted by callgrind on the
# host, with a kernel that costs nothing (support/bench/growth).
set -euo pipefail

command -v valgrind >/dev/null ||
	{ echo 'valgrind is not installed: install Debian'"'"'s package valgrind' >&2; exit 1; }
support/make/compile.sh 'the growth bench, optimised (about 1 minute the first time)' \
	cargo build --release --package growth
program=${CARGO_TARGET_DIR:-target}/release/growth out=target/bench/growth
rm -rf "$out"
mkdir -p "$out"
# Counts inside of `measured` only, and writes a file after each call of it. Names with wildcards would
# take one of both options only.
valgrind --tool=callgrind --callgrind-out-file="$out/counts" --toggle-collect=growth::measured \
	--dump-after=growth::measured "$program" >"$out/labels" 2>"$out/log" ||
	{ tail -n 20 "$out/log"; exit 1; }

number=0
while read -r what size operation; do
	number=$((number + 1))
	echo "$what $size $operation $(sed -n 's/^\(summary\|totals\): //p' "$out/counts.$number" | head -n 1)"
done <"$out/labels" | awk '
	{ key = $1 " " $3; if (!(key in first)) { first[key] = $4; order[++n] = key }
	  line[key] = line[key] sprintf("  %s: %d (%+.0f %%)", $2, $4, ($4 / first[key] - 1) * 100) }
	END { for (i = 1; i <= n; i++) print order[i] line[order[i]] }'
