/*
 * vcpu.h - a vCPU and its thread.
 *
 * The thread runs the guest until the guest touches something that is not
 * memory; then it asks the buses, here, and goes on. It never serves a
 * virtqueue. It blocks in KVM_RUN, on a device's lock, or in a write to the
 * user's terminal; vcpu_stop() gets it out of all three.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define VCPU_PICTURE 200 /* bytes */

struct kvm_run;
struct machine;

/* What may be asked of a vCPU while it runs. */
enum vcpu_question { VCPU_LOOK = 1, VCPU_NMI = 2 };

/* How likely a guest that hangs hangs there: it waits; it computes; it takes no interrupts. */
enum vcpu_trouble { VCPU_IDLE, VCPU_BUSY, VCPU_DEAF };

struct vcpu {
	struct machine *machine;
	unsigned id; /* from 0; the one with 0 boots */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
	atomic_uint asked; /* enum vcpu_question, as bits */

	atomic_bool looked; /* these two have been written: */
	char picture[VCPU_PICTURE]; /* where it is, in words and registers; "": nobody knows */
	enum vcpu_trouble trouble;
};

/* Makes the KVM vCPU; its registers are the architecture's business. -errno after one line. */
int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned id);
void vcpu_destroy(struct vcpu *vcpu);

/* -errno after one line. */
int vcpu_start(struct vcpu *vcpu);
/*
 * Has the thread do it once it is back from the guest, where this brings it; when it waits for
 * something else that may be never. VCPU_LOOK sets @looked in the end. Any thread but its own.
 */
void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what);
/* Ends the thread, wherever it is. */
void vcpu_stop(struct vcpu *vcpu);

/* Once per process, before the first vcpu_start(): the signal that interrupts KVM_RUN. */
void vcpu_setup_signal(void);

#endif
