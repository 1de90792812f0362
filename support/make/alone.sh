#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Runs a command while no other make works in this folder: alone.sh COMMAND… Waits for the other
# one, and says so. All of them use the folder build: the image of one is not for the other.
set -euo pipefail

mkdir -p build
# The lock lasts as long as anything that the command has started.
exec {lock}>build/lock
if ! flock --nonblock "$lock"; then
	echo 'make: waiting for another make in this folder to end' >&2
	flock "$lock"
fi
MAKE_IS_ALONE=yes exec "$@"
