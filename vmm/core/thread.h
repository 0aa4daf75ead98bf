/* SPDX-License-Identifier: MIT */
/*
 * thread.h - every thread of lunette but the main one starts here, by its role.
 *
 * What a role's threads have in common stands in one row of the table in
 * thread.c, and every new thread passes one function there before it does
 * anything else: what a role is to give up is given up at that place.
 *
 * Signals for the process are the main thread's. A thread takes those that its
 * own faults raise and those of job control, whatever its maker has blocked;
 * a vCPU's takes THREAD_KICK, too.
 */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H

#include <pthread.h>
#include <signal.h>

/* Gets a vCPU's thread out of KVM_RUN, or of a write that waits. */
#define THREAD_KICK SIGUSR2

enum thread_role {
	THREAD_VCPU,  /* runs the guest */
	THREAD_IO,    /* runs a loop (loop.h) */
	THREAD_STORE, /* makes system calls that wait, for a loop */
	THREAD_ROLES
};

#define THREAD_NAME_MAX 15 /* the kernel's */

/* Lives as long as the thread. */
struct thread {
	pthread_t id; /* from the return of thread_start() on */
	enum thread_role role;
	char name[THREAD_NAME_MAX + 1];
	void (*fn)(void *arg);
	void *arg;
};

/* A thread that runs fn(arg) and ends; @name is cut to what the kernel keeps. -errno. */
int thread_start(struct thread *t, enum thread_role role, const char *name, void (*fn)(void *arg),
		 void *arg);
/* Waits for its end. Another thread, once. */
void thread_join(struct thread *t);

#endif
