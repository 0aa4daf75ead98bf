/* SPDX-License-Identifier: MIT */
/*
 * one_reg.h - the registers of a vCPU where KVM has each by a number: those of all but x86.
 *
 * KVM tells which registers there are: each number has its size in it. KVM alone knows whether a
 * value can be, and only when it gets it. So what is there is read first, and put back if KVM takes
 * but a part of what comes.
 */
#ifndef ARCH_ONE_REG_H
#define ARCH_ONE_REG_H

#include <stddef.h>

struct state;

#define ONE_REG_MORE 128

/* What there is of a vCPU beside the registers: a struct of @size bytes, and its two ioctls. */
struct one_reg_more {
	unsigned long get, set;
	size_t size; /* 0: there is nothing; at most ONE_REG_MORE */
};

/*
 * Visits the registers of the vCPU @fd, @more, and whether it runs (KVM_GET_MP_STATE), as
 * arch_vcpu_state() is to. [main, while the vCPU's thread rests or has not begun]
 */
void one_reg_state(int fd, const struct one_reg_more *more, struct state *s);

#endif
