#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The disk of the disk test: disk.sh make IMAGE KIND makes it, with a line in block 0 by which the test
# knows the kind, `quick` or `slow`; disk.sh check IMAGE fails unless the test has written its own line
# into block 8.
set -euo pipefail

verb=$1 image=$2
case $verb in
make)
	mkdir -p "$(dirname "$image")"
	rm -f "$image"
	truncate -s 16M "$image"
	line='make has written this'
	[ "$3" != slow ] || line='make has slowed this down'
	echo "$line" | dd of="$image" conv=notrunc status=none
	;;
check)
	line=$(dd if="$image" bs=512 skip=8 count=1 status=none | head -n 1 | tr -d '\0')
	[ "$line" = 'the disk test has written this' ] ||
		{ echo "$image: block 8 begins with '$line'" >&2; exit 1; }
	;;
esac
