#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Checks the demo's transcript with sha256sum: verify.sh TRANSCRIPT FOLDER, or verify.sh TRANSCRIPT
# FOLDER DISK for a run that had a disk. Every regular file of the folder, or of the file system that
# is then on the disk, must have a line, sha256sum must accept every line, and the last line must
# be PASS. The file system must be whole, and have what the folder has.
#
# With the transcript of an earlier run on the same disk as one more argument, the first lines must be
# those that this one had; after them those that the demo has written again, so that nothing was
# written before all was read.
set -euo pipefail

transcript=$1 folder=$(realpath -- "$2") disk=${3:-} earlier=${4:-}
fail() { echo "$transcript: $*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -n "$disk" ]; then
	# What was synced may be in the journal alone.
	cp --sparse=always "$disk" "$work/disk"
	e2fsck -fy -E journal_only "$work/disk" >"$work/replay" 2>&1 || true
	e2fsck -fn "$work/disk" >"$work/check" 2>&1 || { cat "$work/check" >&2; fail "e2fsck finds faults"; }
	mkdir "$work/files"
	debugfs -R "rdump / $work/files" "$work/disk" >"$work/dump" 2>&1
	(cd "$folder" && find . -type f -print0) | (cd "$work/files" && xargs -0 -I{} cmp -- {} "$folder/{}") ||
		fail "the disk has other files than $folder"
	folder=$work/files
fi
# sha256sum begins a line with a backslash if the name contains a backslash or a line end.
sums() { grep -aE '^\\?[0-9a-f]{64}  ' "$1" || true; }
sums "$transcript" >"$work/sums"

listed=$(sort -u "$work/sums" | wc -l)
present=$(find "$folder"/ -type f -printf x | wc -c)
[ "$listed" -eq "$present" ] || fail "it lists $listed files, but there are $present"
# sha256sum fails on a list without lines.
[ "$listed" -eq 0 ] || (cd "$folder" && sha256sum --check --strict --quiet "$work/sums") ||
	fail "sha256sum rejects a line; see above"
if [ -n "$earlier" ]; then
	sums "$earlier" | sort -u >"$work/before"
	before=$(wc -l <"$work/before") written=$(grep -ac '  written/' "$work/before" || true)
	head -n "$before" "$work/sums" | sort | cmp -s - "$work/before" &&
		[ "$(wc -l <"$work/sums")" -eq $((before + written)) ] ||
		fail "it does not begin with the files that $earlier has"
fi
[ "$(tail -n 1 "$transcript")" = PASS ] || fail "the last line is not PASS"
echo "$transcript: $listed files, sha256sum accepts every line"
