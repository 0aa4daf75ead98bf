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

struct kvm_run;
struct machine;

struct vcpu {
	struct machine *machine;
	unsigned id; /* from 0; the one with 0 boots */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool has_thread;
	atomic_bool stop;
};

/* Makes the KVM vCPU; its registers are the architecture's business. -errno after one line. */
int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned id);
void vcpu_destroy(struct vcpu *vcpu);

/* -errno after one line. */
int vcpu_start(struct vcpu *vcpu);
/* Ends the thread, wherever it is. */
void vcpu_stop(struct vcpu *vcpu);

/* Once per process, before the first vcpu_start(): the signal that interrupts KVM_RUN. */
void vcpu_setup_signal(void);

#endif
