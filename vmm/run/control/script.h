/* SPDX-License-Identifier: MIT */
/*
 * script.h - commands that come by themselves (--at): so long after the guest has begun, or once
 * its console has printed a text. Each is done once.
 *
 *	5s plug more.img
 *	console:'login: ' resize lun:0 20G
 *
 * They are words as shells have them: the first says when, the others are what "lunette ctl" takes
 * behind its socket. What can be known without a guest is looked at before there is one. A command
 * that fails is a line on stderr, and in the report; it does not end the run.
 */
#ifndef RUN_SCRIPT_H
#define RUN_SCRIPT_H

#include <stddef.h>

struct command_host;
struct json_t;
struct loop;
struct opt_list;
struct script;

#define SCRIPT_TEXT_MAX 250 /* bytes of a text to wait for */

/* Do all of them make sense? -EUSAGE after one line, -ENOMEM. */
int script_check(const struct opt_list *at);
/* Of such that do. Borrows all of them. NULL: no memory, or no descriptor. [setup] */
struct script *script_create(const struct opt_list *at, struct loop *loop,
			     const struct command_host *host);
/* The loop runs no more. NULL: nothing to do. */
void script_destroy(struct script *script);

/* For all of these NULL is a script without commands. */

/* The time begins. [main] */
void script_start(struct script *script);
/* The console has printed this. Any thread. */
void script_printed(struct script *script, const void *data, size_t len);
/*
 * What became of them: a list of objects with "at", "ms" since the start, and "answer" as the
 * control socket gives it; null: it did not come to that. NULL: none. [main]
 */
struct json_t *script_report(const struct script *script);

#endif
