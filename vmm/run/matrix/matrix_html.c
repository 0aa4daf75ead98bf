/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_html.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/core/text.h"
#include "vmm/core/util.h"
#include "vmm/core/version.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_result.h"
#include "vmm/run/report/junit.h"

/* How a run looks: a word and a colour. */
enum look { LOOK_OK, LOOK_TESTS, LOOK_FAILED, LOOK_STOPPED, LOOK_RUNNING, LOOK_WAITING, LOOKS };

static const struct {
	const char *class, *word, *means;
} looks[LOOKS] = {
	[LOOK_OK] = { "ok", "ok", "succeeded" },
	[LOOK_TESTS] = { "tests", "tests", "succeeded, though tests failed" },
	[LOOK_FAILED] = { "failed", "FAILED", "failed" },
	[LOOK_STOPPED] = { "stopped", "stopped", "were stopped" },
	[LOOK_RUNNING] = { "running", "running", "have not ended" },
	[LOOK_WAITING] = { "waiting", "not run", "did not run" },
};

/* What goes on from each phase of a report on. */
static const struct {
	const char *from, *word;
} phases[] = {
	{ "begun", "set-up" }, { "built", "entry" }, { "entered", "boot" },
	{ "up", "init" }, { "start", "command" }, { "end", "shutdown" }, { "off", NULL },
};

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\""
	" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<style>\n"
	":root { color-scheme: light dark; --page: #fff; --text: #1c2126; --dim: #5a6570;"
	" --line: #d5dade; --box: #f5f7f8; --ok: #d3f0d9; --tests: #fbe6b0; --failed: #fbd0cc;"
	" --stopped: #e2e5e8; --p0: #8a97a3; --p1: #c46a9c; --p2: #3f7fc4; --p3: #7a62c9;"
	" --p4: #2f9e62; --p5: #c98a2b }\n"
	"@media (prefers-color-scheme: dark) { :root { --page: #14181c; --text: #e4e8ec;"
	" --dim: #9aa6b1; --line: #353d45; --box: #1d2329; --ok: #1d4429; --tests: #574312;"
	" --failed: #642b27; --stopped: #353c43 } }\n"
	"body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--page);"
	" color: var(--text); font: 15px/1.45 system-ui, sans-serif }\n"
	"h1 { font-size: 1.4rem; margin: 0 0 .3rem; overflow-wrap: anywhere }\n"
	"h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere }\n"
	"p { margin: .3rem 0; overflow-wrap: anywhere }\n"
	"a { color: inherit }\n"
	".dim { color: var(--dim); font-size: .85rem }\n"
	".wide { overflow-x: auto; margin: 1rem 0 }\n"
	"table { border-collapse: separate; border-spacing: 3px }\n"
	"th { text-align: left; font-weight: 600; padding: .25rem .5rem; white-space: nowrap }\n"
	"thead th { color: var(--dim) }\n"
	"tbody th { background: var(--box); border-radius: 3px }\n"
	"td { padding: 0; border-radius: 4px; min-width: 7rem; vertical-align: top }\n"
	"td a { display: block; padding: .35rem .5rem .45rem; text-decoration: none }\n"
	"td a:hover, td a:focus { outline: 2px solid var(--p2); border-radius: 4px }\n"
	".top { display: flex; justify-content: space-between; gap: .8rem; white-space: nowrap;"
	" font-variant-numeric: tabular-nums }\n"
	".bar { display: flex; height: 6px; margin-top: .3rem; border-radius: 3px;"
	" overflow: hidden }\n"
	".run .bar { height: 12px }\n"
	".bar i { min-width: 1px }\n"
	".phase { white-space: nowrap; margin-right: .9em }\n"
	".key { display: inline-block; width: .7em; height: .7em; border-radius: 2px;"
	" margin-right: .3em }\n"
	".p0 { background: var(--p0) } .p1 { background: var(--p1) }\n"
	".p2 { background: var(--p2) } .p3 { background: var(--p3) }\n"
	".p4 { background: var(--p4) } .p5 { background: var(--p5) }\n"
	".ok { background: var(--ok) } .tests { background: var(--tests) }\n"
	".failed { background: var(--failed) }\n"
	".stopped, .running, .waiting { background: var(--stopped) }\n"
	".run { border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem;"
	" margin: .8rem 0 }\n"
	".run:target { border-color: var(--p2); box-shadow: 0 0 0 2px var(--p2) }\n"
	".mark { border-radius: 3px; padding: 0 .4rem; font-size: .85rem }\n"
	"pre { background: var(--box); border-radius: 4px; padding: .5rem; margin: .3rem 0;"
	" max-height: 30rem; overflow: auto; font: 12.5px/1.4 ui-monospace, monospace }\n"
	"code { font: 12.5px ui-monospace, monospace; overflow-wrap: anywhere }\n"
	"pre, code, .said { unicode-bidi: isolate }\n"
	"summary { cursor: pointer; color: var(--dim); font-size: .85rem; margin-top: .3rem }\n"
	"ul { margin: .3rem 0; padding-left: 1.2rem }\n"
	"</style>\n";

