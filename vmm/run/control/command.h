/* SPDX-License-Identifier: MIT */
/*
 * command.h - what can be said to a machine that runs: a table of commands.
 *
 * A command is a JSON object on a line, its answer another one:
 *
 *	{"do":"plug","text":"data.img,readonly=on"}
 *	{"ok":true,"id":"scsi-disk1","bus":"virtio-scsi0","target":0,"lun":1, ...}
 *	{"do":"eject","id":"scsi-disk0"}
 *	{"ok":false,"error":"scsi-disk0: has a medium that stays in it; ..."}
 *
 * Values are strings; where a size is wanted a number will do. What stands on
 * the socket is control.c's, and what a user types is ctl.c's business.
 */
#ifndef RUN_COMMAND_H
#define RUN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct command_args;
struct device;
struct device_list;
struct json_t;
struct opt;
struct platform;

/* The machine, as commands see it. */
struct command_host {
	struct platform *platform;
	struct device_list *devices;
	void (*quit)(void *arg);
	/* machine_pause() or, if not @paused, machine_resume(). */
	int (*pause)(void *arg, bool paused);
	/* A SysRq key; an NMI for a vCPU. */
	int (*sysrq)(void *arg, char key);
	int (*nmi)(void *arg, unsigned cpu);
	/* An ELF core of the guest in a new file. */
	int (*dump)(void *arg, const char *file);
	/* May a client run a command in the guest? -errno after one line. NULL: not by this way. */
	int (*exec)(void *arg);
	/* One that may does so from now on, by socket @fd, which is taken over. */
	void (*take)(void *arg, int fd);
	/* A device is about to be unplugged, on the user's word. NULL: nobody wants to know. */
	void (*leaves)(void *arg, struct device *dev);
	void *arg;
};

struct command {
	const char *name;
	const struct opt *args; /* in the order in which "lunette ctl" takes them */
	unsigned required;      /* so many of them have to be given */
	const char *help;
	/* Adds to @answer. -errno after one line, which is the answer then. 1: after it the
	 * client's socket is for host->take(). */
	int (*run)(const struct command_host *host, const struct command_args *args,
		   struct json_t *answer);
};

/* THE TABLE; ends with a row without a name. */
extern const struct command commands[];

/* NULL after one line. */
const struct command *command_find(const char *name);

/*
 * The command that @words, which end with NULL, begin with, and the rest as its arguments, in the
 * order of the table. @what begins an error line. NULL after one line.
 */
struct json_t *command_words(const char *what, char *const *words);
/* Does it make sense, as far as that can be said without a guest? -EUSAGE after one line. */
int command_check(struct json_t *request);

/*
 * Does what the line @text of @len bytes says. Returns the answer: a line without its end,
 * malloc()ed. NULL: no memory. *@over: the client's socket is for host->take() once the answer is
 * written. [main]
 */
char *command_run(const struct command_host *host, const char *text, size_t len, bool *over);

#endif
