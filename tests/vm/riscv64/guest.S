/* SPDX-License-Identifier: MIT */
/*
 * guest.S - a guest of a few instructions, for state.c: it sets up registers, the interrupt
 * controllers, and a timer, and then counts. s0 is the page that it shares with state.c, whose words
 * guest.h names.
 */
#include "tests/vm/riscv64/guest.h"

#define APLIC 0x0c000000
#define SISELECT 0x150
#define SIREG 0x151
#define STOPEI 0x15c
#define SBI_TIME 0x54494d45
#define ENABLED (1 << MESSAGE | 1 << INPUT_MESSAGE | 1 << LATE_MESSAGE)

/* Of the APLIC. */
.macro set32 at, value
	li t0, APLIC + \at
	li t1, \value
	sw t1, (t0)
.endm
/* Of the IMSIC. */
.macro select number, value
	li t0, \number
	csrw SISELECT, t0
	li t0, \value
	csrw SIREG, t0
.endm
.macro count word
	ld t3, 8 * \word(s0)
	addi t3, t3, 1
	sd t3, 8 * \word(s0)
.endm
/* What the handler counts for message @number. */
.macro message number, word
	li t1, \number
	bne t0, t1, 9f
	count \word
9:
.endm
/* A tick of four milliseconds, as KVM's counters have some 10 MHz. */
.macro tick
	rdtime a0
	li a1, 40000
	add a0, a0, a1
	li a7, SBI_TIME
	li a6, 0
	ecall
.endm

	.globl guest_start, guest_size
	.option norelax
	.balign 8
guest_start:
	mv s0, a1
	lla t0, trap
	csrw stvec, t0
	li t0, 1 << 13			/* sstatus.FS: floating point does not trap */
	csrs sstatus, t0
	fld fs0, 8 * FLOAT_FROM(s0)
	li s1, MARK
	li t0, SYSTEM_MARK
	csrw sscratch, t0

	select 0xc0, ENABLED		/* eie0 */
	select 0x72, 0			/* eithreshold */
	select 0x70, 1			/* eidelivery */
	set32 4 * INPUT, 4		/* sourcecfg: a rising edge */
	set32 4 * LATE, 4
	set32 0x3000 + 4 * INPUT, INPUT_MESSAGE	/* target: the first CPU */
	set32 0x3000 + 4 * LATE, LATE_MESSAGE
	set32 0x1edc, INPUT		/* setienum */
	set32 0, 1 << 8			/* domaincfg: on */
	tick
	li t0, 1 << 5 | 1 << 9		/* sie: timer, external */
	csrw sie, t0
	li s2, 0

again:	addi s2, s2, 1
	csrr t1, sscratch
	rdtime t2
	sd s2, 8 * COUNT(s0)
	sd s1, 8 * GENERAL(s0)
	sd t1, 8 * SYSTEM(s0)
	sd t2, 8 * CLOCK(s0)
	fsd fs0, 8 * FLOAT(s0)
	ld t1, 8 * OPEN(s0)
	beqz t1, again
	addi t1, t1, -2
	bnez t1, 1f
	select 0xc0, ENABLED | 1 << HIGH_MESSAGE
1:	csrr t1, sstatus
	andi t1, t1, 2
	bnez t1, again
	csrsi sstatus, 2		/* interrupts are open from now on */
	set32 0x1edc, LATE
	j again

	/* The loop's registers below s0 are not kept. It may be interrupted before it has stored them. */
	.balign 4
trap:
	addi sp, sp, 0
	mv s4, t0
	mv s5, t1
	mv s6, t2
	csrr t0, scause
	bgez t0, trouble
	slli t0, t0, 1
	srli t0, t0, 1
	li t1, 5
	bne t0, t1, 1f
	count TIMER
	tick
	j 2f
1:	li t1, 9
	bne t0, t1, trouble
	csrrw t0, STOPEI, zero
	srli t0, t0, 16
	message MESSAGE, MESSAGES
	message HIGH_MESSAGE, HIGH_MESSAGES
	message INPUT_MESSAGE, INPUTS
	message LATE_MESSAGE, LATES
2:	mv t0, s4
	mv t1, s5
	mv t2, s6
	sret
trouble:
	csrr t0, scause
	addi t0, t0, 1
	csrr t1, sepc
	sd t1, 8 * TROUBLE_AT(s0)
	sd t0, 8 * TROUBLE(s0)
	j .
	.balign 8
guest_size:
	.quad guest_size - guest_start
	.section .note.GNU-stack, "", %progbits
