#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Installs with apt what is missing to build, run and test everything. May be run again: what is
# there already is left alone, and where nothing is missing apt is not asked at all.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

packages=()
want() { packages+=("$@"); }
has() { command -v "$1" >/dev/null; }

has cc || want gcc libc6-dev
has git || want git
has mke2fs || want e2fsprogs
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || want libclang-dev

# A compiler for the bare machine: rustup's where it can add targets, else Debian's.
for target in x86_64-unknown-none aarch64-unknown-none; do
	folder=$(rustc --print target-libdir --target $target 2>/dev/null) || folder=none
	compgen -G "$folder/libcore-*.rlib" >/dev/null ||
		[ -d /usr/lib/rustlib/src/rust/library/core ] ||
		{ has rustup && rustup target add $target >/dev/null 2>&1; } ||
		want rustc-web rust-web-src rust-web-clippy lld
done

qemu=()
has qemu-system-x86_64 || qemu+=(qemu-system-x86)
has qemu-system-aarch64 || qemu+=(qemu-system-arm)
release=()
# QEMU conflicts with a qemu-utils of another release: take it from where that came from.
if dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null | grep -q bpo; then
	release=(-t "$(. /etc/os-release && echo "$VERSION_CODENAME")-backports")
fi

if [ ${#packages[@]} -eq 0 ] && [ ${#qemu[@]} -eq 0 ]; then
	echo "make setup: all is there"
elif ! has apt-get; then
	echo "make setup knows apt only; install what these packages of Debian's hold:" \
		"${packages[*]} ${qemu[*]}" >&2
	exit 1
else
	sudo=()
	[ "$(id -u)" -eq 0 ] || sudo=(sudo)
	"${sudo[@]}" apt-get update
	install=(apt-get install -y --no-install-recommends)
	[ ${#packages[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}" "${packages[@]}"
	[ ${#qemu[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}" "${release[@]}" "${qemu[@]}"
fi
has cargo || echo "make setup: cargo is missing: get it with rustup (https://rustup.rs)"
