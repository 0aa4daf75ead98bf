/*
 * report_out.h - the files that a run's report goes to.
 *
 * From the start they say that the run is unfinished, and at its end how it
 * ended; so they are true whenever lunette is killed.
 */
#ifndef VMM_REPORT_OUT_H
#define VMM_REPORT_OUT_H

#include "vmm/report/report_file.h"

struct report;

struct report_cfg {
	const char *json, *junit; /* names of files; NULL: none */
};

#define REPORT_FILES 2

struct report_out {
	struct report_file file[REPORT_FILES];
};

/* -errno after one line: one of them cannot be written. */
int report_out_open(struct report_out *out, const struct report_cfg *cfg, struct report *r);
/* The run is over. -errno after one line for each that could not be written. */
int report_out_write(const struct report_out *out, struct report *r);
void report_out_close(struct report_out *out);

#endif
