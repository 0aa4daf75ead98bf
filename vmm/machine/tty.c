/* SPDX-License-Identifier: MIT */
#include "vmm/machine/tty.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/core/libc.h"

/*
 * Writable file-scope data, against the rule: a handler of SIGSEGV gets no argument of ours, and
 * the terminal is one per process anyway.
 */
static struct {
	struct termios before;
	volatile sig_atomic_t is_raw;
	pid_t watcher; /* 0: none */
	int to_watcher; /* a pipe: a byte tells whether the terminal is raw */
} tty;

/* In the background tcsetattr() would stop us. */
static void give_back(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

	sigaction(SIGTTOU, &ignore, &before);
	tcsetattr(STDIN_FILENO, TCSANOW, &tty.before);
	sigaction(SIGTTOU, &before, NULL);
}

static void tell_watcher(char raw)
{
	if (tty.watcher && write(tty.to_watcher, &raw, 1) < 0)
		return; /* somebody has killed it */
}

/*
 * The child: nothing but SIGKILL ends it before us, and of what we have open it keeps the terminal
 * and the pipe, so that nobody who waits for our end waits for its.
 */
static void watch(int from_parent)
{
	char raw = false, c;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setpgid(0, 0); /* what is sent to our group is not for it */
	prctl(PR_SET_NAME, "lunette-tty");
	dup2(from_parent, STDOUT_FILENO);
	close_range(STDERR_FILENO, ~0u, 0);
	while (read(STDOUT_FILENO, &c, 1) == 1)
		raw = c;
	if (raw)
		give_back();
	_exit(0);
}

void tty_watch(void)
{
	int fds[2];

	if (tty.watcher || tcgetattr(STDIN_FILENO, &tty.before) < 0 || pipe2(fds, O_CLOEXEC) < 0)
		return;
	tty.watcher = fork();
	if (tty.watcher == 0)
		watch(fds[0]);
	close(fds[0]);
	tty.to_watcher = fds[1];
	if (tty.watcher < 0) { /* then SIGKILL leaves the terminal raw */
		tty.watcher = 0;
		close(fds[1]);
	}
}

void tty_unwatch(void)
{
	if (!tty.watcher)
		return;
	kill(tty.watcher, SIGKILL);
	waitpid(tty.watcher, NULL, 0);
	tty.watcher = 0;
	close(tty.to_watcher);
}

bool tty_make_raw(void)
{
	struct termios raw;

	if (tty.is_raw) /* and what was before is known */
		return true;
	if (tcgetattr(STDIN_FILENO, &tty.before) < 0)
		return false;
	raw = tty.before;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own lines would walk down the stairs */
	tell_watcher(true);
	tty.is_raw = true;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	return true;
}

void tty_restore(void)
{
	if (!tty.is_raw)
		return;
	tty.is_raw = false;
	give_back();
	tell_watcher(false);
}
