/* SPDX-License-Identifier: MIT */
/*
 * child.h - a program that works for one run of lunette, and ends with it.
 *
 * It has /dev/null, a pipe for its messages, and the descriptors that it is given; a session of its
 * own, so that a terminal's ^C is not meant for it; and a signal when the thread that has started
 * it ends, however that comes about. So that thread is to be the main one.
 */
#ifndef CORE_CHILD_H
#define CORE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHILD_FD 3 /* the first one that it is given, there */

struct child {
	pid_t pid;    /* 0: there is none */
	int fd;       /* a pidfd: readable when it has ended */
	int messages; /* a pipe, what it has written to stderr */
};

#define CHILD_NONE ((struct child){ .fd = -1, .messages = -1 })

struct child_spec {
	const char *const *argv; /* the first is looked for in PATH; NULL ends it */
	const int *given;        /* become its descriptors from CHILD_FD on */
	unsigned ngiven;
	int out;       /* its stdout; -1: nobody reads that */
	bool listens;  /* the first one is a socket that it is to serve (LISTEN_FDS) */
	int sig;       /* what it gets when our thread ends */
	/* Before it is that program, in its process, which has our memory, but no other descriptor
	 * of ours: nothing is allocated there, nor any lock taken. -errno: it is not started. NULL:
	 * nothing to do. */
	int (*prepare)(void *arg);
	void *arg;
};

/*
 * @c is CHILD_NONE before. -ENOENT: there is no such program; other -errno. Without a line. [setup,
 * main]
 */
int child_start(struct child *c, const struct child_spec *spec);

/*
 * A socket that such a program is to serve, in a folder that only we may enter, and that is gone at
 * once: who wants to get to it has to have *@at, which stands for its file (/proc/self/fd/N).
 * Returns the socket; -errno after one line, which begins with @what. [setup]
 */
int child_listen(const char *what, int *at);

/* Waits until @fd is readable or the program has ended. False: neither, for @ms. */
bool child_await(const struct child *c, int fd, int ms);

/* The last line that it has written so far, without its end; "": none. Takes what is there. */
void child_words(const struct child *c, char *text, size_t size);

/*
 * Sends @sig, 0: none, and waits for its end; after @ms it is killed. False: it had to be. Of
 * CHILD_NONE: nothing to do.
 */
bool child_end(struct child *c, int sig, int ms);

#endif
