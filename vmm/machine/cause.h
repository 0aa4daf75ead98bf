/* SPDX-License-Identifier: MIT */
/*
 * cause.h - why a run ended, and the exit status that says so.
 *
 * Every way out of lunette has a row here; the README's table and --help are
 * these rows. The statuses from 200 up are ours alone: shells, test tools and
 * signals (128 + n) use other ones.
 */
#ifndef MACHINE_CAUSE_H
#define MACHINE_CAUSE_H

#include <stdio.h>

enum cause {
	CAUSE_POWEROFF,
	CAUSE_USAGE,
	CAUSE_SETUP,
	CAUSE_NO_KVM,
	CAUSE_SLOW_KVM,
	CAUSE_REBOOT,
	CAUSE_PANIC,
	CAUSE_TRIPLE_FAULT,
	CAUSE_KVM_ERROR,
	CAUSE_QUIT,
	CAUSE_NO_RESULT,
	CAUSE_HOST_IO,
	CAUSE_TIMEOUT,
	CAUSE_BOOT,
	CAUSE_OOM,
	CAUSE_MEMORY,
	CAUSE_EXPECT,
	CAUSE_HALTED,
	CAUSE_BUG,
	CAUSE_EXIT,   /* its status is the command's, or 128 + its signal's number */
	CAUSE_SIGNAL, /* its status is 128 + the signal's number */
	CAUSE_COUNT
};

struct cause_row {
	int status;
	const char *name; /* one word */
	const char *text; /* one sentence */
};

extern const struct cause_row causes[CAUSE_COUNT];

/*
 * Of set-up that has failed with @err, a negative number of fail.h or -errno, after its line. 0:
 * CAUSE_POWEROFF, nothing has failed.
 */
enum cause cause_of_err(int err);

void cause_help(FILE *out);

#endif
