/* SPDX-License-Identifier: MIT */
/*
 * arch.h - what an architecture has to give. Every vmm/machine/arch/ARCH/ has the same
 * files: vm.c, vcpu.c, state.c, debug.c, boot.c, describe.c, probe.c, layout.h. The Makefile takes
 * the folder by ARCH; nothing else in the project asks which one it is.
 *
 * All of it is set-up, but for the functions that say [vcpu].
 */
#ifndef MACHINE_ARCH_H
#define MACHINE_ARCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/procfs.h>

#include "vmm/machine/gdb_stub.h"

struct device_list;
struct image;
struct image_list;
struct kvm_irq_routing_entry;
struct mem;
struct platform;
struct state;
struct vcpu;
struct vm;

/* A KVM capability that lunette cannot do without. */
struct vm_cap {
	int cap;
	const char *name;
	const char *cure; /* when it is there; NULL: with the Linux that all the others need, too */
};

/* Those beyond the common ones, and asked for before them; ends with a row without a name. */
extern const struct vm_cap arch_caps[];

/* Words that --append is added to: those for every guest, and then those for its console. */
extern const char arch_cmdline[];
extern const char arch_serial_words[]; /* the serial port */
extern const char arch_hvc_words[];    /* virtio-console, and the serial port until that is there */

/* The kernels that arch_load() takes, in words, for error messages. */
extern const char arch_kernel_formats[];

/* The option that kernels for it have, without "CONFIG_": "X86_64". */
extern const char arch_kernel_option[];

/* Words of the kernel's command line with which it will not get far. */
struct kernel_break {
	const char *name, *item; /* "name=item,..."; "": a word without a value */
	bool on_pci;             /* devices there are lost; otherwise the whole machine is */
	const char *why;
};

/* Ends with a row without a name. */
extern const struct kernel_break arch_kernel_breaks[];

/*
 * How many inputs the interrupt controllers have: GSI 0 to so many less 1. Numbers for messages
 * come behind. And KVM's routes of all of them. (vm.c)
 */
extern const unsigned arch_irq_inputs;
void arch_irq_routes(struct kvm_irq_routing_entry *entry);

/* What is needed where there is no /dev/kvm, in words. */
extern const char arch_no_kvm[];

/* What KVM_CREATE_VM wants to know. @kvm: /dev/kvm. (vm.c) */
unsigned long arch_vm_type(int kvm);
/*
 * @size bytes of RAM where the architecture has it. -ERANGE: this host cannot give a guest so much;
 * another -errno. (vm.c)
 */
int arch_layout(const struct vm *vm, uint64_t size, struct mem *mem);
/*
 * Interrupt controllers and what else belongs to the whole VM, which has memory; and where devices
 * may be: all that @p says of places, windows and interrupts. -errno after one line. (vm.c)
 */
int arch_vm_init(struct vm *vm, struct platform *p);
/* What that has left in vm->arch, also when it failed or was not called. (vm.c) */
void arch_vm_fini(struct vm *vm);

/* The devices that are always there. -errno after one line. (describe.c) */
int arch_platform_devices(struct platform *p, struct device_list *list);
/* Where the first vCPU starts. */
struct arch_entry {
	uint64_t pc;
	uint64_t arg; /* address of the boot information */
	unsigned mode; /* the architecture's own */
	/* For arch_describe(), where it tells the kernel of them; sizes are bytes. */
	uint64_t initrd_at, initrd_size;
	const char *cmdline; /* borrowed */
};

/*
 * Tables that tell the guest what is there. After all devices are made, and arch_load(). -errno
 * after one line. (describe.c)
 */
int arch_describe(const struct platform *p, const struct arch_entry *entry);

/* Kernel, initrds and command line into guest memory. -errno after one line. (boot.c) */
int arch_load(struct mem *mem, const struct image *kernel, const struct image_list *initrds,
	      const char *cmdline, struct arch_entry *entry);

/*
 * All vCPUs have been made: what they are, and what of the interrupt controllers needs them. From
 * then on interrupts may be bound. -errno after one line. (vcpu.c)
 */
