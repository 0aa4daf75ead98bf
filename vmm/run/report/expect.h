/* SPDX-License-Identifier: MIT */
/*
 * expect.h - what a run is to come up to besides its command: how much its disks
 * have done (--expect), and how soon it was there (--boot-budget).
 *
 *	--expect 'lun0.flushes>=1' --expect 'data.written<1M' --boot-budget 150ms
 *
 * A disk is named by its LUN, as lunN, or by its id; a counter as lunette ctl
 * names it, or by the word of what it counts (flush, write). Operators are ==,
 * !=, <, <=, > and >=.
 *
 * A mistake is found before the guest runs. What is not met is said in a line
 * with what was wanted and what was got, and ends in the report.
 */
#ifndef RUN_EXPECT_H
#define RUN_EXPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/opt.h"

struct device_list;
struct report;

struct expect_cfg {
	struct opt_list disks; /* expressions */
	uint64_t boot_ms;      /* until the command begins; 0: as long as it takes */
};

/* Can each be read? -EUSAGE after one line. */
int expect_check(const struct expect_cfg *cfg);
/* And has the machine what they are about? -EUSAGE after one line. [setup] */
int expect_check_devices(const struct expect_cfg *cfg, const struct device_list *devices);
/*
 * Are they met? One line for each that is not, if @say. Adds what was got to the report. The
 * devices are still there, and no vCPU runs. [main]
 */
bool expect_met(const struct expect_cfg *cfg, const struct device_list *devices, struct report *r,
		bool say);

#endif