/* Text. */

static void put(FILE *out, const char *text)
{
	text_xml(out, text, strlen(text));
}

/* The length of what steers a terminal there, such as its colours; 0: nothing does. */
static size_t steering(const char *text, size_t len)
{
	size_t n = 2;

	if (len && *text == '\r')
		return 1;
	if (len < 2 || text[0] != '\x1b' || text[1] != '[')
		return 0;
	while (n < len && text[n] >= ' ' && text[n] < '@')
		n++;
	return n + (n < len && text[n] >= '@' && text[n] <= '~');
}

/* What a guest has printed, without what steers a terminal. */
static void put_printed(FILE *out, const char *text, size_t len)
{
	size_t n, skip;

	while (len) {
		skip = steering(text, len);
		for (n = skip ? 0 : 1; !skip && n < len && !steering(text + n, len - n);)
			n++;
		text_xml(out, text, n);
		text += n + skip;
		len -= n + skip;
	}
}

static void put_string(FILE *out, const json_t *string)
{
	put_printed(out, json_string_value(string), json_string_length(string));
}

static void put_ms(FILE *out, double ms)
{
	if (ms < 1000)
		fprintf(out, "%.*f ms", ms < 10 ? 1 : 0, ms);
	else
		fprintf(out, "%.2f s", ms / 1000);
}

/* Runs. */

static json_int_t failed_tests(const struct matrix_result *r)
{
	return json_integer_value(json_object_get(json_object_get(r->report, "tests"), "not_ok"));
}

static enum look look_of(const struct matrix_result *r)
{
	switch (r->state) {
	case MATRIX_ENDED:
		if (r->status)
			return LOOK_FAILED;
		return failed_tests(r) ? LOOK_TESTS : LOOK_OK;
	case MATRIX_STOPPED:
		return LOOK_STOPPED;
	case MATRIX_RUNNING:
		return LOOK_RUNNING;
	default:
		return LOOK_WAITING;
	}
}

/* When a phase was reached, in ms; below 0: it was not. */
static double reached(const struct matrix_result *r, unsigned phase)
{
	const json_t *at = json_object_get(json_object_get(r->report, "phases"),
					   phases[phase].from);

	return phase == 0 ? 0 : json_is_number(at) ? json_number_value(at) : -1;
}

/* What goes on from one phase on ends where the next one is that was reached. */
struct span {
	unsigned phase, next;
	double from, to; /* ms */
};

/* The next one behind @s, which begins as zero. */
static bool next_span(const struct matrix_result *r, struct span *s)
{
	s->phase = s->next;
	s->from = s->to;
	while (++s->next < ARRAY_SIZE(phases)) {
		s->to = reached(r, s->next);
		if (s->to >= s->from)
			return true;
	}
	return false;
}

static double length_of(const struct matrix_result *r)
{
	struct span s = { 0 };
	double end = 0;

	while (next_span(r, &s))
		end = s.to;
	return end;
}

