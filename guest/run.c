/* SPDX-License-Identifier: MIT */
#include "guest/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "guest/command.h"
#include "guest/init.h"
#include "guest/user.h"

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

/* Commands: their ends. */

void run_shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void shut_stdin(struct run *r)
{
	run_shut(&r->fd[EXEC_STDIN]);
	r->in_at = r->in_end = 0;
}

static void shut_all(struct run *r)
{
	shut_stdin(r);
	run_shut(&r->fd[EXEC_STDOUT]);
	run_shut(&r->fd[EXEC_STDERR]);
}

/* It may not have its session yet. */
void run_tell(const struct run *r, int sig)
{
	if (r->pid && !r->ended && kill(-r->pid, sig) < 0)
		kill(r->pid, sig);
}

static void leave(struct run *r)
{
	shut_all(r);
	r->gone = true;
	r->deadline = now_ms() + RUN_GRACE_MS;
	run_tell(r, SIGHUP);
	run_tell(r, SIGTERM);
	run_tell(r, SIGCONT);
}

/* What its client hears last, if nothing else is to come. */
static void run_fail(struct run *r, const char *why, const char *more)
{
	snprintf(r->text, sizeof(r->text), "%s%s", why, more);
	r->failed = r->text;
	shut_all(r);
	run_tell(r, SIGKILL);
}

/* What is left in a pipe is its own; what others add to it later is not. */
void run_ended(struct run *r, int status)
{
	int i, left;

	r->ended = true;
	r->status = status;
	shut_stdin(r);
	for (i = EXEC_STDOUT; i <= EXEC_STDERR; i++) {
		left = 0;
		if (r->fd[i] >= 0 && (r->tty || ioctl(r->fd[i], FIONREAD, &left) < 0))
			left = -1;
		r->left[i] = left < 0 ? SIZE_MAX : (size_t)left;
		if (!left)
			run_shut(&r->fd[i]);
	}
	if (!r->gone)
		r->deadline = r->tty ? now_ms() + RUN_GRACE_MS : 0;
}

/* Commands: their beginnings. */

static char *value_of(char *record, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(record, name, len) && record[len] == '=' ? record + len + 1 : NULL;
}

/* The next record but the last. */
static char *record_after(const struct run *r, char *record)
{
	char *next = record ? record + strlen(record) + 1 : r->spec;

	return strcmp(next, "go") ? next : NULL;
}

/* NULL, or what is wrong with it. */
static const char *read_spec(struct run *r, struct command *c, struct winsize *size,
			     const char **user)
{
	char *record = NULL, *value;
	size_t n = 0;

	while ((record = record_after(r, record))) {
		if ((value = value_of(record, "arg")))
			c->arg[n++] = value;
		else if ((value = value_of(record, "cwd")))
			c->cwd = value;
		else if ((value = value_of(record, "user")))
			*user = value;
		else if ((value = value_of(record, "env")))
			c->has_home = c->has_home || !strncmp(value, "HOME=", 5);
		else if ((value = value_of(record, "tty")))
			r->tty = sscanf(value, "%hu %hu", &size->ws_row, &size->ws_col) == 2;
		else
			return "this guest's init does not know what the command needs";
	}
	return n ? NULL : "there is no command";
}

static void take_env(const struct run *r)
{
	char *record = NULL, *value;

	while ((record = record_after(r, record))) {
		value = value_of(record, "env");
		if (value)
			putenv(value);
	}
}

/* -errno. */
static int open_pipes(struct run *r, int child[3])
{
	int i, pair[2];

	for (i = 0; i < 3; i++) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		child[i] = pair[i != EXEC_STDIN];
		r->fd[i] = pair[i == EXEC_STDIN];
	}
	return 0;
}

static int open_terminal(struct run *r, const struct winsize *size, int child[3])
{
	int master = command_terminal(size, &child[0]);

	if (master < 0)
		return master;
	child[1] = child[2] = child[0];
	r->fd[EXEC_STDIN] = master;
	r->fd[EXEC_STDOUT] = fcntl(master, F_DUPFD_CLOEXEC, 0);
	return r->fd[EXEC_STDOUT] < 0 ? -errno : 0;
}

static void start(struct run *r, struct command *c, const struct winsize *size)
{
	int err, i;
	pid_t pid;

	c->fd[0] = c->fd[1] = c->fd[2] = -1;
	c->tty = r->tty;
	err = r->tty ? open_terminal(r, size, c->fd) : open_pipes(r, c->fd);
	pid = err < 0 ? -1 : fork();
	if (pid == 0) {
		init_write("/proc/self/oom_score_adj", "0");
		take_env(r);
		command_run(c);
	}
	if (pid < 0)
		run_fail(r, "no process for the command: ", strerror(err < 0 ? -err : errno));
	else
		r->pid = pid;
	for (i = 0; i < (r->tty ? 1 : 3); i++)
		run_shut(&c->fd[i]);
	for (i = 0; i < EXEC_STREAMS; i++) {
		if (r->fd[i] >= 0)
			fcntl(r->fd[i], F_SETFL, O_NONBLOCK);
	}
	r->started = r->pid > 0;
}

