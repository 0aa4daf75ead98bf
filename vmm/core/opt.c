/* SPDX-License-Identifier: MIT */
#include "vmm/core/opt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/near.h"
#include "vmm/core/util.h"

static const struct opt *find(const struct opt *table, const char *key)
{
	for (; table->key; table++) {
		if (!strcmp(table->key, key))
			return table;
	}
	return NULL;
}

/* A number with an optional unit. The shift of "" is 0. */
static bool number(const char *text, bool units, uint64_t *out)
{
	static const char unit[] = "KMGT";
	const char *u;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	/* 010 is ten; only 0x begins another base. */
	*out = strtoull(text, &end, text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10);
	if (errno)
		return false;
	if (units && *end) {
		u = strchr(unit, *end & ~0x20);
		if (!u || !*u || !mul_u64(*out, 1ull << 10 * (u - unit + 1), out))
			return false;
		end++;
	}
	return !*end;
}

/* From the smallest to the largest: each a multiple of those before it. */
static const struct {
	const char *name;
	uint64_t ms;
} times[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 } };

/* A whole number and its unit. */
static bool duration(const char *text, uint64_t *ms)
{
	size_t digits = strspn(text, "0123456789");
	char value[24];
	unsigned i;

	if (digits >= sizeof(value))
		return false;
	memcpy(value, text, digits);
	value[digits] = 0;
	if (!number(value, false, ms))
		return false;
	for (i = 0; i < ARRAY_SIZE(times); i++) {
		if (!strcmp(text + digits, times[i].name))
			return mul_u64(*ms, times[i].ms, ms);
	}
	return false;
}

const char *opt_time_text(uint64_t ms, char buf[24])
{
	unsigned i = ARRAY_SIZE(times) - 1;

	while (i && (!ms || ms % times[i].ms))
		i--;
	snprintf(buf, 24, "%llu%s", (unsigned long long)(ms / times[i].ms), times[i].name);
	return buf;
}

/* Bytes with the largest unit that leaves a whole number. */
static const char *size_text(uint64_t v, char buf[24])
{
	static const char unit[] = { 0, 'K', 'M', 'G', 'T', 0 };
	unsigned u = 0;

	while (v && !(v & 1023) && unit[u + 1]) {
		v >>= 10;
		u++;
	}
	snprintf(buf, 24, "%llu%.1s", (unsigned long long)v, &unit[u]);
	return buf;
}

static const char *bound_text(const struct opt *o, uint64_t v, char buf[24])
{
	if (o->type == OPT_SIZE)
		return size_text(v, buf);
	if (o->type == OPT_TIME)
		return opt_time_text(v, buf);
	snprintf(buf, 24, "%llu", (unsigned long long)v);
	return buf;
}

/* The words with @between between them. */
static const char *words_text(const char *const *words, const char *between, char *buf,
			      size_t size)
{
	size_t at = 0;

	buf[0] = 0;
	for (; *words && at < size; words++)
		at += snprintf(buf + at, size - at, "%s%s", at ? between : "", *words);
	return buf;
}

int opt_list_add(struct opt_list *list, const char *value)
{
	const char **item = realloc(list->item, (list->count + 1) * sizeof(*item));

	if (!item) {
		log_err("out of memory");
		return -ENOMEM;
	}
	item[list->count++] = value;
	list->item = item;
	return 0;
}

/* The place of @value among the words, or -1. */
static int word_index(const struct opt *o, const char *value)
{
	int i;

	for (i = 0; o->words && o->words[i]; i++) {
		if (!strcmp(o->words[i], value))
			return i;
	}
	return -1;
}

/*
 * One line on what is wrong with a value, named as the user wrote it: "--memory 1X: ..." where
 * @what is "--", else "scsi-disk: lun=x: ...".
 */
