# SPDX-License-Identifier: MIT
# lib.sh - what the tests in this folder share. They are run by busybox's sh, in the lab host (see
# ../lab/l1), where /lab has the kernel and archives for guests; ../cli has tests of the same form
# for the machine itself.
#
# A test file sources this, defines functions named test_..., or long_... for "make test-all" alone,
# and ends with run_tests, which calls each in a subshell with "set -e" and a folder of its own, and
# prints "ok FILE/NAME", or "not ok" and what the test had to say.
# shellcheck shell=sh

tests=$(dirname "$(readlink -f "$0")")
kernel=/lab/vmlinuz
initrd=/lab/initramfs.cpio
tools=            # /lab/tools.cpio: guests get mkfs.ext4, udev and sg3-utils too
seconds=180       # that a guest may run: what hangs ends, and what is slow does not
vhost=off         # other tests, at the same time, decide whether the kernel could serve disks

fail() {
	echo "$*"
	exit 1
}

# The environment cannot do it: skip REASON
skip() {
	echo "$*" >skipped
	exit 77
}

# What follows is about some architectures: only ARCH...
only() {
	case " $* " in *" $(uname -m) "*) ;; *) skip "of $* alone" ;; esac
}

# MiB of a small guest that runs a command; Debian's kernel for riscv64 needs more.
least=96
[ "$(uname -m)" != riscv64 ] || least=128

# status WANTED COMMAND...
status() {
	local wanted=$1 got=0
	shift
	[ "$wanted" != 206 ] || wants_triple_fault
	"$@" || got=$?
	[ "$got" = "$wanted" ] || fail "status $got, not $wanted: $*"
}

# This test has guests that are to end so; see unwanted_triple_fault.
wants_triple_fault() {
	: >"${dir:-.}/wants-triple-fault"
}

# equal GOT WANTED
equal() {
	[ "$1" = "$2" ] || fail "got:
$1
wanted:
$2"
}

# contains FILE PATTERN: a line of the file matches
contains() {
	grep -qE -e "$2" "$1" || fail "no \"$2\" in $1:
$(cat "$1")"
}

# until_true SECONDS COMMAND...: tries until it succeeds
until_true() {
	local tries=$(($1 * 10))
	shift
	until "$@" 2>/dev/null; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "did not come true: $*"
		sleep 0.1
	done
}

# given OPTION WORD...: is it among the words?
given() {
	local option=$1 word
	shift
	for word; do
		case $word in "$option" | "$option"=*) return 0 ;; --) return 1 ;; esac
	done
	return 1
}

# vmm [OPTION...]: boots a guest; its console is in ./out, lunette's own lines in ./err.
vmm() {
	given --vhost "$@" || set -- --vhost "$vhost" "$@"
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" "$@" >out 2>err </dev/null
}

# job SCRIPT: makes ./initrd, for a guest that runs SCRIPT, on its console by itself. ./files, if there
# is one, is its /files.
job() {
	printf '%s\n' "$1" >job
	{ echo job; find files 2>/dev/null; } | cpio -o -H newc >job.cpio 2>/dev/null
	cat "$initrd" $tools job.cpio >initrd
}

# guest SCRIPT [OPTION...]: boots a guest that runs SCRIPT as its command; ./out is what it prints, and
# what it writes to disks is there afterwards.
guest() {
	job "$1"
	shift
	given --vhost "$@" || set -- --vhost "$vhost" "$@"
	given --overlay "$@" || set -- --overlay off "$@"
	given --boot-timeout "$@" || set -- --boot-timeout none "$@"
	given --log "$@" || set -- --log note "$@"
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd initrd --append "$words" "$@" \
		-- sh -c 'exec 2>&1; . /job' >out 2>err </dev/null
}
words= # more for guest's kernel command line

# run [OPTION...] -- COMMAND...: ./out and ./err are its outputs, ./json the report.
run() {
	given --boot-timeout "$@" || set -- --boot-timeout none "$@"
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost "$vhost" \
		--json json "$@" >out 2>err
}

# ends STATUS CAUSE [OPTION...] -- COMMAND...
ends() {
	local wanted=$1 cause=$2
	shift 2
	status "$wanted" run "$@" </dev/null
	contains json "\"status\": $wanted,"
	contains json "\"cause\": \"$cause\","
}

# rootfs: makes disk.img, a root file system whose init is the script on stdin
rootfs() {
	mkdir -p root/sbin root/bin root/dev root/proc root/sys root/tmp
	cp /bin/busybox root/bin
	for applet in sh echo grep sync poweroff cat; do ln -s busybox root/bin/$applet; done
	cat >root/sbin/init
	chmod +x root/sbin/init
	mkfs.ext4 -q -L rootfs -d root disk.img 16M
}

# COMMAND... run by somebody who is not root: in the group that may use /dev/kvm, or not
user() {
	/lab/setpriv --reuid 1000 --regid 1000 --groups 106 "$@"
}
outsider() {
	/lab/setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
}

# section NAME: of ./out, what follows the line "== NAME"
section() {
	sed -n "/^== $1\$/,/^== /{/^== /!p}" out
}

