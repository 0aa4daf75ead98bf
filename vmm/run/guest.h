/* SPDX-License-Identifier: MIT */
/*
 * guest.h - one run of a guest: a machine, and what the run adds to it.
 *
 * That is devices by the command line, a command, a control socket, a trace, a report.
 */
#ifndef RUN_GUEST_H
#define RUN_GUEST_H

#include "vmm/core/opt.h"
#include "vmm/core/policy.h"
#include "vmm/core/stream.h"
#include "vmm/machine/image.h"
#include "vmm/machine/machine.h"
#include "vmm/run/control/command.h"
#include "vmm/run/job.h"
#include "vmm/run/report/expect.h"

struct control;
struct exec;
struct gdb;
struct report;
struct script;

/* Where the guest's console is. */
enum guest_console { CONSOLE_SERIAL, CONSOLE_HVC };

struct guest_cfg {
	struct machine_spec machine; /* what is open there is decided by what else is asked for */
	const char *kernel, *control, *trace, *root, *net, *vsock, *gdb;
	const char *dump; /* a folder for the guest's memory, if the run fails; NULL: none */
	struct opt_list initrds, append, at;
	bool balloon;
	unsigned overlay; /* enum overlay_policy */
	unsigned console; /* enum guest_console */
	struct opt_list disks, cdroms, devices, publish;
	struct job_cfg job;
	struct expect_cfg expect;
	struct report *report; /* outlives the guest */
	/* As struct machine_user has it. */
	void (*abandon)(void *arg);
	void *abandon_arg;
};

struct guest {
	struct machine machine;
	const struct guest_cfg *cfg; /* borrowed */
	struct image kernel; /* open, as a guest that resets itself gets it once more */
	struct image_list initrds;
	struct job *job;             /* NULL: the guest does what it likes */
	struct exec *exec;           /* commands for clients of the control socket; NULL: none */
	struct stream trace;         /* of SCSI commands */
	int keep, dumps;             /* the folders; -1: none */
	struct command_host host;    /* what commands work on, ... */
	struct control *control;     /* ... and where they come from; NULL: not from there */
	struct script *script;
	struct gdb *gdb;             /* NULL: there is no debugger */
};

/* Returns CAUSE_POWEROFF when all is well; otherwise, after one line, the reason why not. [main] */
enum cause guest_create(struct guest *g, const struct guest_cfg *cfg);
/* Returns how the run ended, when what the guest has said has got to its readers. [main] */
enum cause guest_run(struct guest *g);
void guest_destroy(struct guest *g);

#endif
