#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Compiles: compile.sh WHAT COMMAND…, with a command that runs cargo. Prints WHAT and the name of
# each crate as it is compiled; prints nothing if nothing has to be compiled. Everything goes to
# standard error: standard output is for what the system prints.
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