/* @longest: what would be as long as there is room for. */
static void put_bar(FILE *out, const struct matrix_result *r, double longest)
{
	struct span s = { 0 };

	if (longest <= 0 || length_of(r) <= 0)
		return;
	fputs("<span class=\"bar\">", out);
	while (next_span(r, &s)) {
		fprintf(out, "<i class=\"p%u\" style=\"width: %.2f%%\" title=\"%s ", s.phase,
			100 * (s.to - s.from) / longest, phases[s.phase].word);
		put_ms(out, s.to - s.from);
		fputs("\"></i>", out);
	}
	fputs("</span>", out);
}

/* The table. */

struct place {
	unsigned row, column, run;
};

struct grid {
	struct place *place; /* of each run, row by row */
	unsigned *row, *column; /* a run in each */
	unsigned rows, columns;
	unsigned heads; /* axes that make rows: the first ones */
};

static bool same_values(const struct matrix *m, unsigned a, unsigned b, unsigned from, unsigned to)
{
	const char *x, *y;

	for (; from < to; from++) {
		x = m->run[a].value[from];
		y = m->run[b].value[from];
		if (x != y && (!x || !y || strcmp(x, y)))
			return false;
	}
	return true;
}

/* Which of @count has these values of a run's; a new one, if none. */
static unsigned find_line(const struct matrix *m, unsigned *line, unsigned *count, unsigned run,
			  unsigned from, unsigned to)
{
	unsigned i;

	for (i = *count; i > 0; i--) { /* mostly the last */
		if (same_values(m, line[i - 1], run, from, to))
			return i - 1;
	}
	line[*count] = run;
	return (*count)++;
}

static void fill_grid(struct grid *g, const struct matrix *m)
{
	unsigned i;

	g->rows = g->columns = 0;
	for (i = 0; i < m->runs; i++) {
		g->place[i].run = i;
		g->place[i].row = find_line(m, g->row, &g->rows, i, 0, g->heads);
		g->place[i].column = find_line(m, g->column, &g->columns, i, g->heads, m->axes);
	}
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->row != y->row)
		return x->row < y->row ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return (x->run > y->run) - (x->run < y->run);
}

static bool make_grid(struct grid *g, const struct matrix *m)
{
	g->place = calloc(m->runs + 1, sizeof(*g->place));
	g->row = calloc(m->runs + 1, sizeof(*g->row));
	g->column = calloc(m->runs + 1, sizeof(*g->column));
	if (!g->place || !g->row || !g->column)
		return false;
	g->heads = m->axes > 1 ? m->axes - 1 : m->axes;
	fill_grid(g, m);
	if ((uint64_t)g->rows * g->columns > 4ull * m->runs + 64) { /* mostly empty */
		g->heads = m->axes;
		fill_grid(g, m);
	}
	qsort(g->place, m->runs, sizeof(*g->place), by_place);
	return true;
}

static void free_grid(struct grid *g)
{
	free(g->place);
	free(g->row);
	free(g->column);
}

static void put_value(FILE *out, const char *tag, const char *value)
{
	fprintf(out, "<th%s>", tag);
	put(out, value ? value : "-");
	fputs("</th>", out);
}

static void put_heads(FILE *out, const struct matrix *m, const struct grid *g)
{
	unsigned i, last = g->heads < m->axes;

	fputs("<thead>\n<tr>", out);
	for (i = 0; i < g->heads; i++)
		put_value(out, last ? " rowspan=\"2\"" : "", m->axis[i]);
	if (!last) {
		fputs("<th></th></tr>\n</thead>\n", out);
		return;
	}
	fprintf(out, "<th colspan=\"%u\">", g->columns);
	put(out, m->axis[g->heads]);
	fputs("</th></tr>\n<tr>", out);
	for (i = 0; i < g->columns; i++)
		put_value(out, " scope=\"col\"", m->run[g->column[i]].value[g->heads]);
	fputs("</tr>\n</thead>\n", out);
}

static void put_cell(FILE *out, const struct matrix_result *r, unsigned run, double longest)
{
	enum look look = look_of(r);

	fprintf(out, "<td class=\"%s\"><a href=\"#r%u\"><span class=\"top\"><b>%s</b>",
		looks[look].class, run, looks[look].word);
	if (r->state == MATRIX_ENDED)
		fprintf(out, "<span>%.2f s</span>", r->seconds);
	fputs("</span>", out);
	if (look == LOOK_FAILED)
		fprintf(out, "<span class=\"dim\">%s %d</span>", causes[r->cause].name, r->status);
	else if (look == LOOK_TESTS)
		fprintf(out, "<span class=\"dim\">%lld failed</span>", (long long)failed_tests(r));
	put_bar(out, r, longest);
	fputs("</a></td>", out);
}

