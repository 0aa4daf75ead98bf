/* SPDX-License-Identifier: MIT */
/*
 * riscv.h - between the files of this folder.
 */
#ifndef ARCH_RISCV64_RISCV_H
#define ARCH_RISCV64_RISCV_H

#include <pthread.h>
#include <stdint.h>

#include "vmm/core/irq.h"

#define RISCV_EXTENSIONS 128 /* of the instruction set, at most; their numbers are KVM's */

struct arch_entry;
struct platform;

/* What the vCPUs are, each like the other. */
struct riscv_cpu {
	uint64_t extension[RISCV_EXTENSIONS / 64]; /* a bit for each one that they have */
	uint64_t timebase; /* Hz */
	uint64_t satp_mode; /* how many levels of page tables, as satp has it */
	uint64_t cbom, cboz; /* bytes of a block, of Zicbom and Zicboz; 0: not known */
};

/* What a VM has beside struct vm. */
struct arch_vm {
	int aia; /* KVM's device: an APLIC, and an IMSIC for each vCPU; -1: there is none */
	uint32_t ids; /* interrupts of an IMSIC */
	unsigned cpus; /* IMSICs */
	struct irqchip_ops irqchip; /* vm_irqchip, and what of it is different here */
	pthread_mutex_t lock; /* of an input of the APLIC, while it is raised and lowered */
	struct riscv_cpu cpu;
};

/* Where devices may be. (describe.c) */
void riscv_place_devices(struct platform *p);

/* The AIA is complete once all vCPUs are there. -errno after one line. (vm.c) */
int riscv_aia_init(struct arch_vm *riscv, unsigned ncpus);

/* Registers with which a kernel is entered, on the first CPU. -errno. (vcpu.c) */
int riscv_set_entry(int fd, const struct arch_entry *entry);

#endif
