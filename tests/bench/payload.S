/* SPDX-License-Identifier: MIT */
/*
 * payload.S - the smallest guest, for figures about the VMM alone: an ELF kernel, entered in 64-bit
 * mode, that powers the machine off (devices/acpi_pm.c has the register).
 */
	.text
	.globl _start
_start:
	mov $0x600, %edx
	mov $0x34, %al			/* the sleep type that means off, and go */
	outb %al, %dx
1:	hlt
	jmp 1b

	.section .note.GNU-stack, "", @progbits
