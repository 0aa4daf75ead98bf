/*
 * clean.c - "lunette clean": removes what runs that were killed have left in
 * the kernel. The next run that makes something of the kind does so, too.
 */
#include <stdio.h>

#include "devices/devices.h"
#include "vmm/cause.h"
#include "vmm/core/log.h"
#include "vmm/run.h"

int clean_main(int argc, char **argv)
{
	if (argc) {
		log_err("clean: '%s': it takes no arguments", argv[0]);
		return causes[CAUSE_USAGE].status;
	}
	return causes[device_clean_all(stdout) < 0 ? CAUSE_SETUP : CAUSE_POWEROFF].status;
}
