/* SPDX-License-Identifier: MIT */
/*
 * start.S - the first instructions of a guest of ours: an ELF kernel, entered in 64-bit mode.
 *
 * It maps the first 4 GiB one to one, for user code too, and leaves for user mode at once, with the
 * right to use I/O ports (by the TSS's map as well as by the flags: not every KVM looks at both).
 * User mode, because there are hosts whose KVM emulates kernel code, instruction by instruction, and
 * runs only user code at speed. There is no interrupt table: an exception is a triple fault, and a
 * test that failed.
 */

/* Zeroes in fresh memory, so that its map of I/O ports, which begins there at offset 0, allows all of them. */
	.set TSS_AT, 0x10000

	.text
	.globl _start
_start:
	mov $level4, %eax
	mov %rax, %cr3
	lgdt gdt_register
	mov $0x28, %ax
	ltr %ax
	mov $stack_top, %esp
	push $0x1b			/* ss */
	push $stack_top			/* rsp */
	push $0x3002			/* flags: I/O privilege level 3, no interrupts */
	push $0x23			/* cs */
	push $guest_main		/* rip */
	iretq

/* The second CPU begins in real mode, at a copy of this. */
	.code16
	.globl trampoline, trampoline_end
	.weak second_main		/* for those that start one */
trampoline:
	mov %cs, %ax
	mov %ax, %ds
	lgdtl trampoline_gdt - trampoline
	mov $0x20, %eax			/* PAE */
	mov %eax, %cr4
	mov $level4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx		/* EFER */
	mov $0x100, %eax		/* long mode */
	xor %edx, %edx
	wrmsr
	mov $0x80000011, %eax		/* paging, protected mode */
	mov %eax, %cr0
	ljmpl $8, $second
trampoline_gdt:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:
	.code64
second:
	mov $0x38, %ax
	ltr %ax
	mov $second_stack_top, %esp
	push $0x1b
	push $second_stack_top
	push $0x3002
	push $0x23
	push $second_main
	iretq

	.data
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 08h: kernel code */
	.quad 0x00cf93000000ffff	/* 10h: kernel data */
	.quad 0x00cff3000000ffff	/* 18h: user data */
	.quad 0x00affb000000ffff	/* 20h: user code */
	.quad TSS_AT << 16 | 0x0000890000002068, 0	/* 28h: TSS, and its map of ports */
	.quad TSS_AT << 16 | 0x0000890000002068, 0	/* 38h: the second CPU's */
gdt_end:
gdt_register:
	.word gdt_end - gdt - 1
	.quad gdt

	/* 7: present, writable, for user code; 87h: a page of 2 MiB at that. */
	.balign 4096
level4:
	.quad level3 + 7
	.fill 511, 8, 0
level3:
	.quad level2 + 7, level2 + 0x1007, level2 + 0x2007, level2 + 0x3007
	.fill 508, 8, 0
level2:
	.set at, 0
	.rept 2048
	.quad at + 0x87
	.set at, at + 0x200000
	.endr

	.bss
	.balign 16
	.skip 65536
stack_top:
	.skip 16384
second_stack_top:

	.section .note.GNU-stack, "", @progbits
