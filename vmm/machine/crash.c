/* SPDX-License-Identifier: MIT */
#include "vmm/machine/crash.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/core/libc.h"
#include "vmm/core/util.h"
#include "vmm/core/version.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/tty.h"

extern const char __executable_start[]; /* the linker's: where the program begins in memory */

static bool core_is_wanted(void)
{
	struct rlimit core;

	return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur > 0;
}

/* Not by log_err(): it may be where we come from, and others listen to it. */
static void report(int sig, const siginfo_t *info, const void *context)
{
	char line[400], thread[16] = "";
	int n;

	prctl(PR_GET_NAME, thread);
	n = snprintf(line, sizeof(line),
		     "lunette: error: this is a bug in lunette %s: SIG%s in %s at program address "
		     "%#jx, data address %#jx; please report this line, those before it, and the "
		     "command\n",
		     lunette_version, sigabbrev_np(sig), thread,
		     (uintmax_t)(arch_crash_pc(context) - (uintptr_t)__executable_start),
		     sig == SIGABRT ? 0 : (uintmax_t)(uintptr_t)info->si_addr);
	if (n > 0 && write(STDERR_FILENO, line, min_u64(n, sizeof(line) - 1)) < 0)
		return; /* nobody to tell */
}

static void crashed(int sig, siginfo_t *info, void *context)
{
	bool sent = info->si_code <= 0 && info->si_pid != getpid(); /* by somebody else: no bug */

	tty_restore();
	if (!sent)
		report(sig, info, context);
	if (!sent && !core_is_wanted())
		_exit(causes[CAUSE_BUG].status);
	raise(sig); /* its default action now: SA_RESETHAND */
}

void crash_leave(int status)
{
	tty_restore();
	_exit(status);
}

void crash_setup(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction sa = { .sa_sigaction = crashed,
				.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
}
