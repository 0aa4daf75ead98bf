/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/apart.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/compat.h"
#include "vmm/core/libc.h"
#include "vmm/core/util.h"

#define END_MS 5000  /* for its end once it is killed */
#define FILES_MAX 64 /* numbers of those it opens are below */

/* The process. */

/* Bytes of address space that are in use. */
static uint64_t own_size(void)
{
	unsigned long long pages = 0;
	FILE *in = fopen("/proc/self/statm", "re");

	if (in) {
		if (fscanf(in, "%llu", &pages) != 1)
			pages = 0;
		fclose(in);
	}
	return pages * sysconf(_SC_PAGESIZE);
}

/* No more than @most; less, if it has less. */
static bool limit(int what, uint64_t most)
{
	struct rlimit is;

	if (getrlimit(what, &is) < 0)
		return false;
	most = min_u64(most, is.rlim_max);
	return setrlimit(what, &(struct rlimit){ most, most }) == 0;
}

static void close_others(const int fd[2])
{
	unsigned low = fd[0] < fd[1] ? fd[0] : fd[1], high = fd[0] < fd[1] ? fd[1] : fd[0];
	unsigned next = STDERR_FILENO + 1;

	if (low > next)
		close_range(next, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, ~0u, 0);
}

static bool confine(const struct apart *a)
{
	uint64_t size = own_size();

	close_others(a->fd);
	signal(SIGXFSZ, SIG_IGN);
	return size && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       limit(RLIMIT_AS, size + a->memory) && limit(RLIMIT_FSIZE, a->file_max) &&
	       limit(RLIMIT_NOFILE, FILES_MAX) && limit(RLIMIT_NPROC, 0) && limit(RLIMIT_CORE, 0);
}

static _Noreturn void be_apart(const struct apart *a, pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || !confine(a))
		_exit(EXIT_FAILURE);
	a->fn(a->arg);
	_exit(EXIT_SUCCESS);
}

/* Who waits for it. */

/* Those that end a process; none that it was told to ignore, which a signalfd would get, too. */
static void ending_signals(sigset_t *set)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };
	struct sigaction sa;
	unsigned i;

	sigemptyset(set);
	for (i = 0; i < ARRAY_SIZE(ends); i++)
		if (sigaction(ends[i], NULL, &sa) == 0 && sa.sa_handler != SIG_IGN)
			sigaddset(set, ends[i]);
}

static int await(struct apart *a, int process, int signals)
{
	struct pollfd fd[] = { { .fd = process, .events = POLLIN },
			       { .fd = signals, .events = POLLIN } };
	struct signalfd_siginfo info;
	uint64_t now;
	int r;

	for (;;) {
		now = now_ms();
		if (now >= a->deadline)
			return -ETIMEDOUT;
		r = poll(fd, ARRAY_SIZE(fd), (int)min_u64(a->deadline - now, 1000000));
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0 && fd[0].revents)
			return 0;
		if (r > 0 && read(signals, &info, sizeof(info)) == sizeof(info)) {
			a->signal = info.ssi_signo;
			return -EINTR;
		}
	}
}

/* One that waits for a disk that hangs ends once that goes on, and we do not wait for it. */
static void end(pid_t pid, int process)
{
	struct pollfd ended = { .fd = process, .events = POLLIN };

	kill(pid, SIGKILL);
	poll(&ended, 1, END_MS);
	waitpid(pid, NULL, WNOHANG);
}

/* To its end, of itself or not. */
static int see_through(struct apart *a, pid_t pid, int signals)
{
	int process = pidfd_open(pid, 0), status = -1;
	int r = process < 0 ? -errno : await(a, process, signals);

	if (r < 0)
		end(pid, process);
	else if (waitpid(pid, &status, 0) != pid || status)
		r = -ECHILD;
	if (process >= 0)
		close(process);
	return r;
}

int apart_run(struct apart *a)
{
	sigset_t set, before;
	pid_t parent = getpid(), pid;
	int signals, r;

	ending_signals(&set);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, &before);
	pid = fork();
	if (pid == 0)
		be_apart(a, parent);
	r = pid < 0 ? -errno : see_through(a, pid, signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(signals);
	return r;
}
