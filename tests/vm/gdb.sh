#!/bin/sh
# SPDX-License-Identifier: MIT
# gdb.sh - GDB debugs Linux with two CPUs (run --gdb): breakpoints of software and of the processor, what
# watches memory, steps. That needs no symbols: the guest says where its kernel's functions are. With those of
# "make guest-kernel DEBUG=1" GDB knows the functions, and the kernel's own commands read its log and tasks.
. "$(dirname "$0")/lib.sh"

case $(uname -m) in # a system call's function, the register that has its pt_regs, and where they have the result
x86_64) sethostname=__x64_sys_sethostname regs=rdi result=80 ;;
aarch64) sethostname=__arm64_sys_sethostname regs=x0 result=0 ;;
riscv64) sethostname=__riscv_sys_sethostname regs=a0 result=80 ;;
esac

# A guest that names itself, by each CPU in turn, for as long as it runs; $at is where its kernel does so.
start() {
	guest "grep -E ' (T|t) $sethostname\$' /proc/kallsyms
		i=0
		while true; do
			i=\$((i + 1))
			taskset \$((1 + i % 2)) hostname name\$i
			echo round \$i
			sleep 0.1
		done" --cpus 2 --gdb gdb --control socket &
	vmm=$!
	trap 'kill $vmm' EXIT
	until_true 100 grep -q '^round 2' out
	at=0x$(sed -n "s/ [Tt] $sethostname\$//p" out)
}

# debug COMMAND...: what GDB says to them
debug() {
	local i=$# word
	while [ $i -gt 0 ]; do # -ex before each
		word=$1
		shift
		set -- "$@" -ex "$word"
		i=$((i - 1))
	done
	timeout 150 /lab/gdb/ld-linux-* --library-path /lab/gdb /lab/gdb/gdb -nx -q -batch -ex 'set pagination off' \
		-ex 'target remote ./gdb' "$@" >said 2>&1 </dev/null || fail "$(cat said)"
}

# It goes on, by itself, and ends.
ended() {
	local rounds
	rounds=$(wc -l <out)
	until_true 30 eval '[ $(wc -l <out) -gt $((rounds + 3)) ]'
	lunette ctl socket quit
	status 208 wait $vmm
	trap - EXIT
	[ ! -e gdb ] || fail 'the socket is still there'
	equal "$(grep -v '^lunette: note:' err)" ''
}

# both_stop BREAK: a breakpoint that both CPUs come to, one after the other, and a step from there
both_stop() {
	only x86_64 # a step may end in the handler of an interrupt elsewhere
	start
	debug "$1 *$at" continue stepi 'p $pc > '"$at"' && $pc < '"$at + 16" continue 'info threads' \
		"x/4bx $at" 'thread 1' 'set $one = $sp' 'thread 2' 'p $one != $sp' delete detach
	contains said '^Thread 1 .*hit Breakpoint 1, '"$at"
	contains said '^Thread 2 .*hit Breakpoint 1, '"$at"
	contains said '^ *\*? *1 +Thread 1 \(vCPU 0\)'
	contains said '^\$1 = 1$'
	contains said '^\$2 = 1$'
	ended
}

test_processors_breakpoints() {
	both_stop hbreak
}

# They are instructions in memory, and are gone afterwards.
test_software_breakpoints() {
	! grep -q '^flags.* svm' /proc/cpuinfo || skip "QEMU's AMD has no exit for a guest's int3; Intel alone"
	both_stop break
}

# The result of a system call, written when its function is done.
test_watchpoint() {
	[ "$(uname -m)" != riscv64 ] || skip 'KVM has none here'
	start
	debug "hbreak *$at" continue delete "set \$result = (long *)(\$$regs + $result)" 'p *$result' \
		'watch *$result' continue 'p *$result' 'p $pc > '"$at" delete detach
	contains said '^Thread [12] .*hit Hardware watchpoint 2: '
	contains said '^New value = 0$'
	contains said '^\$2 = 0$'
	ended
}

# with_symbols COMMAND...: the same by a GDB that has Python. $GDB is a Debian with one, $SYMBOLS the kernel.
with_symbols() {
	printf '%s\n' 'set pagination off' "$@" >commands
	PYTHONHOME=$GDB/usr timeout 600 "$GDB"/usr/lib*/ld-linux-*.so.? \
		--library-path "$GDB/usr/lib/$(uname -m)-linux-gnu" "$GDB/usr/bin/gdb" \
		--data-directory "$GDB/usr/share/gdb" -nx -q -batch "$SYMBOLS/vmlinux.debug" \
		-x "$SYMBOLS/vmlinux-gdb.py" -x commands >said 2>&1 </dev/null || fail "$(cat said)"
}
has_log_and_tasks() {
	contains said '^\[ *[0-9]+\.[0-9]+\] Linux version [^ ]*-debug '
	contains said '^0x[0-9a-f]+ +0 +swapper/0$'
	contains said '^0x[0-9a-f]+ +1 +init$'
	contains said '^0x[0-9a-f]+ +2 +kthreadd$'
}

test_kernels_own_commands() {
	[ -n "${SYMBOLS-}" ] || skip 'no kernel with symbols here: "make guest-kernel DEBUG=1" makes it, and Intel has none'
	grep -q -e '-micro$' /lab/release || skip "the guests' initramfs has modules"
	kernel=$SYMBOLS/vmlinux seconds=900
	guest 'hostname renamed; hostname' --cpus 2 --gdb gdb,wait=on --control socket &
	vmm=$!
	trap 'kill $vmm' EXIT
	until_true 100 [ -S gdb ]
	with_symbols 'target remote ./gdb' 'hbreak start_kernel' continue bt 'p system_state' delete "hbreak $sethostname" continue \
		lx-dmesg lx-ps 'p $lx_task_by_pid(1).comm' 'p $lx_current().comm' \
		'shell lunette ctl socket dump core' delete detach
	contains said 'hit Breakpoint 1, start_kernel \(\)'
	contains said '^#0 +start_kernel \(\) '
	contains said '^\$1 = SYSTEM_BOOTING$'
	contains said "hit Breakpoint 2, .*$sethostname"
	has_log_and_tasks
	contains said '^\$2 = "init"'
	contains said '^\$3 = "init"' # which gives the guest its first name
	status 0 wait $vmm
	trap - EXIT
	equal "$(cat out)" renamed
	with_symbols 'core-file core' lx-dmesg lx-ps 'thread apply all bt' # of a guest that is gone
	has_log_and_tasks
	contains said "^#0 .*$sethostname \\("
}

run_tests
