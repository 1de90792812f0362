#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The conformance test on seL4: ktest.sh OUT QEMU…. Boots the root task `ktest` with the QEMU
# command and compares what the kernel answers with what the simulator is tested against.
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG TARGET TARGET_RUSTFLAGS TIMEOUT.
set -euo pipefail

out=$1
shift
folder=$out/ktest
expected=support/testing/ktest-list/expected/${TARGET%%-*}.txt
fail() { echo "$*" >&2; exit 1; }
[ "$CONFIG" = debug ] || fail "make ktest: CONFIG=debug alone: it prints with the kernel's console"

mkdir -p "$folder"
support/make/toolchain.sh cargo build --manifest-path support/sel4/Cargo.toml --quiet --release \
	--target-dir build/cargo --package ktest
cp "build/cargo/$TARGET/release/ktest" "$folder/ktest.elf"
cargo run --manifest-path support/sel4/Cargo.toml --quiet --package image -- \
	--sdk "$MICROKIT_SDK" --board "$BOARD" --config "$CONFIG" \
	--root-task "$folder/ktest.elf" --output "$folder/loader.img"
# 800 lines, and as many of the kernel's: shown where something is wrong with them.
cargo run --quiet --package boot -- run --timeout "$TIMEOUT" --transcript "$folder/console.txt" \
	-- "$@" >"$folder/log.txt" || { tail -n 20 "$folder/log.txt"; exit 1; }
# Before it are the lines of kernel and loader.
sed -n '/^conformance /,$p' "$folder/console.txt" >"$out/ktest.txt"
cargo run --quiet --package boot -- compare "$expected" "$out/ktest.txt" ||
	fail "the kernel does not answer as in $expected; if it is right, copy $out/ktest.txt there"
echo "$expected: $BOARD answers the same, $(grep -c -e '->' "$expected") operations"
