/* SPDX-License-Identifier: MIT */
/*
 * What a guest says on the control port of its command. However it is cut, nothing is taken for a
 * success but an "end", and the command's status is one that a process can have.
 */
#include "vmm/run/job.c"

#include "tests/fuzz/fuzz.h"
#include "vmm/run/guest.h"

void machine_end(struct machine *m, enum cause cause)
{
	m->cause = cause;
}

void console_set_quiet(struct console *con, bool keys)
{
	(void)con, (void)keys;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct guest_cfg guest_cfg;
	static struct machine m;
	struct job_cfg cfg = { 0 };
	struct report report;
	struct job job = { .m = &m, .report = &report, .cfg = &cfg, .rows = 1 };
	size_t i;

	report_init(&report, &guest_cfg);
	m = (struct machine){ .limits = LIMITS_NONE, .cause = CAUSE_TIMEOUT };
	for (i = 0; i < len; i++)
		take_byte(&job, data[i]);
	BUG_ON(m.cause == CAUSE_EXIT && job.stage != STAGE_ENDED);
	BUG_ON(report.exit < -1 || report.exit > 255 || report.signal < -1 || report.signal > 64);
	BUG_ON(report.exit >= 0 && report.signal > 0);
	report_fini(&report);
	return 0;
}
