/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/core/log.h"
#include "vmm/run/report/tap.h"

const char *const report_phases[PHASE_COUNT] = {
	[PHASE_BEGUN] = "begun",
	[PHASE_BUILT] = "built",
	[PHASE_ENTERED] = "entered",
	[PHASE_UP] = "up",
	[PHASE_START] = "start",
	[PHASE_END] = "end",
	[PHASE_OFF] = "off",
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* A line that is not kept for want of memory is not worth ending a run for. */
static void hear(void *arg, enum log_level level, const char *text)
{
	struct report *r = arg;

	pthread_mutex_lock(&r->lock);
	if (level == LOG_ERR) {
		free(r->error);
		r->error = strdup(text);
	}
	if (r->lines < REPORT_LINES_MAX)
		r->line[r->lines++] = (struct report_line){ level, strdup(text) };
	else
		r->lost++;
	pthread_mutex_unlock(&r->lock);
}

void report_init(struct report *r, const struct guest_cfg *cfg)
{
	*r = (struct report){ .cfg = cfg, .exit = -1, .signal = -1 };
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->tap_lock, NULL);
	report_mark(r, PHASE_BEGUN);
	log_watch(hear, r);
}

void report_fini(struct report *r)
{
	unsigned i;

	log_watch(NULL, NULL);
	for (i = 0; i < REPORT_STREAMS; i++)
		tap_destroy(r->tap[i]);
	while (r->lines)
		free(r->line[--r->lines].text);
	free(r->error);
	free(r->cmdline);
	json_decref(r->disks);
	json_decref(r->console);
	json_decref(r->vcpus);
	json_decref(r->script);
	json_decref(r->expect);
	pthread_mutex_destroy(&r->tap_lock);
	pthread_mutex_destroy(&r->lock);
}

void report_mark(struct report *r, enum report_phase phase)
{
	uint64_t never = 0;

	atomic_compare_exchange_strong(&r->at[phase], &never, now_ns());
}

void report_command(struct report *r, int exit, int signal)
{
	atomic_store(&r->exit, signal ? -1 : exit);
	atomic_store(&r->signal, signal ? signal : -1);
}

int report_listen(struct report *r)
{
	unsigned i;

	for (i = 0; i < REPORT_STREAMS; i++) {
		if (!r->tap[i])
			r->tap[i] = tap_create();
		if (!r->tap[i])
			return -ENOMEM;
	}
	return 0;
}

void report_feed(struct report *r, enum report_stream stream, const void *data, size_t len)
{
	if (!r->tap[stream])
		return;
	pthread_mutex_lock(&r->tap_lock);
	tap_feed(r->tap[stream], data, len);
	pthread_mutex_unlock(&r->tap_lock);
}

void report_end_streams(struct report *r)
{
	unsigned i;

	for (i = 0; i < REPORT_STREAMS; i++) {
		if (r->tap[i])
			tap_end(r->tap[i]);
	}
}

int report_status(const struct report *r)
{
	int status = causes[r->cause].status;

	if (r->cause == CAUSE_EXIT)
		return r->signal > 0 ? 128 + r->signal : r->exit;
	return r->cause == CAUSE_SIGNAL ? status + r->by_signal : status;
}

int64_t report_now(const struct report *r)
{
	return (int64_t)(now_ns() - atomic_load(&r->at[PHASE_BEGUN]));
}

int64_t report_time(const struct report *r, enum report_phase phase)
{
	uint64_t at = atomic_load(&r->at[phase]);

	return at ? (int64_t)(at - atomic_load(&r->at[PHASE_BEGUN])) : -1;
}

void report_log_times(const struct report *r)
{
	enum report_phase phase;
	char text[256] = "";
	int64_t ns;
	int at = 0;

	for (phase = PHASE_BUILT; phase < PHASE_COUNT; phase++) {
		ns = report_time(r, phase);
		if (ns >= 0)
			at += snprintf(text + at, sizeof(text) - at, "%s%s %.1f ms",
				       at ? ", " : "", report_phases[phase], (double)ns / 1e6);
	}
	log_info("since the start of lunette: %s", text);
}
