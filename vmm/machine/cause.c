/* SPDX-License-Identifier: MIT */
#include "vmm/machine/cause.h"

#include "vmm/core/fail.h"

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
	[CAUSE_NO_RESULT] = { 209, "no-result", "the guest went down before the command ended" },
	[CAUSE_HOST_IO] = { 211, "host-io", "a host's disk is full or fails, or output is lost" },
	[CAUSE_TIMEOUT] = { 212, "timeout", "the time limit is over (--timeout)" },
	[CAUSE_BOOT] = { 213, "boot", "the guest did not get to its command (--boot-timeout)" },
	[CAUSE_OOM] = { 214, "oom", "the guest's kernel killed the command: no memory" },
	[CAUSE_MEMORY] = { 215, "memory", "the host's memory limit does not allow this guest" },
	[CAUSE_EXPECT] = { 216, "expect", "the command did, --expect or --boot-budget did not" },
	[CAUSE_HALTED] = { 218, "halted", "all vCPUs halted for good, with interrupts off" },
	[CAUSE_BUG] = { 217, "bug", "lunette itself failed" },
	[CAUSE_EXIT] = { 0, "exit", "the command ended: its status, or 128 + its signal" },
	[CAUSE_SIGNAL] = { 128, "signal", "ended by signal n: the status is 128 + n" },
};

enum cause cause_of_err(int err)
{
	switch (err) {
	case 0:
		return CAUSE_POWEROFF;
	case -EUSAGE:
		return CAUSE_USAGE;
	case -EOVERLIMIT:
		return CAUSE_MEMORY;
	case -ENOKVM:
		return CAUSE_NO_KVM;
	default:
		return CAUSE_SETUP;
	}
}

void cause_help(FILE *out)
{
	char status[8];
	unsigned i;

	for (i = 0; i < CAUSE_COUNT; i++) {
		snprintf(status, sizeof(status), i == CAUSE_SIGNAL ? "%d+n" : "%d  ",
			 causes[i].status);
		fprintf(out, "  %6s %-13s %s\n", i == CAUSE_EXIT ? "n  " : status, causes[i].name,
			causes[i].text);
	}
}
