#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# The tests of `make test` that need the Microkit SDK: test-sel4.sh MAKE BOARDS CONFIGS. Runs those
# that can run here, and prints at the end which ran and which did not. Fails if one of them fails.
set -euo pipefail

make=$1 boards=$2 configs=$3

ran=() benched=() cores=() left_out=() notes=() limits=()
# Prints "x, y, z".
list() { local text=; text=$(printf ', %s' "$@"); echo "${text:2}"; }

reasons=()
for board in $boards; do
	checked=no
	for config in $configs; do
		missing=$("$make" missing BOARD="$board" CONFIG="$config")
		if [ -n "$missing" ]; then
			left_out+=("$board $config")
			[[ " ${reasons[*]} " == *" $missing "* ]] || reasons+=("$missing")
			continue
		fi
		# On boards beyond those that are measured, the kernel that a product has must do.
		if [ "$config" != release ] && [ ! -e "support/bench/$board.json" ]; then
			limits+=("the $config kernel was NOT run on $board: make qemu-test BOARD=$board CONFIG=$config")
			continue
		fi
		if [ $checked = no ]; then
			echo "clippy: the protection domains, for $board"
			note=$("$make" pd-check BOARD="$board" CONFIG="$config")
			[ -z "$note" ] || notes=("$note")
			limits+=("$("$make" left-out BOARD="$board")")
			checked=yes
		fi
		"$make" board-test BOARD="$board" CONFIG="$config"
		"$make" ktest BOARD="$board" CONFIG="$config"
		if [ "$config" = release ]; then
			"$make" example-test BOARD="$board" CONFIG=release
			if [ -e "support/bench/$board.json" ]; then
				missing=$("$make" missing BOARD="$board" CONFIG=smp-release)
				if [ -z "$missing" ]; then
					"$make" smp-test BOARD="$board" CONFIG=smp-release
					cores+=("$board")
				else
					limits+=("two cores were NOT tried on $board: $missing")
				fi
				"$make" bench-check BOARD="$board" CONFIG=release
				benched+=("$board")
				"$make" trace-test BOARD="$board" CONFIG=release
			fi
		fi
		ran+=("$board $config")
	done
done
[ ${#ran[@]} -eq 0 ] || "$make" image-check

echo
support/make/check.sh summary
[ ${#ran[@]} -eq 0 ] || echo "ran: demo, scenarios, disk driver and kernel test on seL4 in QEMU: $(list "${ran[@]}")"
[ ${#cores[@]} -eq 0 ] || echo "ran: the demo on two cores, and the scenarios where that is quick: $(list "${cores[@]}")"
[ ${#limits[@]} -eq 0 ] || printf '%s\n' "${limits[@]}" | sed '/^$/d'
[ ${#benched[@]} -eq 0 ] || echo "ran: what operations cost, against accepted figures: $(list "${benched[@]}")"
[ ${#notes[@]} -eq 0 ] || printf '%s\n' "${notes[@]}"
if [ ${#left_out[@]} -gt 0 ]; then
	echo "seL4 was NOT run on: $(list "${left_out[@]}")"
	printf 'because: %s\n' "${reasons[@]}"
fi
