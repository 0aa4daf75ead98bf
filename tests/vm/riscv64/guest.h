/* SPDX-License-Identifier: MIT */
/*
 * guest.h - between guest.S and state.c: addresses in guest memory, numbers, words of the page that
 * they share.
 */
#ifndef TESTS_VM_RISCV64_GUEST_H
#define TESTS_VM_RISCV64_GUEST_H

#define CODE_AT 0x80000000
#define SHARED_AT 0x80010000
#define MEMORY 0x200000           /* bytes, from CODE_AT on */

/* Messages of the IMSIC, each of which is counted in a word of its own. */
#define MESSAGE 5                 /* from state.c, */
#define HIGH_MESSAGE 40           /* and one that is not in the lower half of a register */
#define INPUT_MESSAGE 7           /* from the APLIC, for the source INPUT, */
#define LATE_MESSAGE 8            /* and for LATE, which is enabled only when interrupts are open */
#define INPUT 3
#define LATE 35

#define MARK 0x1122334455667788
#define SYSTEM_MARK 0x1234

/* Words of 64 bits. */
#define COUNT 0                   /* rounds of the guest */
#define GENERAL 1                 /* a general register, */
#define SYSTEM 2                  /* a system register, */
#define CLOCK 3                   /* the counter, */
#define FLOAT 4                   /* and a floating-point register, as they are each round */
#define TIMER 5                   /* interrupts of the timer, */
#define MESSAGES 6                /* by MESSAGE, */
#define HIGH_MESSAGES 7           /* and the others */
#define INPUTS 8
#define LATES 9
#define OPEN 10                   /* from state.c: 1: interrupts are open; 2: HIGH_MESSAGE, too */
#define TROUBLE 11                /* scause + 1: a trap that should not have been */
#define TROUBLE_AT 12             /* and its sepc */
#define FLOAT_FROM 13             /* from state.c */
#define WORDS 14

#endif
