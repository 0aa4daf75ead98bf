/* SPDX-License-Identifier: MIT */
#include "guest/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "guest/ending.h"
#include "guest/init.h"
#include "guest/user.h"

int command_terminal(const struct winsize *size, int *slave)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlock = 0, err;

	if (master < 0)
		return -errno;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		goto close;
	*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		goto close;
	if (size->ws_row)
		ioctl(master, TIOCSWINSZ, size);
	return master;
close:
	err = errno;
	close(master);
	return -err;
}

/* Its files are the user's then, so that it can open them by their names. */
static int become(const struct command *c)
{
	int i;

	if (!c->who)
		return 0;
	for (i = 0; i < 3; i++)
		fchown(i, c->who->uid, c->who->gid);
	if (!c->has_home)
		setenv("HOME", c->who->home, 1);
	return user_become(c->who);
}

static int enter(const struct command *c)
{
	const char *home = getenv("HOME");

	if (c->cwd)
		return chdir(c->cwd);
	return home && chdir(home) == 0 ? 0 : chdir("/");
}

_Noreturn void command_run(const struct command *c)
{
	int i;

	setsid();
	for (i = 0; i < 3; i++)
		dup2(c->fd[i], i);
	if (c->tty)
		ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	ending_forget();
	signal(SIGPIPE, SIG_DFL);
	if (become(c) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || enter(c) < 0) {
		dprintf(STDERR_FILENO, "lunette: %s: %s\n", c->cwd ? c->cwd : "/",
			strerror(errno));
		_exit(126);
	}
	if (c->greet)
		init_greet();
	execvp(c->arg[0], c->arg);
	i = errno;
	dprintf(STDERR_FILENO, "lunette: %s: %s\n", c->arg[0],
		i == ENOENT ? "command not found in the guest" : strerror(i));
	_exit(i == ENOENT ? 127 : 126);
}
