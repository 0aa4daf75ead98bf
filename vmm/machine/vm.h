/* SPDX-License-Identifier: MIT */
/*
 * vm.h - the KVM VM: its memory slots, its doorbells, its interrupts.
 *
 * The only place, with vcpu.c and arch/, that knows KVM. It gives the layers
 * below what they ask for in their own terms: bus doorbells become
 * KVM_IOEVENTFD, interrupts become KVM_IRQFD.
 */
#ifndef MACHINE_VM_H
#define MACHINE_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arch_vm;
struct bus;
struct irqchip_ops;
struct kvm_coalesced_mmio_ring;
struct kvm_irq_routing;
struct mem;

struct vm {
	int kvm;         /* /dev/kvm */
	int fd;          /* the VM; -1: there is none */
	size_t run_size; /* bytes of a vCPU's struct kvm_run */
	bool closing;    /* vm_closing() */

	struct arch_vm *arch; /* the architecture's own, of arch_vm_init(); NULL: none */
	bool msi_devid; /* messages carry the number of who sends them: an ITS wants it. [setup] */

	pthread_mutex_t lock; /* of the following: vCPUs change it when they touch MSI-X tables */
	struct kvm_irq_routing *routing; /* GSI to interrupt: the controllers' inputs, then MSIs */

	/* Writes that KVM has collected; NULL: it does not. In a page that the mappings of all
	 * vCPUs share, so it is there from the first one on. */
	struct kvm_coalesced_mmio_ring *collected;
	pthread_mutex_t collected_lock; /* of who takes them out */
};

/*
 * Opens /dev/kvm and makes a VM. -ENOKVM after one line with cause and cure; -ENOMEM, perhaps
 * without one. Nothing is left then.
 */
int vm_create(struct vm *vm);
void vm_destroy(struct vm *vm);
/*
 * The VM goes next, and with it doorbells and interrupts, so they are not taken out one by one: KVM
 * waits each time until no CPU can be looking. No vCPU runs any more.
 */
void vm_closing(struct vm *vm);

/* Gives all regions of @mem to the guest. -errno after one line. */
int vm_set_memory(struct vm *vm, const struct mem *mem);

/*
 * Has KVM collect writes to the I/O ports from @port on, in place of an exit for each: for
 * registers that only choose what another access is about. Where KVM cannot, they exit. [setup]
 */
void vm_collect_pio(struct vm *vm, uint16_t port, unsigned count);
/* What was collected goes to @pio, in order; before what a vCPU has exited for. [vcpu] */
void vm_take_collected(struct vm *vm, struct bus *pio);
/* @run is the mapping of a vCPU, its first one. [setup] */
void vm_map_collected(struct vm *vm, void *run);

/* From now on the kernel rings the doorbells of this bus. */
void vm_host_bells(struct vm *vm, struct bus *bus, bool pio);

/* For struct platform; the chip is the struct vm. */
extern const struct irqchip_ops vm_irqchip;

#endif
