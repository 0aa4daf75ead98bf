/* SPDX-License-Identifier: MIT */
/*
 * serve.c - "lunette shared-disk": the process that serves a disk which several
 * guests share. "lunette run" starts it; it is in no list of commands.
 */
#include "devices/devices.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/sandbox.h"
#include "vmm/run/run.h"

void serve_help(FILE *out)
{
	fputs("lunette shared-disk serves a disk of --disk FILE,shared=NAME to all guests that\n"
	      "have it; lunette run starts it, and it ends with the last of them.\n", out);
}

int serve_main(int argc, char **argv)
{
	int r = device_serve_shared(argc, argv, sandbox_enter);

	return causes[r < 0 ? cause_of_err(r) : CAUSE_POWEROFF].status;
}
