#!/bin/bash
# SPDX-License-Identifier: MIT
# end.sh - how guests of a few instructions end, on this machine's own /dev/kvm.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=${LUNETTE:+$(dirname "$LUNETTE"):}$top:$PATH

# guest INSTRUCTION...: makes guest.elf, which is entered in 64-bit mode
guest() {
	{
		printf '.globl _start\n_start:\n'
		printf '%s\n' "$@" '.section .note.GNU-stack, "", @progbits'
	} >guest.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
}
write() { # VALUE PORT
	echo "mov \$$1, %al; mov \$$2, %edx; outb %al, %dx"
}
for_ever='1: pause; jmp 1b'

needs_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
}
run() {
	timeout -k 5 60 lunette run --vhost off --kernel guest.elf --memory 64M "$@" >out 2>err </dev/null
}

test_poweroff() {
	needs_kvm
	guest "$(write 0x34 0x600)" "$for_ever"
	status 0 run
}
test_reset_by_the_keyboard_controller() {
	needs_kvm
	guest "$(write 0xfe 0x64)" "$for_ever"
	status 204 run
}
test_reset_by_the_chipset() {
	needs_kvm
	guest "$(write 6 0xcf9)" "$for_ever"
	status 204 run
}
test_triple_fault() {
	needs_kvm
	guest "$(write 7 0x602)" 'mov $0x64, %edx; inb %dx, %al' "$(write 0 0x3ff)" "$(write 1 0x3ff)" \
		'mov $0xe0000000, %ebx; movl (%rbx), %eax' ud2 # and no handlers
	status 206 run --append 'reboot=a'
	contains err 'error: a vCPU shut down on a triple fault'
	contains err '^vCPU 0: shut down, '
	contains err ': read4 e0000000=81b36, out1 3ff=1 \(2 times\), in1 64=fd, out1 602=7$'
	status 204 run --append 'quiet reboot=t'
}
# Interrupts off, and nobody else who could wake them: others have not been started, or are parked.
test_halted_for_good() {
	needs_kvm
	guest cli hlt
	status 218 run --json json
	contains err 'error: all vCPUs halted for good, with interrupts off'
	contains err '^vCPU 0: halted, interrupts off, rip 0010:'
	contains json '"cause": "halted"'
	status 218 run --cpus 4
	contains err '^vCPU 3: not started'
}
test_halted_for_good_again_and_again() { # at each instruction that follows, too
	needs_kvm
	guest '1: hlt; jmp 1b'
	status 218 run
}
test_halted_with_interrupts_on() {
	needs_kvm
	guest sti hlt
	status 212 run --timeout 4s
	contains err '^vCPU 0: halted, interrupts on, '
}
test_running_with_interrupts_off() {
	needs_kvm
	guest cli "$(write 7 0x602)" "$for_ever"
	status 212 run --timeout 4s --json json
	contains err '^vCPU 0: running, interrupts off, '
	contains err '^vCPU 0 left the guest last for: out1 602=7$'
	contains json 'left the guest last for'
}
# The local APIC's timer wakes it every second or so; at the fourth time it is off.
test_halted_between_interrupts() {
	needs_kvm
	guest 'mov $0x100000, %esp' \
		'lea handler(%rip), %rax; lea idt(%rip), %rdi; mov %ax, 0x200(%rdi); shr $16, %rax' \
		'mov %ax, 0x206(%rdi); mov %rdi, base(%rip); lidt limit(%rip)' \
		'mov $0xfee00000, %ebx; movl $0x1ff, 0xf0(%rbx); movl $0x20, 0x320(%rbx)' \
		'movl $0xb, 0x3e0(%rbx)' \
		'1: movl $1000000000, 0x380(%rbx); sti; hlt; cli; jmp 1b' \
		'handler: movl $0, 0xb0(%rbx); incl count(%rip); cmpl $4, count(%rip); jne 2f' \
		"$(write 0x34 0x600)" '2: iretq' \
		'.data' 'count: .long 0' 'limit: .word 0x20f' 'base: .quad 0' \
		'idt = . - 0x200' '.word 0, 0x10, 0x8e00, 0, 0, 0, 0, 0'
	status 0 run
}
test_reset_then_halted() { # KVM collects writes to that port
	needs_kvm
	guest "$(write 6 0xcf9)" cli hlt
	status 204 run
}
test_word_that_hides_devices() {
	needs_kvm
	guest "$(write 0x34 0x600)" "$for_ever"
	status 0 run --append pci=off
	equal "$(cat err)" ''
	status 0 run --append pci=off --device virtio-rng
	contains err '^lunette: warning: --append pci=off: the kernel will do without 1 device: '
	equal "$(wc -l <err)" 1
}

run_tests
