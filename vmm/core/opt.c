#include "vmm/core/opt.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"
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

/* The words with ", " between them. */
static const char *words_text(const char *const *words, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = 0;
	for (; *words && at < size; words++)
		at += snprintf(buf + at, size - at, "%s%s", at ? ", " : "", *words);
	return buf;
}

static int append(struct opt_list *list, const char *value)
{
	const char **item = realloc(list->item, (list->count + 1) * sizeof(*item));

	if (!item)
		return -ENOMEM;
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
	log_err("%s%s%s%s%s: %s", what, word ? "" : ": ", o->key, word ? " " : "=", value, why);
	return -EINVAL;
}

static bool parse_number(const struct opt *o, const char *value, uint64_t *v)
{
	int word = o->type == OPT_SIZE ? -1 : word_index(o, value);

	*v = o->max + 1 + word;
	if (word >= 0)
		return true;
	return o->type == OPT_TIME ? duration(value, v) : number(value, o->type == OPT_SIZE, v);
}

static int set_number(const struct opt *o, void *at, const char *what, const char *value)
{
	static const char *const wanted[] = {
		[OPT_U32] = "number",
		[OPT_SIZE] = "size (a number; K, M, G or T for powers of 1024)",
		[OPT_TIME] = "time (a number with ms, s, m or h)",
	};
	char lo[24], hi[24];
	uint64_t v;

	if (!parse_number(o, value, &v))
		return refuse(o, what, value, "not a %s", wanted[o->type]);
	if (word_index(o, value) < 0 && (v < o->min || v > o->max))
		return refuse(o, what, value, "out of range, %s to %s", bound_text(o, o->min, lo),
			      bound_text(o, o->max, hi));
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
	return refuse(o, what, value, "is none of: %s", words_text(o->words, buf, sizeof(buf)));
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
		return append(at, value);
	}
	return -EINVAL;
}

void opt_defaults(const struct opt *table, void *settings)
{
	for (; table->key; table++) {
		if (table->def)
			BUG_ON(set_row(table, settings, "default", table->def) < 0);
	}
}

int opt_set(const struct opt *table, void *settings, const char *what, const char *key,
	    const char *value)
{
	const struct opt *o = find(table, key);

	if (!o) {
		if (!strcmp(what, "--"))
			log_err("unknown option --%s; --help lists them", key);
		else
			log_err("%s: unknown option '%s'; --device %s,help lists them", what, key,
				what);
		return -EINVAL;
	}
	if (!value && o->type == OPT_BOOL)
		value = "on";
	if (!value) {
		log_err("%s%s%s needs a value: %s", what, strcmp(what, "--") ? ": " : "", key,
			o->help);
		return -EINVAL;
	}
	return set_row(o, settings, what, value);
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
	char *next, *value;
	int r;

	opt_defaults(table, settings);
	for (; text; text = next, first = NULL) {
		next = cut(text);
		value = strchr(text, '=');
		if (first && (!value || (size_t)(value - text) != strcspn(text, "=/."))) {
			r = opt_set(table, settings, what, first, text);
		} else {
			if (value)
				*value++ = 0;
			r = opt_set(table, settings, what, text, value);
		}
		if (r < 0)
			return r;
	}
	return 0;
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

static void help_bounds(const struct opt *o, FILE *out)
{
	char lo[24], hi[24], buf[256];

	if (o->type == OPT_ENUM)
		fprintf(out, ": %s", words_text(o->words, buf, sizeof(buf)));
	if (o->type == OPT_U32 || o->type == OPT_SIZE || o->type == OPT_TIME)
		fprintf(out, ", %s to %s", bound_text(o, o->min, lo), bound_text(o, o->max, hi));
	if (o->def)
		fprintf(out, " (default %s)", o->def);
}

void opt_help(const struct opt *table, const char *prefix, FILE *out)
{
	for (; table->key; table++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s%s", prefix, table->key,
			 *prefix == '-' ? " " : "=",
			 table->arg ? table->arg : table->type == OPT_BOOL ? "on|off" : "N");
		fprintf(out, "  %-24s %s", left, table->help);
		help_bounds(table, out);
		fputc('\n', out);
	}
}
