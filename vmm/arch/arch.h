/*
 * arch.h - what an architecture has to give. Every vmm/arch/ARCH/ has the same
 * files: vm.c, vcpu.c, boot.c, describe.c, probe.c, layout.h. The Makefile takes
 * the folder by ARCH; nothing else in the project asks which one it is.
 *
 * All of it is set-up, but for the functions that say [vcpu].
 */
#ifndef VMM_ARCH_ARCH_H
#define VMM_ARCH_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/kernel/kernel_check.h"

struct device_list;
struct image;
struct machine;
struct mem;
struct platform;
struct vcpu;
struct vm;

/* A KVM capability that lunette cannot do without. */
struct vm_cap {
	int cap;
	const char *name;
};

/* Those beyond the common ones; ends with a row without a name. */
extern const struct vm_cap arch_caps[];

/* Words that --append is added to: those for every guest, and then those for its console. */
extern const char arch_cmdline[];
extern const char arch_serial_words[]; /* the serial port */
extern const char arch_hvc_words[];    /* virtio-console, and the serial port until that is there */

/* The kernels that arch_load() takes, in words, for error messages. */
extern const char arch_kernel_formats[];

/* What every kernel here should have. */
extern const struct kernel_need arch_kernel_needs[];

/*
 * KVM's routes of the controllers' own inputs, exactly ARCH_IRQ_ROUTES of them; what MSIs use comes
 * behind. (vm.c)
 */
#define ARCH_IRQ_ROUTES 24
struct kvm_irq_routing_entry;
unsigned arch_irq_routes(struct kvm_irq_routing_entry *entry);

/* Interrupt controllers and what else belongs to the whole VM. -errno after one line. (vm.c) */
int arch_vm_init(struct vm *vm);
/* @size bytes of RAM where the architecture has it, and the window for devices. -errno. (vm.c) */
int arch_layout(uint64_t size, struct mem *mem, struct platform *p);

/* The devices that are always there. -errno after one line. (describe.c) */
int arch_platform_devices(struct platform *p, struct device_list *list);
/* Tables that tell the guest what is there. After all devices are made. -errno after one line. */
int arch_describe(struct machine *m);

/* Where the first vCPU starts. */
struct arch_entry {
	uint64_t pc;
	uint64_t arg; /* address of the boot information */
	unsigned mode; /* the architecture's own */
};

/*
 * Where in a kernel file the kernel proper is packed, by its headers: the file may end before. The
 * last 4 of the @len bytes say how many it unpacks to. False: nowhere; nothing is written then.
 */
bool arch_kernel_packed(const struct image *kernel, uint64_t *off, uint64_t *len);

/* Kernel, initrd (or NULL) and command line into guest memory. -errno after one line. (boot.c) */
int arch_load(struct machine *m, const struct image *kernel, const struct image *initrd,
	      const char *cmdline, struct arch_entry *entry);

/* Registers of all vCPUs, new ones; @entry is for the first. -errno after one line. (vcpu.c) */
int arch_vcpus_init(struct vcpu *vcpu, unsigned ncpus, const struct arch_entry *entry);
/* An exit that is the architecture's own. False: unknown. [vcpu] */
bool arch_vcpu_exit(struct vcpu *vcpu);
/* Registers to stderr. [vcpu] */
void arch_vcpu_dump(struct vcpu *vcpu);
/* Where the vCPU is, into its picture. [vcpu, or any thread once that has ended] */
void arch_vcpu_look(struct vcpu *vcpu);
/* An interrupt that a guest cannot switch off: its kernel is to panic and say where. [vcpu] */
void arch_vcpu_nmi(struct vcpu *vcpu);

/* Where a signal's handler has interrupted the program; its third argument. (vm.c) */
uintptr_t arch_crash_pc(const void *context);

/*
 * Runs some ten thousand instructions of kernel code in a tiny guest of its own, and the same
 * outside. *@guest_ns, *@host_ns: the best of a few tries; takes at most some 100 ms. -errno after
 * one line. (probe.c)
 */
int arch_probe(struct vm *vm, uint64_t *guest_ns, uint64_t *host_ns);

#endif
