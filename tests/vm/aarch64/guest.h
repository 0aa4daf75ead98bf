/* SPDX-License-Identifier: MIT */
/*
 * guest.h - between guest.S and state.c: addresses in guest memory, numbers, words of the page that
 * they share.
 */
#ifndef TESTS_VM_AARCH64_GUEST_H
#define TESTS_VM_AARCH64_GUEST_H

#define CODE_AT 0x40000000
#define SHARED_AT 0x40010000
#define PROP_AT 0x40020000        /* of messages: is one open, and how urgent */
#define PEND_AT 0x40030000        /* which ones are pending */
#define DEVICES_AT 0x40040000     /* the ITS's tables */
#define COLLECTIONS_AT 0x40050000
#define EVENTS_AT 0x40060000
#define COMMANDS_AT 0x40070000
#define COMMANDS 4
#define MEMORY 0x200000           /* bytes, from CODE_AT on */

#define TIMER_INTID 27
#define MESSAGE_INTID 8192
#define DEVICE 8                  /* who sends the message */
#define EVENT 3

#define MARK 0x1122334455667788
#define SYSTEM_MARK 0x1234

/* Words of 64 bits. */
#define COUNT 0                   /* rounds of the guest */
#define GENERAL 1                 /* a general register, */
#define SYSTEM 2                  /* a system register, */
#define CLOCK 3                   /* the virtual counter */
#define VECTOR 4                  /* and a vector register, two words, as they are each round */
#define TIMER 6                   /* interrupts of the timer, */
#define MESSAGES 7                /* and by the message */
#define OPEN 8                    /* from state.c: not 0: interrupts are open */
#define TROUBLE 9                 /* ESR_EL1 | 1: an exception that should not have been */
#define VECTOR_FROM 10            /* from state.c: two words */
#define WORDS 12

#endif
