#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs a command to which the terminal passes each key as it is typed, without showing it: terminal.sh
# COMMAND. Afterwards the terminal is as it was. Ctrl-C still interrupts.
set -euo pipefail

if [ -t 0 ]; then
	was=$(stty -g)
	trap 'stty "$was"' EXIT
	stty -icanon -echo
fi
"$@"
