/* SPDX-License-Identifier: MIT */
/*
 * verbs.h - commands of "lunette ctl" that are more than a line and its answer: they run something
 * in the guest.
 */
#ifndef RUN_VERBS_H
#define RUN_VERBS_H

#include <stdio.h>

struct remote_cfg;

struct verb {
	const char *name, *args, *help;
	/* @words: what follows the name, up to NULL. Returns the exit status. */
	int (*run)(const char *socket, char **words);
};

/* THE TABLE of them; ends with a row without a name. */
extern const struct verb verbs[];

/* NULL: it is none. */
const struct verb *verb_find(const char *name);
/* Their options. */
void verbs_help(FILE *out);

/* A command in the guest, as remote_run() has it. The exit status; 1, after one line: it was not
 * taken. */
int verbs_remote(const char *socket, const struct remote_cfg *cfg);
/* "cp SRC DST". (cp.c) */
int cp_main(const char *socket, char **words);

/* A connection to the control socket at @path, or -errno after one line. (ctl.c) */
int ctl_connect(const char *path);

#endif
