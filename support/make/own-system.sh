#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Follows the page support/docs/your-own-system.md to the letter, and makes an image in FOLDER/build.
#
#   own-system.sh c FOLDER      the SDK's own example, with what the page replaces and adds
#   own-system.sh rust FOLDER   hello-container as a package out of the tree
#
# In the environment, from the Makefile: MICROKIT_SDK BOARD CONFIG.
set -euo pipefail

folder=$2
# Prints the block of the page in this language.
block() { awk -v "fence=\`\`\`$1" '$0 == fence { on = 1; next } /^```/ { on = 0 } on' support/docs/your-own-system.md; }

c() {
	local compiler
	cp "$MICROKIT_SDK"/example/hello/* "$folder"
	block xml >"$folder/hello.system"
	block c >"$folder/hello.c"
	block make >>"$folder/Makefile"
	compiler=$(support/make/c.sh prefix)
	make -C "$folder" BUILD_DIR=build MICROKIT_BOARD="$BOARD" MICROKIT_CONFIG="$CONFIG" \
		PMSERVER="$PWD" CC="$compiler-gcc" LD="$compiler-ld"
}

rust() {
	local example=support/examples/hello-container
	cp $example/rust/*.rs $example/system.xml "$folder"
	block toml | sed "s|\.\./pmserver|$PWD|" >"$folder/Cargo.toml"
	make parts CRATE="$PWD/$folder" SERVERS='console pmserver' PARTS="$folder/build"
	"$folder/build/image" --sdk "$MICROKIT_SDK" --board "$BOARD" --config "$CONFIG" \
		--search-path "$folder/build" -o "$folder/build/loader.img" "$folder/system.xml"
}

mkdir -p "$folder/build"
"$1"
