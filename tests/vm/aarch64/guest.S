/* SPDX-License-Identifier: MIT */
/*
 * guest.S - a guest of a few instructions, for state.c: it sets up registers, the interrupt
 * controller with its messages, and a timer, and then counts. x0 is the page that it shares with
 * state.c, whose words guest.h names. It has no paging, so all of its accesses are aligned.
 */
#include "tests/vm/aarch64/guest.h"

#define DIST 0x08000000
#define ITS 0x08080000
#define REDIST 0x080a0000

.macro constant reg, value
	movz \reg, #((\value) & 0xffff)
	movk \reg, #((\value) >> 16 & 0xffff), lsl #16
	movk \reg, #((\value) >> 32 & 0xffff), lsl #32
	movk \reg, #((\value) >> 48 & 0xffff), lsl #48
.endm
/* Of the device that x1 is the address of. */
.macro set32 at, value
	constant x2, \value
	str w2, [x1, #\at]
.endm
.macro set64 at, value
	constant x2, \value
	str x2, [x1, #\at]
.endm
.macro count word
	ldr x24, [x0, #8 * \word]
	add x24, x24, #1
	str x24, [x0, #8 * \word]
.endm

	.globl guest_start, guest_size
	.balign 2048
guest_start:
	b start

	/* Interrupts of EL1 with its own stack pointer; whatever else happens is told. */
	.macro trouble times
	.rept \times
	.balign 128
	mrs x24, esr_el1
	orr x24, x24, #1
	str x24, [x0, #8 * TROUBLE]
	b .
	.endr
	.balign 128
	.endm
	.balign 2048
vectors:
	trouble 5
	mrs x22, S3_0_C12_C12_0		/* ICC_IAR1_EL1 */
	cmp x22, #TIMER_INTID
	b.ne 1f
	count TIMER
	msr cntv_tval_el0, x21
1:	constant x23, MESSAGE_INTID
	cmp x22, x23
	b.ne 2f
	count MESSAGES
2:	msr S3_0_C12_C12_1, x22		/* ICC_EOIR1_EL1 */
	eret
	trouble 10

start:
	adr x1, vectors
	msr vbar_el1, x1
	mov x1, #3 << 20		/* floating point does not trap */
	msr cpacr_el1, x1
	isb
	constant x19, MARK
	mov x1, #SYSTEM_MARK
	msr tpidr_el1, x1
	ldr q0, [x0, #8 * VECTOR_FROM]

	mov x1, #1
	msr S3_0_C12_C12_5, x1		/* ICC_SRE_EL1 */
	isb
	mov x1, #0xf0
	msr S3_0_C4_C6_0, x1		/* ICC_PMR_EL1 */
	mov x1, #1
	msr S3_0_C12_C12_7, x1		/* ICC_IGRPEN1_EL1 */
	constant x1, DIST
	set32 0, 0x12			/* GICD_CTLR: affinity routing, group 1 */
	constant x1, REDIST
	set64 0x70, PROP_AT | 13	/* GICR_PROPBASER: 14 bits of INTID */
	set64 0x78, PEND_AT | 1 << 62	/* GICR_PENDBASER: all zero */
	set32 0, 1			/* GICR_CTLR: messages */
	constant x1, REDIST + 0x10000
	set32 0x80, 0xffffffff		/* GICR_IGROUPR0 */
	set32 0x100, 1 << TIMER_INTID	/* GICR_ISENABLER0 */
	constant x1, ITS
	set64 0x100, DEVICES_AT | 1 << 63	/* GITS_BASER0, 1 */
	set64 0x108, COLLECTIONS_AT | 1 << 63
	set64 0x80, COMMANDS_AT | 1 << 63	/* GITS_CBASER */
	set32 0, 1			/* GITS_CTLR */
	set64 0x88, COMMANDS * 32	/* GITS_CWRITER */
	isb

	mrs x21, cntfrq_el0		/* a tick of four milliseconds */
	lsr x21, x21, #8
	msr cntv_tval_el0, x21
	mov x1, #1
	msr cntv_ctl_el0, x1
	mov x20, #0

again:	add x20, x20, #1
	mrs x1, tpidr_el1
	mrs x2, cntvct_el0
	stp x20, x19, [x0, #8 * COUNT]
	stp x1, x2, [x0, #8 * SYSTEM]
	str q0, [x0, #8 * VECTOR]
	ldr x1, [x0, #8 * OPEN]
	cbz x1, again
	msr daifclr, #2			/* interrupts are open from now on */
	b again
	.balign 8
guest_size:
	.quad guest_size - guest_start
	.section .note.GNU-stack, "", %progbits
