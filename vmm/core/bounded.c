/* SPDX-License-Identifier: MIT */
#include "vmm/core/bounded.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/compat.h"
#include "vmm/core/libc.h"

#define STACK (256u << 10)

/* clone(), which ThreadSanitizer would replace by one that shares no memory. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

struct call {
	void (*fn)(void *arg);
	void *arg;
};

static int make(void *arg)
{
	const struct call *call = arg;

	call->fn(call->arg);
	return 0;
}

static void await(const struct bounded *b, pid_t pid)
{
	struct pollfd process = { .fd = pidfd_open(pid, 0), .events = POLLIN };
	int n = 0;

	while (process.fd >= 0 && n <= 0) {
		n = poll(&process, 1, b->ms);
		if (!n && b->late)
			b->late(b->arg);
	}
	waitpid(pid, NULL, __WALL);
	if (process.fd >= 0)
		close(process.fd);
}

void bounded_call(const struct bounded *b, void (*fn)(void *arg), void *arg)
{
	struct call call = { fn, arg };
	uint8_t *stack = malloc(STACK);
	sigset_t all, before;
	pid_t pid = -1;

	/* Those for the process are not for that one, and those for this thread wait: as in a call
	 * that cannot be interrupted. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (stack)
		pid = __clone(make, stack + STACK, CLONE_VM, &call); /* that sends no SIGCHLD */
	if (pid > 0)
		await(b, pid);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		fn(arg);
	free(stack);
}
