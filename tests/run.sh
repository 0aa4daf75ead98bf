#!/bin/bash
# run.sh - all the tests, on any Debian or Ubuntu machine, or some of them.
#
#   usage: run.sh                  set-up, build, and the next four
#          run.sh unit             unit tests, also with sanitizers, and lint
#          run.sh vm [NAME...]     tests with guests, in the lab host: tests/vm/NAME.sh
#          run.sh cli [NAME...]    tests of the commands that users type: tests/cli/NAME.sh
#          run.sh bench            each part of "make bench" in a short form, so that all still work
#          run.sh all              everything that there is: all of this on all hosts, long soaks, each
#                                  fuzzer a minute, busybox's own tests, and tests/distro/run
#
# The table "places" in lab/files.sh says which file runs on which lab host: its processor, and its
# kernel. All run on AMD with the stock kernel, and a few on others, too; of the hosts of files that are
# named only those with AMD are taken. CPU=amd, intel, aarch64 or riscv64, and HOSTKERNEL=stock, backports
# or newest, choose one host for all files. Those of another architecture get a lunette that is built for
# it. TESTS=NAME,... are the only tests of a file that is named.
#
# Guests get the small kernel of "make guest-kernel" when it has been made, but those of a few files
# get the stock kernel; KERNEL=micro, stock, backports or newest chooses for all.
#
# A line for each test, "ok", "not ok" with what it had to say, or "skip" with the reason; for unit
# tests, of which there are many, a line for each kind of build. The last line has the totals:
# "N passed, N failed", and "N skipped" if there are any. The exit status is 1 when one failed.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(dirname "$(readlink -f "$0")")/..
cd "$top" || exit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
passed=0 failed=0 skipped=0
make=(make -s -j "$(nproc)")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # FILE: the lines of tests/vm/lib.sh's kind
	passed=$((passed + $(grep -c '^ok ' "$1")))
	failed=$((failed + $(grep -c '^not ok ' "$1")))
	skipped=$((skipped + $(grep -c '^skip ' "$1")))
	grep '^not ok ' "$1" >>"$work/failures"
}

# seconds PID [FROM]: the time, and the processors' for its children that have ended; or since then
seconds() {
	local stat now
	read -ra stat <"/proc/$1/stat"
	now="$EPOCHSECONDS $(((stat[15] + stat[16]) / $(getconf CLK_TCK)))"
	[ $# = 1 ] || { set -- $2 $now; now="$(($3 - $1)) s, $(($4 - $2)) s of a processor"; }
	echo "$now"
}

# step NAME SECONDS COMMAND...: its last line may be "N passed, N failed"; otherwise it is one test.
step() {
	local name=$1 limit=$2 rc n took
	shift 2
	took=$(seconds $$)
	timeout "$limit" "$@" >"$work/log" 2>&1 </dev/null
	rc=$?
	took=$(seconds $$ "$took")
	n=$(tail -n 1 "$work/log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	read -r good bad <<<"${n:-$((rc == 0)) $((rc != 0))}"
	[ $rc = 0 ] || [ "$bad" != 0 ] || bad=1
	passed=$((passed + good)) failed=$((failed + bad))
	if [ "$bad" = 0 ]; then
		echo "ok $name${n:+: $good passed} ($took)"
	else
		tail -n 200 "$work/log"
		echo "not ok $name${n:+: $good passed, $bad failed} (status $rc)" | tee -a "$work/failures"
	fi
}

unit() {
	local san out
	step build 300 "${make[@]}" lunette lab-programs
	step check 600 "${make[@]}" check
	for san in address,undefined thread; do
		out=build/$(uname -m)-${san/,/-}
		step "check SAN=$san" 900 "${make[@]}" check SAN=$san
		step "build SAN=$san" 900 "${make[@]}" SAN=$san "$out/lunette"
		step "cli/hostile SAN=$san" 900 env LUNETTE="$PWD/$out/lunette" tests/run.sh cli hostile
	done
	step lint 900 "${make[@]}" lint
}

# names FOLDER [NAME...]
names() {
	local folder=$1
	shift
	if [ $# -gt 0 ]; then printf '%s\n' "$@"
	else find "tests/$folder" -name '*.sh' ! -name lib.sh -printf '%f\n' | sed 's/\.sh$//' | sort
	fi
}

. tests/lab/files.sh
extent='test' # all: what its table has for "make test-all", too

cli() { # [NAME...]
	local name rc took
	for name in $(names cli "$@"); do
		took=$(seconds $$)
		timeout 600 bash "tests/cli/$name.sh" </dev/null | tee "$work/cli"
		rc=${PIPESTATUS[0]}
		count "$work/cli"
		[ $rc = 0 ] || step "cli: $name ends by itself" 10 false
		echo "cli: $name: $(grep -c '^ok ' "$work/cli") passed, $(grep -c '^not ok ' "$work/cli") failed," \
			"$(seconds $$ "$took")"
	done
}

bench() {
	step bench 900 tests/bench/run.sh --short "build/$(uname -m)"
}

# What takes too long for each change; a minute of each fuzzer.
long() {
	export SOAK=180 MANY=1000
	cli soak many
	SOAK=20 MANY=100
	vm soak many
	step real 900 tests/real/busybox.sh
	step fuzz 3000 "${make[@]}" fuzz
	tests/distro/run </dev/null | tee "$work/distro"
	count "$work/distro"
}

what=${1-}
[ $# = 0 ] || shift
lists=(run test)
for arch in x86_64 aarch64 riscv64; do # hosts and guests of them are among the tests
	[ "$arch" = "$(uname -m)" ] || [[ $what == @(unit|bench) ]] || lists+=("cross-$arch")
done
guest/setup.sh "${lists[@]}" || exit
mkdir -p "$cache"
case $what in
'') unit; vm; cli; bench ;;
all) extent=all; unit; vm; cli; bench; long ;;
unit | bench) "$what" ;;
vm | cli)
	step build 300 "${make[@]}" lunette lab-programs bare-guests
	[ $failed = 0 ] && "$what" "$@"
	;;
*) sed -n 's/^#  *\(usage: run\|  *run\)/\1/p' "$0" >&2; exit 200 ;;
esac
! too_many_brought_down || step 'vm: guests that the emulator brought down are few' 10 false
total="$passed passed, $failed failed"
[ $skipped = 0 ] || total+=", $skipped skipped"
[ ! -s "$work/went_down" ] || total+=", $(grep -c . "$work/went_down") lab hosts went down"
[ ! -s "$work/brought_down" ] || total+=", $(grep -c . "$work/brought_down") guests brought down by the emulator"
[ ! -s "$work/failures" ] || { echo 'What failed:'; cat "$work/failures"; }
echo "$total"
[ $failed = 0 ]
