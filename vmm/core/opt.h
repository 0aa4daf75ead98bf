/*
 * opt.h - options as rows of a table.
 *
 * A device, or the command line itself, has one plain struct of settings and
 * one table that says which key goes into which member, within which bounds,
 * with which default, and what it means. Parsing, range errors, --help and
 * "--device help" are all made from the rows.
 */
#ifndef CORE_OPT_H
#define CORE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum opt_type {
	OPT_STR,  /* const char *; borrowed from the text */
	OPT_U32,  /* uint32_t, min to max */
	OPT_SIZE, /* uint64_t bytes, min to max: 512M (1.5M is an error); K M G T: powers of 1024 */
	OPT_TIME, /* uint64_t milliseconds, min to max: 1500ms, 90s, 5m, 2h; a unit must be there */
	OPT_BOOL, /* bool: on, off (alone: on) */
	OPT_ENUM, /* unsigned: index of a word in ->words */
	OPT_LIST, /* struct opt_list: every use appends */
};

struct opt_list {
	const char **item; /* malloc()ed; the strings are borrowed */
	unsigned count;
};

struct opt {
	const char *key; /* NULL ends the table */
	enum opt_type type;
	size_t offset;            /* of the member in the struct of settings */
	const char *def;          /* as text; NULL: the member stays 0 */
	uint64_t min, max;        /* OPT_U32, OPT_SIZE, OPT_TIME */
	/* OPT_ENUM, ends with NULL. OPT_U32, OPT_TIME: what may stand instead of a number, and
	 * gives max + 1, max + 2, ...; NULL: nothing. */
	const char *const *words;
	const char *arg;          /* what help calls the value, e.g. "FILE" */
	const char *help;         /* one sentence, small letters, no full stop */
};

/* Sets every member that has a default. */
void opt_defaults(const struct opt *table, void *settings);

/*
 * Sets one option. @value NULL: the key stood alone, which suits OPT_BOOL only. @what begins the
 * error line: a class of devices, or "--" for words of the command line itself. -EINVAL after one
 * line on what is wrong and what would be right.
 */
int opt_set(const struct opt *table, void *settings, const char *what, const char *key,
	    const char *value);

/*
 * Parses "key=value,key,key=value" over the defaults. @first, when not NULL, is the key of a
 * leading value without one ("disk.img,readonly=on"). A comma inside a value is written twice.
 * @text is cut up and must live as long as the settings. -EINVAL as above.
 */
int opt_parse(const struct opt *table, void *settings, const char *what, const char *first,
	      char *text);

/* Milliseconds with the largest unit that leaves a whole number, as OPT_TIME reads them. */
const char *opt_time_text(uint64_t ms, char buf[24]);

/* Frees what OPT_LIST members hold. */
void opt_free(const struct opt *table, void *settings);

/* One or two lines a row: @prefix and key, value, meaning, default, bounds. */
void opt_help(const struct opt *table, const char *prefix, FILE *out);

#endif
