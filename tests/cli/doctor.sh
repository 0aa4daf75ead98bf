#!/bin/bash
# SPDX-License-Identifier: MIT
# doctor.sh - "lunette doctor" on this machine, whatever it has.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH

test_a_line_each() {
	rc=0
	lunette doctor >out 2>err || rc=$?
	case $rc in
	0) contains out '^ok +kvm '; [ ! -s err ] || fail "$(cat err)" ;;
	202 | 203) contains out '^missing  kvm '; equal "$(wc -l <err)" 1 ;;
	*) fail "status $rc" ;;
	esac
	! grep -vE '^(ok|warning|missing) +[a-z_-]+ +[^ ]' out || fail 'that is no line of it'
	[ "$(wc -l <out)" -ge 8 ]
}

test_reason_comes_last() { # as run-guest.sh wants it, on one pipe
	rc=0
	lunette doctor >both 2>&1 || rc=$?
	[ $rc != 0 ] || skip 'guests run here'
	tail -n 1 both >last
	contains last '^lunette: error: /dev/kvm: '
}

test_without_rights() {
	[ "$(id -u)" = 0 ] || skip 'only root can be somebody else'
	[ -e /dev/kvm ] && [ "$(stat -c %a /dev/kvm)" != 666 ] || skip '/dev/kvm is everybody'\''s'
	cp "$top/lunette" . && chmod 755 . lunette
	rc=0
	setpriv --reuid 65534 --regid 65534 --clear-groups ./lunette doctor >out 2>err || rc=$?
	equal "$rc" 202
	contains err 'permission denied; (ask root for: chmod 666|.*usermod -aG .*doctor --ci github)'
}

test_ci_github() { # what it prints is a shell script below "run:"
	lunette doctor --ci github >out
	equal "$(lunette doctor --ci=github)" "$(cat out)"
	sed '1,/run: |/d' out >script
	bash -n script
	contains script 'KERNEL=="kvm".*MODE="0666"'
}

test_wrong_arguments() {
	for words in --ci '--ci gitlab' '--ci github more' x --explain; do
		status 200 lunette doctor $words 2>err
		contains err 'it takes --ci github, or nothing'
	done
}

run_tests
