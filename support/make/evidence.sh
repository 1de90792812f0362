#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
#
# Rebuilds support/docs/evidence.md: evidence.sh MAKE BOARDS [NAME…] runs each kind of evidence, or
# the named ones, and writes a row for each: what was counted, and how long it took. The counts are
# read from what the command prints, `key 123` or `123 key`, and added up over its lines. The rows
# of the others stay as they are. What fails, counts nothing, or cannot run here is said so, in its
# row and at the end; evidence.sh then fails.
#
# In the environment: EVIDENCE=short (minutes each) or long (hours).
set -euo pipefail

make=$1 boards=$2
shift 2
only=" $* "
page=support/docs/evidence.md
work=build/evidence
mkdir -p "$work"
case ${EVIDENCE:=short} in
	short) pick() { echo "$1"; } ;;
	long) pick() { echo "$2"; } ;;
	*) echo "EVIDENCE=$EVIDENCE: use EVIDENCE=short or EVIDENCE=long" >&2; exit 1 ;;
esac
commit=$(git rev-parse --short=10 HEAD)
[ -z "$(git status --porcelain --untracked-files=no -- . ":!$page")" ] || commit+=' and changes'

# Prints the sum of a count over the lines of standard input; nothing if no line has it.
sum_of() {
	awk -v key="$1" '
		match($0, "(^|[ :])" key " [0-9]+") || match($0, "(^|[ :])[0-9]+ " key "($|[ ,;:)])") {
			number = substr($0, RSTART, RLENGTH)
			gsub(/[^0-9]/, "", number)
			sum += number
			found = 1
		}
		END { if (found) printf "%d", sum }'
}

rows=() bad=()
# row NAME SENTENCE KEYS COMMAND…: runs the command unless other rows were asked for.
row() {
	local name=$1 sentence=$2 keys=$3 log=$work/$1.txt
	shift 3
	if [ "$only" != '  ' ] && [[ "$only" != *" $name "* ]]; then
		rows+=("$(grep "^| $name |" "$page" 2>/dev/null || echo "| $name | $sentence | NOT RUN | | | |")")
		return
	fi
	echo "evidence: $name: $*" >&2
	local started=$SECONDS result='' key sum
	"$@" >"$log" 2>&1 </dev/null || result="**FAILED**"
	local seconds=$((SECONDS - started))
	if [ -z "$result" ]; then
		for key in $keys; do
			sum=$(sum_of "$key" <"$log")
			[ -z "$sum" ] || result+="${result:+, }$key $sum"
		done
		[ -n "$result" ] || result="**NOTHING COUNTED**"
	elif grep -qE 'No rule to make target|unrecognized subcommand' "$log"; then
		result="**NOT THERE**"
	fi
	if [[ $result == \*\** ]]; then
		bad+=("$name: $result: $*: $(tail -n 1 "$log")")
	fi
	rows+=("| $name | $sentence | $result | $seconds | $EVIDENCE | $commit |")
}

# Runs a command for each board that can run here; fails if none can.
on_boards() {
	local board ran=no
	for board in $boards; do
		if [ -z "$("$make" missing BOARD="$board")" ]; then
			"$make" "$@" BOARD="$board"
			ran=yes
		else
			"$make" missing BOARD="$board"
		fi
	done
	[ $ran = yes ]
}

fuzz() {
	cargo run --quiet --release --package sim -- fuzz "$1" 1 --seeds "$2"
}

# The objects of debug kernels may be larger.
kernels() {
	on_boards ktest CONFIG=debug && on_boards ktest CONFIG=release
}

tests() {
	cargo test --quiet --no-fail-fast
}

row tests 'every test of the host workspace' 'passed ignored' tests
row stop 'a domain is stopped at a call, or a kernel invocation refused; one run for each' \
	'plays points runs stops refusals' "$make" stop RUNS="$(pick 3000 '')"
row explore 'every order of the calls of small systems' 'states steps' \
	"$make" explore STATES="$(pick 1500 2000000)"
row fuzz 'random operations, pmserver beside the model of its protocol' \
	'seeds executions operations' fuzz pm "$(pick 100 20000)"
row wire 'random messages, 600 of each seed' 'seeds' fuzz wire "$(pick 100 20000)"
row coverage 'inputs that were found to reach new code' 'executions edges corpus' \
	"$make" fuzz-coverage SECONDS="$(pick 60 3600)"
row canary 'one protection is taken out: a test has to fail' 'twins found missed' "$make" canary
row mutants 'one expression is changed: a test has to fail' 'mutants caught missed timeouts unviable' \
	"$make" mutants SHARD="$(pick 0/60 0/17)"
row crash 'the power is cut, fsserver is stopped, while files change, in the simulator' 'cuts kills' \
	"$make" crash-test BOARD=sim RUNS="$(pick 1000 10000)"
row crash-boards 'the same on boards; each disk is judged on the host, the last 50 are booted, too' \
	'cuts kills' on_boards crash-test CONFIG=release RUNS=50
row ktest 'answers of seL4 beside those of the model of it' operations kernels
row sweep 'the scenarios on slower and faster processors' 'runs' on_boards sweep
row soak 'the demo, whose fsserver is stopped at random' 'kills reads rounds seconds' \
	on_boards soak CONFIG=release SECONDS="$(pick 600 3600)"

{
	cat <<-'END'
		# Evidence

		What was tried, how often, and how long that took. `make evidence` runs everything again and writes this
		page; `make evidence ROWS='stop fuzz'` rebuilds some rows, and `EVIDENCE=long` takes hours for each. The
		last column is the commit that was tried. `support/make/evidence.sh` has the commands.

		| evidence | what it tries | counted | seconds | length | commit |
		|---|---|---|---|---|---|
	END
	printf '%s\n' "${rows[@]}"
	printf '%s\n' "${rows[@]}" | awk -F'|' '
		{ seconds += $5 }
		END { printf "\nTogether %.1f hours.\n", seconds / 3600 }'
} >"$work/page.md"
mv "$work/page.md" "$page"

for sentence in "${bad[@]}"; do
	echo "evidence: $sentence" >&2
done
echo "evidence: rows ${#rows[@]}, failed ${#bad[@]}"
[ ${#bad[@]} -eq 0 ]
