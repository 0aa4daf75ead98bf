#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh BINARY... - runs unit suites and corpus replays, several side by side, as many wait.
# A line each; everything a failing one had to say; a line with the totals.

seconds=${CHECK_SECONDS:-300}

# Its lines come in one piece, since others print, too.
one() { # BINARY
	local name output status bad
	name=$(basename "$1")
	output=$(timeout "$seconds" "$1" 2>&1)
	status=$?
	# Check ends with "100%: Checks: 12, Failures: 0, Errors: 0", a replay with the same line.
	set -- $(printf '%s\n' "$output" |
		sed -n 's/.*Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' | tail -1)
	bad=$((${2:-0} + ${3:-0}))
	# A suite that died counts as one more failure than it could report.
	[ $status -ne 0 ] && [ $bad -eq 0 ] && bad=1 && set -- "$((${1:-0} + 1))"
	[ $bad -eq 0 ] && output= || output="$output
"
	printf '%s%s: %s passed, %s failed (status %s)\n' "$output" "$name" $((${1:-0} - bad)) $bad $status
}

if [ "${1-}" = --one ]; then
	one "$2"
	exit
fi

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
printf '%s\n' "$@" | xargs -n 1 -P "$((2 * $(nproc)))" "$0" --one | tee "$lines"
sed -n 's/^[^ ]*: \([0-9]*\) passed, \([0-9]*\) failed (status [0-9]*)$/\1 \2/p' "$lines" |
	awk -v suites=$# '{ passed += $1; failed += $2 }
		END {
			failed += suites - NR # one of which nothing was heard
			print passed + 0 " passed, " failed + 0 " failed"
			exit failed > 0
		}'
