/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/expect.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/text.h"
#include "vmm/core/util.h"
#include "vmm/run/facts.h"
#include "vmm/run/report/report.h"

enum op { EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST, BELOW, ABOVE, OPS };

/* Longer ones before those that they begin with. */
static const char *const ops[OPS] = {
	[EQUAL] = "==", [NOT_EQUAL] = "!=", [AT_MOST] = "<=",
	[AT_LEAST] = ">=", [BELOW] = "<", [ABOVE] = ">",
};

/* Words for what is counted, beside the names of the counters. */
static const struct {
	const char *word, *counter;
} words[] = {
	{ "command", "commands" }, { "error", "errors" }, { "write", "written" },
	{ "unmap", "unmapped" }, { "flush", "flushes" }, { "reset", "resets" },
};

struct expect {
	char disk[DEVICE_ID_MAX + 8]; /* as device_named() knows it */
	char counter[32];
	enum op op;
	uint64_t wanted;
};

/* Reading. */

static int refuse(const char *text, const char *why)
{
	log_err("--expect %s: %s", text, why);
	return -EUSAGE;
}

static const struct opt value_opts[] = {
	{ "value", OPT_SIZE, .max = UINT64_MAX, .help = "a number, or a size" },
	{ 0 }
};

static bool read_number(const char *text, uint64_t *value)
{
	char heard[256];
	int r;

	log_hear(heard, sizeof(heard));
	r = opt_set(value_opts, value, "expect", "value", text + strspn(text, " "));
	log_hear(NULL, 0);
	return r == 0;
}

/* @len bytes at @from, without spaces at their end, if they fit. */
static bool copy_word(char *to, size_t size, const char *from, size_t len)
{
	while (len && from[len - 1] == ' ')
		len--;
	if (!len || len >= size)
		return false;
	memcpy(to, from, len);
	to[len] = 0;
	return true;
}

static void name_counter(struct expect *e)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(words[i].word, e->counter))
			snprintf(e->counter, sizeof(e->counter), "%s", words[i].counter);
	}
}

/* "lunN" becomes "lun:N". */
static void name_disk(struct expect *e)
{
	size_t digits = strncmp(e->disk, "lun", 3) ? 0 : strspn(e->disk + 3, "0123456789");

	if (digits && !e->disk[3 + digits]) {
		memmove(e->disk + 4, e->disk + 3, digits + 1);
		e->disk[3] = ':';
	}
}

static int parse(struct expect *e, const char *text)
{
	const char *op = text + strcspn(text, "=!<>"), *dot = memrchr(text, '.', op - text);

	if (!dot || !copy_word(e->disk, sizeof(e->disk) - 1, text, dot - text) ||
	    !copy_word(e->counter, sizeof(e->counter), dot + 1, op - dot - 1))
		return refuse(text, "a disk's counter is wanted first, as in lun0.flushes>=1");
	for (e->op = 0; e->op < OPS && strncmp(op, ops[e->op], strlen(ops[e->op])); e->op++)
		;
	if (e->op == OPS)
		return refuse(text, "one of == != < <= > >= is wanted behind the counter");
	if (!read_number(op + strlen(ops[e->op]), &e->wanted))
		return refuse(text, "a number is wanted at the end; K, M, G, T are powers of 1024");
	name_disk(e);
	name_counter(e);
	return 0;
}

int expect_check(const struct expect_cfg *cfg)
{
	struct expect e;
	unsigned i;
	int r = 0;

	for (i = 0; i < cfg->disks.count && !r; i++)
		r = parse(&e, cfg->disks.item[i]);
	return r;
}

/* Counters. */

struct finding {
	struct device_facts facts;
	const char *counter;
	bool found;
	uint64_t value;
	char names[256]; /* of all that there are */
};

static void hear_number(struct device_facts *to, const char *key, uint64_t value)
{
	struct finding *f = container_of(to, struct finding, facts);
	size_t at = strlen(f->names);

	snprintf(f->names + at, sizeof(f->names) - at, "%s%s", at ? ", " : "", key);
	if (!strcmp(key, f->counter)) {
		f->found = true;
		f->value = value;
	}
}

