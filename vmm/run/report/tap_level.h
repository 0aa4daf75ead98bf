/* SPDX-License-Identifier: MIT */
/*
 * tap_level.h - the documents that are open in a stream of test results, one in the other.
 */
#ifndef RUN_TAP_LEVEL_H
#define RUN_TAP_LEVEL_H

#include "vmm/run/report/tap_keep.h"

#define TAP_LEVELS_MAX 16

/* Where a line stands. */
struct tap_place {
	unsigned column;
	unsigned hashes; /* before it: it is a line of a program's, in what another one prints */
	bool stamped;    /* it is in the kernel's log */
};

/* The tests of one indentation, behind as many hashes. */
struct tap_level {
	unsigned column, hashes;
	bool versioned; /* and so it owes a plan, if it is the outermost one */
	bool planned, complete; /* complete: the plan came after its tests */
	bool numbered;  /* so its last test was */
	unsigned long plan, seen, highest;
	unsigned first; /* the first of the tests kept since it began */
	char name[TAP_NAME_MAX + 1];

	struct tap_neighbour last;
	int last_kept;  /* -1: it is not */
	bool open;      /* what comes may be about the last test */
	bool block;     /* there are comments behind it */
	char said[TAP_MORE_MAX + 1]; /* of the test that comes next */
	size_t said_len;

	/* Of a program as a whole: in the first of the levels that are its. */
	struct tap_guess guess;
	bool kernel;    /* what is no line of the protocol's is about a test, too */
	bool any_order; /* it is TAP 14: numbers need not ascend */
	bool stamped;
	bool runner;    /* it runs others, whose lines are behind hashes */
	bool bailed;
};

struct tap_levels {
	struct tap_level level[TAP_LEVELS_MAX]; /* the outermost first */
	unsigned depth;                         /* how many are open; 0: there is no document yet */
	char next_name[TAP_NAME_MAX + 1];       /* of the level that opens next */
	struct tap_keep keep;
};

/* The innermost. */
struct tap_level *tap_top(struct tap_levels *s);
/* The outermost level of the program that prints @l. */
struct tap_level *tap_program(struct tap_levels *s, struct tap_level *l);
/* The innermost that a comment or other text there is about; NULL: no such program prints. */
struct tap_level *tap_level_of(struct tap_levels *s, unsigned hashes, unsigned column);

/* The level of a line there, opened if need be. NULL: that would be too deep. */
struct tap_level *tap_level_at(struct tap_levels *s, const struct tap_place *at);
/* Another document follows on @l, of the same kind. */
void tap_level_restart(struct tap_levels *s, struct tap_level *l);
/* Closes those that are inside of others there. Returns where the tests that they had begin. */
unsigned tap_level_close(struct tap_levels *s, const struct tap_place *at);
/* Nothing more comes. */
void tap_levels_end(struct tap_levels *s);

/* A line about the test that comes next on @l, or about the one before. */
void tap_level_say(struct tap_levels *s, struct tap_level *l, const char *line);

#endif