static void begin(struct run *r)
{
	struct command c = { .cwd = r->cwd };
	struct winsize size = { 0 };
	struct user *who = malloc(sizeof(*who));
	const char *user = NULL, *wrong;

	c.arg = calloc(r->spec_len / strlen("arg=") + 1, sizeof(*c.arg));
	wrong = c.arg && who ? read_spec(r, &c, &size, &user) : "no memory";
	if (!wrong && user && user_find(user, "/etc/passwd", "/etc/group", who) < 0)
		run_fail(r, "no such user in /etc/passwd, or no such group in /etc/group: ", user);
	else if (wrong)
		run_fail(r, wrong, "");
	if (user)
		c.who = who;
	if (!r->failed)
		start(r, &c, &size);
	free(c.arg);
	free(who);
	free(r->spec);
	r->spec = NULL;
}

/* From lunette: what becomes of a frame, by its kind. */

static void take_spec(struct run *r, const uint8_t *data, size_t len)
{
	static const char end[] = "\0go"; /* with its NUL */
	char *more = r->pid || r->failed || r->spec_len + len > EXEC_SPEC_MAX ? NULL :
		     realloc(r->spec, r->spec_len + len);

	if (!more) {
		run_fail(r, "the command makes no sense, or there is no memory", "");
		return;
	}
	r->spec = more;
	memcpy(more + r->spec_len, data, len);
	r->spec_len += len;
	if (r->spec_len >= sizeof(end) &&
	    !memcmp(more + r->spec_len - sizeof(end), end, sizeof(end)))
		begin(r);
}

static void take_in(struct run *r, const uint8_t *data, size_t len)
{
	r->in_ends = r->in_ends || !len;
	r->taken += EXEC_HEAD;
	if (r->fd[EXEC_STDIN] < 0) {
		r->taken += len;
		return;
	}
	if (sizeof(r->in) - r->in_end < len) {
		memmove(r->in, r->in + r->in_at, r->in_end - r->in_at);
		r->in_end -= r->in_at;
		r->in_at = 0;
	}
	if (sizeof(r->in) - r->in_end < len) {
		run_fail(r, "its stdin has more than was allowed", "");
		return;
	}
	memcpy(r->in + r->in_end, data, len);
	r->in_end += len;
}

static void take_signal(struct run *r, const uint8_t *data, size_t len)
{
	(void)len;
	if (data[0] > 0 && data[0] < NSIG)
		run_tell(r, data[0]);
}

static void take_size(struct run *r, const uint8_t *data, size_t len)
{
	struct winsize size = { .ws_row = exec_get(data, 2), .ws_col = exec_get(data + 2, 2) };

	(void)len;
	if (r->tty && r->fd[EXEC_STDOUT] >= 0)
		ioctl(r->fd[EXEC_STDOUT], TIOCSWINSZ, &size);
}

static void take_shut(struct run *r, const uint8_t *data, size_t len)
{
	(void)len;
	if (data[0] == EXEC_STDOUT || data[0] == EXEC_STDERR)
		run_shut(&r->fd[data[0]]);
}

static void take_gone(struct run *r, const uint8_t *data, size_t len)
{
	(void)data, (void)len;
	leave(r);
}

static void take_taken(struct run *r, const uint8_t *data, size_t len)
{
	(void)len;
	if (data[0] == EXEC_STDOUT || data[0] == EXEC_STDERR)
		r->room[data[0]] += exec_get(data + 1, 4);
}

static const struct {
	void (*fn)(struct run *r, const uint8_t *data, size_t len);
	size_t least;
} taken[EXEC_KINDS] = {
	[EXEC_SPEC] = { take_spec, 1 },
	[EXEC_IN] = { take_in, 0 },
	[EXEC_SIGNAL] = { take_signal, 1 },
	[EXEC_SIZE] = { take_size, EXEC_SIZE_LEN },
	[EXEC_SHUT] = { take_shut, 1 },
	[EXEC_GONE] = { take_gone, 0 },
	[EXEC_TAKEN] = { take_taken, EXEC_TAKEN_LEN },
};

struct run *run_new(uint32_t id, const char *cwd)
{
	struct run *r = calloc(1, sizeof(*r));
	unsigned i;

	if (!r)
		return NULL;
	r->id = id;
	r->cwd = cwd;
	for (i = 0; i < EXEC_STREAMS; i++) {
		r->fd[i] = -1;
		r->room[i] = EXEC_WINDOW;
	}
	return r;
}

void run_write_stdin(struct run *r)
{
	ssize_t n = write(r->fd[EXEC_STDIN], r->in + r->in_at, r->in_end - r->in_at);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) { /* it does not want any */
		r->taken += r->in_end - r->in_at;
		shut_stdin(r);
		return;
	}
	r->taken += n;
	r->in_at += n;
	if (r->in_at == r->in_end)
		r->in_at = r->in_end = 0;
}

void run_look_at(struct run *r)
{
	if (r->in_ends && r->in_at == r->in_end && !r->tty)
		shut_stdin(r);
	if (!r->deadline || now_ms() < r->deadline)
		return;
	if (r->gone)
		run_tell(r, SIGKILL);
	else
		run_shut(&r->fd[EXEC_STDOUT]); /* others still have its terminal */
	r->deadline = r->gone ? now_ms() + RUN_GRACE_MS : 0;
}

bool run_take(struct run *r, const struct exec_head *h, const uint8_t *data)
{
	if (h->kind >= EXEC_KINDS || !taken[h->kind].fn || h->len < taken[h->kind].least)
		return false;
	if (!r->gone && (!r->failed || h->kind == EXEC_GONE))
		taken[h->kind].fn(r, data, h->len);
	return true;
}

void run_free(struct run *r)
{
	shut_all(r);
	free(r->spec);
	free(r);
}
