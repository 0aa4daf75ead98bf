/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel/kernel_words.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/pci.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"

/* A part of the command line. */
struct part {
	const char *text;
	size_t len;
};

static bool is(const struct part *part, const char *text)
{
	return part->len == strlen(text) && !strncmp(part->text, text, part->len);
}

/* The next word after @at, or where it ends. False: there is none. */
static bool next_word(const char **at, struct part *word)
{
	bool quoted = false;
	const char *c = *at;

	while (isspace((unsigned char)*c))
		c++;
	word->text = c;
	for (; *c && (quoted || !isspace((unsigned char)*c)); c++)
		quoted ^= *c == '"';
	word->len = c - word->text;
	*at = c;
	return word->len && !is(word, "--");
}

/* Quotes are not part of what they stand around. */
static void unquote(struct part *part)
{
	if (part->len && *part->text == '"') {
		part->text++;
		part->len--;
	}
	if (part->len && part->text[part->len - 1] == '"')
		part->len--;
}

/* Cuts "name=value". Without a "=" the value is empty. */
static void cut_word(struct part *word, struct part *value)
{
	const char *equal;

	unquote(word);
	equal = memchr(word->text, '=', word->len);
	*value = (struct part){ 0 };
	if (!equal)
		return;
	*value = (struct part){ equal + 1, word->text + word->len - equal - 1 };
	word->len = equal - word->text;
	unquote(value);
}

/* The next item of a list with commas; @rest is NULL behind the last one. */
static bool next_item(struct part *rest, struct part *item)
{
	const char *comma;

	if (!rest->text)
		return false;
	comma = memchr(rest->text, ',', rest->len);
	item->text = rest->text;
	item->len = comma ? (size_t)(comma - rest->text) : rest->len;
	rest->len -= item->len + !!comma;
	rest->text = comma ? comma + 1 : NULL;
	return true;
}

bool kernel_words_triple_fault(const char *cmdline)
{
	static const char ways[] = "baktep"; /* by its first letter; other items are no ways */
	struct part word, rest, item;
	char way = 0;

	while (next_word(&cmdline, &word)) {
		cut_word(&word, &rest);
		while (is(&word, "reboot") && next_item(&rest, &item)) {
			if (item.len > 6 && !strncmp(item.text, "panic_", 6)) {
				item.text += 6;
				item.len -= 6;
			}
			if (item.len && strchr(ways, *item.text))
				way = *item.text;
		}
	}
	return way == 't';
}

static unsigned devices_on_pci(const struct platform *p)
{
	unsigned i, n = 0;

	for (i = 1; p->pci && i < PCI_SLOTS; i++) /* 0 is the host bridge */
		n += !!p->pci->slot[i];
	return n;
}

/* What @item of the word @name costs: all, or devices of @p. */
static void warn(const struct part *name, const struct part *item, const struct platform *p)
{
	const struct kernel_break *b = arch_kernel_breaks;
	unsigned n = devices_on_pci(p);

	for (; b->name; b++) {
		if (!is(name, b->name) || !is(item, b->item))
			continue;
		if (!b->on_pci)
			log_warn("--append %s%s%s: the kernel will most likely not get far: %s",
				 b->name, item->len ? "=" : "", b->item, b->why);
		else if (n)
			log_warn("--append %s=%s: the kernel will do without %u device%s: %s",
				 b->name, b->item, n, n == 1 ? "" : "s", b->why);
	}
}

void kernel_words_warn(const char *cmdline, const struct platform *p)
{
	struct part word, rest, item;

	while (next_word(&cmdline, &word)) {
		cut_word(&word, &rest);
		if (!rest.text)
			rest.text = "";
		while (next_item(&rest, &item))
			warn(&word, &item, p);
	}
}
