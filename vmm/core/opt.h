/* SPDX-License-Identifier: MIT */
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
	const char *arg;          /* what help calls the value, e.g. "FILE"; OPT_ENUM: its words */
	const char *help;         /* one sentence, small letters, no full stop */
	const char *needs;        /* key of the row that it is about, or OPT_COMMAND; or NULL */
	char letter;              /* OPT_BOOL: "-t" is short for it; or 0 */
	bool may_be_empty;        /* OPT_STR, OPT_LIST: "" is a value, too */
	bool written;             /* OPT_STR: what it names is written */
};

/* Who hears of what options name: a key, and the value. */
typedef void opt_hear(void *arg, const char *key, const char *value);

#define OPT_COMMAND "--" /* what follows that on a command line */
#define OPT_ROWS_MAX 64  /* of a table that is read by an opt_reader */

/* What reads options one after the other. */
struct opt_reader {
	const struct opt *table;
	void *settings;
	/* Begins an error line: a class of devices, or "--" for a command line's own words. */
	const char *what;
	uint64_t given; /* of the table's rows, one bit each */
};

/* Sets every member that has a default. */
void opt_defaults(const struct opt *table, void *settings);

/*
 * Sets one option. @value NULL: the key stood alone, which suits OPT_BOOL only. What is no list is
 * given once. -EUSAGE after one line on what is wrong and what would be right; -ENOMEM after one.
 */
int opt_read(struct opt_reader *r, const char *key, const char *value);

/*
 * The same of the words that @argv begins with, "--key value", "--key=value" or "-t"; the second
 * one is cut up, and an OPT_BOOL takes no word that follows. Returns how many words that were; 0:
 * it begins with no option.
 */
int opt_word(struct opt_reader *r, char **argv);

/* Nothing more comes. -EUSAGE after one line: what an option is about is not there. */
int opt_end(const struct opt_reader *r, bool command);

/* The same as opt_read() of a value that is the only one. */
int opt_set(const struct opt *table, void *settings, const char *what, const char *key,
	    const char *value);

/*
 * Parses "key=value,key,key=value" over the defaults. @first, when not NULL, is the key of a
 * leading value without one ("disk.img,readonly=on"). A comma inside a value is written twice.
 * @text is cut up and must live as long as the settings. -EUSAGE as above.
 */
int opt_parse(const struct opt *table, void *settings, const char *what, const char *first,
	      char *text);

/* One more, which is borrowed. -ENOMEM after one line. */
int opt_list_add(struct opt_list *list, const char *value);

/* Milliseconds with the largest unit that leaves a whole number, as OPT_TIME reads them. */
const char *opt_time_text(uint64_t ms, char buf[24]);

/* All that has been given of the rows that are ->written. */
void opt_each_written(const struct opt *table, const void *settings, opt_hear *fn, void *arg);

/* Frees what OPT_LIST members hold. */
void opt_free(const struct opt *table, void *settings);

/* One or two lines a row: @prefix and key, value, meaning, default, bounds. */
void opt_help(const struct opt *table, const char *prefix, FILE *out);

#endif
