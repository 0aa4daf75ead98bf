#!/bin/bash
# SPDX-License-Identifier: MIT
# gdb.sh - a real GDB debugs a guest of a few instructions (run --gdb), on this machine's own /dev/kvm; and the
# first ones of the kernel that has symbols.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=${LUNETTE:+$(dirname "$LUNETTE"):}$top:$PATH

needed() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
	command -v gdb >/dev/null || skip 'no gdb (apt-get install gdb)'
}
begin() { # [OPTION...]: a guest that counts, with symbols
	needed
	cat >guest.S <<-'END'
		.globl _start, again, count
		_start:	xor %eax, %eax
		again:	inc %rax
			mov %rax, count
			nop
			jmp again
		.data
		.balign 8
		count:	.quad 0
		.section .note.GNU-stack, "", @progbits
	END
	gcc -g -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
	timeout -k 5 150 lunette run --vhost off --kernel guest.elf --memory 64M "$@" >out 2>err </dev/null &
	run=$!
}
start() { # [OPTION...]: the same with ./gdb
	begin "$@"
	until_true 20 [ -S gdb ]
}

target=./gdb program=(guest.elf)
# debug COMMAND...: what GDB says to them
debug() {
	local words=()
	for word; do words+=(-ex "$word"); done
	timeout 100 gdb -nx -q -batch -ex 'set pagination off' "${program[@]}" -ex "target remote $target" \
		"${words[@]}" >said 2>&1 </dev/null || fail "$(cat said)"
}

# From the first instruction: registers, steps, breakpoints of the processor, memory, the description.
test_from_the_start() {
	start --gdb gdb,wait=on
	equal "$(stat -c %a gdb)" 600
	debug 'p $pc == &_start' 'stepi' 'stepi' 'p $rax' 'hbreak again' 'continue' 'p $rax' \
		'set var $rax = 100' 'delete' 'stepi' 'stepi' 'p (long)count' 'set var *(long *)&count = 7' 'x/gx &count' \
		'info registers cr0 fs_base' 'info threads' 'kill'
	contains said '^\$1 = 1$'
	contains said '^\$2 = 1$'
	contains said '^\$3 = '
	contains said '^\$4 = 101$'
	contains said ':.0x0000000000000007$'
	contains said '^cr0 +0x'
	contains said 'Thread 1 .*vCPU 0'
	status 208 wait $run
	[ ! -e gdb ] || fail 'the socket is still there'
	equal "$(cat err)" ''
}

# It comes when the guest runs, stops it, and lets it go.
test_comes_and_goes() {
	start --gdb gdb --control socket
	debug 'p (long)count > 0' 'detach'
	contains said '^\$1 = 1$'
	debug 'hbreak again' 'continue' 'p $pc == &again' 'detach'
	contains said '^\$1 = 1$'
	lunette ctl socket quit
	status 208 wait $run
}

# A port; who connects to it and says nothing has the guest stand, and no more: the run ends in time. Others
# are turned away meanwhile.
test_silent() {
	port=$((20000 + $$ % 10000))
	begin --gdb $port --timeout 8s
	until_true 20 eval 'exec 5<>/dev/tcp/127.0.0.1/$port'
	exec 6<>/dev/tcp/127.0.0.1/$port
	equal "$(timeout 10 cat <&6)" ''
	status 212 wait $run
	equal "$(timeout 10 cat <&5)" '$W00#b7'
}

# Somebody else: what a browser was made to send, damaged packets, and a line that is cut in the middle.
test_strangers() {
	port=$((20000 + $$ % 10000))
	begin --gdb $port --control socket
	until_true 20 eval 'exec 5<>/dev/tcp/127.0.0.1/$port'
	exec 5<&-
	for text in 'POST / HTTP/1.1\r\n\r\n$k#6b' '$k#00' '$m0,ffffffffffffffff#xx$Z0' '\00\0377\00' '$G00#d7' '---'; do
		printf '%b' "$text" >/dev/tcp/127.0.0.1/$port
	done
	target=:$port
	debug 'p (long)count > 0' 'detach'
	contains said '^\$1 = 1$'
	lunette ctl socket quit
	status 208 wait $run
	equal "$(cat err)" ''
}

# The kernel of "make guest-kernel DEBUG=1", by its symbols and its own commands. What an emulating KVM can do of
# it is enough: the first lines are in its log before setup_arch().
test_kernels_own_commands() {
	local symbols=${XDG_CACHE_HOME:-$HOME/.cache}/lunette/kernel-debug
	needed
	gdb -nx -batch -ex 'python print(6 * 7)' 2>/dev/null | grep -qx 42 || skip 'this gdb has no Python'
	[ -e "$symbols/vmlinux.debug" ] || skip 'no kernel with symbols: make guest-kernel DEBUG=1 makes it'
	timeout -k 5 150 lunette run --vhost off --kernel debug --memory 256M --gdb gdb,wait=on >out 2>err </dev/null &
	run=$!
	until_true 20 [ -S gdb ]
	program=("$symbols/vmlinux.debug" -x "$symbols/vmlinux-gdb.py")
	debug 'hbreak start_kernel' continue bt 'p system_state' delete 'hbreak setup_arch' continue lx-dmesg lx-ps \
		'p $lx_current().comm' kill
	contains said '^Breakpoint 1, start_kernel \(\) at init/main\.c:'
	contains said '^#0 +start_kernel \(\) '
	contains said '^\$1 = SYSTEM_BOOTING$'
	contains said '^Breakpoint 2, setup_arch \('
	contains said '^\[ +0\.000000\] Linux version [^ ]*-debug '
	contains said '^0x[0-9a-f]+ +0 +swapper$'
	contains said '^\$2 = "swapper\\000'
	status 208 wait $run
	equal "$(cat err)" ''
}

test_words() {
	for words in 0 65536 x,wait=maybe; do
		status 200 lunette run --kernel guest.elf --gdb $words 2>err
		contains err '--gdb'
	done
}

run_tests
