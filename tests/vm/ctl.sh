#!/bin/sh
# SPDX-License-Identifier: MIT
# ctl.sh - what is done to a guest's disks while it runs, by the control socket: the guest is booted
# once, and does what it is told by its console, as a user would type.
. "$(dirname "$0")/lib.sh"
tools=/lab/tools.cpio

shared=$(mktemp -d)
cd "$shared" || exit
truncate -s 16M first.img second.img fault.img
head -c 1m /dev/urandom >one.iso
head -c 2m /dev/urandom >two.iso
mkdir files
cat >files/serve <<'END'
while read -r number command; do
	eval "$command" >/tmp/said 2>&1
	status=$?
	echo "== $number"
	cat /tmp/said
	echo "status $status"
done
END
mkfifo keys
here=bus=virtio-scsi0 # the other controller is for test_paths
job 'echo up; sh /files/serve </dev/console'
{
	timeout -k 5 300 lunette run --kernel "$kernel" --initrd initrd --append loglevel=1 \
		--vhost off --control socket --trace scsi=trace --device virtio-scsi,id=virtio-scsi0 \
		--disk first.img,lun=0,$here --disk fault.img,lun=4,$here \
		--cdrom one.iso,id=cd,lun=1,$here --device virtio-scsi,id=s1 >out 2>err <keys
	echo $? >status
} &
run=$!
exec 4>keys

