#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh - all the tests, on any Debian or Ubuntu machine, or some of them.
#
#   usage: run.sh                  set-up, build, and the next four
#          run.sh unit             unit tests, also with sanitizers, and lint
#          run.sh vm [NAME...]     tests with guests, in the lab host: tests/vm/NAME.sh
#          run.sh cli [NAME...]    tests of the commands that users type: tests/cli/NAME.sh
#          run.sh bench            each part of "make bench" in a short form, so that all still work
#          run.sh all              everything that there is: all of this on all hosts, long soaks, each
#                                  fuzzer a minute, busybox's own tests, and tests/distro
#
# The table "places" in lab/files.sh says which file runs on which lab host: its processor, and its
# kernel. All run on AMD with the stock kernel, and a few on others, too; of the hosts of files that are
# named only those with AMD are taken. CPU=amd, intel, aarch64 or riscv64, and HOSTKERNEL=stock, backports
# or newest, choose one host for all files. Those of another architecture get a lunette that is built for
# it. TESTS=NAME,... are the only tests of a file that is named. With ICOUNT=1 the hosts' clocks count
# instructions, so that a machine that is busy with other things makes no test too late.
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
make=(make -s -j "$(nproc)")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# seconds PID [FROM]: the time, and the processors' for its children that have ended; or since then
seconds() {
	local stat now
	read -ra stat <"/proc/$1/stat"
	now="$EPOCHSECONDS $(((stat[15] + stat[16]) / $(getconf CLK_TCK)))"
	[ $# = 1 ] || { set -- $2 $now; now="$(($3 - $1)) s, $(($4 - $2)) s of a processor"; }
	echo "$now"
}

# told FILE: its lines of results are printed and count. They are those of tests/vm/lib.sh, and step's, of
# which one may be many tests.
told() { flock "$work" tee -a "$work/told" <"$1"; }
totals() { # PASSED FAILED SKIPPED
	touch "$work/told"
	awk '/^(ok|not ok) .*: [0-9]+ passed/ {
			match($0, /: [0-9]+ passed/); passed += substr($0, RSTART + 2)
			if (match($0, /passed, [0-9]+ failed/)) failed += substr($0, RSTART + 8)
			next
		}
		/^ok / { passed++ }
		/^not ok / { failed++ }
		/^skip / { skipped++ }
		END { print passed + 0, failed + 0, skipped + 0 }' "$work/told"
}

# step NAME SECONDS COMMAND...: its last line may be "N passed, N failed"; otherwise it is one test.
step() {
	local name=$1 limit=$2 rc n took me=$BASHPID good bad out
	shift 2
	out=$work/step-$me
	took=$(seconds "$me")
	timeout "$limit" "$@" >"$out.log" 2>&1 </dev/null
	rc=$?
	took=$(seconds "$me" "$took")
	n=$(tail -n 1 "$out.log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	read -r good bad <<<"${n:-$((rc == 0)) $((rc != 0))}"
	[ $rc = 0 ] || [ "$bad" != 0 ] || bad=1
	if [ "$bad" = 0 ]; then
		echo "ok $name${n:+: $good passed} ($took)"
	else
		grep -v ': [0-9]* passed, 0 failed (status 0)$' "$out.log" | tail -n 200 | sed 's/^/  /'
		echo "not ok $name${n:+: $good passed, $bad failed} (status $rc)"
	fi >"$out"
	told "$out"
	[ "$bad" = 0 ]
}

# said NAME SECONDS COMMAND...: it prints lines of results itself
said() {
	local name=$1 took me=$BASHPID out=$work/said-$BASHPID
	took=$(seconds "$me")
	timeout "$2" "${@:3}" >"$out" 2>&1 </dev/null || grep -q '^not ok ' "$out" ||
		echo "not ok $name/end (status $?)" >>"$out"
	echo "$name: $(grep -c '^ok ' "$out") passed, $(grep -c '^not ok ' "$out") failed," \
		"$(seconds "$me" "$took")" >>"$out"
	told "$out"
}

# aside COMMAND...: beside others: one more than there are processors, as some wait more than they work,
# and as many as have room for a lab host
beside=$(($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) / (3 << 20)))
((beside <= $(nproc))) || beside=$(($(nproc) + 1))
((beside > 0)) || beside=1
aside() {
	while [ "$(jobs -rp | wc -l)" -ge $beside ]; do wait -n; done
	"$@" &
}

unit() {
	aside sanitized address,undefined
	aside sanitized thread
	aside plain
}

plain() { # one after the other, as they make the same objects
	step check 600 "${make[@]}" check
	step lint 900 "${make[@]}" lint
}

sanitized() { # SAN
	local out
	out=build/$(uname -m)-${1/,/-}
	step "check SAN=$1" 900 "${make[@]}" check SAN="$1"
	[ "$1" != thread ] || [ "$extent" = all ] || return 0
	step "build SAN=$1" 900 "${make[@]}" SAN="$1" "$out/lunette"
	step "cli/hostile SAN=$1" 900 env LUNETTE="$PWD/$out/lunette" tests/run.sh cli hostile
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
	local name
	for name in $(names cli "$@"); do aside said "cli: $name" 900 env EXTENT="$extent" bash "tests/cli/$name.sh"; done
}

bench() {
	aside step bench 900 tests/bench/run.sh --short "build/$(uname -m)"
}

# What takes too long for each change; a minute of each fuzzer.
long() {
	SOAK=180 MANY=1000 cli soak many
	SOAK=20 MANY=100 vm soak many
	aside step real 900 tests/real/busybox.sh
	aside step fuzz 3000 "${make[@]}" fuzz
	aside said distributions 5000 tests/distro/run
	aside said packages 7000 tests/distro/package
}

what=${1-}
[ $# = 0 ] || shift
lists=(run test)
for arch in x86_64 aarch64 riscv64; do # hosts and guests of them are among the tests
	[ "$arch" = "$(uname -m)" ] || [[ $what == @(unit|bench) ]] || lists+=("cross-$arch")
done
guest/setup.sh "${lists[@]}" || exit
mkdir -p "$cache"
built=1
case $what in
'' | all | unit | vm | cli)
	step build 600 "${make[@]}" lunette guest-init man lab-programs bare-guests bench-programs || built= ;;
bench) ;;
*) sed -n 's/^#  *\(usage: run\|  *run\)/\1/p' "$0" >&2; exit 200 ;;
esac
case $built$what in
1) vm; cli; bench; unit ;;
1all) export EXTENT=all; extent=all; vm; cli; bench; unit; long ;;
1*) "$what" "$@" ;;
esac
wait
! too_many_brought_down || step 'vm: guests that the emulator brought down are few' 10 false
read -r passed failed skipped <<<"$(totals)"
total="$passed passed, $failed failed"
[ "$skipped" = 0 ] || total+=", $skipped skipped"
[ ! -s "$work/went_down" ] || total+=", $(grep -c . "$work/went_down") lab hosts went down"
[ ! -s "$work/brought_down" ] || total+=", $(grep -c . "$work/brought_down") guests brought down by the emulator"
[ "$failed" = 0 ] || { echo 'What failed:'; grep '^not ok ' "$work/told"; }
echo "$total"
[ "$failed" = 0 ]
