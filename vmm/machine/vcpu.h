/* SPDX-License-Identifier: MIT */
/*
 * vcpu.h - a vCPU and its thread.
 *
 * The thread runs the guest until the guest touches something that is not
 * memory; then it asks the buses, here, and goes on. It never serves a
 * virtqueue. It blocks in KVM_RUN, on a device's lock, or in a write to the
 * user's terminal; vcpu_stop() gets it out of all three. A pause waits for the last two.
 */
#ifndef MACHINE_VCPU_H
#define MACHINE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/thread.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/exits.h"

#define VCPU_PICTURE 200 /* bytes */

struct bus;
struct kvm_run;
struct vm;

/* Whose a vCPU is; all vCPUs of a machine have the same one, which outlives them. */
struct vcpu_host {
	struct vm *vm;
	struct bus *mmio, *pio;
	const atomic_bool *over; /* nothing more is to be run */
	void (*ended)(void *arg, enum cause cause); /* [vcpu] */
	void *arg;
};

/* What may be asked of a vCPU while it runs. */
enum vcpu_question { VCPU_LOOK = 1, VCPU_NMI = 2, VCPU_HALTED = 4 };

/* How likely a guest that hangs hangs there: it waits; it computes; it takes no interrupts. */
enum vcpu_trouble { VCPU_IDLE, VCPU_BUSY, VCPU_DEAF };

struct vcpu {
	const struct vcpu_host *host;
	unsigned id; /* from 0; the one with 0 boots */
	int fd;
	struct kvm_run *run;
	struct thread thread;
	bool has_thread;
	atomic_bool stop;
	atomic_uint asked; /* enum vcpu_question, as bits */

	atomic_bool looked; /* these two have been written: */
	char picture[VCPU_PICTURE]; /* where it is, in words and registers; "": nobody knows */
	enum vcpu_trouble trouble;

	struct exits *exits; /* the thread's own; its text belongs to what has been looked at */
	bool shut_down; /* that is how it ended */

	atomic_bool pausing;
	pthread_mutex_t rest_lock; /* of @rests */
	pthread_cond_t rest_changed;
	bool rests; /* its thread is neither in the guest nor at what the guest has touched */

	atomic_bool debugged; /* it rests as it has come to what the debugger waits for */
	int debug_fd;         /* an eventfd that is told then; -1: there is no debugger */

	atomic_bool halted; /* the answer to VCPU_HALTED; false: none yet */
};

/* Makes the KVM vCPU; its registers are the architecture's business. -errno after one line. */
int vcpu_create(struct vcpu *vcpu, const struct vcpu_host *host, unsigned id);
void vcpu_destroy(struct vcpu *vcpu);

/* Also once more, after vcpu_stop(). One that was told to pause rests. -errno after one line. */
int vcpu_start(struct vcpu *vcpu);
/*
 * Has the thread do it once it is back from the guest, where this brings it; when it waits for
 * something else that may be never. VCPU_LOOK sets @looked in the end, VCPU_HALTED @halted if
 * nothing but another vCPU, or an NMI from here, can have it go on. Any thread but its own.
 */
void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what);
/*
 * Has the thread leave the guest and rest, with nothing half done, until vcpu_resume(). Waits a
 * few ms for that. False: not yet, so to be called again. True, too: there is no thread yet, which
 * is to rest when it begins. [main]
 */
bool vcpu_pause(struct vcpu *vcpu);
void vcpu_resume(struct vcpu *vcpu);
/* Ends the thread, wherever it is. The first one waits a few ms; false: it is not ended yet. */
bool vcpu_try_stop(struct vcpu *vcpu);
void vcpu_stop(struct vcpu *vcpu);
/*
 * What the guest has left KVM for is done with, though nobody has looked what it was: KVM would
 * otherwise put the answer into registers that are new by then. There is no thread. [main]
 */
void vcpu_settle(struct vcpu *vcpu);
/* What VCPU_LOOK asks for; of a vCPU without a thread. */
void vcpu_look(struct vcpu *vcpu);
/* What its thread has had of a processor, in ns; 0: nobody knows. Any thread. */
uint64_t vcpu_used(const struct vcpu *vcpu);

/* Once per process, before the first vcpu_start(): THREAD_KICK interrupts, and does no more. */
void vcpu_setup_signal(void);

#endif
