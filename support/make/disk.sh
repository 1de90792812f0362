#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The disk of a run: disk.sh make DISK KIND makes it, disk.sh check DISK KIND looks at it after it.
#
#   quick, slow     for the disk test: block 0 has a line by which it knows the kind; block 8 must
#                   then have the test's own
#   files           what fsserver serves: a copy of IMAGE, or IMAGE itself if WRITE=yes, or an image
#                   of FILES with room to write; stays where it is
#   crash           for the crash test: with the ORDER behind an empty file system, and a copy of it
#   region          the same in a region of memory, which nobody writes to
#
# In the environment, from the Makefile: FILES IMAGE WRITE IOMMU; for the crash test ORDER.
set -euo pipefail

verb=$1 disk=$2 kind=$3
fail() { echo "$*" >&2; exit 1; }

# Puts IMAGE in the place of the disk.
take_image() {
	[ -e "$IMAGE" ] || fail "IMAGE='$IMAGE' does not exist: set IMAGE to the file to serve"
	[ -f "$IMAGE" ] || fail "IMAGE='$IMAGE' is not a file: use FILES for a folder"
	[ -s "$IMAGE" ] || fail "IMAGE='$IMAGE' is empty: set IMAGE to a file with a file system"
	[ -r "$IMAGE" ] || fail "IMAGE='$IMAGE' may not be read"
	case $WRITE in
	yes)
		[ -w "$IMAGE" ] || fail "IMAGE='$IMAGE' may not be written to, but WRITE=yes"
		[ "$IMAGE" -ef "$disk" ] || ln -sfn "$(realpath -- "$IMAGE")" "$disk"
		;;
	'' | no)
		# IMAGE may be the disk of an earlier run, and the disk a link to IMAGE.
		cp --sparse=always --reflink=auto -- "$IMAGE" "$disk.new"
		chmod u+w "$disk.new"
		mv -f "$disk.new" "$disk"
		;;
	*) fail "WRITE='$WRITE': use WRITE=yes or leave it out" ;;
	esac
}

case $verb-$kind in
make-quick | make-slow)
	mkdir -p "$(dirname "$disk")"
	rm -f "$disk"
	truncate -s 16M "$disk"
	line='make has written this'
	[ "$kind-$IOMMU" != quick-yes ] || line='make has confined this'
	[ "$kind" != slow ] || line='make has slowed this down'
	echo "$line" | dd of="$disk" conv=notrunc status=none
	;;
check-quick | check-slow)
	line=$(dd if="$disk" bs=512 skip=8 count=1 status=none | head -n 1 | tr -d '\0')
	[ "$line" = 'the disk test has written this' ] || fail "$disk: block 8 begins with '$line'"
	;;
make-crash)
	# Behind the file system the last blocks are for marks, and the one before them has the order.
	folder=$(mktemp -d)
	trap 'rm -rf "$folder"' EXIT
	support/make/fs-image.sh "$folder" "$disk" files
	truncate -s +4096 "$disk"
	printf '%s\n' "$ORDER" | dd of="$disk" conv=notrunc status=none bs=512 \
		seek=$(($(stat -c %s "$disk") / 512 - 2))
	cp --sparse=always "$disk" "$disk.before"
	: >"$disk.log"
	;;
make-*)
	mkdir -p "$(dirname "$disk")"
	if [ -n "$IMAGE" ]; then
		take_image
	else
		[ -z "$WRITE" ] || fail "WRITE='$WRITE' is for an IMAGE: set IMAGE to the file to serve"
		support/make/fs-image.sh "$FILES" "$disk" "$kind"
	fi
	;;
check-files) echo "make: the disk is $disk; debugfs shows what is on it" >&2 ;;
esac
