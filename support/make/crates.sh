#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The crates that programs elsewhere depend on.
#
#   crates.sh package   makes what a registry would get of each, and builds it
#   crates.sh doc       makes their documentation, with a front page: target/doc/index.html
set -euo pipefail

crates=()
for crate in pmserver-proto pmserver-api pmserver-client fsserver-api; do crates+=(--package "$crate"); done

case $1 in
package) cargo package --quiet --offline --allow-dirty "${crates[@]}" ;;
doc)
	# rustdoc makes a front page only for those who take what is not stable yet.
	export RUSTC_BOOTSTRAP=1
	export RUSTDOCFLAGS="-D warnings -Z unstable-options --index-page $PWD/support/docs/crates/index.md"
	cargo doc --quiet --no-deps "${crates[@]}"
	;;
esac