static int refuse(const struct opt *o, const char *what, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int refuse(const struct opt *o, const char *what, const char *value, const char *fmt, ...)
{
	bool word = !strcmp(what, "--");
	char why[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_err("%s%s%s%s%s: %s", what, word ? "" : ": ", o->key, word ? " " : "=",
		*value || !word ? value : "''", why);
	return -EUSAGE;
}

static bool parse_number(const struct opt *o, const char *value, uint64_t *v)
{
	int word = o->type == OPT_SIZE ? -1 : word_index(o, value);

	*v = o->max + 1 + word;
	if (word >= 0)
		return true;
	return o->type == OPT_TIME ? duration(value, v) : number(value, o->type == OPT_SIZE, v);
}

static int refuse_number(const struct opt *o, const char *what, const char *value)
{
	static const char *const wanted[] = {
		[OPT_U32] = "number",
		[OPT_SIZE] = "size (a number; K, M, G or T for powers of 1024)",
		[OPT_TIME] = "time (a number with ms, s, m or h)",
	};
	char buf[128] = "";

	if (!o->words || o->type == OPT_SIZE)
		return refuse(o, what, value, "not a %s", wanted[o->type]);
	return refuse(o, what, value, "not a %s, and none of: %s", wanted[o->type],
		      words_text(o->words, ", ", buf, sizeof(buf)));
}

static int refuse_range(const struct opt *o, const char *what, const char *value, uint64_t v)
{
	bool bytes = o->type == OPT_SIZE && v < o->min && v && !value[strspn(value, "0123456789")];
	char lo[24], hi[24];

	return refuse(o, what, value, "out of range, %s to %s%s", bound_text(o, o->min, lo),
		      bound_text(o, o->max, hi),
		      bytes ? "; without K, M, G or T these are bytes" : "");
}

static int set_number(const struct opt *o, void *at, const char *what, const char *value)
{
	uint64_t v;

	if (!parse_number(o, value, &v))
		return refuse_number(o, what, value);
	if (word_index(o, value) < 0 && (v < o->min || v > o->max))
		return refuse_range(o, what, value, v);
	if (o->type == OPT_U32)
		*(uint32_t *)at = v;
	else
		*(uint64_t *)at = v;
	return 0;
}

static int set_word(const struct opt *o, void *at, const char *what, const char *value)
{
	int word = word_index(o, value);
	char buf[256];

	if (word >= 0) {
		*(unsigned *)at = word;
		return 0;
	}
	return refuse(o, what, value, "is none of: %s",
		      words_text(o->words, ", ", buf, sizeof(buf)));
}

static int set_bool(const struct opt *o, void *at, const char *what, const char *value)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		return refuse(o, what, value, "on or off is wanted");
	*(bool *)at = value[1] == 'n';
	return 0;
}

static int set_row(const struct opt *o, void *settings, const char *what, const char *value)
{
	void *at = (char *)settings + o->offset;

	if ((o->type == OPT_STR || o->type == OPT_LIST) && !*value && !o->may_be_empty)
		return refuse(o, what, value, "is empty; %s is wanted", o->arg);
	switch (o->type) {
	case OPT_STR:
		*(const char **)at = value;
		return 0;
	case OPT_U32:
	case OPT_SIZE:
	case OPT_TIME:
		return set_number(o, at, what, value);
	case OPT_BOOL:
		return set_bool(o, at, what, value);
	case OPT_ENUM:
		return set_word(o, at, what, value);
	case OPT_LIST:
		return opt_list_add(at, value);
	}
	return -EUSAGE;
}

void opt_defaults(const struct opt *table, void *settings)
{
	for (; table->key; table++) {
		if (table->def)
			BUG_ON(set_row(table, settings, "default", table->def) < 0);
	}
}

static bool is_word(const struct opt_reader *r)
{
	return !strcmp(r->what, "--");
}

static int refuse_key(const struct opt_reader *r, const char *mark, const char *key)
{
	char meant[NEAR_TEXT];
	const struct opt *o;
	struct near near;

	if (!*key && !is_word(r)) {
		log_err("%s: nothing is behind a comma; one that is part of a value is written "
			"twice", r->what);
		return -EUSAGE;
	}
	near_begin(&near, key);
	for (o = r->table; o->key; o++)
		near_try(&near, o->key);
	near_text(&near, is_word(r) ? "--" : "", meant);
	if (is_word(r))
		log_err("unknown option %s%s%s", mark, key, *meant ? meant : "; --help lists them");
	else
		log_err("%s: unknown option '%s'%s%s%s", r->what, key,
			*meant ? meant : "; --device ", *meant ? "" : r->what,
			*meant ? "" : ",help lists them");
	return -EUSAGE;
}

static int refuse_lone(const struct opt_reader *r, const struct opt *o, const char *instead)
{
	log_err("%s%s%s needs a value: %s%s%s%s", r->what, is_word(r) ? "" : ": ", o->key, o->help,
		instead ? "; '" : "", instead ? instead : "", instead ? "' is another option" : "");
	return -EUSAGE;
}

static int read_row(struct opt_reader *r, const struct opt *o, const char *value)
{
	uint64_t bit = 1ull << (o - r->table);

	BUG_ON(o - r->table >= OPT_ROWS_MAX);
	if (!value && o->type == OPT_BOOL)
		value = "on";
	if (!value)
		return refuse_lone(r, o, NULL);
	if (r->given & bit && o->type != OPT_LIST)
		return refuse(o, r->what, value, "given twice; one of them has to go");
	r->given |= bit;
	return set_row(o, r->settings, r->what, value);
}

int opt_read(struct opt_reader *r, const char *key, const char *value)
{
	const struct opt *o = find(r->table, key);

	return o ? read_row(r, o, value) : refuse_key(r, "--", key);
}

int opt_set(const struct opt *table, void *settings, const char *what, const char *key,
	    const char *value)
{
	struct opt_reader r = { table, settings, what, 0 };

	return opt_read(&r, key, value);
}

/* How many that were. */
static int words_taken(int err, int words)
{
	return err < 0 ? err : words;
}

static int read_letter(struct opt_reader *r, const char *word)
{
	const struct opt *o;

	for (o = r->table; o->key; o++) {
		if (o->letter && o->letter == word[1] && !word[2])
			return words_taken(read_row(r, o, NULL), 1);
	}
	return refuse_key(r, "-", word + 1);
}

/* "--kernel --initrd x": the value has been forgotten. */
static bool is_option(const struct opt *table, const char *word)
{
	char key[32];

	if (strncmp(word, "--", 2))
		return false;
	snprintf(key, sizeof(key), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	return !*key || find(table, key);
}

int opt_word(struct opt_reader *r, char **argv)
{
	char *key = argv[0] + 2, *value;
	const struct opt *o;

	if (argv[0][0] != '-' || !argv[0][1])
		return 0;
	if (argv[0][1] != '-')
		return read_letter(r, argv[0]);
	value = strchr(key, '=');
	if (value)
		*value++ = 0;
	o = find(r->table, key);
	if (!o)
		return refuse_key(r, "--", key);
	if (value || o->type == OPT_BOOL || !argv[1])
		return words_taken(read_row(r, o, value), 1);
	if (is_option(r->table, argv[1]))
		return refuse_lone(r, o, argv[1]);
	return words_taken(read_row(r, o, argv[1]), 2);
}

int opt_end(const struct opt_reader *r, bool command)
{
	const struct opt *o, *on;

	for (o = r->table; o->key; o++) {
		if (!o->needs || !(r->given & 1ull << (o - r->table)))
			continue;
		on = find(r->table, o->needs);
		if (on ? r->given & 1ull << (on - r->table) : command)
			continue;
		if (on)
			log_err("%s%s%s: is about %s%s, which is not given", r->what,
				is_word(r) ? "" : ": ", o->key, is_word(r) ? "--" : "", on->key);
		else
			log_err("--%s: is about a command, and there is none; it comes last, "
				"after --", o->key);
		return -EUSAGE;
	}
	return 0;
}

/* Ends @text at its first single comma, makes double ones single; returns what follows, or NULL. */
static char *cut(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == ',') {
			if (text[1] != ',') {
				*to = 0;
				return text + 1;
			}
			text++;
		}
		*to++ = *text;
	}
	*to = 0;
	return NULL;
}

