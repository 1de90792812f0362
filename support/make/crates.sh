#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The crates that programs elsewhere depend on.
#
#   crates.sh package   makes what a registry would get of each, and builds it
#   crates.sh doc       makes their documentation, with a front page: target/doc/index.html
set -euo pipefail

names=(pmserver-proto pmserver-api pmserver-client fsserver-api)
crates=()
for crate in "${names[@]}"; do crates+=(--package "$crate"); done

case $1 in
package)
	# What cargo has unpacked and built of the same version here before, it would take for this one.
	for crate in "${names[@]}"; do
		rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/"$crate"-[0-9]*
	done
	rm -rf build/packages
	cargo package --quiet --offline --allow-dirty --target-dir build/packages "${crates[@]}"
	;;
doc)
	# rustdoc makes a front page only for those who take what is not stable yet.
	export RUSTC_BOOTSTRAP=1
	export RUSTDOCFLAGS="-D warnings -Z unstable-options --index-page $PWD/support/docs/crates/index.md"
	cargo doc --quiet --no-deps "${crates[@]}"
	;;
esac
