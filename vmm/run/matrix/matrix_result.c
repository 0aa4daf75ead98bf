/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_result.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/report/junit.h"

/*
 * The gravest first: what lunette or the host failed at, since other runs will too; what the guests
 * did; what somebody wanted.
 */
static const enum cause gravity[] = {
	CAUSE_BUG, CAUSE_NO_KVM, CAUSE_SLOW_KVM, CAUSE_KVM_ERROR, CAUSE_MEMORY, CAUSE_HOST_IO,
	CAUSE_SETUP, CAUSE_USAGE, CAUSE_PANIC, CAUSE_TRIPLE_FAULT, CAUSE_OOM, CAUSE_BOOT,
	CAUSE_TIMEOUT, CAUSE_HALTED, CAUSE_NO_RESULT, CAUSE_REBOOT, CAUSE_EXPECT, CAUSE_QUIT,
	CAUSE_SIGNAL,
};

void matrix_result_fini(struct matrix_result *r)
{
	free(r->error);
	free(r->junit);
	free(r->last);
	json_decref(r->report);
	*r = (struct matrix_result){ 0 };
}

bool matrix_succeeded(const struct matrix_result *r)
{
	return r->state == MATRIX_ENDED && r->status == 0;
}

static bool has_failed(const struct matrix_result *r)
{
	return r->state == MATRIX_ENDED && r->status != 0;
}

int matrix_status(const struct matrix_result *r, unsigned n)
{
	const struct matrix_result *of[CAUSE_COUNT] = { 0 };
	bool failed = false;
	unsigned i;

	for (i = 0; i < n; i++) {
		failed = failed || has_failed(&r[i]);
		if (has_failed(&r[i]) && !of[r[i].cause])
			of[r[i].cause] = &r[i];
	}
	if (of[CAUSE_EXIT])
		return 1;
	for (i = 0; i < ARRAY_SIZE(gravity); i++) {
		if (of[gravity[i]])
			return gravity[i] == CAUSE_SIGNAL ? of[gravity[i]]->status :
							    causes[gravity[i]].status;
	}
	/* Else its report and its status contradict each other: it was killed in between. */
	return failed ? causes[CAUSE_BUG].status : 0;
}

/* Lines. */

static const char *word_for(const struct matrix_result *r)
{
	if (r->state == MATRIX_ENDED)
		return r->status ? "FAILED" : "ok";
	return r->state == MATRIX_STOPPED ? "stopped" : "not run";
}

void matrix_print(FILE *out, const char *name, int width, const struct matrix_result *r)
{
	if (r->state == MATRIX_WAITING)
		fprintf(out, "%-7s %s\n", word_for(r), name);
	else
		fprintf(out, "%-7s %-*s  %-11s %3d %9.2f s\n", word_for(r), width, name,
			causes[r->cause].name, r->status, r->seconds);
}

/* A guest's bytes on somebody's terminal: only what cannot steer it. */
static void put_lines(FILE *out, const char *text)
{
	bool begins = true;

	for (; *text; text++) {
		if (begins)
			fputs("  | ", out);
		begins = *text == '\n';
		if (*text != '\r' || text[1] != '\n')
			fputc(((unsigned char)*text < ' ' && !strchr("\n\t", *text)) ||
			      *text == 0x7f ? '?' : *text, out);
	}
	if (!begins)
		fputc('\n', out);
}

static void print_failure(FILE *out, const char *name, const struct matrix_result *r)
{
	fprintf(out, "\n%s: ", name);
	if (r->error)
		utf8_line(out, "%s", r->error);
	else if (r->cause == CAUSE_EXIT)
		fprintf(out, "the command's status is %d\n", r->status);
	else
		fprintf(out, "%s\n", causes[r->cause].text);
	if (r->last)
		put_lines(out, r->last);
}

void matrix_print_end(FILE *out, const struct matrix *m, const struct matrix_result *r,
		      double seconds)
{
	unsigned i, ok = 0, failed = 0;

	for (i = 0; i < m->runs; i++) {
		if (has_failed(&r[i]))
			print_failure(out, m->run[i].name, &r[i]);
		ok += matrix_succeeded(&r[i]);
		failed += has_failed(&r[i]);
	}
	fprintf(out, "%s%u runs: %u succeeded, %u failed", failed ? "\n" : "", m->runs, ok, failed);
	if (ok + failed < m->runs)
		fprintf(out, ", %u stopped or not run", m->runs - ok - failed);
	fprintf(out, ", %.2f s\n", seconds);
}

/* Reports. */

static json_t *values(const struct matrix *m, const struct matrix_run *run)
{
	json_t *object = json_object();
	unsigned i;

	for (i = 0; i < m->axes; i++)
		json_object_set_new(object, m->axis[i],
				    run->value[i] ? json_string(run->value[i]) : json_null());
	return object;
}

/* Of a run that left none. */
static json_t *no_report(const struct matrix_result *r)
{
	bool ended = r->state == MATRIX_ENDED || r->state == MATRIX_STOPPED;

	return json_pack("{sb ss so so}", "finished", ended, "cause",
			 ended ? causes[r->cause].name : "unfinished", "status",
			 ended ? json_integer(r->status) : json_null(), "error",
			 r->error ? text_json(r->error) : json_null());
}

static json_t *one(const struct matrix *m, const struct matrix_run *run,
		   const struct matrix_result *r)
{
	json_t *object = json_pack("{ss so sf}", "run", run->name, "values", values(m, run),
				   "seconds", r->seconds);
	json_t *report = r->report ? json_incref(r->report) : no_report(r);

	json_object_update(object, report);
	json_decref(report);
	return object;
}

char *matrix_json(const struct matrix *m, const struct matrix_result *r)
{
	json_t *all = json_array();
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	unsigned i;

	for (i = 0; i < m->runs; i++)
		json_array_append_new(all, one(m, &m->run[i], &r[i]));
	if (out) {
		json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
		fputc('\n', out);
		fclose(out);
	}
	json_decref(all);
	return text;
}

static void put_suite(FILE *out, const char *name, const struct matrix_result *r)
{
	if (r->junit && junit_put_suite(out, r->junit, name))
		return;
	if (r->state == MATRIX_ENDED)
		junit_put_lost(out, name, causes[r->cause].name,
			       r->error ? r->error : causes[r->cause].text);
	else if (r->state == MATRIX_WAITING)
		junit_put_lost(out, name, NULL, "not run");
	else
		junit_put_lost(out, name, "unfinished", "it runs, or was stopped");
}

char *matrix_junit(const struct matrix *m, const struct matrix_result *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	unsigned i;

	if (!out)
		return NULL;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
	for (i = 0; i < m->runs; i++)
		put_suite(out, m->run[i].name, &r[i]);
	fputs("</testsuites>\n", out);
	return fclose(out) ? NULL : text;
}
