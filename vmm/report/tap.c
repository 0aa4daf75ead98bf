#include "vmm/report/tap.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 1000
#define LEVELS_MAX 16
#define PLAN_MAX 1000000000ul

static const char version[] = "TAP version ";

/* The tests of one indentation. */
struct level {
	unsigned column;
	bool hashed;         /* its lines have "# " before them */
	bool versioned;      /* and so it owes a plan, if it is the outermost one */
	bool planned, complete; /* complete: the plan came after its tests */
	unsigned long plan, seen;
	unsigned first;      /* the first of the tests kept since it began */
	char name[TAP_NAME_MAX + 1];
};

struct tap {
	char line[LINE_MAX_LEN + 1];
	size_t len;

	struct level level[LEVELS_MAX]; /* the outermost first */
	unsigned depth;                 /* how many are open; 0: there is no document yet */
	bool kernel;                    /* it is KTAP: what is said of a test comes before it */
	bool any_order;                 /* its numbers need not ascend */
	bool bailed;
	int last;                       /* the last test, if it is kept; or -1 */
	bool in_yaml;
	unsigned yaml_column;

	char more[TAP_MORE_MAX + 1]; /* said of the test that comes next */
	size_t more_len;

	struct tap_test *test;
	unsigned tests, room;
	size_t text; /* bytes kept */
	unsigned long count[TAP_RESULTS];
	char *problem[TAP_PROBLEMS_MAX];
	unsigned problems;
};

struct tap *tap_create(void)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (t)
		t->last = -1;
	return t;
}

void tap_destroy(struct tap *t)
{
	unsigned i;

	if (!t)
		return;
	for (i = 0; i < t->tests; i++) {
		free(t->test[i].name);
		free(t->test[i].why);
		free(t->test[i].more);
	}
	for (i = 0; i < t->problems; i++)
		free(t->problem[i]);
	free(t->test);
	free(t);
}

/* What is kept. */

/* A copy; NULL: there is nothing, or no room. */
static char *keep(struct tap *t, const char *text, size_t len)
{
	char *copy;

	if (!len || t->text + len > TAP_TEXT_MAX)
		return NULL;
	copy = strndup(text, len);
	if (copy)
		t->text += len;
	return copy;
}

