#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Finds the tools that build protection domains and boot them.
#
#   toolchain.sh missing   prints one sentence about the first thing that is missing, if any
#   toolchain.sh has …     exits with 0 if there is a `compiler`, a `linker`, or `libclang`
#   toolchain.sh cargo …   runs cargo with the environment that the protection domains need
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG TARGET TARGET_RUSTFLAGS QEMU.
#
# It uses the first compiler that has the library for the target (rustup target add), or the
# library's sources, from which cargo then builds it (Debian's rustc-web with rust-web-src; rustup's
# with the component rust-src).
set -euo pipefail

sysroot() { "$1" --print sysroot 2>/dev/null || true; }

has_target() {
	local folder
	folder=$("$1" --print target-libdir --target "$TARGET" 2>/dev/null) || return 1
	compgen -G "$folder/libcore-*.rlib" >/dev/null
}

has_sources() {
	local root
	root=$(sysroot "$1")
	[ -n "$root" ] && [ -d "$root/lib/rustlib/src/rust/library/core" ]
}

# Sets `compiler` and `builds_library`.
find_compiler() {
	for compiler in rustc /usr/bin/rustc; do
		builds_library=no
		if has_target "$compiler"; then return 0; fi
		builds_library=yes
		if has_sources "$compiler"; then return 0; fi
	done
	return 1
}

# Sets `linker`: the lld that comes with a compiler, or the distribution's.
find_linker() {
	for compiler_folder in "$(sysroot rustc)" "$(sysroot /usr/bin/rustc)"; do
		for linker in "$compiler_folder"/lib/rustlib/*/bin/rust-lld; do
			if [ -x "$linker" ]; then return 0; fi
		done
	done
	linker=$(command -v ld.lld)
}

# Looks for libclang.so or libclang-14.so: the package that has them also has the headers that
# bindgen needs. (libclang.so.1 comes without them; libclang-cpp is another library.)
find_libclang() {
	[ -n "${LIBCLANG_PATH:-}" ] ||
		ldconfig -p 2>/dev/null | grep -E 'libclang(-[0-9.]+)?\.so ' >/dev/null ||
		compgen -G '/usr/lib/llvm-*/lib/libclang.so' >/dev/null ||
		compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so' >/dev/null
}

missing() {
	local folder=$MICROKIT_SDK/board/$BOARD/$CONFIG
	local install='run `make setup`, or install Debian'"'"'s package'
	if [ ! -d "$MICROKIT_SDK/board" ]; then
		echo "there is no Microkit SDK at $MICROKIT_SDK: run \`make sdk\`, or set MICROKIT_SDK to" \
			"its folder"
	elif [ "$(cat "$MICROKIT_SDK/VERSION" 2>/dev/null)" != 2.3.0 ]; then
		echo "the Microkit SDK at $MICROKIT_SDK is not version 2.3.0: set MICROKIT_SDK to one that is"
	elif [ ! -d "$folder" ]; then
		echo "the Microkit SDK at $MICROKIT_SDK has no board/$BOARD/$CONFIG"
	elif ! find_compiler; then
		echo "no Rust compiler with a library for $TARGET or its sources: run \`make setup\`," \
			"or \`rustup target add $TARGET\`, or install Debian's rustc-web and rust-web-src"
	elif ! find_linker >/dev/null; then
		echo "no lld linker: $install lld"
	elif ! find_libclang; then
		echo "no libclang, with which rust-sel4 reads the kernel's headers: $install libclang-dev"
	elif [ -n "$QEMU" ] && ! command -v "$QEMU" >/dev/null; then
		case $QEMU in *aarch64) package=qemu-system-arm ;; *) package=qemu-system-x86 ;; esac
		echo "$QEMU is not installed: $install $package"
	fi
}

build() {
	find_compiler && find_linker
	local name=${TARGET^^}
	name=CARGO_TARGET_${name//-/_}
	export RUSTC=$compiler "${name}_LINKER=$linker" "${name}_RUSTFLAGS=$TARGET_RUSTFLAGS"
	# rust-sel4 uses features of the compiler that are not stable yet.
	export RUSTC_BOOTSTRAP=1
	SEL4_INCLUDE_DIRS=$(realpath "$MICROKIT_SDK/board/$BOARD/$CONFIG/include")
	export SEL4_INCLUDE_DIRS
	if [ "$builds_library" = yes ]; then
		export CARGO_UNSTABLE_BUILD_STD=core,alloc,compiler_builtins
		export CARGO_UNSTABLE_BUILD_STD_FEATURES=compiler-builtins-mem
	fi
	# These would override the flags of the target.
	unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
	local verb=$1 clippy=(cargo clippy)
	shift
	if [ "$verb" = clippy ]; then
		# clippy must come from the same release as the compiler: Debian's with Debian's.
		[ "$compiler" = rustc ] || clippy=(/usr/bin/cargo-clippy clippy)
		if ! "${clippy[@]}" --version >/dev/null 2>&1; then
			echo "the protection domains were NOT checked by clippy: it is not installed for $compiler"
			return
		fi
		CARGO=$(command -v cargo) exec "${clippy[@]}" --target "$TARGET" "$@"
	fi
	exec cargo "$verb" --target "$TARGET" "$@"
}

verb=$1
shift
case $verb in
missing) missing ;;
has) "find_$1" >/dev/null ;;
cargo) build "$@" ;;
esac