static void put_table(FILE *out, const struct matrix *m, const struct matrix_result *r,
		      const struct grid *g)
{
	const struct place *p = g->place, *end = g->place + m->runs;
	double longest = 0, length;
	unsigned i, row, column;

	for (i = 0; i < m->runs; i++) {
		length = length_of(&r[i]);
		longest = length > longest ? length : longest;
	}
	fputs("<div class=\"wide\"><table>\n", out);
	put_heads(out, m, g);
	fputs("<tbody>\n", out);
	for (row = 0; row < g->rows; row++) {
		fputs("<tr>", out);
		for (i = 0; i < g->heads; i++)
			put_value(out, " scope=\"row\"", m->run[g->row[row]].value[i]);
		for (column = 0; column < g->columns; column++) {
			if (p == end || p->row != row || p->column != column)
				fputs("<td></td>", out);
			for (; p != end && p->row == row && p->column == column; p++)
				put_cell(out, &r[p->run], p->run, longest);
		}
		fputs("</tr>\n", out);
	}
	fputs("</tbody>\n</table></div>\n", out);
}

/* Each run. */

static void put_why(FILE *out, const struct matrix_result *r)
{
	const json_t *error = json_object_get(r->report, "error");

	if (r->state == MATRIX_WAITING || r->state == MATRIX_RUNNING)
		return;
	fprintf(out, "<p><b>%s</b>, status %d, %.2f s: <span class=\"said\">",
		causes[r->cause].name, r->status, r->seconds);
	if (r->error)
		put_printed(out, r->error, strlen(r->error));
	else if (json_is_string(error))
		put_string(out, error);
	else if (r->cause == CAUSE_EXIT)
		fprintf(out, "the command's status is %d", r->status);
	else
		put(out, causes[r->cause].text);
	fputs("</span></p>\n", out);
}

/* A phase's colour and name; the caller closes the span. */
static void put_key(FILE *out, unsigned phase)
{
	fprintf(out, "<span class=\"phase\"><i class=\"key p%u\"></i>%s", phase,
		phases[phase].word);
}

static void put_phases(FILE *out, const struct matrix_result *r)
{
	struct span s = { 0 };

	if (length_of(r) <= 0)
		return;
	put_bar(out, r, length_of(r));
	fputs("<p class=\"dim\">", out);
	while (next_span(r, &s)) {
		put_key(out, s.phase);
		fputc(' ', out);
		put_ms(out, s.to - s.from);
		fputs("</span> ", out);
	}
	fputs("</p>\n", out);
}

static void put_part(FILE *out, const struct junit_part *part)
{
	fprintf(out, "%.*s", (int)part->len, part->text);
}

static void put_test(FILE *out, const struct junit_failed *t)
{
	fputs("<li><b class=\"said\">", out);
	put_part(out, &t->class);
	fputs(": ", out);
	put_part(out, &t->name);
	fputs("</b> <span class=\"said\">", out);
	put_part(out, &t->message);
	fputs("</span>", out);
	if (t->more.len) {
		fputs("<pre>", out);
		put_part(out, &t->more);
		fputs("</pre>", out);
	}
	fputs("</li>\n", out);
}

static void put_tests(FILE *out, const struct matrix_result *r)
{
	const char *at = r->junit;
	struct junit_failed test;
	unsigned n = 0;

	if (!failed_tests(r))
		return;
	fprintf(out, "<p>%lld tests failed:</p>\n<ul>\n", (long long)failed_tests(r));
	while (at && n < MATRIX_HTML_TESTS && (at = junit_next_failed(at, &test))) {
		put_test(out, &test);
		n++;
	}
	if (n == MATRIX_HTML_TESTS)
		fprintf(out, "<li>no more than %u are shown</li>\n", n);
	fputs("</ul>\n", out);
}

