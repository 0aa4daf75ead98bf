/* SPDX-License-Identifier: MIT */
/*
 * inherited.h - what a process gets from its parent without having asked for it:
 * descriptors and the environment. A guest that breaks out should find neither.
 */
#ifndef RUN_INHERITED_H
#define RUN_INHERITED_H

struct opt_list;

/*
 * Closes descriptors from 3 on, but those that a word of @argv names, as in in-fd=N or /dev/fd/N.
 * "--" or NULL ends it. Before anything is opened. [setup]
 */
void inherited_close(char *const *argv);

/*
 * Of the environment, leaves what lunette and the programs that it starts look at, and variables of
 * these names; "NAME=VALUE" is none. The rest is gone, also where /proc/PID/environ shows it.
 * -ENOMEM after one line. [setup]
 */
int inherited_env(const struct opt_list *names);

#endif
