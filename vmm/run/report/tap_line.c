/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/tap_line.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/util.h"

/* What the words behind "#" make of a result. */
static const struct {
	const char *word; /* in any case, and more letters may follow */
	enum tap_result not_ok, ok;
} directives[] = {
	{ "skip", TAP_SKIP, TAP_SKIP },
	{ "todo", TAP_TODO, TAP_OK },
	{ "xfail", TAP_TODO, TAP_TODO },
	{ "timeout", TAP_NOT_OK, TAP_OK },
	{ "error", TAP_NOT_OK, TAP_OK },
};

static bool ends_word(char c)
{
	return !c || isspace((unsigned char)c);
}

/* Behind @prefix; NULL: that does not stand there. */
static const char *behind(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) ? NULL : text + len;
}

static const char *skip_space(const char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

/* The number that stands there; 0: none. */
static unsigned long number_at(const char *text)
{
	return isdigit((unsigned char)*text) ? strtoul(text, NULL, 10) : 0;
}

static bool is_blank(struct tap_line *l)
{
	return !*skip_space(l->body);
}

static bool is_version(struct tap_line *l)
{
	const char *at;

	l->kernel = *l->body == 'K';
	at = behind(l->body + l->kernel, "TAP version ");
	l->number = at ? number_at(at) : 0;
	return l->number > 0;
}

static bool is_plan(struct tap_line *l)
{
	const char *at = behind(l->body, "1.."), *rest;

	if (!at || !isdigit((unsigned char)*at))
		return false;
	l->number = number_at(at);
	rest = skip_space(at + strspn(at, "0123456789"));
	l->why = *rest == '#' ? skip_space(rest + 1) : "";
	return !*rest || *rest == '#';
}

/* Where " #" stands that is not written "\#"; the end, if nowhere. */
static const char *find_hash(const char *text)
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

static void take_directive(struct tap_line *l, bool ok)
{
	unsigned i;

	l->result = ok ? TAP_OK : TAP_NOT_OK;
	for (i = 0; i < ARRAY_SIZE(directives); i++) {
		if (!strncasecmp(l->why, directives[i].word, strlen(directives[i].word))) {
			l->result = ok ? directives[i].ok : directives[i].not_ok;
			l->directive = true;
		}
	}
}

static bool is_test(struct tap_line *l)
{
	const char *not = behind(l->body, "not "), *at = behind(not ? not : l->body, "ok"), *end;

	if (!at || !ends_word(*at))
		return false;
	at = skip_space(at);
	l->number = number_at(at);
	at = skip_space(at + strspn(at, "0123456789"));
	l->name = *at == '-' ? skip_space(at + 1) : at;
	end = find_hash(l->name);
	l->why = *end ? skip_space(end + 1) : "";
	while (end > l->name && isspace((unsigned char)end[-1]))
		end--;
	l->name_len = end - l->name;
	take_directive(l, !not);
	return true;
}

static bool is_subtest(struct tap_line *l)
{
	const char *at = behind(l->body, "# Subtest");

	if (!at || (*at && *at != ':'))
		return false;
	l->name = skip_space(at + (*at == ':'));
	l->name_len = strlen(l->name);
	return true;
}

static bool is_comment(struct tap_line *l)
{
	return *l->body == '#';
}

static bool is_yaml(struct tap_line *l)
{
	const char *at = behind(l->body, "---");

	return at && ends_word(*at);
}

static bool is_bail_out(struct tap_line *l)
{
	return !strncasecmp(l->body, "bail out!", 9);
}

static bool is_pragma(struct tap_line *l)
{
	const char *at = behind(l->body, "pragma ");

	return at && (*at == '+' || *at == '-') && !ends_word(at[1]);
}

static const struct {
	enum tap_kind kind;
	bool (*is)(struct tap_line *l);
} kinds[] = {
	{ TAP_BLANK, is_blank },
	{ TAP_VERSION, is_version },
	{ TAP_PLAN, is_plan },
	{ TAP_TEST, is_test },
	{ TAP_SUBTEST, is_subtest },
	{ TAP_COMMENT, is_comment },
	{ TAP_YAML, is_yaml },
	{ TAP_BAIL_OUT, is_bail_out },
	{ TAP_PRAGMA, is_pragma },
};

void tap_line_parse(struct tap_line *l, const char *body)
{
	unsigned i;

	*l = (struct tap_line){ .body = body, .name = "", .why = "" };
	for (i = 0; i < ARRAY_SIZE(kinds) && !l->kind; i++) {
		if (kinds[i].is(l))
			l->kind = kinds[i].kind;
	}
}

size_t tap_unescape(char to[TAP_NAME_MAX + 1], const char *from, size_t len)
{
	const char *end = from + len;
	size_t n = 0;

	for (; from < end && n < TAP_NAME_MAX; from++) {
		if (*from == '\\' && from + 1 < end && (from[1] == '#' || from[1] == '\\'))
			from++;
		to[n++] = *from;
	}
	to[n] = 0;
	return n;
}

/* The kernel's log. */

/* Behind "[   12.345678]" or "[   T1]"; NULL: none stands there. */
static const char *skip_bracket(const char *c)
{
	const char *end = c + 1 + strspn(c + 1, " 0123456789.TC");

	return *c == '[' && *end == ']' && end > c + 1 ? end + 1 : NULL;
}

/* Behind "<6>"; @c itself: none stands there. */
static const char *skip_priority(const char *c)
{
	size_t digits = *c == '<' ? strspn(c + 1, "0123456789") : 0;

	return digits && c[1 + digits] == '>' ? c + digits + 2 : c;
}

const char *tap_skip_stamp(const char *line)
{
	const char *c = skip_priority(line), *end;

	while (*c == '[') {
		end = skip_bracket(c);
		if (!end)
			return line;
		c = end;
	}
	return c > line && *c == ' ' ? c + 1 : line;
}

/* In the middle of a line only one that has a time to the microsecond is believed. */
static bool is_time(const char *c)
{
	size_t digits;

	if (*c != '[')
		return false;
	c += 1 + strspn(c + 1, " ");
	digits = strspn(c, "0123456789");
	return digits && c[digits] == '.' && strspn(c + digits + 1, "0123456789") == 6 &&
	       c[digits + 7] == ']';
}

char *tap_find_stamp(char *line)
{
	char *c;

	if (!*line)
		return NULL;
	for (c = line + 1; (c = strpbrk(c, "<[")); c++) {
		if (is_time(skip_priority(c)) && tap_skip_stamp(c) > c)
			return c;
	}
	return NULL;
}

/*
 * Words end in "ook" ("took 2 ms"), and quotes and brackets open before what somebody quotes: there
 * it is no result.
 */
static bool may_be_glued(const char *body, const char *at, bool spaced)
{
	return at > body && (isspace((unsigned char)at[-1]) ? spaced :
			     !strchr("o'\"`([{<=/#\\", at[-1]));
}

const char *tap_find_glued(const char *body, unsigned long number, bool spaced)
{
	const char *c, *start, *end;

	for (c = strstr(body, "ok "); c; c = strstr(c + 1, "ok ")) {
		end = c + 3 + strspn(c + 3, "0123456789");
		if (number_at(c + 3) != number || !ends_word(*end))
			continue;
		start = c - body >= 4 && !strncmp(c - 4, "not ", 4) ? c - 4 : c;
		if (may_be_glued(body, start, spaced))
			return start;
	}
	return NULL;
}
