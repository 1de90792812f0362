#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Downloads the released Microkit SDK 2.3.0, checks it and unpacks it: sdk.sh FOLDER. The last part
# of FOLDER must be microkit-sdk-2.3.0, the name in the archive.
set -euo pipefail

folder=$1
name=microkit-sdk-2.3.0
# SHA-256 of the released archive; two unrelated projects pin the same value.
case $(uname -s)-$(uname -m) in
Linux-x86_64)
	host=linux-x86-64
	sum=e12e507f72c87cbf5c514df9e9b0c66103b42298852f44c045d5729ea3de4f89
	;;
*)
	echo "make sdk supports only Linux on x86-64; get $name from https://github.com/seL4/microkit" >&2
	exit 1
	;;
esac

fail() { echo "make sdk: $*" >&2; exit 1; }
[ ! -e "$folder" ] || { echo "make sdk: $folder exists already; nothing to do"; exit 0; }
[ "$(basename "$folder")" = $name ] || fail "MICROKIT_SDK must end in /$name, but is $folder"
command -v curl >/dev/null || fail "curl is not installed: install Debian's package curl"

parent=$(dirname "$folder")
mkdir -p "$parent"
scratch=$(mktemp -d "$parent/.$name.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
url=https://github.com/seL4/microkit/releases/download/2.3.0/$name-$host.tar.gz
curl --fail --silent --show-error --location --output "$scratch/sdk.tar.gz" "$url" 2>/dev/null ||
	fail "cannot download $url; get it another way, unpack it and set MICROKIT_SDK to the folder"
echo "$sum  $scratch/sdk.tar.gz" | sha256sum --check --status ||
	fail "the download is not the released SDK: its SHA-256 differs; try again"
tar -xzf "$scratch/sdk.tar.gz" -C "$scratch"
# Moved only when it is complete: an interrupted download leaves no partial SDK behind.
mv "$scratch/$name" "$folder"
echo "make sdk: the SDK is now at $folder"
