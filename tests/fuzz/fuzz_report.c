/* SPDX-License-Identifier: MIT */
/*
 * Reports of what a guest prints and a user types: the input's first half is printed on the
 * console, the second on a command's stdout, and begins with the command. Whatever it is, the JSON
 * can be read, and the XML has characters that XML may have, and its elements one in the other.
 */
#include "tests/fuzz/fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/core/log.h"
#include "vmm/core/utf8.h"
#include "vmm/machine/console_log.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/junit.h"
#include "vmm/run/report/report.h"

#define DEPTH_MAX 8

static void check_json(struct report *r)
{
	char *text = report_json(r, true);
	json_t *all = json_loads(text, 0, NULL);

	BUG_ON(!json_is_object(all));
	json_decref(all);
	free(text);
}

/* The tag behind "<"; returns what is behind its ">". Quotes hold neither of the two. */
static const char *check_tag(const char *at, const char *open[DEPTH_MAX], unsigned *depth)
{
	const char *end = at + strcspn(at, "<>");
	size_t len = strcspn(at, " >/");

	BUG_ON(*end != '>');
	if (*at == '?')
		return end + 1;
	if (*at == '/') {
		len = end - at - 1;
		BUG_ON(!*depth || strncmp(open[--*depth], at + 1, len) ||
		       !strchr(" >", open[*depth][len]));
	} else if (end[-1] != '/') {
		BUG_ON(*depth == DEPTH_MAX || !len);
		open[(*depth)++] = at;
	}
	return end + 1;
}

static void check_xml(struct report *r)
{
	char *text = junit_text(r, true);
	const char *at, *open[DEPTH_MAX];
	unsigned depth = 0, n;

	for (at = text; *at; at += n) {
		n = utf8_char(at, strlen(at));
		BUG_ON(!n || (n == 1 && (unsigned char)*at < ' ' && *at != '\n' && *at != '\t'));
		BUG_ON(*at == '>');
		if (*at == '<')
			n = check_tag(at + 1, open, &depth) - at;
	}
	BUG_ON(depth);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct guest_cfg cfg;
	size_t half = len / 2;
	char word[32] = "", *argv[] = { word, word, NULL };
	struct console_log *log = console_log_create();
	struct report r;

	report_init(&r, &cfg);
	BUG_ON(report_listen(&r) < 0);
	if (half < len)
		snprintf(word, sizeof(word), "%.*s", (int)(len - half), (const char *)data + half);
	r.argv = argv;
	r.cause = len % CAUSE_COUNT;
	console_log_write(log, data, half);
	report_feed(&r, STREAM_CONSOLE, data, half);
	report_feed(&r, STREAM_STDOUT, data + half, len - half);
	report_console(&r, log);
	report_end_streams(&r);
	check_json(&r);
	check_xml(&r);
	report_fini(&r);
	console_log_destroy(log);
	return 0;
}
