/* SPDX-License-Identifier: MIT */
/*
 * report_json.c - a report as JSON; README.md, "Reports", says what is in it.
 */
#include <jansson.h>
#include <stdio.h>

#include "devices/devices.h"
#include "vmm/core/log.h"
#include "vmm/core/text.h"
#include "vmm/core/version.h"
#include "vmm/machine/console_log.h"
#include "vmm/run/facts.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/report.h"
#include "vmm/run/report/tap.h"

/* null: there is none. */
static json_t *text_or_null(const char *text)
{
	return text ? text_json(text) : json_null();
}

static json_t *number_or_null(int number)
{
	return number >= 0 ? json_integer(number) : json_null();
}

/* A LUN and what it has done; counters are null when the kernel serves it. */
static json_t *lun(struct device *dev)
{
	json_t *object = json_object(), *counters = json_object();
	char heard[512];

	facts_add(object, dev, facts_id);
	facts_add(object, dev, facts_live);
	log_hear(heard, sizeof(heard)); /* that the kernel does not tell is no error here */
	if (facts_add(counters, dev, facts_counters) < 0) {
		json_decref(counters);
		counters = json_null();
	}
	log_hear(NULL, 0);
	json_object_set_new(object, "counters", counters);
	return object;
}

static void add_line(void *list, const char *line)
{
	json_array_append_new(list, text_json(line));
}

/* The kernel's cannot be unplugged, so this one will stay. */
void report_leaves(struct report *r, struct device *dev)
{
	json_t *object = lun(dev);

	if (json_is_null(json_object_get(object, "counters"))) {
		json_decref(object);
		return;
	}
	json_object_set_new(object, "unplugged", json_true());
	if (!r->disks)
		r->disks = json_array();
	json_array_append_new(r->disks, object);
}

void report_disks(struct report *r, const struct device_list *devices)
{
	struct device *dev;
	size_t gone;

	if (!r->disks)
		r->disks = json_array();
	gone = json_array_size(r->disks);
	for (dev = devices->last; dev; dev = dev->next) { /* the list is backwards */
		if (dev->class->medium)
			json_array_insert_new(r->disks, gone, lun(dev));
	}
}

void report_vcpu(void *report, const char *line)
{
	struct report *r = report;

	if (!r->vcpus)
		r->vcpus = json_array();
	add_line(r->vcpus, line);
}

void report_console(struct report *r, struct console_log *log)
{
	r->console = json_array();
	console_log_tail(log, add_line, r->console);
}

static json_t *command(const struct report *r)
{
	json_t *argv = json_array();
	char *const *word;

	if (!r->argv) {
		json_decref(argv);
		return json_null();
	}
	for (word = r->argv; *word; word++)
		json_array_append_new(argv, text_json(*word));
	return json_pack("{so so so}", "argv", argv, "exit", number_or_null(r->exit), "signal",
			 number_or_null(r->signal));
}

/* In milliseconds since the first; null: was not reached. */
static json_t *phases(const struct report *r)
{
	json_t *object = json_object();
	enum report_phase phase;
	int64_t ns;

	for (phase = PHASE_BUILT; phase < PHASE_COUNT; phase++) {
		ns = report_time(r, phase);
		json_object_set_new(object, report_phases[phase],
				    ns < 0 ? json_null() : json_real((double)ns / 1e6));
	}
	return object;
}

/* Of all streams together. */
static json_t *tests(const struct report *r)
{
	json_t *problems = json_array();
	json_int_t count[TAP_RESULTS] = { 0 };
	const struct tap *t;
	unsigned i, n;

	for (i = 0; i < REPORT_STREAMS && (t = r->tap[i]); i++) {
		for (n = 0; n < TAP_RESULTS; n++)
			count[n] += (json_int_t)tap_count(t, n);
		for (n = 0; n < tap_problems(t); n++)
			json_array_append_new(problems, text_json(tap_problem(t, n)));
	}
	return json_pack("{sI sI sI sI so}", "ok", count[TAP_OK], "not_ok", count[TAP_NOT_OK],
			 "skip", count[TAP_SKIP], "todo", count[TAP_TODO], "problems", problems);
}

static json_t *machine(const struct report *r)
{
	const struct guest_cfg *cfg = r->cfg;
	json_t *initrd = cfg->initrds.count == 1 ? text_json(cfg->initrds.item[0]) : NULL;
	unsigned i;

	if (cfg->initrds.count > 1)
		initrd = json_array();
	for (i = 0; cfg->initrds.count > 1 && i < cfg->initrds.count; i++)
		json_array_append_new(initrd, text_json(cfg->initrds.item[i]));
	return json_pack("{so so so sI sI}", "kernel", text_or_null(cfg->kernel), "initrd",
			 initrd ? initrd : json_null(), "cmdline", text_or_null(r->cmdline), "cpus",
			 (json_int_t)cfg->machine.cpus, "memory", (json_int_t)cfg->machine.memory);
}

static json_t *messages(const struct report *r)
{
	static const char *const levels[] = {
		[LOG_ERR] = "error", [LOG_WARN] = "warning", [LOG_NOTE] = "note",
		[LOG_INFO] = "info", [LOG_DEBUG] = "debug",
	};
	json_t *list = json_array();
	unsigned i;

	for (i = 0; i < r->lines; i++)
		json_array_append_new(list, json_pack("{ss so}", "level", levels[r->line[i].level],
						      "text", text_or_null(r->line[i].text)));
	return list;
}

/* Of a run that has ended, or may never say more than this. */
static void put_cause(const struct report *r, json_t *to, bool finished)
{
	json_object_set_new(to, "finished", json_boolean(finished));
	json_object_set_new(to, "cause", json_string(finished ? causes[r->cause].name :
								 "unfinished"));
	json_object_set_new(to, "why", json_string(finished ? causes[r->cause].text :
		"lunette runs, or was killed before it could say how the run ended"));
	json_object_set_new(to, "status", finished ? json_integer(report_status(r)) : json_null());
	json_object_set_new(to, "signal", number_or_null(finished && r->by_signal ? r->by_signal :
									    -1));
	json_object_set_new(to, "error", text_or_null(r->error));
}

static json_t *list_or_empty(json_t *list)
{
	return list ? json_incref(list) : json_array();
}

char *report_json(struct report *r, bool finished)
{
	json_t *all = json_object();
	char *text = NULL;
	size_t len;
	FILE *out;

	json_object_set_new(all, "lunette", json_string(lunette_version));
	pthread_mutex_lock(&r->lock);
	put_cause(r, all, finished);
	json_object_set_new(all, "command", command(r));
	json_object_set_new(all, "phases", phases(r));
	json_object_set_new(all, "reboots", json_integer(r->reboots));
	json_object_set_new(all, "machine", machine(r));
	json_object_set_new(all, "disks", list_or_empty(r->disks));
	json_object_set_new(all, "at", list_or_empty(r->script));
	json_object_set_new(all, "expect", list_or_empty(r->expect));
	json_object_set_new(all, "tests", tests(r));
	json_object_set_new(all, "vcpus", list_or_empty(r->vcpus));
	json_object_set_new(all, "console", list_or_empty(r->console));
	json_object_set_new(all, "messages", messages(r));
	json_object_set_new(all, "messages_lost", json_integer(r->lost));
	pthread_mutex_unlock(&r->lock);
	out = open_memstream(&text, &len);
	if (out) {
		json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		fputc('\n', out);
		fclose(out);
	}
	json_decref(all);
	return text;
}
