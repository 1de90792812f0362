#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Compiles: compile.sh WHAT COMMAND…, where the command is one of cargo's. If something has to be
# compiled, says what it is and shows which crate is compiled now; if nothing has to, is silent. All of it
# goes to standard error, as standard output is for what the system prints.
set -euo pipefail

what=$1
shift
[ ! -t 2 ] || export CARGO_TERM_COLOR=always

# A status line of cargo: the word is right-aligned and, on a terminal, coloured.
status=$'^(\e\\[[0-9;]*m| )*'
announced=no
"$@" 2>&1 >/dev/null | while IFS= read -r line; do
	if [[ $line =~ $status(Finished|Executable) ]]; then continue; fi
	if [ $announced = no ] && [[ $line =~ $status(Compiling|Checking) ]]; then
		echo "make: compiling $what"
		announced=yes
	fi
	printf '%s\n' "$line"
done >&2
