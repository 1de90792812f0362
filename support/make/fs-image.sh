#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Makes an ext4 image of a folder: fs-image.sh FOLDER IMAGE [KIND]. Does not need root. The same
# folder gives the same image, except for the files' times: identifiers and creation time are fixed.
# Large folders get an index, without which each name in them is searched for from the first on.
# An image of the kind `files` is one to write to: it has a journal, and room for 64 MiB and 4096
# files more.
set -euo pipefail

folder=$1 image=$2 kind=${3:-region}
PATH=$PATH:/usr/sbin:/sbin

fail() { echo "$*" >&2; exit 1; }
command -v mke2fs >/dev/null ||
	fail "mke2fs is not installed: run \`make setup\`, or install Debian's package e2fsprogs"
[ -d "$folder" ] || fail "FILES='$folder' is not a folder: set FILES to the folder to serve"

# The size of the image in blocks of 4096 bytes: the contents of every file, and two blocks for
# every entry (a directory's own block, extended attributes, the entry's name of up to 264 bytes).
# Holes in files take no blocks, but a file system that compresses also says that a file has few:
# `sparse` is what is tried first, `blocks` is always enough.
read -r entries blocks sparse < <(find "$folder"/ -printf '%s %b %y\n' | awk '
	{ entries++; blocks += 2; sparse += 2 }
	$3 == "f" || $3 == "l" {
		all = int(($1 + 4095) / 4096); present = int(($2 + 7) / 8) + 1
		blocks += all; sparse += present < all ? present : all
	}
	END { print entries, blocks, sparse }')
# mke2fs uses a few inodes itself. An inode has 256 bytes; 16 fit into a block.
inodes=$((entries + 32)) more=0 journal=()
if [ "$kind" = files ]; then
	# The smallest journal: one group of changes takes a part of it.
	inodes=$((inodes + 4096)) more=$(((64 + 4) * 256)) journal=(-J size=4)
fi
# 1/64 and 256 blocks more: extent trees of large files, bitmaps, superblocks and lost+found.
whole() { echo $(($1 + more + inodes / 16 + $1 / 64 + 256)); }

# Every feature is named, so that mke2fs.conf of this machine has no influence. fsserver detects
# damage by the checksums of metadata.
features=none,extent,64bit,filetype,dir_index,ext_attr,sparse_super,large_file,huge_file
features+=,dir_nlink,extra_isize,flex_bg,metadata_csum
[ ${#journal[@]} -eq 0 ] || features+=,has_journal

mkdir -p "$(dirname "$image")"
# Makes an image of so many blocks.
make_image() {
	rm -f "$image"
	truncate -s $(($1 * 4096)) "$image"
	E2FSPROGS_FAKE_TIME=1 SOURCE_DATE_EPOCH=1 mke2fs -q -F -t ext4 -b 4096 -I 256 -N "$inodes" \
		-m 0 -O "$features" "${journal[@]}" -U 6d656d6f-7279-4000-8000-70616765730a \
		-E 'hash_seed=6d656d6f-7279-4000-8000-70616765730a,lazy_itable_init=0,root_owner=0:0' \
		-d "$folder" "$image" || return 1
	local status=0
	E2FSPROGS_FAKE_TIME=1 E2FSCK_TIME=1 e2fsck -fyD "$image" >/dev/null 2>&1 || status=$?
	# It has changed something.
	[ $status -le 1 ]
}

if [ "$sparse" -lt "$blocks" ] && make_image "$(whole "$sparse")" 2>/dev/null; then exit 0; fi
if ! make_image "$(whole "$blocks")"; then
	rm -f "$image"
	# mke2fs 1.47.0 has a buffer of 2040 bytes for paths, which is one byte too small for these.
	find "$folder"/ -printf '%P\0' | LC_ALL=C grep -zaE '^.{2039}$' >/dev/null &&
		fail "mke2fs crashes on a path of exactly 2039 bytes, and '$folder' has one: rename it"
	fail "mke2fs cannot make an image of '$folder'; the lines above say why"
fi
