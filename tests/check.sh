#!/bin/sh
# check.sh BINARY... - runs unit suites and corpus replays one after the other.
# A line each; everything a failing one had to say; a line with the totals.

seconds=${CHECK_SECONDS:-300}
passed=0 failed=0

for bin in "$@"; do
	name=$(basename "$bin")
	output=$(timeout "$seconds" "$bin" 2>&1)
	status=$?
	# Check ends with "100%: Checks: 12, Failures: 0, Errors: 0", a replay with the same line.
	set -- $(printf '%s\n' "$output" |
		sed -n 's/.*Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' | tail -1)
	bad=$((${2:-0} + ${3:-0}))
	# A suite that died counts as one more failure than it could report.
	[ $status -ne 0 ] && [ $bad -eq 0 ] && bad=1 && set -- "$((${1:-0} + 1))"
	passed=$((passed + ${1:-0} - bad))
	failed=$((failed + bad))
	if [ $bad -eq 0 ]; then
		echo "$name: $1 passed"
	else
		printf '%s\n' "$output"
		echo "$name: $bad failed (exit status $status)"
	fi
done

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
