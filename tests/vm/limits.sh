#!/bin/sh
# SPDX-License-Identifier: MIT
# limits.sh - a guest that hangs ends, and it is seen where it hung.
. "$(dirname "$0")/lib.sh"

# Seconds in which a guest is up, with room for a machine that has other things to do.
case $(cat /lab/release; grep -m 1 ^vendor_id /proc/cpuinfo) in
*micro*Intel*) soon=3 ;; # where the clock counts instructions
*micro*) soon=10 ;;
*) soon=45 ;;
esac

# How a vCPU is shown in a program, and when it waits; what Linux says to the interrupt at the end.
case $(uname -m) in
x86_64)
	program='rip 00(33|10):' waits='halted, interrupts on, rip 0010:'
	asked='Kernel panic - not syncing: NMI' ;;
aarch64) # of which KVM does not tell whether it waits
	program='pc ' waits='running, interrupts o(n|ff), pc [0-9a-f]{16} '
	asked='Kernel panic - not syncing: Asynchronous SError Interrupt' ;;
riscv64) # likewise
	program='pc ' waits='running, interrupts o(n|ff), pc [0-9a-f]{16} '
	asked='Kernel panic - not syncing: Fatal exception in interrupt' ;;
esac

# patch PID VIRTUAL BYTES: the code of the guest's kernel, in the memory of the process
patch() {
	local low base=
	# Guest RAM is the mapping that is large; it begins at a multiple of 2 MiB.
	while read -r range rest; do
		low=$((0x${range%-*})) high=$((0x${range#*-}))
		[ $((high - low)) -lt $((64 << 20)) ] || base=$(((low + 0x1fffff) & ~0x1fffff))
	done </proc/$1/maps
	printf "$3" | dd of=/proc/$1/mem bs=1 conv=notrunc 2>/dev/null \
		seek=$((base + 0x$2 - 0xffffffff80000000))
}

# A system call becomes "cli; jmp ." while the guest calls it again and again.
long_kernel_that_hangs_with_interrupts_off() {
	only x86_64
	job 'grep " __x64_sys_sethostname$" /proc/kallsyms
		while :; do hostname again; done'
	lunette run --kernel "$kernel" --vhost off --initrd initrd --memory 96M \
		--cpus 2 --append nokaslr --timeout $((2 * soon))s --console-log log >out 2>err </dev/null &
	pid=$!
	until_true $((2 * soon - 3)) grep -q __x64_sys_sethostname out
	address=$(sed -n 's/^\([0-9a-f]*\) T __x64_sys_sethostname.*/\1/p' out)
	patch $pid "$address" '\372\353\376'
	status 212 wait $pid
	contains err "error: --timeout $((2 * soon))s: the guest has not ended"
	contains err "^vCPU [01]: running, interrupts off, rip 0010:${address%?}[0-9a-f] rsp ff"
	contains err '^vCPU [01]: halted, interrupts on, rip 0010:[0-9a-f]{16} rsp ff'
	contains out 'Kernel panic - not syncing: NMI'
	contains out 'RIP: 0010:__x64_sys_sethostname\+0x1/'
	tr -d '\r' <out >printed
	tr -d '\r' <log | cmp - printed
}

test_program_that_never_ends() {
	job 'echo up; while :; do :; done'
	status 212 vmm --initrd initrd --timeout ${soon}s
	contains err '^vCPU 0: running, interrupts o(n|ff), '"$program" # or in a timer's interrupt
	contains out 'Comm: sh'
}

test_guest_that_waits_for_nothing() {
	job 'exec sleep 1000'
	for try in 1 2 3; do # it wakes for its clock now and then
		status 212 vmm --initrd initrd --timeout ${soon}s
		! grep -qE "^vCPU 0: $waits" err || break
	done
	contains err "^vCPU 0: $waits"
}

test_guest_that_ends_in_time() {
	job 'poweroff -f'
	status 0 vmm --initrd initrd --timeout 120s
	! grep -q vCPU err
}

# The NMI ends the guest, as it panics at it; so does the time that it takes to say why.
test_guest_that_does_not_panic() {
	only x86_64
	job 'echo 0 >/proc/sys/kernel/unknown_nmi_panic; while :; do :; done'
	status 212 vmm --initrd initrd --timeout ${soon}s
	contains out 'Uhhuh. NMI received for unknown reason 20'
}

test_triple_fault_is_shown() {
	only x86_64
	kernel=/lab/payload.elf
	status 206 vmm --cpus 2
	equal "$(grep -c '^vCPU [01]: ' err)" 2
	case $(cat /proc/cpuinfo) in
	*GenuineIntel*) contains err '^vCPU 0: shut down, interrupts off, rip 0010:0000000000200[0-9a-f]{3} ' ;;
	*) contains err "^vCPU 0: shut down, and reset since then, as AMD's processors have it" ;;
	esac
	contains err '^vCPU 0 left the guest last for: out1 3f8=a \([0-9]+ times\)$'
}

# A command's stdout and stderr are its own; what the console had comes at the end.
run() {
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost "$vhost" \
		--json json "$@" >out 2>err </dev/null
}

test_command_that_never_ends() {
	status 212 run --timeout ${soon}s -- sh -c 'echo begun; exec sleep 1000'
	equal "$(cat out)" begun
	contains err "^lunette: error: --timeout ${soon}s: the guest has not ended"
	contains err "^vCPU 0: $waits"
	contains err '^lunette: the last lines of the guest.s console:'
	contains err "$asked"
	contains json '"cause": "timeout"'
	contains json '"error": "--timeout [0-9]*s: '
}

test_boot_that_never_comes() {
	status 213 run --boot-timeout ${soon}s --append 'rdinit=/bin/sleep -- 1000' -- true
	equal "$(cat out)" ''
	contains err '^lunette: error: --boot-timeout [0-9]*s: the guest has not got to its command'
	contains err "^vCPU 0: $waits"
	contains json '"cause": "boot"'
}

long_boot_timeout_is_over_when_the_command_begins() {
	status 0 run --boot-timeout ${soon}s -- sleep $((soon + 1))
	status 0 run --boot-timeout none -- true
}

test_boot_timeout_needs_a_command() {
	status 200 vmm --boot-timeout 5s
	contains err '--boot-timeout: is about a command'
}

# However often a Linux prints it: what went wrong comes once, and all of it.
test_panic_comes_once() {
	status 205 run -- sh -c 'echo c >/proc/sysrq-trigger'
	contains err "^lunette: error: the guest's kernel panicked"
	contains err 'sysrq: Trigger a crash'
	equal "$(grep -c '[0-9]\] Kernel panic - not syncing: sysrq triggered crash' err)" 1
	equal "$(grep -c 'Call [Tt]race:' err)" 1
	[ "$(wc -l <err)" -le 102 ]
}

test_reader_that_does_not_read() { # does not make it take longer
	mkfifo fifo
	sleep 1000 <fifo &
	reader=$!
	status 212 timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --vhost off \
		--timeout ${soon}s -- yes >fifo 2>err </dev/null
	kill $reader
	contains err '--timeout [0-9]*s: the guest has not ended'
}

# A control group with so many bytes, for "in_group COMMAND..."; it is $job.
group() {
	local root=/sys/fs/cgroup
	grep -q " $root cgroup2 " /proc/mounts || mount -t cgroup2 none $root
	echo +memory >$root/cgroup.subtree_control
	job=$root/job
	mkdir -p $job
	echo "$1" >$job/memory.max
}
in_group() {
	sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$job" "$@"
}

test_files_that_the_guest_fills() {
	truncate -s 1M disk.img
	local bound='--file-limit 64K --boot-timeout none --timeout 150s'
	ends 211 host-io $bound --trace scsi=trace --disk disk.img -- \
		sh -c 'while :; do dd if=/dev/sda of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null; done' </dev/null
	contains err 'error: --trace scsi=trace: cannot be written: File too large'
	equal "$(stat -c %s trace)" 65536
	ends 211 host-io $bound --device console-port,name=p,out=port -- \
		sh -c 'cat /dev/zero >/dev/virtio-ports/p' </dev/null
	contains err 'error: .*out=port: cannot be written: File too large'
	equal "$(stat -c %s port)" 65536
}

test_memory_limit_below_the_guest() {
	group $((120 << 20))
	status 215 in_group lunette run --kernel "$kernel" --memory 128M --vhost off 2>err
	contains err '--memory 128M: .*/job/memory.max is 120M, of which [0-9]+M are in use; give less'
}

# A limit that is just high enough is: a guest that uses all of its memory lives.
test_memory_limit_that_is_enough() {
	group $(((least + 14) << 20))
	job 'mkdir /fill; mount -t tmpfs -o size=100% none /fill
		kib=$(sed -n "s/^MemAvailable: *\([0-9]*\).*/\1/p" /proc/meminfo)
		dd if=/dev/zero of=/fill/x bs=1M count=$(((kib >> 10) - 4)) 2>&1
		echo all is used; poweroff -f'
	status 0 in_group timeout -k 5 "$seconds" lunette run --kernel "$kernel" --memory ${least}M --cpus 2 \
		--vhost off --initrd initrd >out 2>err </dev/null
	contains out 'all is used'
	contains $job/memory.events 'oom_kill 0'
	[ "$(cat $job/memory.peak)" -ge $(((least - 16) << 20)) ] || fail "not much was used"
}

run_tests
