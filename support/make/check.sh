#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The checks that need nothing but published crates: formatting, clippy and every test of the host
# workspace. An installation of Rust may lack rustfmt and clippy: that is said, and is no failure.
#
#   check.sh          runs them
#   check.sh summary  says in one line what is run here, and in another what is not
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
	echo "ran: ${ran[*]} host tests; demo and scenarios in the simulator"
	[ ${#left_out[@]} -eq 0 ] || printf '%s\n' "${left_out[@]}"
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
say cargo test --quiet
[ ${#left_out[@]} -eq 0 ] || printf '%s\n' "${left_out[@]}"
