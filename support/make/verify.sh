#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Checks the demo's transcript with sha256sum: verify.sh TRANSCRIPT FOLDER. Every regular file of
# the folder must have one line, sha256sum must accept every line, and the last line must be PASS.
set -euo pipefail

transcript=$1 folder=$2
fail() { echo "$transcript: $*" >&2; exit 1; }

sums=$(mktemp)
trap 'rm -f "$sums"' EXIT
# sha256sum begins a line with a backslash if the name contains a backslash or a line end.
grep -aE '^\\?[0-9a-f]{64}  ' "$transcript" >"$sums" || true

listed=$(wc -l <"$sums")
present=$(find "$folder"/ -type f -printf x | wc -c)
[ "$listed" -eq "$present" ] || fail "it lists $listed files, but $folder has $present"
# sha256sum fails on a list without lines.
[ "$listed" -eq 0 ] || (cd "$folder" && sha256sum --check --strict --quiet "$sums") ||
	fail "sha256sum rejects a line; see above"
[ "$(tail -n 1 "$transcript")" = PASS ] || fail "the last line is not PASS"
echo "$transcript: $listed files, sha256sum accepts every line"
