/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/junit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/core/text.h"
#include "vmm/run/report/junit_names.h"
#include "vmm/run/report/report.h"
#include "vmm/run/report/tap.h"

/*
 * What a cause is in a test's terms: an error says that nothing was tested, and is what a cause
 * without a row is.
 */
enum verdict { ERROR, FAILED, PASSED };

static const char *const elements[] = { [FAILED] = "failure", [ERROR] = "error" };

static const enum verdict verdicts[CAUSE_COUNT] = {
	[CAUSE_POWEROFF] = PASSED,
	[CAUSE_USAGE] = ERROR,
	[CAUSE_SETUP] = ERROR,
	[CAUSE_NO_KVM] = ERROR,
	[CAUSE_SLOW_KVM] = ERROR,
	[CAUSE_REBOOT] = FAILED,
	[CAUSE_PANIC] = FAILED,
	[CAUSE_TRIPLE_FAULT] = FAILED,
	[CAUSE_KVM_ERROR] = ERROR,
	[CAUSE_QUIT] = ERROR,
	[CAUSE_NO_RESULT] = FAILED,
	[CAUSE_HOST_IO] = ERROR,
	[CAUSE_TIMEOUT] = FAILED,
	[CAUSE_BOOT] = FAILED,
	[CAUSE_OOM] = FAILED,
	[CAUSE_MEMORY] = ERROR,
	[CAUSE_EXPECT] = FAILED,
	[CAUSE_HALTED] = FAILED,
	[CAUSE_BUG] = ERROR,
	[CAUSE_EXIT] = PASSED, /* with status 0 */
	[CAUSE_SIGNAL] = ERROR,
};

static const char *const stream_names[REPORT_STREAMS] = {
	[STREAM_STDOUT] = "stdout",
	[STREAM_CONSOLE] = "console",
};

static const char *const results[TAP_RESULTS] = {
	[TAP_OK] = "ok",
	[TAP_NOT_OK] = "not ok",
	[TAP_SKIP] = "skip",
	[TAP_TODO] = "todo",
};

/* What is wrong with the run as a whole. */
struct fault {
	enum verdict verdict;
	const char *type;
	char message[1200];
};

static void put(FILE *out, const char *text)
{
	text_xml(out, text, text ? strlen(text) : 0);
}

static void put_attribute(FILE *out, const char *name, const char *value)
{
	fprintf(out, " %s=\"", name);
	put(out, value);
	fputc('"', out);
}

static void put_seconds(FILE *out, double seconds)
{
	if (seconds >= 0)
		fprintf(out, " time=\"%.3f\"", seconds);
}

/* The first thing that is wrong with what a stream's tests were to be. */
static const char *first_problem(const struct report *r)
{
	unsigned i;

	for (i = 0; i < REPORT_STREAMS; i++) {
		if (r->tap[i] && tap_problems(r->tap[i]))
			return tap_problem(r->tap[i], 0);
	}
	return NULL;
}

static struct fault find_fault(const struct report *r, bool finished)
{
	struct fault f = { .verdict = verdicts[r->cause], .type = causes[r->cause].name };
	const char *problem = first_problem(r), *what = r->error;

	if (!finished) {
		f.verdict = ERROR;
		f.type = "unfinished";
		what = "lunette runs, or was killed before it could say how the run ended";
	} else if (r->cause == CAUSE_EXIT && report_status(r) != 0) {
		f.verdict = FAILED;
		snprintf(f.message, sizeof(f.message), r->signal > 0 ? "killed by signal %d" :
			 "exit status %d", r->signal > 0 ? r->signal : r->exit);
		return f;
	} else if (f.verdict == PASSED && problem) {
		f.verdict = FAILED;
		f.type = "tap";
		what = problem;
	}
	snprintf(f.message, sizeof(f.message), "%s", what ? what : causes[r->cause].text);
	return f;
}

/* Tests. */

/* Those that are no sum of others: parts come before what they are of. NULL: no memory. */
static bool *choose_tests(const struct tap *t)
{
	bool *shown = calloc(tap_tests(t) + 1, sizeof(*shown));
	const struct tap_test *test;
	unsigned i;

	for (i = 0; shown && i < tap_tests(t); i++) {
		test = tap_test(t, i);
		/* Until its own turn comes this says that a part of it is not ok. */
		shown[i] = !test->has_parts || (test->result == TAP_NOT_OK && !shown[i]);
		if (test->result == TAP_NOT_OK && test->parent >= 0)
			shown[test->parent] = true;
	}
	return shown;
}

