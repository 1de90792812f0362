#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Follows the page support/docs/your-own-system.md to the letter: own-system.sh FOLDER takes the SDK's
# own example, replaces and adds what the page says, and makes its image in FOLDER/build.
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG.
set -euo pipefail

folder=$1
# Prints the block of the page in this language.
block() { awk -v "fence=\`\`\`$1" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' support/docs/your-own-system.md; }

mkdir -p "$folder/build"
cp "$MICROKIT_SDK"/example/hello/* "$folder"
block xml >"$folder/hello.system"
block c >"$folder/hello.c"
block make >>"$folder/Makefile"
compiler=$(support/make/c.sh prefix)
make -C "$folder" BUILD_DIR=build MICROKIT_BOARD="$BOARD" MICROKIT_CONFIG="$CONFIG" \
	PMSERVER="$PWD" CC="$compiler-gcc" LD="$compiler-ld"
