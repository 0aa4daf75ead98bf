/* SPDX-License-Identifier: MIT */
/*
 * command.h - a program that is run for somebody outside: as whom, where, on which descriptors.
 */
#ifndef GUEST_COMMAND_H
#define GUEST_COMMAND_H

#include <stdbool.h>
#include <sys/ioctl.h>

struct user;

struct command {
	char **arg;             /* ends with NULL */
	const char *cwd;        /* NULL: where HOME is, or / */
	const struct user *who; /* NULL: root */
	bool has_home;          /* its environment says where */
	bool tty;               /* its descriptors are a terminal, which becomes its own */
	bool greet;
	int fd[3]; /* stdin, stdout, stderr */
};

/* A terminal of this size; *@slave is the command's end. Returns the other one, or -errno. */
int command_terminal(const struct winsize *size, int *slave);

/* In a child: becomes it. As in a shell the status is 127 if there is no such program, or 126. */
_Noreturn void command_run(const struct command *c);

#endif