static void put_class(FILE *out, const struct tap *t, const struct junit_names *names, int parent,
		      const char *stream)
{
	if (parent < 0) {
		fputs(stream, out);
		return;
	}
	put_class(out, t, names, tap_test(t, parent)->parent, stream);
	fputc('.', out);
	put(out, junit_name(names, parent));
}

static void put_test(FILE *out, const struct tap *t, const struct junit_names *names, unsigned n,
		     const char *stream)
{
	const struct tap_test *test = tap_test(t, n);

	fputs("<testcase classname=\"", out);
	put_class(out, t, names, test->parent, stream);
	fputc('"', out);
	put_attribute(out, "name", junit_name(names, n));
	put_seconds(out, test->seconds);
	if (test->result == TAP_OK) {
		fputs("/>\n", out);
		return;
	}
	fputs(test->result == TAP_NOT_OK ? "><failure type=\"not ok\"" : "><skipped", out);
	put_attribute(out, "message", test->why ? test->why : results[test->result]);
	fputc('>', out);
	put(out, test->more);
	fputs(test->result == TAP_NOT_OK ? "</failure>" : "</skipped>", out);
	fputs("</testcase>\n", out);
}

struct totals {
	unsigned tests, failed, skipped;
};

static void put_tests(FILE *out, const struct tap *t, const char *stream, struct totals *sum)
{
	struct junit_names *names = junit_names_create(t);
	bool *shown = choose_tests(t);
	const struct tap_test *test;
	unsigned i;

	for (i = 0; names && shown && i < tap_tests(t); i++) {
		if (!shown[i])
			continue;
		test = tap_test(t, i);
		sum->tests++;
		sum->failed += test->result == TAP_NOT_OK;
		sum->skipped += test->result == TAP_SKIP || test->result == TAP_TODO;
		put_test(out, t, names, i, stream);
	}
	junit_names_destroy(names);
	free(shown);
}

/* The run. */

static void put_command(FILE *out, const struct report *r)
{
	char *name = r->argv ? junit_command(r->argv) : NULL;

	put_attribute(out, "name", name ? name : "lunette run");
	free(name);
}

static void put_problems(FILE *out, const struct report *r)
{
	unsigned i, n;

	for (i = 0; i < REPORT_STREAMS; i++) {
		for (n = 0; r->tap[i] && n < tap_problems(r->tap[i]); n++) {
			fprintf(out, "%s: ", stream_names[i]);
			put(out, tap_problem(r->tap[i], n));
			fputc('\n', out);
		}
	}
}

static unsigned long lost_tests(const struct tap *t)
{
	return tap_count(t, TAP_OK) + tap_count(t, TAP_NOT_OK) + tap_count(t, TAP_SKIP) +
	       tap_count(t, TAP_TODO) - tap_tests(t);
}

static void put_console(FILE *out, const struct report *r)
{
	const json_t *line;
	unsigned i;
	size_t n;

	fputs("<system-out>", out);
	for (i = 0; i < REPORT_STREAMS; i++) {
		if (r->tap[i] && lost_tests(r->tap[i]))
			fprintf(out, "%lu more tests on %s are not listed\n", lost_tests(r->tap[i]),
				stream_names[i]);
	}
	json_array_foreach(r->console, n, line) {
		text_xml(out, json_string_value(line), json_string_length(line));
		fputc('\n', out);
	}
	fputs("</system-out>\n", out);
}

/* From one phase to another, in seconds; below 0: not known. */
static double between(const struct report *r, enum report_phase from, enum report_phase to)
{
	int64_t begin = report_time(r, from), end = report_time(r, to);

	return begin < 0 || end < begin ? -1 : (double)(end - begin) / 1e9;
}

static void put_run(FILE *out, const struct report *r, const struct fault *f)
{
	double seconds = between(r, PHASE_START, PHASE_END);

	fputs("<testcase classname=\"lunette\"", out);
	put_command(out, r);
	put_seconds(out, seconds < 0 ? between(r, PHASE_BEGUN, PHASE_OFF) : seconds);
	fputs(">\n", out);
	if (f->verdict != PASSED) {
		fprintf(out, "<%s", elements[f->verdict]);
		put_attribute(out, "type", f->type);
		put_attribute(out, "message", f->message);
		fputc('>', out);
		put_problems(out, r);
		fprintf(out, "</%s>\n", elements[f->verdict]);
	}
	put_console(out, r);
	fputs("</testcase>\n", out);
}

