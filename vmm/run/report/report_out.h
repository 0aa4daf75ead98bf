/* SPDX-License-Identifier: MIT */
/*
 * report_out.h - the files that a run's report goes to.
 *
 * From the moment that the machine runs they say that the run is unfinished, and at its end how it
 * ended; so they are true whenever lunette is killed.
 */
#ifndef RUN_REPORT_OUT_H
#define RUN_REPORT_OUT_H

#include "vmm/run/report/report_file.h"

struct claims;
struct report;

struct report_cfg {
	const char *json, *junit; /* names of files; NULL: none */
	bool dry; /* nothing runs: they are looked at, and not written */
};

#define REPORT_FILES 2

struct report_out {
	struct report_file file[REPORT_FILES];
	bool dry;
};

/* -errno after one line: one of them cannot be written; -EUSAGE: it is another one of @claims. */
int report_out_open(struct report_out *out, const struct report_cfg *cfg, struct claims *claims,
		    struct report *r);
/* The machine is about to run. -errno after one line. */
int report_out_begin(const struct report_out *out, struct report *r);
/* The run is over. -errno after one line for each that could not be written. */
int report_out_write(const struct report_out *out, struct report *r);
void report_out_close(struct report_out *out);

#endif
