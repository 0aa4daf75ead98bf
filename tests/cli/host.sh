#!/bin/bash
# SPDX-License-Identifier: MIT
# host.sh - a host that is hostile or has run out of something, on this machine's own /dev/kvm: the
# guests are a few instructions. Whatever happens, a signal ends lunette, and soon.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=${LUNETTE:+$(dirname "$LUNETTE"):}$top:$PATH

# guest INSTRUCTION...: makes guest.elf, which does them again and again
guest() {
	{
		printf '.globl _start\n_start:\n'
		printf '%s\n' "$@" 'jmp _start' '.section .note.GNU-stack, "", @progbits'
	} >guest.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
}
send='mov $0x41, %al; mov $0x2f8, %edx; outb %al, %dx' # on COM2

needs_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
}

# ended SECONDS COMMAND...: SIGTERM after so long ends it, and no second signal is needed
ended() {
	local rc=0 limit=$1
	shift
	timeout --foreground -k 5 "$limit" "$@" >out 2>err </dev/null || rc=$?
	[ $rc = 124 ] || fail "status $rc, not 124 of a SIGTERM that was heeded"
}
run() {
	ended 1 lunette run --vhost off --kernel guest.elf --memory 64M "$@"
}

test_running_guest() {
	needs_kvm
	guest nop
	run --cpus 2
}
test_halted_guest() {
	needs_kvm
	guest sti hlt
	run
}
test_signals_blocked_by_the_parent() {
	needs_kvm
	guest sti hlt
	ended 1 env --block-signal lunette run --vhost off --kernel guest.elf --memory 64M
}
test_nohup() {
	needs_kvm
	guest sti hlt
	status 212 timeout --foreground --preserve-status -k 5 -s HUP .3 nohup \
		lunette run --vhost off --kernel guest.elf --memory 64M --timeout 1s >out 2>err </dev/null
}
test_first_process_waits_for_a_file() { # a signal ends it, as it does in a container
	unshare -rpf true || skip 'no right to make a namespace'
	mkfifo fifo
	unshare -rpf lunette run --kernel guest.elf --json fifo >out 2>err </dev/null &
	for i in $(seq 100); do
		pkill -TERM -P $! || [ $i = 1 ] || break
		sleep .05
	done
	wait $! || rc=$?
	equal "${rc:-0}" 143
}
# What the parent has open and in its environment: only what is named stays, in the runs of a matrix too.
has_vcpu() { # the run of this folder's guest
	ls -l /proc/"$(pgrep -f "^lunette run .*$PWD/guest.elf")"/fd | grep -q kvm-vcpu
}
inherited() { # COMMAND...: with a secret, and a log on 7
	local pid
	echo secret >secret
	TOKEN=given SECRET=hidden "$@" 7>log 8<secret 9<secret >out 2>err </dev/null &
	run=$!
	until_true 20 has_vcpu
	pid=$(pgrep -f "^lunette run .*$PWD/guest.elf")
	ls -l /proc/$pid/fd >open
	tr '\0' '\n' </proc/$pid/environ >environ
	kill $run
	wait $run || true
	contains open 'kvm-vcpu'
	! grep /secret open || fail 'an open file that nobody has named'
	! grep -aE '=' environ || fail 'an environment'
}
test_inherited_by_a_run() {
	needs_kvm
	guest sti hlt
	inherited lunette run --kernel "$PWD/guest.elf" --memory 64M --vhost off --device console-port,log,out-fd=7
	contains open ' 7 -> .*/log$'
}
test_inherited_by_the_run_of_a_matrix() {
	needs_kvm
	guest sti hlt
	echo "run --kernel $PWD/guest.elf --memory 64M --vhost off --device console-port,log,out-fd=7
		cpus 1 --cpus 1" >matrix
	inherited lunette matrix matrix
	contains open ' 7 -> .*/log$'
}
test_serial_file_with_a_stalled_reader() {
	needs_kvm
	guest "$send"
	mkfifo fifo
	sleep 20 <fifo &
	run --device serial,port=1,file=fifo
	kill $!
}
test_serial_file_without_a_reader() { # set-up waits for one
	needs_kvm
	guest "$send"
	mkfifo fifo
	run --device serial,port=1,file=fifo
}
test_terminal_with_a_stalled_reader() {
	needs_kvm
	guest "${send/0x2f8/0x3f8}"
	mkfifo fifo
	sleep 20 <fifo &
	timeout --foreground -k 5 1 lunette run --vhost off --kernel guest.elf --memory 64M >fifo 2>err </dev/null || rc=$?
	kill $!
	equal "$rc" 124
}
test_time_limit_with_a_stalled_reader() {
	needs_kvm
	guest "${send/0x2f8/0x3f8}"
	mkfifo fifo
	exec 8<>fifo
	! dd if=/dev/zero of=fifo oflag=nonblock bs=4k count=1000 || fail 'it did not become full'
	status 212 timeout --foreground -k 5 20 lunette run --vhost off --kernel guest.elf \
		--memory 64M --timeout 500ms >fifo 2>err </dev/null
	exec 8<&-
	contains err '^vCPU 0: not in the guest'
}
test_errors_with_a_stalled_reader() { # by a limit of time, and by a signal
	needs_kvm
	guest nop
	mkfifo fifo
	exec 8<>fifo
	! dd if=/dev/zero of=fifo oflag=nonblock bs=4k count=1000 || fail 'it did not become full'
	status 212 timeout --foreground -k 5 20 lunette run --vhost off --kernel guest.elf \
		--memory 64M --timeout 100ms >out 2>fifo </dev/null
	timeout --foreground -k 5 1 lunette run --vhost off --kernel guest.elf --memory 64M \
		--timeout 500ms >out 2>fifo </dev/null || rc=$?
	exec 8<&-
	equal "${rc:-0}" 124
}
test_limit_on_file_size() {
	needs_kvm
	guest "$send"
	rc=0
	(
		ulimit -f 1
		timeout -k 5 60 lunette run --vhost off --kernel guest.elf --memory 64M \
			--device serial,port=1,file=serial.out
	) >out 2>err </dev/null || rc=$?
	equal "$rc" 211
	equal "$(stat -c %s serial.out)" 1024
	contains err 'serial1: file=serial.out: cannot be written: File too large'
}
test_no_more_descriptors() { # each number of them: one line, and a status of ours
	needs_kvm
	truncate -s 1M disk.img
	guest 'mov $0x600, %edx' 'mov $0x34, %al' 'outb %al, %dx'
	for n in $(seq 4 40); do
		rc=0
		(
			ulimit -n $n
			exec lunette run --vhost off --kernel guest.elf --memory 64M --disk disk.img
		) >out 2>err </dev/null || rc=$?
		case $rc in
		0) return ;;
		201 | 202) [ $n -lt 6 ] || equal "$(wc -l <err)" 1 ;;
		*) fail "$n descriptors: status $rc" ;;
		esac
	done
	fail 'not even 40 descriptors are enough'
}
test_kernel_with_offsets_beyond_everything() { # the program headers' place: byte 32
	needs_kvm
	guest nop
	printf '\377\377\377\377\377\377\377\377' | dd of=guest.elf bs=1 seek=32 conv=notrunc 2>/dev/null
	status 201 lunette run --vhost off --kernel guest.elf --memory 64M >out 2>err
	contains err 'guest.elf: the file ends too early'
}
test_name_with_line_ends() {
	needs_kvm
	status 201 lunette run --kernel $'no\nsuch\nfile' >out 2>err
	equal "$(cat err)" 'lunette: error: --kernel no\nsuch\nfile: No such file or directory'
}

run_tests
