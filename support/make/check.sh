#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The checks that need only published crates: formatting, clippy and every test of the host
# workspace. If rustfmt or clippy is not installed, check.sh says so and does not fail.
#
#   check.sh          runs the checks
#   check.sh summary  prints which checks run on this machine, and which do not
set -euo pipefail

ran=() left_out=()
for part in rustfmt:formatting clippy:clippy; do
	tool=${part%%:*}
	if cargo "${tool#rust}" --version >/dev/null 2>&1; then
		ran+=("${part#*:},")
	else
		left_out+=("${part#*:} was NOT checked: run \`rustup component add $tool\`")
	fi
done

if [ "${1:-}" = summary ]; then
	echo "ran: ${ran[*]} host tests; demo, scenarios and disk test in the simulator"
	[ ${#left_out[@]} -eq 0 ] || printf '%s\n' "${left_out[@]}"
	support/make/c.sh left_out
	for tool in genext2fs sfdisk; do
		PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null ||
			echo "images by $tool were NOT tried: run \`make setup\`"
	done
	exit 0
fi

say() { echo "$*"; "$@"; }
if [[ "${ran[*]}" == *formatting* ]]; then
	say cargo fmt --check
	(cd support/sel4 && say cargo fmt --check)
fi
if [[ "${ran[*]}" == *clippy* ]]; then
	say cargo clippy --quiet --all-targets -- -D warnings
fi
say support/make/canary.sh apply
say support/make/c.sh check
support/make/compile.sh 'the host tests (about 2 minutes the first time)' cargo test --no-run
say cargo test --quiet
say support/make/crates.sh package
say support/make/crates.sh doc
[ ${#left_out[@]} -eq 0 ] || printf '%s\n' "${left_out[@]}"
