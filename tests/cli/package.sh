#!/bin/bash
# SPDX-License-Identifier: MIT
# package.sh - debian/: a package is built of what is here, lintian has nothing to say, and what is in it works
# where it has been unpacked. "make test-all" builds it, and needs what setup.sh's list "package" has.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

test_one_version() {
	version=$(sed -n '1s/^lunette (\(.*\)).*/\1/p' "$top/debian/changelog")
	equal "${version%-*}" "$(sed -n 's/^VERSION = //p' "$top/config.mk")"
}

test_build_needs_what_set_up_installs() {
	sed -n '/^Build-Depends:/,/^[A-Z].*: /s/^ \([a-z0-9.+-]*\).*/\1/p' "$top/debian/control" >needs
	for package in $("$top/guest/setup.sh" -l run device-tree | grep -e '-dev$' | grep -v '^lib[cn].*-dev$\|^linux-'); do
		contains needs "^$package$"
	done
}

test_builds_and_works() {
	[ "${EXTENT-}" = all ] || skip 'a whole build: make test-all has it'
	"$top/guest/setup.sh" package || skip 'debhelper, lintian or busybox-static is missing'
	mkdir lunette-0.1
	(cd "$top" && git ls-files -z | xargs -0 cp --parents -t "$OLDPWD/lunette-0.1")
	(cd lunette-0.1 && DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" dpkg-buildpackage -d -b -us -uc) >build.log 2>&1 ||
		fail "$(tail -n 30 build.log)"
	lintian --fail-on error,warning ./*.changes >lintian.out 2>&1 || fail "$(cat lintian.out)"
	dpkg -x lunette_*.deb root
	status 0 env ROOT="$PWD/root" lunette-0.1/debian/tests/smoke
	equal "$(find root -path '*/local/*')" ''
}

run_tests
