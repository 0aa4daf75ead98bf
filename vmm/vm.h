/*
 * vm.h - the KVM VM: its memory slots, its doorbells, its interrupts.
 *
 * The only place, with vcpu.c and arch/, that knows KVM. It gives the layers
 * below what they ask for in their own terms: bus doorbells become
 * KVM_IOEVENTFD, interrupts become KVM_IRQFD.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct bus;
struct irqchip_ops;
struct kvm_irq_routing;
struct mem;

struct vm {
	int kvm;         /* /dev/kvm */
	int fd;          /* the VM; -1: there is none */
	size_t run_size; /* bytes of a vCPU's struct kvm_run */

	pthread_mutex_t lock; /* of the following: vCPUs change it when they touch MSI-X tables */
	struct kvm_irq_routing *routing; /* GSI to interrupt: the controllers' inputs, then MSIs */
};

/* Opens /dev/kvm and makes a VM. -errno after one line with cause and cure; nothing is left. */
int vm_create(struct vm *vm);
void vm_destroy(struct vm *vm);

/* Gives all regions of @mem to the guest. -errno after one line. */
int vm_set_memory(struct vm *vm, const struct mem *mem);

/* From now on the kernel rings the doorbells of this bus. */
void vm_host_bells(struct vm *vm, struct bus *bus, bool pio);

/* For struct platform; the chip is the struct vm. */
extern const struct irqchip_ops vm_irqchip;

#endif