static void put_console(FILE *out, const struct matrix_result *r)
{
	const json_t *console = json_object_get(r->report, "console"), *line;
	size_t n;

	if (!json_array_size(console))
		return;
	fprintf(out, "<details%s><summary>console: the last %zu lines</summary><pre>",
		look_of(r) == LOOK_FAILED ? " open" : "", json_array_size(console));
	json_array_foreach(console, n, line) {
		put_string(out, line);
		fputc('\n', out);
	}
	fputs("</pre></details>\n", out);
}

static void put_command(FILE *out, const struct matrix_run *run)
{
	char *text = NULL;
	size_t len;
	FILE *words = open_memstream(&text, &len);
	unsigned i;

	for (i = 0; words && i < run->argc; i++)
		words_print(words, run->argv[i]);
	if (!words || fclose(words))
		return;
	fputs("<details><summary>command line</summary><code>lunette run", out);
	text_xml(out, text, len);
	fputs("</code></details>\n", out);
	free(text);
}

static void put_run(FILE *out, const struct matrix_run *run, const struct matrix_result *r,
		    unsigned n)
{
	enum look look = look_of(r);

	fprintf(out, "<section class=\"run\" id=\"r%u\">\n<h2>", n);
	fprintf(out, "<span class=\"mark %s\">%s</span> ", looks[look].class, looks[look].word);
	put(out, run->name);
	fputs("</h2>\n", out);
	put_why(out, r);
	put_phases(out, r);
	put_tests(out, r);
	put_console(out, r);
	if (r->last && *r->last) {
		fputs("<details><summary>what it printed last</summary><pre>", out);
		put_printed(out, r->last, strlen(r->last));
		fputs("</pre></details>\n", out);
	}
	put_command(out, run);
	fputs("</section>\n", out);
}

/* First those that somebody has to look at. */
static void put_runs(FILE *out, const struct matrix *m, const struct matrix_result *r)
{
	static const enum look order[LOOKS] = { LOOK_FAILED, LOOK_TESTS, LOOK_STOPPED,
						LOOK_RUNNING, LOOK_OK, LOOK_WAITING };
	unsigned i, n;

	for (n = 0; n < LOOKS; n++) {
		for (i = 0; i < m->runs; i++) {
			if (look_of(&r[i]) == order[n])
				put_run(out, &m->run[i], &r[i], i);
		}
	}
}

/* All. */

static void put_totals(FILE *out, const struct matrix *m, const struct matrix_result *r)
{
	unsigned count[LOOKS] = { 0 }, i;
	const char *before = ":";
	time_t now = time(NULL);
	char when[40] = "";
	struct tm tm;

	for (i = 0; i < m->runs; i++)
		count[look_of(&r[i])]++;
	fprintf(out, "<p>%u runs", m->runs);
	for (i = 0; i < LOOKS; i++) {
		if (!count[i])
			continue;
		fprintf(out, "%s <span class=\"mark %s\">%u</span> %s", before, looks[i].class,
			count[i], looks[i].means);
		before = ",";
	}
	if (gmtime_r(&now, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fprintf(out, "</p>\n<p class=\"dim\">lunette %s, %s</p>\n", lunette_version, when);
}

static void put_legend(FILE *out)
{
	unsigned i;

	fputs("<p class=\"dim\"><span class=\"phase\">A full bar is the longest run.</span> ", out);
	for (i = 0; phases[i].word; i++) {
		put_key(out, i);
		fputs("</span> ", out);
	}
	fputs("</p>\n", out);
}

char *matrix_html(const struct matrix *m, const struct matrix_result *r)
{
	struct grid g = { 0 };
	char *text = NULL;
	size_t len;
	FILE *out = make_grid(&g, m) ? open_memstream(&text, &len) : NULL;

	if (out) {
		fputs(head, out);
		fputs("<title>", out);
		put(out, m->path);
		fputs("</title>\n</head>\n<body>\n<h1>", out);
		put(out, m->path);
		fputs("</h1>\n", out);
		put_totals(out, m, r);
		put_table(out, m, r, &g);
		put_legend(out);
		put_runs(out, m, r);
		fputs("</body>\n</html>\n", out);
	}
	free_grid(&g);
	return out && fclose(out) == 0 ? text : NULL;
}
