/* SPDX-License-Identifier: MIT */
/*
 * probe.h - does KVM run kernel code, or does it emulate it?
 *
 * A processor needs microseconds for the architecture's loop, an emulator some ten milliseconds.
 */
#ifndef MACHINE_PROBE_H
#define MACHINE_PROBE_H

#include <stdint.h>

struct vm;

/*
 * Runs some twenty thousand instructions of kernel code in a tiny guest of @vm, a new one, and the
 * same outside. *@guest_ns, *@host_ns: the best of a few tries; takes at most some 100 ms. -errno
 * after one line. [setup]
 */
int probe_kvm(struct vm *vm, uint64_t *guest_ns, uint64_t *host_ns);

#endif
