# lib.sh - what the tests in this folder share. They are run by busybox's sh, in the lab host (see
# ../lab/l1), where /lab has the kernel and archives for guests; ../cli has tests of the same form
# for the machine itself.
#
# A test file sources this, defines functions named test_..., and ends with run_tests, which calls
# each in a subshell with "set -e" and a folder of its own, and prints "ok FILE/NAME", or "not ok"
# and what the test had to say.

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

# status WANTED COMMAND...
status() {
	local wanted=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" = "$wanted" ] || fail "status $got, not $wanted: $*"
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

# vmm [OPTION...]: boots a guest; its console is in ./out, lunette's own lines in ./err.
vmm() {
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --vhost "$vhost" "$@" >out 2>err </dev/null
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
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd initrd --vhost "$vhost" \
		--overlay off --boot-timeout none --log note --append "$words" "$@" -- sh -c 'exec 2>&1; . /job' \
		>out 2>err </dev/null
}
words= # more for guest's kernel command line

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

# random BELOW: $random is the next number of the row that $state, a seed at first, stands for
random() {
	state=$(((state * 1103515245 + 12345) & 0x7fffffff))
	random=$((state / 65536 % $1))
}

run_test() { # NAME [MORE]: of a test that is run several times, which one
	local name dir rc
	name=$(basename "$0" .sh)/$1${2:+ $2}
	dir=$(mktemp -d)
	chmod 755 "$dir"
	(
		set -e
		cd "$dir"
		"test_$1"
	) >"$dir/log" 2>&1
	rc=$?
	report >"$dir/report"
	cat "$dir/report"
	rm -rf "$dir"
}

report() { # in one piece, as files are run side by side
	case $rc in
	0) echo "ok $name" ;;
	77) echo "skip $name: $(cat "$dir/skipped")" ;;
	*)
		echo "not ok $name"
		for file in log err; do
			[ ! -s "$dir/$file" ] || tail -n 40 "$dir/$file" | sed "s/^/  $file: /"
		done
		[ ! -s "$dir/out" ] || tail -n 20 "$dir/out" | cut -c 1-200 | sed 's/^/  out: /'
		;;
	esac
}

run_tests() {
	for name in $(sed -n 's/^test_\([a-z0-9_]*\)() .*/\1/p' "$0"); do run_test "$name"; done
}