int opt_parse(const struct opt *table, void *settings, const char *what, const char *first,
	      char *text)
{
	struct opt_reader r = { table, settings, what, 0 };
	char *next, *value;
	int err = 0;

	opt_defaults(table, settings);
	for (; text && !err; text = next, first = NULL) {
		next = cut(text);
		value = strchr(text, '=');
		if (first && (!value || (size_t)(value - text) != strcspn(text, "=/."))) {
			err = opt_read(&r, first, text);
		} else {
			if (value)
				*value++ = 0;
			err = opt_read(&r, text, value);
		}
	}
	return err < 0 ? err : opt_end(&r, false);
}

void opt_each_written(const struct opt *table, const void *settings, opt_hear *fn, void *arg)
{
	const char *value;

	for (; table->key; table++) {
		if (!table->written)
			continue;
		value = *(const char *const *)((const char *)settings + table->offset);
		if (value)
			fn(arg, table->key, value);
	}
}

void opt_free(const struct opt *table, void *settings)
{
	for (; table->key; table++) {
		struct opt_list *list = (void *)((char *)settings + table->offset);

		if (table->type == OPT_LIST) {
			free(list->item);
			*list = (struct opt_list){ 0 };
		}
	}
}

/* "-t, --tty", "--memory SIZE", "size=BYTES", "--vhost auto|on|off" */
static void help_key(const struct opt *o, const char *prefix, char *buf, size_t size)
{
	char words[64];
	const char *arg = o->type == OPT_ENUM ? words_text(o->words, "|", words, sizeof(words)) :
			  o->arg ? o->arg : o->type == OPT_BOOL ? "on|off" : "N";
	bool word = *prefix == '-', alone = word && o->type == OPT_BOOL;
	char letter[] = { '-', o->letter, ',', ' ', 0 };

	snprintf(buf, size, "%s%s%s%s%s", o->letter ? letter : "", prefix, o->key,
		 alone ? "" : word ? " " : "=", alone ? "" : arg);
}

static void help_text(const struct opt *o, char *text, size_t size)
{
	char lo[24], hi[24];
	size_t at = snprintf(text, size, "%s", o->help);

	if (o->type == OPT_U32 || o->type == OPT_SIZE || o->type == OPT_TIME)
		at += snprintf(text + at, size - at, ", %s to %s", bound_text(o, o->min, lo),
			       bound_text(o, o->max, hi));
	if (o->def)
		at += snprintf(text + at, size - at, " (default %s)", o->def);
	BUG_ON(at >= size); /* the tables are ours */
}

void opt_help(const struct opt *table, const char *prefix, FILE *out)
{
	char key[64], text[512];

	for (; table->key; table++) {
		help_key(table, prefix, key, sizeof(key));
		help_text(table, text, sizeof(text));
		help_row(out, 27, key, text);
	}
}
