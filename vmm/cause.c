#include "vmm/cause.h"

const struct cause_row causes[CAUSE_COUNT] = {
	[CAUSE_POWEROFF] = { 0, "poweroff", "the guest powered itself off" },
	[CAUSE_USAGE] = { 200, "usage", "the command line is wrong" },
	[CAUSE_SETUP] = { 201, "setup", "a kernel, an initrd, a disk or a device cannot be used" },
	[CAUSE_NO_KVM] = { 202, "no-kvm", "/dev/kvm is missing, forbidden, busy or too old" },
	[CAUSE_SLOW_KVM] = { 203, "slow-kvm", "KVM emulates kernel code here (doctor only)" },
	[CAUSE_REBOOT] = { 204, "reboot", "the guest asked for a reset" },
	[CAUSE_PANIC] = { 205, "panic", "the guest's kernel panicked" },
	[CAUSE_TRIPLE_FAULT] = { 206, "triple-fault", "a vCPU shut down on a triple fault" },
	[CAUSE_KVM_ERROR] = { 207, "kvm-error", "KVM cannot go on running a vCPU" },
	[CAUSE_QUIT] = { 208, "quit", "the user ended it: Ctrl-A x, or lunette ctl quit" },
	[CAUSE_DISK_FULL] = { 211, "disk-full", "a disk of the host is full (--on-enospc fail)" },
	[CAUSE_SIGNAL] = { 128, "signal", "ended by signal n: the status is 128 + n" },
};

void cause_help(FILE *out)
{
	unsigned i;

	for (i = 0; i < CAUSE_COUNT; i++)
		fprintf(out, "  %3d%s %-13s %s\n", causes[i].status,
			i == CAUSE_SIGNAL ? "+n" : "  ", causes[i].name, causes[i].text);
}
