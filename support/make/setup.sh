#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Installs with apt what is missing to build, run and test everything. May be run again: it changes
# no installed package, removes nothing, and does not call apt if nothing is missing.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

packages=() qemu=()
want() { packages+=("$@"); }
has() { command -v "$1" >/dev/null; }
toolchain_has() { support/make/toolchain.sh has "$@"; }
fail() { echo "make setup: $*" >&2; exit 1; }

has cc || want gcc libc6-dev
has git || want git
has mke2fs || want e2fsprogs
# Other tools that make images, for the tests of what is served.
has genext2fs || want genext2fs
has sfdisk || want fdisk
toolchain_has libclang || want libclang-dev
# For programs in C, which are also compiled for a check by clang.
has aarch64-linux-gnu-gcc || want gcc-aarch64-linux-gnu
[ "$(uname -m)" = x86_64 ] || has x86_64-linux-gnu-gcc || want gcc-x86-64-linux-gnu
has clang || want clang
has qemu-system-x86_64 || qemu+=(qemu-system-x86)
has qemu-system-aarch64 || qemu+=(qemu-system-arm)

# A compiler for the bare machine. rustup adds the library for a target to the toolchains that it
# has installed itself, if it reaches its server. If it cannot, Debian's compiler is installed,
# which comes with the library's sources.
for target in x86_64-unknown-none aarch64-unknown-none; do
	TARGET=$target toolchain_has compiler ||
		{ has rustup && rustup target add $target >/dev/null 2>&1; } ||
		{ want rustc-web rust-web-src rust-web-clippy; break; }
done
toolchain_has linker || want lld

install=(apt-get install -y --no-install-recommends --no-remove)
can_install() { "${install[@]}" --simulate "$@" >/dev/null 2>&1; }

if [ ${#packages[@]} -eq 0 ] && [ ${#qemu[@]} -eq 0 ]; then
	echo "make setup: nothing is missing"
elif ! has apt-get; then
	fail "there is no apt-get; install the contents of these Debian packages another way:" \
		"${packages[*]} ${qemu[*]}"
else
	sudo=()
	[ "$(id -u)" -eq 0 ] || sudo=(sudo)
	"${sudo[@]}" apt-get update
	[ ${#packages[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}" "${packages[@]}"
	# Debian 12's QEMU conflicts with a qemu-utils from backports: then QEMU must come from there.
	if [ ${#qemu[@]} -gt 0 ] && ! can_install "${qemu[@]}"; then
		backports=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}-backports")
		can_install -t "$backports" "${qemu[@]}" ||
			fail "apt cannot install ${qemu[*]} beside the installed packages: if qemu-utils is from" \
				"$backports, add $backports to apt's sources; see" \
				"https://backports.debian.org/Instructions"
		qemu=(-t "$backports" "${qemu[@]}")
	fi
	[ ${#qemu[@]} -eq 0 ] || "${sudo[@]}" "${install[@]}" "${qemu[@]}"
fi
has cargo || echo "make setup: cargo is missing: install it with rustup (https://rustup.rs)"
