/* SPDX-License-Identifier: MIT */
#include "vmm/core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/compat.h"
#include "vmm/core/libc.h"
#include "vmm/core/log.h"

#define STACK (256u << 10)
#define GIVEN_MAX 32
#define KILLED_MS 5000

/* clone(), which ThreadSanitizer would replace by one that shares no memory. */
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);

struct start {
	const struct child_spec *spec;
	char **env;
	char fds[16], listens[32]; /* the second one is LISTEN_PID=..., which only it knows */
	int messages;
	pid_t parent;
	int err;
};

/* All are moved up first, so that none is in another's place. */
static bool place(const struct start *s)
{
	const struct child_spec *spec = s->spec;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd[GIVEN_MAX];
	int out = spec->out < 0 ? null : spec->out;
	int top = CHILD_FD + GIVEN_MAX;
	unsigned i;

	for (i = 0; i < spec->ngiven; i++) {
		fd[i] = fcntl(spec->given[i], F_DUPFD_CLOEXEC, top);
		if (fd[i] < 0)
			return false;
	}
	out = fcntl(out, F_DUPFD_CLOEXEC, top);
	if (null < 0 || out < 0 || dup2(s->messages, 2) < 0 || dup2(null, 0) < 0 ||
	    dup2(out, 1) < 0)
		return false;
	for (i = 0; i < spec->ngiven; i++) {
		if (dup2(fd[i], CHILD_FD + (int)i) < 0)
			return false;
	}
	close_range(CHILD_FD + spec->ngiven, ~0u, 0); /* before Linux 5.9 exec() does it */
	return true;
}

/* What it does may have cost it the signal that it is to get. */
static bool prepare(const struct start *s)
{
	int r = s->spec->prepare ? s->spec->prepare(s->spec->arg) : 0;

	errno = -r;
	return r == 0 && prctl(PR_SET_PDEATHSIG, s->spec->sig) == 0 && getppid() == s->parent;
}

/* The program's process, which has our memory, but for its stack, until it is the program. */
static int begin(void *arg)
{
	struct start *s = arg;
	sigset_t none;

	sigemptyset(&none);
	errno = 0;
	prctl(PR_SET_PDEATHSIG, s->spec->sig);
	if (getppid() == s->parent && place(s) && prepare(s)) {
		setsid();
		signal(SIGPIPE, SIG_DFL);
		snprintf(s->listens, sizeof(s->listens), "LISTEN_PID=%d", (int)getpid());
		pthread_sigmask(SIG_SETMASK, &none, NULL);
		execvpe(s->spec->argv[0], (char *const *)s->spec->argv, s->env);
	}
	s->err = errno ? errno : ESRCH;
	_exit(127);
}

/* Ours, and what tells a server of its socket. NULL: no memory. */
static char **environment(struct start *s)
{
	char **env;
	size_t n = 0;

	while (environ && environ[n])
		n++;
	env = calloc(n + 3, sizeof(*env));
	if (!env)
		return NULL;
	if (n)
		memcpy(env, environ, n * sizeof(*env));
	if (s->spec->listens) {
		snprintf(s->fds, sizeof(s->fds), "LISTEN_FDS=1");
		env[n++] = s->fds;
		env[n] = s->listens;
	}
	return env;
}

static int run(struct child *c, struct start *s)
{
	char *stack = malloc(STACK);
	sigset_t all, before;
	pid_t pid;

	s->env = environment(s);
	if (!stack || !s->env) {
		free(stack);
		free(s->env);
		return -ENOMEM;
	}
	/* Signals are ours: a handler must not run there. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = __clone(begin, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
	if (pid < 0)
		s->err = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(stack);
	free(s->env);
	if (s->err && pid > 0)
		waitpid(pid, NULL, 0);
	if (s->err)
		return -s->err;
	c->pid = pid;
	c->fd = pidfd_open(pid, 0);
	return c->fd < 0 ? -errno : 0;
}

int child_start(struct child *c, const struct child_spec *spec)
{
	struct start s = { .spec = spec, .parent = getpid() };
	int pipe_[2], r;

	if (spec->ngiven > GIVEN_MAX)
		return -E2BIG;
	if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	c->messages = pipe_[0];
	s.messages = pipe_[1];
	r = run(c, &s);
	close(pipe_[1]);
	if (r < 0)
		child_end(c, SIGKILL, 0);
	return r;
}

/* In the folder @path, which is ours alone. Its file is *@at. */
static int listen_in(const char *path, int *at)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d/s", folder);
	*at = -1;
	if (fd < 0 || folder < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
	    listen(fd, 64) < 0 || (*at = openat(folder, "s", O_PATH | O_CLOEXEC)) < 0)
		r = -errno;
	if (folder >= 0) {
		unlinkat(folder, "s", 0);
		close(folder);
	}
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

int child_listen(const char *what, int *at)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int r;

	*at = -1;
	if (!dir || !*dir)
		dir = "/var/tmp";
	if (snprintf(path, sizeof(path), "%s/lunette-XXXXXX", dir) >= (int)sizeof(path)) {
		r = -ENAMETOOLONG;
	} else if (!mkdtemp(path)) {
		r = -errno;
	} else {
		r = listen_in(path, at);
		rmdir(path);
	}
	if (r < 0)
		log_err("%s: no socket can be made in %s: %s; set TMPDIR to another folder", what,
			dir, strerror(-r));
	return r;
}

bool child_await(const struct child *c, int fd, int ms)
{
	struct pollfd ready[] = { { .fd = fd, .events = POLLIN },
				  { .fd = c->fd, .events = POLLIN } };
	int r;

	do
		r = poll(ready, 2, ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

void child_words(const struct child *c, char *text, size_t size)
{
	ssize_t n;
	char *line;

	*text = 0;
	while ((n = read(c->messages, text, size - 1)) > 0) {
		while (n && text[n - 1] == '\n')
			n--;
		text[n] = 0;
	}
	line = strrchr(text, '\n');
	if (line)
		memmove(text, line + 1, strlen(line));
}

/* Has it ended, within @ms? */
static bool has_ended(const struct child *c, int ms)
{
	struct pollfd ended = { .fd = c->fd, .events = POLLIN };
	int r;

	do
		r = poll(&ended, 1, ms);
	while (r < 0 && errno == EINTR);
	return r > 0;
}

bool child_end(struct child *c, int sig, int ms)
{
	bool well = true;

	if (c->fd >= 0) {
		if (sig)
			pidfd_send_signal(c->fd, sig, NULL, 0);
		well = has_ended(c, ms);
		if (!well && pidfd_send_signal(c->fd, SIGKILL, NULL, 0) == 0)
			has_ended(c, KILLED_MS);
		close(c->fd);
	} else if (c->pid > 0) {
		kill(c->pid, SIGKILL); /* nobody could tell of its end */
	}
	if (c->pid > 0)
		waitpid(c->pid, NULL, c->fd >= 0 ? WNOHANG : 0);
	if (c->messages >= 0)
		close(c->messages);
	*c = CHILD_NONE;
	return well;
}