int arch_vcpus_init(struct vcpu *vcpu, unsigned ncpus);
/* Registers of the first vCPU, with which it begins. -errno after one line. (vcpu.c) */
int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry);
/* An exit that is the architecture's own. False: unknown. [vcpu] */
bool arch_vcpu_exit(struct vcpu *vcpu);
/*
 * Registers as the kernel's core dumps have them (NT_PRSTATUS), and the machine's number in ELF
 * files. -errno. [main, while the vCPU's thread rests or has ended]
 */
int arch_vcpu_gregs(const struct vcpu *vcpu, elf_gregset_t *regs);
extern const uint16_t arch_elf_machine;
/* Registers to stderr. [vcpu] */
void arch_vcpu_dump(struct vcpu *vcpu);
/* Where the vCPU is, into its picture. [vcpu, or any thread once that has ended] */
void arch_vcpu_look(struct vcpu *vcpu);
/* Does it wait, and would nothing wake it but another vCPU, or arch_vcpu_nmi()? [vcpu] */
bool arch_vcpu_halted(struct vcpu *vcpu);
/* It has rested for a while: that is why the guest's clock has leapt. [vcpu] */
void arch_vcpu_paused(struct vcpu *vcpu);
/* An interrupt that a guest cannot switch off: its kernel is to panic and say where. [vcpu] */
void arch_vcpu_nmi(struct vcpu *vcpu);

/* Why a vCPU has left the guest for the debugger. */
struct arch_debug_stop {
	bool trap;     /* an instruction of a breakpoint, which may be the guest's own */
	uint64_t pc;
	int kind;      /* enum gdb_kind of a point that watches, or GDB_SOFT */
	uint64_t addr; /* that it watches */
};

/* How it is to go on. */
struct arch_debug {
	bool on; /* false: nothing of it; the rest is of no interest */
	bool step;
	bool inject; /* the trap that it has stopped at is the guest's own, which gets it now */
	const struct gdb_point *point; /* soft ones are passed over */
	unsigned points;
};

/*
 * What GDB is to know, and may ask; gdb_stub.h has the words. Of a vCPU whose thread rests. -errno;
 * -ENOSPC of check: more than this processor has; -EFAULT of translate: no memory is there;
 * -EOPNOTSUPP of control: KVM has no steps here, or cannot give the guest its trap.
 * [main] (debug.c)
 */
extern const char arch_debug_name[];
extern const struct gdb_reg arch_debug_regs[];
extern const uint8_t arch_debug_trap[];
extern const unsigned arch_debug_trap_len;
int arch_debug_get(const struct vcpu *vcpu, uint8_t *regs);
int arch_debug_set(const struct vcpu *vcpu, const uint8_t *regs);
int arch_debug_translate(const struct vcpu *vcpu, const struct mem *mem, uint64_t addr,
			 uint64_t *gpa);
int arch_debug_check(const struct vcpu *vcpu, const struct gdb_point *point, unsigned count);
int arch_debug_control(const struct vcpu *vcpu, const struct arch_debug *how);
/* It has left the guest by KVM_EXIT_DEBUG. */
void arch_debug_why(const struct vcpu *vcpu, const struct arch_debug *how,
		    struct arch_debug_stop *why);

/*
 * Visit what a guest has made of a vCPU, whose thread rests or has not begun, and of the VM's
 * interrupt controllers and clock (state.h). The VM has the same features and vCPUs as the one that
 * was saved. What KVM does not take is -EINVAL, and changes nothing; as only KVM knows that, these
 * are to be visited before anything else. But guest memory is saved after the VM, and restored
 * before it, into a new one: interrupt controllers may keep tables there. [main] (state.c)
 */
void arch_vcpu_state(struct vcpu *vcpu, struct state *s);
void arch_vm_state(struct vm *vm, struct state *s);

/* Where a signal's handler has interrupted the program; its third argument. (vm.c) */
uintptr_t arch_crash_pc(const void *context);

/* A loop of some twenty thousand instructions, by which KVM's speed is seen (probe.h). (probe.c) */
void arch_probe_loop(void);
/* A vCPU at the beginning of it, in kernel code; this fills @mem. Its file descriptor; -errno. */
int arch_probe_vcpu(struct vm *vm, struct mem *mem);
extern const uint32_t arch_probe_exit; /* KVM's reason for the exit behind it */

#endif
