/* SPDX-License-Identifier: MIT */
#include "vmm/machine/exits.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const names[] = {
	[EXIT_IN] = "in", [EXIT_OUT] = "out", [EXIT_READ] = "read", [EXIT_WRITE] = "write",
	[EXIT_OTHER] = "exit",
};

struct exit_entry *exits_note(struct exits *x, enum exit_kind kind, uint64_t addr, unsigned size)
{
	struct exit_entry *e, *oldest = x->entry;

	x->count++;
	for (e = x->entry; e < x->entry + EXITS; e++) {
		if (e->addr == addr && e->kind == kind && e->size == size) {
			e->last = x->count;
			e->times++;
			return e;
		}
		if (e->last < oldest->last)
			oldest = e;
	}
	*oldest = (struct exit_entry){ .addr = addr, .last = x->count, .times = 1, .kind = kind,
				       .size = size };
	return oldest;
}

/* The newest one before number @before. NULL: none. */
static const struct exit_entry *newest(const struct exits *x, uint64_t before)
{
	const struct exit_entry *e, *found = NULL;

	for (e = x->entry; e < x->entry + EXITS; e++) {
		if (e->last && e->last < before && (!found || e->last > found->last))
			found = e;
	}
	return found;
}

static int put(char *text, size_t size, const struct exit_entry *e)
{
	char data[24] = "", times[24] = "", bytes[4] = "";

	if (e->size) {
		snprintf(bytes, sizeof(bytes), "%u", e->size);
		snprintf(data, sizeof(data), "=%" PRIx64, e->data);
	}
	if (e->times > 1)
		snprintf(times, sizeof(times), " (%u times)", e->times);
	return snprintf(text, size, "%s%s %" PRIx64 "%s%s", names[e->kind], bytes, e->addr, data,
			times);
}

const char *exits_text(struct exits *x)
{
	const struct exit_entry *e = newest(x, UINT64_MAX);
	size_t at = 0;
	char one[80];
	int len;

	*x->text = 0;
	for (; e; e = newest(x, e->last)) {
		len = put(one, sizeof(one), e);
		if (at + len + 3 > EXITS_TEXT)
			break;
		at += sprintf(x->text + at, "%s%s", at ? ", " : "", one);
	}
	return x->text;
}