ctl() { lunette ctl "$shared/socket" "$@"; }
echo 0 >number # in a file, as tests are subshells
tell() { # COMMAND: in the guest; its output is in ./said
	local number=$(($(cat "$shared/number") + 1))
	[ ! -e "$shared/status" ] || fail 'the run has ended'
	echo $number >"$shared/number"
	echo "$number $1" >&4
	until_true 30 sh -c "sed -n '/^== $number\r*\$/,\$p' $shared/out | grep -q ^status"
	tr -d '\r' <"$shared/out" | sed -n "/^== $number\$/,\$p" | sed 1d >said
}
guest_says() { # SECONDS COMMAND PATTERN: sooner or later
	local tries=$1
	until tell "$2" && grep -qE "$3" said; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "$2: no \"$3\" in: $(cat said)"
		sleep 1
	done
}
count_of() { # LUN COUNTER
	ctl counters "lun:$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

test_boots() {
	until_true 90 sh -c "grep -q ^up '$shared/out' || [ -e '$shared/status' ]"
	[ ! -e "$shared/status" ] || fail "$(cat "$shared/err" "$shared/out")"
}

# Without a rescan in the guest: by the event queue alone.
test_plug_and_unplug() {
	lunette ctl --wait "$shared/socket" plug "second.img,lun=7,serial=new,$here" >answer
	contains answer '^scsi-disk[0-9]* .*lun=7 served=process serial=new'
	guest_says 10 'ls -d /sys/bus/scsi/devices/0:0:0:7/block/sd*' '/block/sdc'
	tell 'cat /sys/block/sdc/size; head -c 4096 /dev/zero | tr "\000" x | dd of=/dev/sdc conv=fsync 2>&1'
	contains said '^32768$'
	equal "$(head -c 4 "$shared/second.img")" xxxx
	ctl unplug lun:7
	guest_says 10 'ls -d /sys/bus/scsi/devices/0:0:0:7' 'No such file'
	status 1 ctl unplug lun:7 2>why
	contains why 'no such LUN'
}

test_resize() {
	tell 'cat /sys/block/sda/size'
	contains said '^32768$'
	ctl resize lun:0 32M
	guest_says 10 'cat /sys/block/sda/size' '^65536$'
	equal "$(stat -c %s "$shared/first.img")" $((32 << 20))
	tell 'dd if=/dev/urandom of=/dev/sda bs=1M seek=31 count=1 conv=fsync 2>&1'
	contains said '^status 0'
	ctl resize lun:0 16M
	guest_says 10 'cat /sys/block/sda/size' '^32768$'
	equal "$(stat -c %s "$shared/first.img")" $((16 << 20))
}

test_eject_and_insert() {
	tell 'modprobe sr_mod; dd if=/dev/sr0 bs=2048 2>/dev/null | md5sum'
	contains said "^$(md5sum <"$shared/one.iso" | cut -d ' ' -f 1)"
	ctl eject cd
	tell 'dd if=/dev/sr0 of=/dev/null 2>&1'
	contains said 'No medium'
	(cd "$shared" && ctl insert cd "$shared/two.iso")
	guest_says 10 'dd if=/dev/sr0 bs=2048 2>/dev/null | md5sum' \
		"^$(md5sum <"$shared/two.iso" | cut -d ' ' -f 1)"
	status 1 ctl insert cd one.iso
}

test_fault() {
	local write='dd if=/dev/zero of=/dev/sdb bs=4096 count=1 oflag=direct 2>&1'
	tell "$write"
	contains said '^status 0'
	ctl fault lun:4 write:lba=0-7:error=EIO
	tell "$write"
	contains said 'Input/output error'
	ctl fault lun:4 write:lba=0-7:sense=7/27/07 # SPACE ALLOCATION FAILED
	tell "$write"
	contains said 'No space left on device'
	ctl fault lun:4 clear
	tell "$write"
	contains said '^status 0'
}

# With nothing in it a disk turns its write cache off, and flushes nothing.
test_no_medium() {
	truncate -s 8M removable.img
	lunette ctl --wait "$shared/socket" plug "$PWD/removable.img,removable=on,lun=8,$here" >answer
	guest_says 10 'ls -d /sys/bus/scsi/devices/0:0:0:8/block/sd*' '/block/sd'
	ctl eject lun:8
	tell 'sg=/dev/$(ls /sys/bus/scsi/devices/0:0:0:8/scsi_generic); { printf "\0\0\0\0\10\22"; head -c 18 /dev/zero; } | sg_raw -s 24 $sg 15 10 00 00 18 00; sg_sync $sg; sg_start --stop $sg'
	contains "$shared/trace" ' 1:0:8 151000001800 GOOD '
	contains "$shared/trace" ' 1:0:8 35[0-9a-f]* CHECK-CONDITION 2/3a/00'
	contains "$shared/trace" ' 1:0:8 1b0000000000 GOOD '
	ctl unplug lun:8
}

# Of a disk on two controllers; what the guest has of each path.
test_paths() {
	local far state host
	truncate -s 8M both.img
	lunette ctl --wait "$shared/socket" plug "$PWD/both.img,bus=virtio-scsi0+s1,lun=9,serial=both" >answer
	contains answer 'bus=virtio-scsi0.s1 .*paths=virtio-scsi0=optimized.s1=optimized'
	guest_says 10 'ls -d /sys/bus/scsi/devices/1:0:0:9/scsi_generic/sg*' '/scsi_generic/sg[0-9]' # and not ls, that there is none
	far=/dev/$(sed -n 's,.*/,,;s/sg/&/p' said | head -n 1)
	for host in 0 1; do # what a guest still looks at meets states that the test does not ask for
		guest_says 30 "dmesg | grep ' $host:0:0:9: .*Attached'" 'Attached SCSI disk'
	done
	for state in 'standby 2/04/0b' 'unavailable 2/04/0c' 'optimized 0/00/00'; do
		ctl path lun:9 s1 "${state% *}" >answer
		contains answer "s1=${state% *}"
		tell "sg_raw $far 00 00 00 00 00 00; sg_raw $far 00 00 00 00 00 00"
		contains "$shared/trace" ' 2:0:9 [0-9a-f]* CHECK-CONDITION 6/2a/06' # by whatever came first
		grep ' 2:0:9 000000000000 ' "$shared/trace" | tail -n 1 >last
		contains last " ${state#* } "
	done
	ctl path lun:9 s1 non-optimized
	tell "sg_raw -r 64 $far a3 0a 00 00 00 00 00 00 00 40 00 00; sg_raw -r 64 $far a3 0a 00 00 00 00 00 00 00 40 00 00"
	contains said '00 00 00 18 0' # two groups
	contains said '^status 0'
	ctl path lun:9 s1 fails
	tell "sg_inq $far"
	contains said 'DID_TRANSPORT_DISRUPTED|^sg_inq failed: Transport error' # of two releases of sg3-utils
	tell 'dd if=/dev/$(ls /sys/bus/scsi/devices/0:0:0:9/block) of=/dev/null bs=4096 count=1 iflag=direct 2>&1'
	contains said '^status 0'
	status 1 ctl path lun:0 virtio-scsi0 standby 2>why
	contains why 'is on one bus'
	ctl unplug lun:9
	guest_says 10 'ls -d /sys/bus/scsi/devices/1:0:0:9' 'No such file'
}

test_counters() {
	local read written flushes dd='bs=64k 2>&1'
	tell sync
	read=$(count_of 0 read) written=$(count_of 0 written) flushes=$(count_of 0 flushes)
	tell "dd if=/dev/sda of=/dev/null count=16 iflag=direct $dd"
	tell "dd if=/dev/zero of=/dev/sda count=4 oflag=direct conv=fsync $dd"
	equal "$(count_of 0 read)" $((read + (1 << 20)))
	equal "$(count_of 0 written)" $((written + (256 << 10)))
	[ "$(count_of 0 flushes)" -gt "$flushes" ] || fail "no flush was counted"
}

test_pause() { # nothing happens meanwhile, and nothing is lost
	local number=$(($(cat "$shared/number") + 1))

	ctl pause
	ctl pause # that changes nothing
	echo $number >"$shared/number"
	echo "$number dd if=/dev/sda of=/dev/null count=16 iflag=direct" >&4
	sleep 2
	! grep -q "^== $number" out || fail 'the guest did not stand still'
	ctl devices >list
	contains list '^cd class=scsi-cd'
	ctl resume
	until_true 30 sh -c "sed -n '/^== $number\r*\$/,\$p' $shared/out | grep -q '^status 0'"
	ctl resume
}

test_what_clients_see() {
	ctl devices >list
	contains list '^virtio-scsi0 class=virtio-scsi$'
	contains list '^cd class=scsi-cd bus=virtio-scsi0 target=0 lun=1 .*medium=in file='
	lunette ctl --json "$shared/socket" devices | grep -q '^{"ok":true,"devices":\[{"id":'
	status 200 ctl reboot
	status 200 ctl plug
	status 1 lunette ctl nowhere devices
	equal "$(stat -c %a "$shared/socket")" 600
}

test_trace() {
	tell 'dd if=/dev/sda of=/dev/null bs=4096 skip=5 count=1 iflag=direct 2>&1'
	contains "$shared/trace" '^[0-9]+\.[0-9]{6} 1:0:0 28000000002800000800 GOOD 0/00/00 4096 [0-9]+$'
	contains "$shared/trace" '1:0:4 2a[0-9a-f]{18} CHECK-CONDITION 3/0c/00' # of test_fault
}

test_quit() { # the last one
	ctl quit
	status 208 wait_for_run
	[ ! -e "$shared/socket" ] || fail 'the socket is still there'
}
wait_for_run() {
	until_true 30 sh -c "! kill -0 $run"
	return "$(cat "$shared/status")"
}

# Commands by time and by what the guest prints, in one run, without a socket.
test_at() {
	truncate -s 1M more.img
	job 'echo "say when"; until [ -e /sys/block/sda ]; do sleep 0.1; done
		cat /sys/block/sda/size; echo now larger
		until [ "$(cat /sys/block/sda/size)" = 8192 ]; do sleep 0.1; done; echo all; sleep 1000'
	status 208 vmm --initrd initrd --json json --at "console:'say when' plug more.img,serial=x" \
		--device virtio-scsi --at 'console:larger resize lun:0 4M' --at '1s eject lun:9' \
		--at 'console:all quit' --at 'console:never quit'
	contains out '^2048'
	contains err "^lunette: error: --at 1s eject lun:9: "
	contains json '"serial": "x"'
	contains json '"size": 4194304'
	contains json '"ms": null'
}

run_tests
exec 4>&-
wait $run
rm -rf "$shared"