# says SECTION PATTERN...: each is in a line of that section of $shared/out, which becomes ./SECTION
says() {
	local name=$1 pattern
	shift
	(cd "$shared" && section "$name") >"$name"
	for pattern; do contains "$name" "$pattern"; done
}

# The kernel's target, in the lab host.
target=/sys/kernel/config/target
kernel_target() {
	modprobe -a vhost_scsi target_core_file target_core_iblock
	grep -q ' /sys/kernel/config ' /proc/mounts || mount -t configfs none /sys/kernel/config
}

# What lunette has made there.
ours() {
	[ ! -d $target ] || find $target/core $target/vhost -maxdepth 2 2>/dev/null |
		grep -E 'lunette|/(fileio|iblock)_10' || true
}

nothing_left() {
	equal "$(ours)" ''
	equal "$(losetup -a)" ''
}

# The host's kernel is as it was, as far as it knows: see "slub_debug" in ../run.sh.
whole() {
	equal "taint $(cat /proc/sys/kernel/tainted)" 'taint 0'
	equal "$(dmesg | grep -E 'BUG|WARNING:|Oops|Object padding|Poison overwritten')" ''
	nothing_left
}

# random BELOW: $random is the next number of the row that $state, a seed at first, stands for
random() {
	state=$(((state * 1103515245 + 12345) & 0x7fffffff))
	random=$((state / 65536 % $1))
}

# Has run-guest.sh to emulate a machine on this host?
emulated() { ! "$tests/../../lunette" doctor >/dev/null 2>&1; }

# again_if_hung COMMAND...: one that ends by its time limit, 124, runs once more where its guest is in an
# emulated machine; ../README.md says why.
again_if_hung() {
	local rc=0
	"$@" || rc=$?
	[ $rc = 124 ] && emulated || return $rc
	: >"${dir:-.}/hung"
	"$@"
}

run_test() { # NAME [MORE]: of a test that is run several times, which one
	local name dir rc began took
	name=$(basename "$0" .sh)/$1${2:+ $2}
	dir=$(mktemp -d)
	began=$(cut -d . -f 1 /proc/uptime)
	chmod 755 "$dir"
	(
		set -e
		cd "$dir"
		"$(kind_of "$1")_$1"
	) >"$dir/log" 2>&1
	rc=$?
	took=$(($(cut -d . -f 1 /proc/uptime) - began))
	report >"$dir/report"
	cat "$dir/report"
	rm -rf "$dir"
}

report() { # in one piece, as files are run side by side
	[ ! -e "$dir/hung" ] || echo "  $name: the emulated machine hung, and its command was run again"
	case $rc in
	0) echo "ok $name$([ $took -lt 5 ] || echo " ($took s)")" ;;
	77) echo "skip $name: $(cat "$dir/skipped")" ;;
	*)
		echo "not ok $name"
		for file in log err; do
			[ ! -s "$dir/$file" ] || tail -n 40 "$dir/$file" | sed "s/^/  $file: /"
		done
		[ ! -s "$dir/out" ] || tail -n 20 "$dir/out" | cut -c 1-200 | sed 's/^/  out: /'
		unwanted_triple_fault
		;;
	esac
}

# A line for ../lab/files.sh, with the name of the guest: it may be the emulator's fault. The guest is the
# test's own, or that of all tests of its file, in $shared.
unwanted_triple_fault() {
	local of whose=$name
	[ ! -e "$dir/wants-triple-fault" ] || return 0
	for of in "$dir" ${shared:+"$shared"}; do
		if find "$of" -type f \( -name 'err*' -o -name log \) -exec cat {} + |
			grep -q '^lunette: error: a vCPU shut down on a triple fault'; then
			echo "  unwanted triple fault: $whose"
			return
		fi
		whose=${name%%/*}
	done
}

# test, or long: what "make test-all" alone runs (EXTENT=all), and who names it
kind_of() { # NAME
	sed -n "s/^\(test\|long\)_$1() .*/\1/p" "$tests/$(basename "$0")"
}

among() { # WORD WORD...
	local word=$1 other
	shift
	for other; do [ "$other" != "$word" ] || return 0; done
	return 1
}

# All tests of the file, in their order; with TESTS=NAME,... or FILE/NAME,... those, of which none may be
# unknown. Names of other files' tests are not this one's matter.
run_tests() {
	local all name wanted file
	file=$(basename "$0" .sh)
	all=$(sed -n 's/^\(test\|long\)_\([a-z0-9_]*\)() .*/\2/p' "$0")
	wanted=$(echo "${TESTS-}" | tr , '\n' | sed -n "s,^$file/,,p; t; /\//d; /./p")
	for name in ${wanted:-$all}; do
		among "$name" $all || echo "not ok $file/$name: no such test"
	done
	for name in $all; do
		if [ -n "$wanted" ]; then among "$name" $wanted || continue
		elif [ "$(kind_of "$name")" = long ]; then [ "${EXTENT-test}" = all ] || continue
		fi
		run_test "$name"
	done
}
