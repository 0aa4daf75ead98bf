/* SPDX-License-Identifier: MIT */
/*
 * expect.h - what a command has been promised: disks, ports, interfaces. Without them it does not
 * start, as it would be another run than the one that was asked for.
 */
#ifndef GUEST_EXPECT_H
#define GUEST_EXPECT_H

#include <stdbool.h>

#include "guest/files.h"

#define EXPECT_MAX 8192

struct scsi_device;

/* Records of guest/job.h, whose text is kept. */
struct expect_wanted {
	const char *what, *value;
};

struct expect {
	struct expect_wanted wanted[EXPECT_MAX];
	unsigned count;
	struct scsi_device *device; /* those that there are, while it is looked */
	unsigned ndevices;
	char why[384];
};

/* -EPROTO: there is no such record, or there are too many. */
int expect_take(struct expect *x, const char *what, const char *value);
/* Also the disks of @f. What comes late is waited for. False: after a line, for init_said(). */
bool expect_met(struct expect *x, const struct files *f);

#endif
