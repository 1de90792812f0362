#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes an ext4 image of a folder: fs-image.sh FOLDER IMAGE. Needs no root. The same folder gives
# the same image, but for the times of its files: the identifiers and the time of making are fixed.
set -euo pipefail

folder=$1 image=$2
PATH=$PATH:/usr/sbin:/sbin

fail() { echo "$*" >&2; exit 1; }
command -v mke2fs >/dev/null ||
	fail "mke2fs is not installed: run \`make setup\`, or install Debian's package e2fsprogs"
[ -d "$folder" ] || fail "FILES='$folder' is not a folder"

# What the folder needs, in blocks of 4096 bytes: the contents of every file; for every entry two
# more (a directory's own block, extended attributes; the entry's name, at most 264 bytes).
read -r entries blocks < <(find "$folder"/ -printf '%s %y\n' | awk '
	{ entries++; blocks += 2 }
	$2 == "f" || $2 == "l" { blocks += int(($1 + 4095) / 4096) }
	END { print entries, blocks }')
# mke2fs takes a few inodes for itself. An inode has 256 bytes, 16 to a block.
inodes=$((entries + 32))
# A large file's extent tree, the bitmaps of each 128 MiB, superblocks and lost+found: 1/64 and 256.
blocks=$((blocks + inodes / 16 + blocks / 64 + 256))

# Named one by one, so that they are the same whatever the system's mke2fs.conf says. Checksums of
# metadata are what fsserver tells damage by.
features=none,extent,64bit,filetype,dir_index,ext_attr,sparse_super,large_file,huge_file
features+=,dir_nlink,extra_isize,flex_bg,metadata_csum

mkdir -p "$(dirname "$image")"
rm -f "$image"
truncate -s $((blocks * 4096)) "$image"
if ! E2FSPROGS_FAKE_TIME=1 SOURCE_DATE_EPOCH=1 mke2fs -q -F -t ext4 -b 4096 -I 256 -N "$inodes" \
	-m 0 -O "$features" -U 6d656d6f-7279-4000-8000-70616765730a \
	-E 'hash_seed=6d656d6f-7279-4000-8000-70616765730a,lazy_itable_init=0,root_owner=0:0' \
	-d "$folder" "$image"; then
	rm -f "$image"
	# Its buffer for paths, of 2040 bytes at that point, is one byte too small then (1.47.0).
	find "$folder"/ -printf '%P\0' | LC_ALL=C grep -zaE '^.{2039}$' >/dev/null &&
		fail "mke2fs crashes where a path is exactly 2039 bytes long, and '$folder' has one"
	fail "mke2fs cannot make an image of '$folder'"
fi
