#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The conformance test on seL4: ktest.sh OUT QEMU…. Boots the root task `ktest` with the QEMU
# command and compares the kernel's answers with those that the simulator is tested against.
#
# With SEED in the environment, other operations are drawn, and the simulator gives its own answers.
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG TARGET TARGET_RUSTFLAGS TIMEOUT.
# The Makefile has compiled the tools `image` and `boot`.
set -euo pipefail

out=$1
shift
folder=$out/ktest
fail() { echo "$*" >&2; exit 1; }

mkdir -p "$folder"
[ -z "${SEED:-}" ] || export KTEST_SEED=$SEED
support/make/compile.sh "the kernel test for $BOARD" \
	support/make/toolchain.sh cargo build --manifest-path support/sel4/Cargo.toml --release \
	--target-dir build/cargo --package ktest
cp "build/cargo/$TARGET/release/ktest" "$folder/ktest.elf"
cargo run --manifest-path support/sel4/Cargo.toml --quiet --package image \
	--target-dir "${CARGO_TARGET_DIR:-target}" -- \
	--sdk "$MICROKIT_SDK" --board "$BOARD" --config "$CONFIG" \
	--root-task "$folder/ktest.elf" --output "$folder/loader.img"
# The test prints 800 lines and the kernel as many: the end of them is shown if the run fails.
cargo run --quiet --package boot -- run --timeout "$TIMEOUT" --transcript "$folder/console.txt" \
	-- "$@" >"$folder/log.txt" || { tail -n 20 "$folder/log.txt"; exit 1; }
# Leaves out the lines of kernel and loader, which come first.
sed -n '/^conformance /,$p' "$folder/console.txt" >"$out/ktest.txt"
# The first line says which architecture it is: debug kernels may have larger objects.
architecture=$(sed -n '1s/^conformance \([a-z0-9_]*\),.*/\1/p' "$out/ktest.txt")
expected=support/testing/ktest-list/expected/$architecture.txt
if [ -n "${SEED:-}" ]; then
	KTEST_TRANSCRIPT=$PWD/$out/ktest.txt cargo test --quiet --package sim --test conformance ||
		fail "the kernel's answers with SEED=$SEED, in $out/ktest.txt, differ from the simulator's"
	expected=$out/ktest.txt
fi
cargo run --quiet --package boot -- compare "$expected" "$out/ktest.txt" ||
	fail "the kernel's answers differ from $expected; if they are right, copy $out/ktest.txt there"
echo "$expected: $BOARD gives the same answers to $(grep -c -e '->' "$expected") operations"
