/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - "lunette doctor": can this machine run guests, and how well?
 *
 * There are hosts whose /dev/kvm answers every ioctl and yet emulates the
 * guest's kernel code, one instruction after the other: no Linux boots there in
 * reasonable time. Only a run tells, so a tiny guest is run and timed.
 *
 * The exit status is about KVM alone; all else is optional. When guests cannot be
 * run, the last line, on stderr, says why.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/host/host_check.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/probe.h"
#include "vmm/machine/vm.h"
#include "vmm/run/run.h"

/* A real KVM is within a factor of 2 or 3, an emulating one beyond 1000. */
#define TOO_SLOW 50

/* For runners whose user is in no group of /dev/kvm's. */
static const char github[] =
	"- name: Let everybody use KVM\n"
	"  run: |\n"
	"    echo 'KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"' |\n"
	"      sudo tee /etc/udev/rules.d/99-kvm.rules\n"
	"    sudo udevadm control --reload-rules\n"
	"    sudo udevadm trigger --name-match=kvm\n";

static enum cause check_kvm(void)
{
	uint64_t guest_ns, host_ns;
	struct vm vm;
	int r;

	if (vm_create(&vm) < 0)
		return CAUSE_NO_KVM;
	r = probe_kvm(&vm, &guest_ns, &host_ns);
	vm_destroy(&vm);
	if (r < 0)
		return CAUSE_NO_KVM;
	if (guest_ns / TOO_SLOW > host_ns) {
		log_err("/dev/kvm: this KVM emulates kernel code, %" PRIu64 " times slower than "
			"outside; a host with hardware virtualization is needed",
			guest_ns / (host_ns + 1));
		return CAUSE_SLOW_KVM;
	}
	return CAUSE_POWEROFF;
}

static enum cause check_all(void)
{
	enum cause cause;
	char why[500];

	log_hear(why, sizeof(why));
	cause = check_kvm();
	log_hear(NULL, 0);
	if (cause == CAUSE_POWEROFF)
		host_check_line(HOST_OK, "kvm", "/dev/kvm works, and runs kernel code at speed",
				stdout);
	else
		host_check_line(HOST_MISSING, "kvm", why, stdout);
	host_check_all("", stdout);
	fflush(stdout);
	if (cause != CAUSE_POWEROFF)
		log_err("%s", why);
	return cause;
}

void doctor_help(FILE *out)
{
	fputs("usage: lunette doctor               can this machine run guests, and how well?\n"
	      "       lunette doctor --ci github   a workflow's step that gives it KVM\n\n"
	      "A line for each thing; what is missing comes with what repairs it. The exit\n"
	      "status is 0 when guests can run, whatever else is missing.\n", out);
}

int doctor_main(int argc, char **argv)
{
	if (argc == 0)
		return causes[check_all()].status;
	if (help_wanted(argv[argc - 1])) {
		doctor_help(stdout);
		return 0;
	}
	if (!strcmp(argv[0], "--ci=github") ? argc == 1 :
	    argc == 2 && !strcmp(argv[0], "--ci") && !strcmp(argv[1], "github")) {
		fputs(github, stdout);
		return 0;
	}
	log_err("doctor: '%s': it takes --ci github, or nothing", argv[0]);
	return causes[CAUSE_USAGE].status;
}