static void problem(struct tap *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void problem(struct tap *t, const char *fmt, ...)
{
	va_list ap;

	if (t->problems == TAP_PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	if (vasprintf(&t->problem[t->problems], fmt, ap) >= 0)
		t->problems++;
	va_end(ap);
}

static bool have_room(struct tap *t)
{
	unsigned room = t->room ? t->room * 2 : 64;
	struct tap_test *more;

	if (t->tests == TAP_TESTS_MAX)
		return false;
	if (t->tests < t->room)
		return true;
	more = realloc(t->test, room * sizeof(*more));
	if (!more)
		return false;
	t->test = more;
	t->room = room;
	return true;
}

/* More about a test that has been kept, by lines. */
static void tell_more(struct tap *t, struct tap_test *test, const char *line)
{
	size_t had = test->more ? strlen(test->more) : 0, len = strlen(line) + 1;
	char *more;

	if (had + len > TAP_MORE_MAX || t->text + len > TAP_TEXT_MAX)
		return;
	more = realloc(test->more, had + len + 1);
	if (!more)
		return;
	test->more = more;
	sprintf(more + had, "%s\n", line);
	t->text += len;
}

/* Of the test that comes next, or of the one before. */
static void say(struct tap *t, const char *line)
{
	size_t len = strlen(line) + 1;

	if (!t->kernel && t->last >= 0) {
		if (t->test[t->last].result == TAP_NOT_OK)
			tell_more(t, &t->test[t->last], line);
	} else if (t->more_len + len <= TAP_MORE_MAX) {
		sprintf(t->more + t->more_len, "%s\n", line);
		t->more_len += len;
	}
}

/* Levels. */

static struct level *top(struct tap *t)
{
	return &t->level[t->depth - 1];
}

static void check_plan(struct tap *t, const struct level *l)
{
	const char *of = *l->name ? " of " : "";

	if (t->bailed)
		return;
	if (l->planned && l->seen != l->plan)
		problem(t, "%lu of %lu planned tests%s%s came", l->seen, l->plan, of, l->name);
	else if (!l->planned && l->versioned && l == t->level)
		problem(t, "there is no plan, so tests may be missing");
}

/* Closes those that are more indented. Returns where the tests that they had begin. */
static unsigned close_to(struct tap *t, unsigned column)
{
	unsigned first = t->tests;

	while (t->depth > 1 && top(t)->column > column) {
		check_plan(t, top(t));
		first = top(t)->first;
		t->depth--;
	}
	return first;
}

/* The level of a line at @column, opened if need be. NULL: that would be too deep. */
static struct level *level_at(struct tap *t, unsigned column)
{
	if (t->depth && top(t)->column < column) {
		if (t->depth == LEVELS_MAX)
			return NULL;
		t->depth++;
	} else if (t->depth) {
		top(t)->column = column;
		return top(t);
	} else {
		t->depth = 1;
		t->bailed = false;
	}
	*top(t) = (struct level){ .column = column, .first = t->tests };
	return top(t);
}

/* Another document follows. */
static void restart(struct tap *t, struct level *l)
{
	check_plan(t, l);
	*l = (struct level){ .column = l->column, .hashed = l->hashed, .first = l->first };
}

/* Lines. */

static void take_version(struct tap *t, unsigned column, bool hashed, const char *body)
{
	struct level *l;

	close_to(t, column);
	l = level_at(t, column);
	if (!l)
		return;
	if (l->seen || l->planned)
		restart(t, l);
	l->versioned = true;
	l->hashed = hashed;
	if (hashed && t->depth > 1)
		return; /* a program's, in the kernel's */
	t->kernel = *body == 'K';
	t->any_order = !t->kernel && strtoul(body + strlen(version), NULL, 10) >= 14;
	t->bailed = false;
}

static void add(struct tap *t, const struct tap_test *test, const char *name, size_t name_len,
		const char *why)
{
	t->count[test->result]++;
	t->last = -1;
	if (t->text + name_len <= TAP_TEXT_MAX && have_room(t)) {
		t->last = (int)t->tests;
		t->test[t->tests] = *test;
		t->test[t->tests].name = keep(t, name, name_len);
		t->test[t->tests].why = keep(t, why, strnlen(why, TAP_NAME_MAX));
		if (test->result == TAP_NOT_OK)
			t->test[t->tests].more = keep(t, t->more, t->more_len);
		t->tests++;
	}
	t->more_len = 0;
}

/* A plan of none says that, and why, all tests were skipped. */
static void take_plan(struct tap *t, unsigned column, bool hashed, const char *body)
{
	unsigned long plan = strtoul(body + 3, NULL, 10);
	const char *why = strchr(body, '#');
	struct level *l;

	close_to(t, column);
	l = level_at(t, column);
	if (!l)
		return;
	if (l->planned && l->seen >= l->plan)
		restart(t, l);
	l->hashed = hashed;
	l->planned = true;
	l->complete = l->seen > 0;
	l->plan = plan < PLAN_MAX ? plan : PLAN_MAX;
	if (l == t->level && !plan && why)
		add(t, &(struct tap_test){ .parent = -1, .seconds = -1, .result = TAP_SKIP },
		    "all", 3, why + 1 + strspn(why + 1, " "));
}

/* Tests since @first that are no part of one yet are parts of @whole. */
static void adopt(struct tap *t, unsigned first, int whole)
{
	for (; whole >= 0 && first < (unsigned)whole; first++) {
		if (t->test[first].parent < 0) {
			t->test[first].parent = whole;
			t->test[whole].has_parts = true;
		}
	}
}

/* Where " #" stands that is not written "\#"; the end, if nowhere. */
static const char *find_directive(const char *text)
{
	const char *c;

	for (c = text; *c; c++) {
		if (*c == '\\' && c[1])
			c++;
		else if (*c == '#' && (c == text || isspace((unsigned char)c[-1])))
			break;
	}
	return c;
}

static enum tap_result result_of(bool ok, const char *directive)
{
	if (ok)
		return strncasecmp(directive, "skip", 4) ? TAP_OK : TAP_SKIP;
	return strncasecmp(directive, "todo", 4) ? TAP_NOT_OK : TAP_TODO;
}

/* Without the backslashes, which are before "#" and before themselves. Returns the length. */
static size_t copy_name(char *to, const char *from, const char *end)
{
	size_t len = 0;

	while (end > from && isspace((unsigned char)end[-1]))
		end--;
	for (; from < end && len < TAP_NAME_MAX; from++) {
		if (*from == '\\' && from + 1 < end && (from[1] == '#' || from[1] == '\\'))
			from++;
		to[len++] = *from;
	}
	return len;
}

/* The number that stands there; 0: none. */
static unsigned long number_in(const char *text)
{
	text += strspn(text, " ");
	return isdigit((unsigned char)*text) ? strtoul(text, NULL, 10) : 0;
}

static void check_number(struct tap *t, struct level *l, unsigned long number)
{
	if (l->complete && number == 1)
		restart(t, l);
	l->seen++;
	if (number && number != l->seen && !t->any_order && !t->bailed)
		problem(t, "test number %lu%s%s came where %lu was due", number,
			*l->name ? " of " : "", l->name, l->seen);
}

static void take_test(struct tap *t, unsigned column, const char *body)
{
	bool ok = *body == 'o';
	const char *at = body + (ok ? 2 : 6), *end;
	struct tap_test test = { .parent = -1, .seconds = -1 };
	unsigned long number = number_in(at);
	char name[TAP_NAME_MAX + 1];
	unsigned first;
	struct level *l;
	size_t len;

	at += strspn(at, " ");
	at += number ? strspn(at, "0123456789") : 0;
	at += strspn(at, " ");
	at += *at == '-' ? 1 + strspn(at + 1, " ") : 0;
	end = find_directive(at);
	len = copy_name(name, at, end);
	if (!len)
		len = sprintf(name, "test %lu", number);
	end += *end ? 1 + strspn(end + 1, " ") : 0;
	test.result = result_of(ok, end);

	first = close_to(t, column);
	l = level_at(t, column);
	if (!l) {
		t->count[test.result]++;
		return;
	}
	check_number(t, l, number);
	add(t, &test, name, len, end);
	adopt(t, first, t->last);
}

static void take_bail_out(struct tap *t, const char *body)
{
	problem(t, "%.*s", TAP_NAME_MAX, body);
	t->bailed = true;
}

/* "Subtest: NAME" stands at the beginning of a level, or before it. */
static void take_subtest(struct tap *t, unsigned column, const char *name)
{
	struct level *l = top(t);

	if (l->column == column && !l->seen && !l->planned)
		snprintf(l->name, sizeof(l->name), "%.*s", TAP_NAME_MAX, name);
}

/* What a line is. */

static bool is_version(const char *body)
{
	body += *body == 'K';
	return !strncmp(body, version, strlen(version)) &&
	       isdigit((unsigned char)body[strlen(version)]);
}

static bool is_plan(const char *body)
{
	size_t digits = strncmp(body, "1..", 3) ? 0 : strspn(body + 3, "0123456789");
	const char *rest = body + 3 + digits;

	return digits && (!*rest || rest[strspn(rest, " ")] == '#' || !rest[strspn(rest, " ")]);
}

/* The kernel numbers its tests, and prints much else. */
static bool is_test(const struct tap *t, const char *body)
{
	const char *rest = strncmp(body, "not ", 4) ? body : body + 4;
	unsigned long number;

	if (strncmp(rest, "ok", 2) || (rest[2] && rest[2] != ' '))
		return false;
	number = number_in(rest + 2);
	return t->depth ? number || !t->kernel : number == 1;
}

/* Returns whether it was one of these. */
static bool take(struct tap *t, unsigned column, bool hashed, const char *body)
{
	if (is_version(body))
		take_version(t, column, hashed, body);
	else if (is_plan(body))
		take_plan(t, column, hashed, body);
	else if (is_test(t, body))
		take_test(t, column, body);
	else
		return false;
	return true;
}

/* A program's lines in the kernel's. They are a comment's text, unless they begin as a document. */
static bool take_hashed(struct tap *t, unsigned column, const char *body)
{
	size_t before = 1 + strspn(body + 1, " ");
	unsigned i;

	column += before;
	body += before;
	for (i = 0; i < t->depth; i++) {
		if (t->level[i].hashed && t->level[i].column <= column)
			return take(t, column, true, body);
	}
	return is_version(body) && take(t, column, true, body);
}

static void take_comment(struct tap *t, unsigned column, const char *line, const char *body)
{
	static const char subtest[] = "# Subtest: ";

	if (take_hashed(t, column, body))
		return;
	if (!strncmp(body, subtest, sizeof(subtest) - 1))
		take_subtest(t, column, body + sizeof(subtest) - 1);
	else
		say(t, line);
}

static void take_yaml(struct tap *t, unsigned column, const char *line)
{
	static const char duration[] = "duration_ms:";
	const char *body = line + strspn(line, " \t");
	struct tap_test *test = t->last >= 0 ? &t->test[t->last] : NULL;

	if (!strcmp(body, "...") || (*body && column < t->yaml_column)) {
		t->in_yaml = false;
		return;
	}
	if (!test)
		return;
	if (!strncmp(body, duration, sizeof(duration) - 1))
		test->seconds = strtod(body + sizeof(duration) - 1, NULL) / 1000;
	if (!(test->seconds >= 0 && test->seconds < 1e9))
		test->seconds = -1;
	if (test->result == TAP_NOT_OK)
		tell_more(t, test, line);
}

/* "<6>[   12.345678][   T1] ", or parts of it, as the kernel puts before its lines. */
static const char *skip_stamp(const char *line)
{
	const char *c = line, *end;

	if (*c == '<' && isdigit((unsigned char)c[1]) && (end = strchr(c, '>')))
		c = end + 1;
	while (*c == '[') {
		end = c + 1 + strspn(c + 1, " 0123456789.TC");
		if (*end != ']' || end == c + 1)
			return line;
		c = end + 1;
	}
	return c > line && *c == ' ' ? c + 1 : line;
}

static void take_line(struct tap *t, const char *line)
{
	const char *body;
	unsigned column;

	line = skip_stamp(line);
	column = strspn(line, " \t");
	body = line + column;
	if (t->in_yaml) {
		take_yaml(t, column, line);
		if (t->in_yaml || !strcmp(body, "..."))
			return;
	}
	if (take(t, column, false, body) || !t->depth)
		return;
	if (!strcmp(body, "---") && !t->kernel && column > top(t)->column) {
		t->in_yaml = true;
		t->yaml_column = column;
	} else if (!strncasecmp(body, "bail out!", 9)) {
		take_bail_out(t, body);
	} else if (*body == '#') {
		take_comment(t, column, line, body);
	} else if (t->kernel) {
		say(t, line); /* what the kernel said of it, an oops maybe */
	}
}

/* The stream. */

static void end_line(struct tap *t)
{
	size_t i;

	while (t->len && t->line[t->len - 1] == '\r')
		t->len--;
	for (i = 0; i < t->len; i++) {
		if (!t->line[i])
			t->line[i] = '?';
	}
	t->line[t->len] = 0;
	take_line(t, t->line);
	t->len = 0;
}

void tap_feed(struct tap *t, const void *data, size_t len)
{
	const char *at = data, *stop;
	size_t n;

	while (len) {
		stop = memchr(at, '\n', len);
		n = stop ? (size_t)(stop - at) : len;
		if (t->len + n > LINE_MAX_LEN) { /* the rest of it is not kept */
			memcpy(t->line + t->len, at, LINE_MAX_LEN - t->len);
			t->len = LINE_MAX_LEN;
		} else {
			memcpy(t->line + t->len, at, n);
			t->len += n;
		}
		if (stop)
			end_line(t);
		n += !!stop;
		at += n;
		len -= n;
	}
}

void tap_end(struct tap *t)
{
	if (t->len)
		end_line(t);
	if (!t->depth)
		return;
	while (t->depth > 1 && !t->bailed) {
		problem(t, "the test%s%s that has subtests did not end", *top(t)->name ? " " : "",
			top(t)->name);
		check_plan(t, top(t));
		t->depth--;
	}
	check_plan(t, t->level);
	t->depth = 0;
}

unsigned tap_tests(const struct tap *t)
{
	return t->tests;
}

const struct tap_test *tap_test(const struct tap *t, unsigned n)
{
	return &t->test[n];
}

unsigned long tap_count(const struct tap *t, enum tap_result result)
{
	return t->count[result];
}

unsigned tap_problems(const struct tap *t)
{
	return t->problems;
}

const char *tap_problem(const struct tap *t, unsigned n)
{
	return t->problem[n];
}
