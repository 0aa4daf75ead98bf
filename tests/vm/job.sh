#!/bin/sh
# SPDX-License-Identifier: MIT
# job.sh - a command in a guest: its streams, its end, and what lunette says of that.
. "$(dirname "$0")/lib.sh"

test_statuses() {
	ends 0 exit -- true
	ends 1 exit -- false
	ends 42 exit -- sh -c 'exit 42'
	ends 255 exit -- sh -c 'exit 255'
	equal "$(cat out err)" ''
}

test_signal() {
	ends 139 exit -- sh -c 'kill -SEGV $$'
	contains json '"signal": 11'
}

test_no_such_command() {
	ends 127 exit -- nosuch
	equal "$(cat err)" 'lunette: nosuch: command not found in the guest'
	ends 126 exit -- /etc
	contains err 'lunette: /etc: Permission denied'
	ends 126 exit --cwd /nowhere -- true
	contains err 'lunette: /nowhere: No such file'
}

test_panic() {
	# Of what is more than a pipe holds the first part has been sent when the last part is written.
	ends 205 panic -- sh -c 'echo before; head -c 300000 /dev/zero; echo c >/proc/sysrq-trigger'
	equal "$(head -n 1 out)" before
	contains json 'sysrq triggered crash'
}

test_poweroff_is_no_success() {
	ends 209 no-result -- poweroff -f
	contains err 'powered itself off before the command ended'
}

test_reboot() {
	ends 204 reboot -- reboot -f
}

test_out_of_memory() {
	ends 214 oom --memory ${least}M -- tail /dev/zero
	contains err 'out of memory in the guest: its kernel killed 1 process; --memory'
	ends 214 oom --memory ${least}M -- sh -c 'tail /dev/zero; exit $?'
}

test_not_a_command_of_ours() { # an init that does not know of ports and powers off
	echo 'poweroff -f' >script
	{ cat "$initrd"; echo script | cpio -o -H newc 2>/dev/null; } >other
	ends 213 boot --initrd other --append 'rdinit=/bin/sh -- /script' -- true
	contains err 'powered itself off before it got as far as its command'
}

# Only a reader that leaves is no error; a command that writes nothing does not mind.
test_output_that_cannot_be_written() {
	lunette="lunette run --kernel $kernel --initrd $initrd --vhost off --json json --timeout ${seconds}s"
	status 211 $lunette -- cat /proc/version >/dev/full 2>err </dev/null
	equal "$(cat err)" 'lunette: error: stdout: cannot be written: No space left on device; the run ends here, as what the guest says would be lost'
	contains json '"cause": "host-io"'
	status 211 $lunette -- sh -c 'echo x >&2; exit 3' >out 2>/dev/full </dev/null
	contains json '"error": "stderr: cannot be written: No space left on device'
	status 211 $lunette -- sh -c 'echo x; echo y >&2' >/dev/full 2>&1 </dev/null
	status 211 $lunette -- sh -c 'while :; do echo x; done' >/dev/full 2>err </dev/null
	status 211 $lunette -- echo x >&- 2>err </dev/null
	contains err 'stdout: cannot be written: Bad file descriptor'
	status 0 $lunette -- true >&- 2>err </dev/null
	(
		ulimit -f 8
		status 211 $lunette -- sh -c 'head -c 100000 /dev/zero' >out 2>err </dev/null
	)
	contains err 'stdout: cannot be written: File too large'
	truncate -s 1M disk.img # and what was to be kept after a success is not kept
	status 211 $lunette --disk disk.img,overlay=commit -- sh -c 'echo x >/dev/sda; sync; echo y' >/dev/full 2>err </dev/null
	equal "$(head -c 1 disk.img | tr '\0' 0)" 0
}

test_signals_from_outside() {
	for sig in INT TERM; do
		mkfifo started
		lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --json json -- \
			sh -c 'echo started; sleep 1000' >started 2>err </dev/null &
		pid=$!
		read -r line <started
		kill -$sig $pid
		wait $pid && rc=0 || rc=$?
		equal "$line" started
		equal "$rc" $((128 + $(kill -l $sig)))
		contains json '"cause": "signal",'
		rm started
	done
}

test_full_host_disk() {
	mkdir small
	mount -t tmpfs -o size=1M small small
	truncate -s 8M small/image
	ends 211 host-io --disk small/image,overlay=off --on-enospc fail -- \
		sh -c 'dd if=/dev/urandom of=/dev/sda bs=64k; sync; sleep 100'
	umount small
	contains err 'small/image: .*No space left'
}

test_streams_are_apart() {
	status 0 run -- sh -c 'i=0
		while [ $i -lt 5000 ]; do echo out $i; echo err $i >&2; i=$((i + 1)); done' </dev/null
	i=0
	while [ $i -lt 5000 ]; do echo out $i >>wanted; echo err $i >>wanted2; i=$((i + 1)); done
	cmp out wanted
	cmp err wanted2
}

