#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Checks a demo's transcript from outside: verify.sh TRANSCRIPT FOLDER. Every regular file of the
# folder has one line, sha256sum accepts them all, and the last line is PASS.
set -euo pipefail

transcript=$1 folder=$2
fail() { echo "$transcript: $*" >&2; exit 1; }

sums=$(mktemp)
trap 'rm -f "$sums"' EXIT
# sha256sum puts a backslash before a line whose name has one in it, or a line end.
grep -aE '^\\?[0-9a-f]{64}  ' "$transcript" >"$sums" || true

listed=$(wc -l <"$sums")
present=$(find "$folder"/ -type f -printf x | wc -c)
[ "$listed" -eq "$present" ] || fail "$listed files are listed, $present are there"
# Without any line sha256sum would complain that there is none.
[ "$listed" -eq 0 ] || (cd "$folder" && sha256sum --check --strict --quiet "$sums") ||
	fail "sha256sum does not accept the lines"
[ "$(tail -n 1 "$transcript")" = PASS ] || fail "the last line is not PASS"
echo "$transcript: $listed files, sha256sum accepts every line"
