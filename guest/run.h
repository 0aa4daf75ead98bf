/* SPDX-License-Identifier: MIT */
/*
 * run.h - one command that runs for a client of lunette's (exec.c): its description, its process,
 * its ends of pipes or of a terminal.
 */
#ifndef GUEST_RUN_H
#define GUEST_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest/exec.h"

#define RUN_GRACE_MS 1000

/* A command. */
struct run {
	uint32_t id;
	const char *cwd; /* where it runs if nothing else is said; borrowed */
	char *spec;
	size_t spec_len;
	pid_t pid; /* 0: not yet */
	bool tty;
	bool started; /* to be said */
	bool ended;   /* with @status, or ... */
	bool gone;    /* its client has left; nothing is said any more */
	int status;
	const char *failed; /* ... it does not run, and why */
	char text[EXEC_TEXT_MAX];
	int fd[EXEC_STREAMS];	   /* our ends; a terminal's is one for two. -1: closed */
	size_t room[EXEC_STREAMS]; /* what its client still takes */
	size_t left[EXEC_STREAMS]; /* once it has ended: bytes that are still its own */
	uint64_t deadline;	   /* then; ms, 0: none */
	size_t taken;		   /* of its stdin, to be said */
	bool in_ends;
	size_t in_at, in_end;
	uint8_t in[EXEC_WINDOW];
};

/* A command without a description yet. NULL: no memory. */
struct run *run_new(uint32_t id, const char *cwd);
void run_free(struct run *r);

/* A frame for it. False: it is none that a command takes. */
bool run_take(struct run *r, const struct exec_head *h, const uint8_t *data);
/* Its process has ended, with this status of wait(). */
void run_ended(struct run *r, int status);
/* A signal for all of its session; nothing if it does not run. */
void run_tell(const struct run *r, int sig);
/* What has come for its stdin, which is open and has room. */
void run_write_stdin(struct run *r);
/* What is due now: the end of its stdin, of waiting for a terminal's last words, of its grace. */
void run_look_at(struct run *r);
/* Closes, and is -1 from now on. */
void run_shut(int *fd);

#endif
