/*
 * doctor.c - "lunette doctor": can this machine run guests, and how well?
 *
 * There are hosts whose /dev/kvm answers every ioctl and yet emulates the
 * guest's kernel code, one instruction after the other: no Linux boots there in
 * reasonable time. Only a run tells, so a tiny guest is run and timed.
 */
#include <inttypes.h>
#include <stdio.h>

#include "vmm/arch/arch.h"
#include "vmm/cause.h"
#include "vmm/core/log.h"
#include "vmm/run.h"
#include "vmm/vm.h"

/* A real KVM is within a factor of 2 or 3, an emulating one beyond 1000. */
#define TOO_SLOW 50

static enum cause check_kvm(void)
{
	uint64_t guest_ns, host_ns;
	struct vm vm;
	int r;

	if (vm_create(&vm) < 0)
		return CAUSE_NO_KVM;
	r = arch_probe(&vm, &guest_ns, &host_ns);
	vm_destroy(&vm);
	if (r < 0)
		return CAUSE_NO_KVM;
	if (guest_ns / TOO_SLOW > host_ns) {
		log_err("/dev/kvm: this KVM emulates kernel code, %" PRIu64 " times slower than "
			"outside; a host with hardware virtualization is needed",
			guest_ns / (host_ns + 1));
		return CAUSE_SLOW_KVM;
	}
	printf("/dev/kvm: works, and runs kernel code at speed\n");
	return CAUSE_POWEROFF;
}

int doctor_main(int argc, char **argv)
{
	if (argc) {
		log_err("doctor: '%s': it takes no arguments", argv[0]);
		return causes[CAUSE_USAGE].status;
	}
	return causes[check_kvm()].status;
}
