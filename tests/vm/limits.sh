#!/bin/sh
# limits.sh - a guest that hangs ends, and it is seen where it hung.
. "$(dirname "$0")/lib.sh"

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
test_kernel_that_hangs_with_interrupts_off() {
	job 'grep " __x64_sys_sethostname$" /proc/kallsyms
		while :; do hostname again; done'
	lunette run --kernel "$kernel" --vhost off --initrd initrd --memory 96M \
		--cpus 2 --append nokaslr --timeout 20s --console-log log >out 2>err </dev/null &
	pid=$!
	until_true 15 grep -q __x64_sys_sethostname out
	address=$(sed -n 's/^\([0-9a-f]*\) T __x64_sys_sethostname.*/\1/p' out)
	patch $pid "$address" '\372\353\376'
	status 212 wait $pid
	contains err 'error: --timeout 20s: the guest has not ended'
	contains err "^vCPU [01]: running, interrupts off, rip 0010:${address%?}[0-9a-f] rsp ff"
	contains err '^vCPU [01]: halted, interrupts on, rip 0010:[0-9a-f]{16} rsp ff'
	contains out 'Kernel panic - not syncing: NMI'
	contains out 'RIP: 0010:__x64_sys_sethostname\+0x1/'
	tr -d '\r' <out >printed
	tr -d '\r' <log | cmp - printed
}

test_program_that_never_ends() {
	job 'echo up; while :; do :; done'
	status 212 vmm --initrd initrd --timeout 10s
	contains err '^vCPU 0: running, interrupts on, rip 0033:[0-9a-f]{16} rsp 0000'
}

test_guest_that_waits_for_nothing() {
	job 'exec sleep 1000'
	status 212 vmm --initrd initrd --timeout 10s
	contains err '^vCPU 0: halted, interrupts on, rip 0010:'
}

test_guest_that_ends_in_time() {
	job 'poweroff -f'
	status 0 vmm --initrd initrd --timeout 60s
	! grep -q vCPU err
}

# The NMI ends the guest, as it panics at it; so does the time that it takes to say why.
test_guest_that_does_not_panic() {
	job 'echo 0 >/proc/sys/kernel/unknown_nmi_panic; while :; do :; done'
	status 212 vmm --initrd initrd --timeout 10s
	contains out 'Uhhuh. NMI received for unknown reason 20'
}

test_triple_fault_is_shown() {
	kernel=/lab/payload.elf
	status 206 vmm --cpus 2
	equal "$(grep -c '^vCPU [01]: ' err)" 2
}

# A control group with so many bytes, for "in_group COMMAND..."
group() {
	local root=$PWD/cgroup
	mkdir cgroup
	mount -t cgroup2 none cgroup
	echo +memory >cgroup/cgroup.subtree_control
	mkdir cgroup/job 2>/dev/null || true
	echo "$1" >cgroup/job/memory.max
	job=$root/job
}
in_group() {
	sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$job" "$@"
}

test_memory_limit_below_the_guest() {
	group $((120 << 20))
	status 215 in_group lunette run --kernel "$kernel" --memory 128M --vhost off 2>err
	contains err '--memory 128M: .*/job/memory.max is 120M, of which [0-9]+M are in use; give less'
	umount cgroup
}

# A limit that is just high enough is: a guest that uses all of its memory lives.
test_memory_limit_that_is_enough() {
	group $((110 << 20))
	job 'mkdir /fill; mount -t tmpfs -o size=100% none /fill
		kib=$(sed -n "s/^MemAvailable: *\([0-9]*\).*/\1/p" /proc/meminfo)
		dd if=/dev/zero of=/fill/x bs=1M count=$(((kib >> 10) - 4)) 2>&1
		echo all is used; poweroff -f'
	status 0 in_group timeout -k 5 "$seconds" lunette run --kernel "$kernel" --memory 96M --cpus 2 \
		--vhost off --initrd initrd >out 2>err </dev/null
	contains out 'all is used'
	contains $job/memory.events 'oom_kill 0'
	[ "$(cat $job/memory.peak)" -ge $((96 << 20)) ] || fail "not all was used"
	umount cgroup
}

run_tests
