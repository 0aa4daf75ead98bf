#!/bin/bash
# SPDX-License-Identifier: MIT
# busybox.sh - the test suite of a real project in a guest: busybox's own, from Debian's source, for
# the busybox of Debian's package.
#
#   usage: busybox.sh [FOLDER [OPTION...]]
#
# The source's tests and the binary are shared with the guest, which writes among them; what the suite
# prints comes out as a file, and as TAP on stdout, which --junit reads. FOLDER (build/real) has
# results/log, report.json and junit.xml then. OPTIONs are run-guest.sh's, e.g. --kernel micro.
#
# Where python3 has junitparser (pip install junitparser), that reads junit.xml; the totals must be
# those of the log. The exit status is 0 when all that holds, even if tests of busybox fail: that is
# for those to know who maintain it.
set -euo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
dir=${1:-$top/build/real}
mkdir -p "$dir"
dir=$(readlink -f "$dir")
shift $(($# > 0))

"$top/guest/setup.sh" run
binary=$("$top/tests/lab/deb" busybox-static)/bin/busybox
if [ ! -e "$dir/busybox" ]; then # by apt, with a list of its own, as tests/lab/deb has
	apt=$dir/apt cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette/apt/bookworm
	"$top/tests/lab/deb" -d busybox-static >/dev/null # which makes that list, if it is not there
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	sed 's/^deb /deb-src /' "$cache/sources.list" >"$apt/sources.list"
	: >"$apt/status"
	apt_get() {
		(cd "$apt" && apt-get -qq -o Dir::Etc::SourceList="$apt/sources.list" \
			-o Dir::Etc::SourceParts=/dev/null -o Dir::State::Status="$apt/status" \
			-o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache" \
			-o APT::Sandbox::User="$(id -un)" "$@")
	}
	apt_get update
	apt_get --download-only source busybox
	mkdir "$dir/busybox.new"
	tar -xf "$apt"/busybox_*.orig.tar.* -C "$dir/busybox.new" --strip-components 1 \
		--wildcards '*/testsuite'
	tar -xf "$apt"/busybox_*.debian.tar.* -C "$apt" debian/config/pkg/static
	cp "$apt/debian/config/pkg/static" "$dir/busybox.new/.config"
	cp "$binary" "$dir/busybox.new/busybox"
	mv "$dir/busybox.new" "$dir/busybox"
fi

rm -rf "$dir/results"
status=0
"$top/run-guest.sh" --memory 1G --timeout 20m "$@" --share "$dir/busybox:/busybox" \
	--out "$dir/results" --json "$dir/report.json" --junit "$dir/junit.xml" -- sh -c '
	cd testsuite
	rm -f bc.tests # a thousand digits of pi: half an hour where a machine is emulated
	{ ./runtest 2>&1; echo $? >/tmp/status; } | tee "$LUNETTE_OUT/log" | awk "
		BEGIN { print \"TAP version 13\" }
		/^PASS: /             { sub(/^PASS: /, \"\"); print \"ok \" ++n \" - \" \$0 }
		/^FAIL: /             { sub(/^FAIL: /, \"\"); print \"not ok \" ++n \" - \" \$0 }
		/^(SKIPPED|UNTESTED): / { sub(/^[A-Z]*: /, \"\"); print \"ok \" ++n \" - \" \$0 \" # SKIP\" }
		END { print \"1..\" n }"
	[ "$(cat /tmp/status)" -lt 128 ]' >"$dir/tap" || status=$?
[ $status = 0 ] || { echo "busybox: the guest ended with $status" >&2; exit 1; }

count() { grep -cE "^($1): " "$dir/results/log" || true; }
passed=$(count PASS) failed=$(count FAIL) skipped=$(count 'SKIPPED|UNTESTED')
echo "busybox: $passed passed, $failed failed, $skipped skipped"
[ "$passed" -gt 100 ]
python3 -c 'import junitparser' 2>/dev/null || {
	echo 'busybox: no junitparser for python3; junit.xml was not read'
	exit 0
}
python3 - "$dir/junit.xml" "$passed" "$failed" "$skipped" <<'END'
import sys
import junitparser

path, passed, failed, skipped = sys.argv[1], *map(int, sys.argv[2:])
xml = junitparser.JUnitXml.fromfile(path)
cases = [case for suite in xml for case in suite]
bad = sum(any(isinstance(r, (junitparser.Failure, junitparser.Error)) for r in c.result) for c in cases)
out = sum(any(isinstance(r, junitparser.Skipped) for r in c.result) for c in cases)
print(f"junitparser: {len(cases)} cases, {bad} failed, {out} skipped")
# One more is the run itself.
sys.exit((len(cases), bad, out) != (passed + failed + skipped + 1, failed, skipped))
END
