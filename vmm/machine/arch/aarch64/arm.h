/* SPDX-License-Identifier: MIT */
/*
 * arm.h - between the files of this folder.
 */
#ifndef ARCH_AARCH64_ARM_H
#define ARCH_AARCH64_ARM_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine/machine.h"

struct arch_entry;

/* What a VM has beside struct vm. */
struct arch_vm {
	int gic, its; /* KVM's devices; -1: there is none */
	bool v3;      /* the GIC is one of version 3, not 2 */
	bool pmu;     /* vCPUs have counters, of version 3 */
	unsigned cpus;
	uint64_t mpidr[MACHINE_CPUS_MAX]; /* affinity of each vCPU, as KVM gives it out */
};

/* Where devices may be; @msi: there is an ITS. (describe.c) */
void arm_place_devices(struct platform *p, bool msi);

/* The GIC is complete once all vCPUs are there. -errno after one line. (vm.c) */
int arm_gic_init(struct arch_vm *arm);

/* Sets an attribute of a device, a VM or a vCPU of KVM's. -errno. (vm.c) */
int arm_set_attr(int fd, uint32_t group, uint64_t attr, const void *value);

/*
 * A new vCPU, of the processor's kind; @off: it waits for another one to start it. -errno. (vcpu.c)
 */
int arm_vcpu_init(const struct vm *vm, int fd, bool pmu, bool off);
/* Registers with which a kernel is entered. -errno. (vcpu.c) */
int arm_set_entry(int fd, const struct arch_entry *entry);

#endif