static void hear_numbers(struct device_facts *to, const char *key, const uint64_t *value,
			 unsigned count)
{
	(void)to;
	(void)key;
	(void)value;
	(void)count;
}

static void hear_text(struct device_facts *to, const char *key, const char *value)
{
	(void)to;
	(void)key;
	(void)value;
}

/* -ENODEV: there is no such disk; -EBUSY: the kernel counts; the reason is in @why then. */
static int find_counter(const struct expect *e, const struct device_list *devices,
			struct finding *f, char *why, size_t size)
{
	struct device *dev;
	int r;

	*f = (struct finding){ { hear_text, hear_number, hear_numbers }, .counter = e->counter };
	log_hear(why, size);
	dev = device_named(devices, e->disk);
	r = dev ? facts_counters(dev, &f->facts) : -ENODEV;
	log_hear(NULL, 0);
	if (r == -EBUSY)
		snprintf(why, size, "the kernel serves %s (vhost), and what it counts is not "
			 "known; run with --vhost off", dev->id);
	return r;
}

int expect_check_devices(const struct expect_cfg *cfg, const struct device_list *devices)
{
	char why[400];
	struct finding f;
	struct expect e;
	unsigned i;

	for (i = 0; i < cfg->disks.count; i++) {
		if (parse(&e, cfg->disks.item[i]) < 0)
			return -EUSAGE;
		if (find_counter(&e, devices, &f, why, sizeof(why)) < 0)
			return refuse(cfg->disks.item[i], why);
		if (!f.found) {
			snprintf(why, sizeof(why), "'%s' is none of the counters: %s", e.counter,
				 f.names);
			return refuse(cfg->disks.item[i], why);
		}
	}
	return 0;
}

/* The end. */

static bool holds(enum op op, uint64_t got, uint64_t wanted)
{
	switch (op) {
	case EQUAL:
		return got == wanted;
	case NOT_EQUAL:
		return got != wanted;
	case AT_MOST:
		return got <= wanted;
	case AT_LEAST:
		return got >= wanted;
	case BELOW:
		return got < wanted;
	default:
		return got > wanted;
	}
}

/* @got is taken over; NULL: nothing is known. */
static void note(struct report *r, const char *text, json_t *got, bool met)
{
	if (!r->expect)
		r->expect = json_array();
	json_array_append_new(r->expect, json_pack("{so so sb}", "text", text_json(text), "got",
						   got ? got : json_null(), "met", met));
}

static bool disk_met(const char *text, const struct device_list *devices, struct report *r,
		     bool say)
{
	struct finding f;
	struct expect e;
	char why[400];
	bool met;

	if (parse(&e, text) < 0)
		return false;
	if (find_counter(&e, devices, &f, why, sizeof(why)) < 0) { /* it has been unplugged */
		if (say)
			log_err("--expect %s: the disk is gone, and what it had counted; %s", text,
				why);
		note(r, text, NULL, false);
		return false;
	}
	met = holds(e.op, f.value, e.wanted);
	if (!met && say)
		log_err("--expect %s: not met: %s of %s is %" PRIu64, text, e.counter, e.disk,
			f.value);
	note(r, text, json_integer((json_int_t)f.value), met);
	return met;
}

static bool boot_met(uint64_t wanted_ms, struct report *r, bool say)
{
	int64_t ns = report_time(r, PHASE_START);
	char wanted[24], text[64];
	bool met;

	met = ns >= 0 && (uint64_t)ns <= wanted_ms * 1000000;
	snprintf(text, sizeof(text), "--boot-budget %s", opt_time_text(wanted_ms, wanted));
	if (!met && say && ns < 0)
		log_err("%s: not met: no command was started", text);
	else if (!met && say)
		log_err("%s: not met: it took %.1f ms", text, (double)ns / 1e6);
	note(r, text, ns < 0 ? NULL : json_real((double)ns / 1e6), met);
	return met;
}

bool expect_met(const struct expect_cfg *cfg, const struct device_list *devices, struct report *r,
		bool say)
{
	bool met = true;
	unsigned i;

	for (i = 0; i < cfg->disks.count; i++)
		met &= disk_met(cfg->disks.item[i], devices, r, say);
	if (cfg->boot_ms)
		met &= boot_met(cfg->boot_ms, r, say);
	return met;
}