/* The totals stand before what they are of. */
static void put_suite(FILE *out, const struct report *r, const struct fault *f,
		      const struct totals *sum)
{
	time_t begun = time(NULL) - (report_now(r) / 1000000000);
	char when[32] = "";
	struct tm tm;

	if (gmtime_r(&begun, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite", out);
	put_attribute(out, "name", "lunette");
	put_attribute(out, "timestamp", when);
	fprintf(out, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\" time=\"%.3f\">\n",
		sum->tests + 1, sum->failed + (f->verdict == FAILED), f->verdict == ERROR,
		sum->skipped, (double)report_now(r) / 1e9);
}

char *junit_text(struct report *r, bool finished)
{
	struct totals sum = { 0 };
	char *tests = NULL, *all = NULL;
	size_t tests_len, len;
	struct fault f;
	FILE *out;
	unsigned i;

	out = open_memstream(&tests, &tests_len);
	for (i = 0; out && i < REPORT_STREAMS; i++) {
		if (r->tap[i])
			put_tests(out, r->tap[i], stream_names[i], &sum);
	}
	if (!out || fclose(out))
		return NULL;
	out = open_memstream(&all, &len);
	pthread_mutex_lock(&r->lock);
	f = find_fault(r, finished);
	pthread_mutex_unlock(&r->lock);
	if (out) {
		put_suite(out, r, &f, &sum);
		put_run(out, r, &f);
		fwrite(tests, 1, tests_len, out);
		fputs("</testsuite>\n</testsuites>\n", out);
		fclose(out);
	}
	free(tests);
	return all;
}

bool junit_put_suite(FILE *out, const char *text, const char *name)
{
	static const char suite[] = "<testsuite name=\"lunette", test[] = "<testcase classname=\"";
	const char *end = strstr(text, "</testsuites>"), *next;

	text = strstr(text, suite);
	if (!text || !end)
		return false;
	fputs("<testsuite name=\"", out);
	put(out, name);
	text += strlen(suite);
	/* What was printed has no < in a report. */
	for (; (next = strstr(text, test)); text = next + strlen(test)) {
		fprintf(out, "%.*s%s", (int)(next - text), text, test);
		put(out, name);
		fputc('.', out);
	}
	fprintf(out, "%.*s", (int)(end - text), text);
	return true;
}

/* An attribute's value in the tag at @tag; empty if there is none. */
static struct junit_part attribute(const char *tag, const char *name)
{
	const char *end = tag + strcspn(tag, ">"), *at = strstr(tag, name);
	struct junit_part part = { "", 0 };

	if (at && at < end) {
		part.text = at + strlen(name);
		part.len = strcspn(part.text, "\"<>");
	}
	return part;
}

const char *junit_next_failed(const char *at, struct junit_failed *f)
{
	static const char test[] = "<testcase", failure[] = "<failure";
	const char *tag;

	while ((at = strstr(at, test))) {
		tag = at;
		at += strcspn(at, ">");
		f->class = attribute(tag, " classname=\"");
		if (*at != '>' || strncmp(++at, failure, strlen(failure)) ||
		    !strncmp(f->class.text, "lunette\"", strlen("lunette\"")))
			continue;
		f->name = attribute(tag, " name=\"");
		f->message = attribute(at, " message=\"");
		at += strcspn(at, ">");
		f->more.text = *at ? ++at : at;
		f->more.len = strcspn(at, "<");
		return at;
	}
	return NULL;
}

void junit_put_lost(FILE *out, const char *name, const char *type, const char *message)
{
	const char *element = type ? "error" : "skipped";

	fputs("<testsuite", out);
	put_attribute(out, "name", name);
	fprintf(out, " tests=\"1\" failures=\"0\" errors=\"%d\" skipped=\"%d\">\n", type != NULL,
		type == NULL);
	fputs("<testcase classname=\"", out);
	put(out, name);
	fprintf(out, ".lunette\" name=\"lunette run\"><%s", element);
	if (type)
		put_attribute(out, "type", type);
	put_attribute(out, "message", message);
	fputs("/></testcase>\n</testsuite>\n", out);
}
