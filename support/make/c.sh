#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Programs in C, with the compilers that this machine has.
#
#   c.sh missing          prints one sentence if there is no compiler for BOARD
#   c.sh prefix           prints what the names of gcc and ld for BOARD begin with
#   c.sh build FILE OUT   makes a protection domain for BOARD, CONFIG
#   c.sh left_out         prints a sentence for each board and compiler that `check` leaves out
#   c.sh check            compiles the headers and all programs strictly: with gcc and clang, for all
#                         boards in support/boards, not optimised and optimised
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG.
set -euo pipefail

: "${MICROKIT_SDK:?}"
include=support/c/include

# Prints the compilers for a board, one a line, each with what it needs to be told.
compilers() {
	case $1 in
	x86_64*) printf '%s\n' 'x86_64-linux-gnu-gcc -march=x86-64' 'clang -target x86_64-none-elf' ;;
	*) printf '%s\n' 'aarch64-linux-gnu-gcc -mstrict-align' \
		'clang -target aarch64-none-elf -mstrict-align' ;;
	esac
}
has() { command -v "$1" >/dev/null; }
freestanding=(-ffreestanding -fno-pie -fno-stack-protector)

missing() {
	local compiler
	compiler=$(compilers "$BOARD" | head -n 1)
	has ${compiler%% *} || echo "no ${compiler%% *}: run \`make setup\`"
}

prefix() {
	local compiler
	compiler=$(compilers "$BOARD" | head -n 1)
	echo "${compiler%%-gcc *}"
}

build() {
	local compiler sdk=$MICROKIT_SDK/board/$BOARD/$CONFIG
	read -ra compiler <<<"$(compilers "$BOARD" | head -n 1)"
	"${compiler[@]}" "${freestanding[@]}" -O2 -g -Wall -Wextra -Werror \
		-I "$include" -isystem "$sdk/include" "$1" -o "$2" \
		-nostdlib -static -no-pie -L "$sdk/lib" -lmicrokit -T microkit.ld -Wl,--build-id=none,-z,noexecstack
}

# Prints a line for each board and compiler: `here BOARD COMPILER…`, or `missing` and a sentence.
pairs() {
	local board compiler without=()
	for board in support/boards/*.mk; do
		board=$(basename "$board" .mk)
		[ -d "$MICROKIT_SDK/board/$board" ] || { without+=("$board"); continue; }
		while read -r compiler; do
			if has ${compiler%% *}; then
				echo "here $board $compiler"
			else
				echo "missing programs in C were NOT compiled for $board by ${compiler%% *}: run \`make setup\`"
			fi
		done < <(compilers "$board")
	done
	[ ${#without[@]} -eq 0 ] ||
		echo "missing programs in C were NOT compiled for boards that the SDK has not: ${without[*]}"
}
left_out() { pairs | sed -n 's/^missing //p'; }

check() {
	local is board compiler level file strict
	# Microkit's own headers are not strict: they say asm where C11 has __asm__.
	strict=(-std=c11 -pedantic -Wall -Wextra -Werror "-Dasm=__asm__")
	while read -r is board compiler; do
		[ "$is" = here ] || continue
		for level in -O0 -O2; do
			for file in $(git ls-files -co --exclude-standard -- '*.c'); do
				# shellcheck disable=SC2086 # The compiler and its flags are words.
				$compiler "${strict[@]}" "${freestanding[@]}" $level -I "$include" \
					-isystem "$MICROKIT_SDK/board/$board/release/include" -c "$file" -o /dev/null
			done
		done
	done < <(pairs)
}

verb=$1
shift
"$verb" "$@"
