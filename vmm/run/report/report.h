/* SPDX-License-Identifier: MIT */
/*
 * report.h - what is remembered of a run, for those who are told of it at its end.
 *
 * The run, and whoever watches over parts of it, note here what they come to
 * know: when each phase was reached, how the command ended, what lunette had to
 * say. What did not happen is absent; nothing is guessed. --json, --junit and
 * --boot-budget are made from this.
 *
 * A report begins with the process and outlives the machine, so that a usage
 * error and a machine that cannot be built have one too.
 */
#ifndef RUN_REPORT_H
#define RUN_REPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine/cause.h"

struct console_log;
struct device;
struct device_list;
struct json_t;
struct guest_cfg;
struct tap;

enum report_phase {
	PHASE_BEGUN,   /* main() has been entered */
	PHASE_BUILT,   /* the machine is made, the kernel is in its memory */
	PHASE_ENTERED, /* the first KVM_RUN is next */
	PHASE_UP,      /* the guest's init says that it is there */
	PHASE_START,   /* the command has been started */
	PHASE_END,     /* the command has ended */
	PHASE_OFF,     /* the machine has been taken down */
	PHASE_COUNT
};

extern const char *const report_phases[PHASE_COUNT]; /* their names: a word each */

/* Where results of tests may be printed. */
enum report_stream { STREAM_STDOUT /* the command's */, STREAM_CONSOLE, REPORT_STREAMS };

#define REPORT_LINES_MAX 64 /* lines of lunette's own that are kept; more are counted */

struct report_line {
	int level; /* enum log_level */
	char *text;
};

struct report {
	_Atomic uint64_t at[PHASE_COUNT]; /* CLOCK_MONOTONIC, ns; 0: not reached */
	const struct guest_cfg *cfg;
	char *const *argv;                /* the command, ends with NULL; NULL: there is none */
	atomic_int exit, signal;          /* how it ended: one of them; -1: not */

	pthread_mutex_t lock; /* for what lunette says */
	struct report_line line[REPORT_LINES_MAX];
	unsigned lines, lost; /* kept, and not */
	char *error;          /* the last error line; NULL: none */

	pthread_mutex_t tap_lock;
	struct tap *tap[REPORT_STREAMS]; /* NULL: nobody asks for results */

	unsigned reboots; /* after which the guest came back [main] */
	char *cmdline; /* the kernel's; malloc()ed; NULL: not known yet */

	/* At the end. */
	enum cause cause;
	int by_signal;                  /* with CAUSE_SIGNAL: which one ended the run */
	struct json_t *disks, *console; /* lists of objects, and of lines; NULL: not known */
	struct json_t *vcpus;           /* lines on where they were; NULL: nobody looked */
	struct json_t *script;          /* commands of --at, and what became of them; NULL: none */
	struct json_t *expect;          /* what was expected, and got; NULL: nothing */
};

/* PHASE_BEGUN is now, and lunette's lines are heard from now on. @cfg is borrowed. [setup] */
void report_init(struct report *r, const struct guest_cfg *cfg);
/* Lines are heard no longer. No other thread runs. */
void report_fini(struct report *r);

/* A phase has been reached; the first time counts. Any thread. */
void report_mark(struct report *r, enum report_phase phase);
/* The command has ended: by this exit status, or, where @signal is not 0, by that signal. Any
 * thread. */
void report_command(struct report *r, int exit, int signal);

/* From now on results of tests are looked for; may be called again. -ENOMEM. [setup] */
int report_listen(struct report *r);
/* The guest has printed this. Any thread. */
void report_feed(struct report *r, enum report_stream stream, const void *data, size_t len);

/* No more is printed. No other thread runs. */
void report_end_streams(struct report *r);

/* Since PHASE_BEGUN, in ns. */
int64_t report_now(const struct report *r);
/* When a phase was reached, in ns since PHASE_BEGUN; -1: it was not. */
int64_t report_time(const struct report *r, enum report_phase phase);
/* One line with the times, at --log info. */
void report_log_times(const struct report *r);

/* A disk is about to be unplugged: what it has done will be in the report. [main] */
void report_leaves(struct report *r, struct device *dev);
/* What the disks have done; they are to be taken down next. No vCPU runs. [main] */
void report_disks(struct report *r, const struct device_list *devices);
/* Where a vCPU was when the guest came to its end, a line. [main] */
void report_vcpu(void *report, const char *line);
/* What the console has printed last; nothing more will come. [main] */
void report_console(struct report *r, struct console_log *log);
/* The exit status, by cause, command and signal. */
int report_status(const struct report *r);
/* All of it as JSON, malloc()ed; a run that has not @finished says no cause. NULL: no memory. */
char *report_json(struct report *r, bool finished);

#endif
