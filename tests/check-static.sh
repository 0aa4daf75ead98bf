#!/bin/sh
# SPDX-License-Identifier: MIT
# check-static.sh OUT - shellcheck and cppcheck have nothing to say. Another version than Debian 12's
# may find other things, so it is not asked: that would fail for who has changed nothing.
cd "$(dirname "$0")/.." || exit 1
out=$1 status=0

# known PROGRAM VERSION WANTED
known() {
	[ "$2" = "$3" ] && return
	echo "$1: not asked, as it is ${2:-missing}; lint knows $3"
	false
}

if known shellcheck "$(shellcheck --version 2>/dev/null | sed -n 's/^version: //p')" 0.9.0; then
	{
		grep -rlE '^#!/bin/(ba)?sh' guest tests packaging docs run-guest.sh .ci
		find guest tests packaging -name '*.sh' # those that others read have a line that says which shell
	} | sort -u | xargs shellcheck --severity=warning || status=1
fi
if known cppcheck "$(cppcheck --version 2>/dev/null | sed 's/Cppcheck //')" 2.10; then
	mkdir -p build/cppcheck # what it has found of files that are as they were
	cppcheck --quiet --error-exitcode=1 -j2 --std=c11 --enable=warning,portability,performance \
		--suppressions-list=tests/cppcheck.txt --cppcheck-build-dir=build/cppcheck \
		--include=tests/cppcheck.h -I. -I"$out" vmm virtio devices guest \
		tests/lib tests/vm tests/hostile tests/bench tests/soak || status=1
fi
[ $status != 0 ] || echo 'static: nothing found'
exit $status
