#!/bin/bash
# SPDX-License-Identifier: MIT
# readme.sh - the examples of README.md do what it says: what follows "$ " in an indented line of
# the section "Examples" is run, and its output is the indented lines below, if there are any, where
# "..." stands for anything.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

example() { got=$(timeout 120 bash -c "$1" </dev/null); }
check_example() { # COMMAND OUTPUT
	local got
	[ -n "$1" ] || return 0
	echo "\$ $1"
	again_if_hung example "$1" || fail "status $?: $got"
	[ -z "$2" ] || [[ $got == ${2//.../*} ]] || equal "$got" "$2"
}

test_examples() {
	local line command= output= n=0
	ln -s "$top/run-guest.sh" "$top/lunette" .
	while IFS= read -r line <&3; do
		case $line in
		'    $ '*)
			check_example "$command" "$output"
			command=${line#'    $ '} output= n=$((n + 1)) ;;
		'    '*) output+=${output:+$'\n'}${line#    } ;;
		esac
	done 3< <(sed -n '/^## Examples/,/^## [^E]/p' "$top/README.md")
	check_example "$command" "$output"
	[ $n -ge 5 ] || fail "only $n examples in README.md"
}

run_tests
