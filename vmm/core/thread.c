/* SPDX-License-Identifier: MIT */
#include "vmm/core/thread.h"

#include <stdio.h>

#include "vmm/core/util.h"

/* What differs from role to role. */
static const struct {
	int wakes; /* a signal that is meant for these threads; 0: none */
} roles[THREAD_ROLES] = {
	[THREAD_VCPU] = { .wakes = THREAD_KICK },
};

/*
 * Never blocked: a fault that is blocked kills the process without crash.c, and the terminal lets
 * who blocks its signals write and read from the background.
 */
static const int always[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT,
			      SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT };

static void blocked(enum thread_role role, sigset_t *set)
{
	unsigned i;

	sigfillset(set);
	for (i = 0; i < ARRAY_SIZE(always); i++)
		sigdelset(set, always[i]);
	if (roles[role].wakes)
		sigdelset(set, roles[role].wakes);
}

/* The new thread, before its work. */
static void *thread_main(void *arg)
{
	struct thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->fn(t->arg);
	return NULL;
}

/* A thread inherits its maker's mask: set there, it holds from the first instruction on. */
int thread_start(struct thread *t, enum thread_role role, const char *name, void (*fn)(void *arg),
		 void *arg)
{
	sigset_t mask, before;
	int r;

	t->role = role;
	snprintf(t->name, sizeof(t->name), "%.*s", THREAD_NAME_MAX, name);
	t->fn = fn;
	t->arg = arg;
	blocked(role, &mask);
	pthread_sigmask(SIG_SETMASK, &mask, &before);
	r = pthread_create(&t->id, NULL, thread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

void thread_join(struct thread *t)
{
	pthread_join(t->id, NULL);
}
