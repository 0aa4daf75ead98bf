/* SPDX-License-Identifier: MIT */
/*
 * payload.S - the smallest guest: an ELF kernel with a PVH note. It prints its command line on the
 * serial port and ends in a triple fault.
 */
	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18			/* size of the name, of the value, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:					/* %ebx: struct hvm_start_info */
	mov $stack, %esp
	mov $greeting, %esi
	call print
	mov 24(%ebx), %esi		/* its cmdline_paddr */
	call print
	mov $newline, %esi
	call print
	lidt no_idt
	int3

print:					/* the string at %esi */
	mov $0x3f8, %edx
1:	lodsb
	test %al, %al
	jz 2f
	outb %al, %dx
	jmp 1b
2:	ret

greeting:
	.asciz "pvh: "
newline:
	.asciz "\n"
no_idt:
	.word 0
	.long 0

	.bss
	.skip 64
stack:

	.section .note.GNU-stack, "", @progbits
