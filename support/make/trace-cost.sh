#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Measures what a call costs more if servers write a trace: trace-cost.sh MAKE. Boots the bench on BOARD
# without a trace, and with one in the same system. Fails if a call takes 30 instructions more.
#
# In the environment, from the Makefile: BOARD.
set -euo pipefail

make=$1 most=29
out=build/$BOARD/release files=build/trace-files system=build/trace-bench.xml
mkdir -p "$files/data" "$out"
seq 1 5000000 2>/dev/null | head -c $((2 << 20)) >"$files/data/two-mib.txt" || true

# The bench's system, with a ring for each server that writes a trace.
ring='<map mr="trace_\1" vaddr="0x2a000000" perms="rw" setvar_vaddr="trace_ring_vaddr" setvar_size="trace_ring_bytes" />'
regions=$(printf '<memory_region name="trace_%s" size="0x81000" />' console pmserver fsserver)
sed -e "/<system>/a $regions" \
	-e "s#<program_image path=\"\(console\|pmserver\|fsserver\).elf\" />#&$ring#" \
	support/bench/microkit-system.xml >"$system"

# Prints the instructions of an empty call of pmserver, and of the shortest one of fsserver.
measure() {
	"$make" boot SYSTEM=bench BOARD="$BOARD" CONFIG=release ICOUNT=0 FILES="$files" "$@" \
		>"$out/trace-bench.log" 2>&1 || { tail -n 20 "$out/trace-bench.log" >&2; exit 1; }
	sed -n 's/^row \(call_empty\|lookup_known\) .* instructions=\([0-9]*\) .*/\2/p' "$out/bench.txt"
}

mapfile -t without < <(measure)
mapfile -t with < <(measure TRACE=yes bench_XML="$system")
failed=0
for row in 0 1; do
	more=$((with[row] - without[row]))
	echo "trace: a call of $([ $row = 0 ] && echo pmserver || echo fsserver) takes ${without[row]}" \
		"instructions on $BOARD, and with a trace $more more"
	[ $more -le $most ] || failed=1
done
exit $failed
