#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Programs in C, with the compilers that this machine has.
#
#   c.sh missing          prints one sentence if there is no compiler for BOARD
#   c.sh build FILE OUT   makes a protection domain for BOARD, CONFIG
#   c.sh check            compiles the headers and all programs strictly: with gcc and clang, for all
#                         boards in support/boards, not optimised and optimised
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG.
set -euo pipefail

include=support/c/include

# Prints the compilers for a board, one a line, each with what it needs to be told.
compilers() {
	case $1 in
	*aarch64) printf '%s\n' 'aarch64-linux-gnu-gcc -mstrict-align' \
		'clang -target aarch64-none-elf -mstrict-align' ;;
	*) printf '%s\n' 'x86_64-linux-gnu-gcc -march=x86-64' 'clang -target x86_64-none-elf' ;;
	esac
}
has() { command -v "$1" >/dev/null; }
freestanding=(-ffreestanding -fno-pie -fno-stack-protector)

missing() {
	local compiler
	compiler=$(compilers "$BOARD" | head -n 1)
	has ${compiler%% *} || echo "no ${compiler%% *}: run \`make setup\`"
}

build() {
	local compiler sdk=$MICROKIT_SDK/board/$BOARD/$CONFIG
	read -ra compiler <<<"$(compilers "$BOARD" | head -n 1)"
	"${compiler[@]}" "${freestanding[@]}" -O2 -g -Wall -Wextra -Werror \
		-I "$include" -isystem "$sdk/include" "$1" -o "$2" \
		-nostdlib -static -no-pie -L "$sdk/lib" -lmicrokit -T microkit.ld -Wl,--build-id=none,-z,noexecstack
}

check() {
	local board compiler level file sdk strict left_out=()
	# Microkit's own headers are not strict: they say asm where C11 has __asm__.
	strict=(-std=c11 -pedantic -Wall -Wextra -Werror "-Dasm=__asm__")
	for board in support/boards/*.mk; do
		board=$(basename "$board" .mk)
		sdk=$MICROKIT_SDK/board/$board/release/include
		[ -d "$sdk" ] || { left_out+=("$board (no SDK)"); continue; }
		while read -ra compiler; do
			has "${compiler[0]}" || { left_out+=("$board (no ${compiler[0]})"); continue; }
			for level in -O0 -O2; do
				for file in $(git ls-files -co --exclude-standard -- '*.c'); do
					"${compiler[@]}" "${strict[@]}" "${freestanding[@]}" $level -I "$include" \
						-isystem "$sdk" -c "$file" -o /dev/null
				done
			done
		done < <(compilers "$board")
	done
	[ ${#left_out[@]} -eq 0 ] || printf 'programs in C were NOT compiled for %s\n' "${left_out[@]}"
}

verb=$1
shift
"$verb" "$@"
