#!/bin/sh
# SPDX-License-Identifier: MIT
# console.sh - virtio-console: hvc0, named ports, and that nothing is lost on them.
. "$(dirname "$0")/lib.sh"

# For scripts of guests without udev: the device of a port by its name.
port='port() {
	local try sys
	for try in 1 2 3 4 5 6 7 8 9 10; do
		for sys in /sys/class/virtio-ports/*; do
			[ "$(cat $sys/name 2>/dev/null)" != $1 ] || { echo /dev/${sys##*/}; return; }
		done
		sleep 0.1
	done
}'

on_console() { # SCRIPT
	job "$1"
	status 0 vmm --initrd initrd --console hvc --append loglevel=1
}

test_console_is_hvc0() {
	on_console 'readlink /proc/self/fd/1; cat /sys/class/tty/console/active'
	contains out '^/dev/console$'
	contains out '^hvc0$'
}

test_all_bytes() {
	on_console 'i=0; while [ $i -lt 256 ]; do printf "\\$(printf %o $i)"; i=$((i + 1)); done'
	i=0
	while [ $i -lt 256 ]; do printf "\\$(printf %o $i)"; i=$((i + 1)); done | cmp - out
}

test_much_output() {
	on_console 'seq 50000 | dd bs=4k 2>/dev/null'
	equal "$(md5sum <out)" "$(seq 50000 | md5sum)"
}

test_port_output() {
	status 0 guest "$port"'
		echo hello >$(port one); echo world >$(port two)' \
		--device console-port,name=one,out=one --device console-port,two,out=two
	equal "$(cat one)" hello
	equal "$(cat two)" world
}

test_nothing_is_lost_by_a_fast_poweroff() { # not even with a reader that is slow
	mkfifo pipe
	{ sleep 5; cat; } <pipe >got &
	reader=$!
	job "$port"'
		p=$(port one)
		dd if=/dev/zero bs=4k count=24 2>/dev/null | tr "\0" x >$p
		echo the end >$p
		poweroff -f'
	exec 4>pipe
	status 0 vmm --initrd initrd --device console-port,one,out-fd=4
	exec 4>&-
	wait $reader
	equal "$(wc -c <got)" $((24 * 4096 + 8))
	equal "$(tail -c 8 got)" 'the end'
}

test_through_the_guest() { # 20 MB in and out again, to the end of the input
	head -c 20000000 /dev/urandom >data
	status 0 guest "$port"'
		cat <$(port in) >$(port out)' \
		--device console-port,in,in-fd=5 --device console-port,out,out-fd=6 5<data 6>back
	cmp data back
}

# A CPU waits for the reader, and another one powers off. On an emulated arm64 host a byte takes half a
# millisecond, and the guest sends all in one interrupt after the other: its kernel would say of that CPU
# that it is stuck, in a line of its own among what is counted here.
test_nothing_is_lost_on_the_serial_port() {
	mkfifo pipe
	{ sleep 5; cat; } <pipe >got &
	reader=$!
	job '[ ! -e /proc/sys/kernel/watchdog ] || echo 0 >/proc/sys/kernel/watchdog
		dd if=/dev/zero bs=1k count=67 2>/dev/null | tr "\0" x; echo the end'
	status 0 timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd initrd --vhost "$vhost" \
		--cpus 2 --append loglevel=1 >pipe 2>err </dev/null
	wait $reader
	equal "$(tr -d x <got)" 'the end' # and nothing that the kernel has to say
	equal "$(wc -c <got)" $((67 * 1024 + 8))
}

test_slow_reader_of_a_port() { # stops its writer, and nobody else
	mkfifo pipe
	{ until_true 40 grep -q 'others go on' out; cat; } <pipe >got &
	reader=$!
	exec 4>pipe
	status 0 guest "$port"'
		p=$(port slow)
		seq 60000 >$p &
		sleep 1
		jobs
		echo the others go on
		wait' --device console-port,slow,out-fd=4
	exec 4>&-
	wait $reader
	contains out Running
	equal "$(md5sum <got)" "$(seq 60000 | md5sum)"
}

test_four_cpus_at_once() {
	status 0 guest "$port"'
		for cpu in 0 1 2 3; do seq 20000 | taskset $((1 << cpu)) cat >$(port p$cpu) & done
		wait' --cpus 4 --device console-port,p0,out=p0 --device console-port,p1,out=p1 \
		--device console-port,p2,out=p2 --device console-port,p3,out=p3
	for p in p0 p1 p2 p3; do equal "$(md5sum <$p)" "$(seq 20000 | md5sum)"; done
}

test_mmio() {
	status 0 guest "$port"'
		echo hello >$(port one)' --device virtio-console,transport=mmio,terminal=off,id=m \
		--device console-port,one,out=one,bus=m
	equal "$(cat one)" hello
}

run_tests