test_one_file_for_both_keeps_the_order() {
	status 0 lunette run --kernel "$kernel" --initrd "$initrd" --vhost off -- sh -c 'i=0
		while [ $i -lt 5000 ]; do echo out $i; echo err $i >&2; i=$((i + 1)); done
		' >err 2>&1 </dev/null
	i=0
	while [ $i -lt 5000 ]; do echo out $i; echo err $i; i=$((i + 1)); done | cmp - err
}

test_every_byte() {
	i=0
	while [ $i -lt 256 ]; do printf "\\$(printf %o $i)"; i=$((i + 1)); done >bytes
	run -- cat <bytes
	cmp bytes out
}

test_megabytes() { # far more than all buffers on the way
	[ "$EXTENT" = all ] && many=100 || many=20
	sum=$(dd if=/dev/urandom bs=1M count=$many 2>/dev/null | tee data | md5sum)
	status 0 run -- sh -c 'tee /dev/stderr | md5sum' <data
	equal "$(cat out)" "$sum"
	cmp err data
	rm err
}

test_end_of_input() {
	equal "$(echo one | timeout 60 lunette run --kernel "$kernel" --initrd "$initrd" \
		--vhost off -- sh -c 'cat; echo two')" "one
two"
	status 0 run -- wc -c <&-
	equal "$(cat out)" 0
}

test_reader_that_goes() { # as by SIGPIPE, for both of them
	timeout "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --json json \
		-- sh -c 'yes; kill -l $? >&2' 2>err </dev/null | head -n 1 >out
	equal "$(cat out)" y
	equal "$(cat err)" PIPE
}

test_slow_reader_gets_all() {
	timeout "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost off -- \
		seq 100000 </dev/null | { sleep 5; cat; } >out
	seq 100000 | cmp - out
}

test_children_end_with_it() { # and do not keep its output open
	ends 0 exit -- sh -c 'sleep 1000 & echo here'
	equal "$(cat out)" here
}

test_environment() {
	THERE=here EMPTY='' status 0 run --env A='1 2' --env THERE --env MISSING --env EMPTY \
		--cwd /tmp -- sh -c 'echo $A $THERE ${MISSING-none} "${EMPTY-none}" $HOME
		pwd; hostname' </dev/null
	equal "$(cat out)" '1 2 here none  /root
/tmp
lunette'
}

test_arguments_as_they_are() {
	status 0 run -- printf '%s,' 'a b' '' '*' "it's" 'x
y' </dev/null
	equal "$(cat out)" "a b,,*,it's,x
y,"
}

test_too_many_arguments() {
	ends 200 usage -- echo "$(seq 20000)"
	contains err 'the command and its environment have .* bytes'
}

test_root_on_a_disk() { # without an init of its own
	echo none | rootfs
	status 7 run --disk disk.img,overlay=off --root lun:0 -- sh -c 'echo kept >/file; exit 7' </dev/null
	status 0 run --disk disk.img,readonly=on --root lun:0 -- cat /file /proc/1/comm </dev/null
	equal "$(cat out)" 'kept
init'
	e2fsck -fn disk.img >fsck || fail "$(cat fsck)"
	status 0 run --disk disk.img,readonly=on --append 'root=LABEL=rootfs' -- grep -c ' / ext4' /proc/mounts
	ends 213 boot --disk store=null,size=1M --root lun:0 -- true
	contains err 'the guest: root=lun:0: there is no file system on /dev/sda'
}

test_hostile_control_port() { # the guest says what it likes, but not more than it may
	cat >script <<-'END'
		p=$(grep -l lunette.control /sys/class/virtio-ports/*/name)
		p=/dev/$(basename ${p%/name})
		{ printf 'exit 999999999999\nsignal x\noom -5\nup\n\n\n'
		head -c 100000 /dev/zero | tr '\0' z
		printf '\033[2J\n\033[31mred\nerror \033[2J\033]0;title\007\nend\n'
		} >$p
		sleep 100
	END
	{ cat "$initrd"; echo script | cpio -o -H newc 2>/dev/null; } >other
	cat >pre <<-'END'
		mount -t devtmpfs dev /dev; mount -t sysfs sys /sys; mount -t proc proc /proc
		for m in $(cat /etc/modules 2>/dev/null); do insmod $m; done
		sleep 1
		. /script
	END
	echo pre | cpio -o -H newc >>other 2>/dev/null
	ends 213 boot --boot-timeout 60s --initrd other --append 'rdinit=/bin/sh -- /pre' -- true
	contains err '^lunette: error: the guest: \?\[2J\?\]0;title\?$'
}

run_tests
