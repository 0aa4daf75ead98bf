/* SPDX-License-Identifier: MIT */
/*
 * exec.c - commands that are run for clients of lunette's, beside what this guest is there for.
 *
 * A process of its own serves them: it has their pipes and terminals, and is their parent. The
 * first process makes it once the root file system is the last one, and another one should it be
 * killed. It never waits but in poll(): what a command prints is read when its client has said
 * that it takes more and the port has room, and what comes for its stdin has room here, as its
 * client waits for that.
 */
#include "guest/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/init.h"
#include "guest/run.h"

#define PLACES (2 * EXEC_COMMANDS_MAX) /* also for those whose clients have left */
#define STARTS_MAX 100
#define FDS_MAX 1024
#define OUT_MAX (2 * EXEC_FRAME_MAX)
#define SMALL (EXEC_HEAD + EXEC_TEXT_MAX) /* room for any frame without a stream's bytes */

struct server {
	int port, signals;
	const char *cwd;
	bool leaving, synced;
	uint8_t mark[EXEC_MARK_LEN + EXEC_NONCE];
	uint8_t in[2 * EXEC_FRAME_MAX], out[OUT_MAX];
	size_t in_len, out_len;
	unsigned turn;
	struct run *run[PLACES];
};

/* To lunette. */

static bool has_room(const struct server *s, size_t len)
{
	return sizeof(s->out) - s->out_len >= len;
}

/* There is room. The frame's data is in its place, or @data. */
static void put(struct server *s, enum exec_kind kind, uint32_t id, const void *data, size_t len)
{
	uint8_t *to = s->out + s->out_len;

	exec_head_put(to, kind, id, len);
	if (data)
		memcpy(to + EXEC_HEAD, data, len);
	s->out_len += EXEC_HEAD + len;
}

/* Whole frames in one write, of which the kernel takes all or nothing. */
static void flush(struct server *s)
{
	ssize_t n = s->out_len ? write(s->port, s->out, s->out_len) : 0;

	if (n <= 0)
		return;
	memmove(s->out, s->out + n, s->out_len - n);
	s->out_len -= n;
}

static void reap(struct server *s)
{
	int status;
	pid_t pid;
	unsigned i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < PLACES; i++) {
			if (s->run[i] && s->run[i]->pid == pid)
				run_ended(s->run[i], status);
		}
	}
}

/* With a piece of its description a command comes. NULL: it is none, or there is no place. */
static struct run *run_of(struct server *s, const struct exec_head *h)
{
	unsigned i, free_place = PLACES;

	for (i = 0; i < PLACES; i++) {
		if (s->run[i] && s->run[i]->id == h->id)
			return s->run[i];
		if (!s->run[i])
			free_place = i;
	}
	if (h->kind != EXEC_SPEC)
		return NULL;
	if (free_place < PLACES)
		s->run[free_place] = run_new(h->id, s->cwd);
	if (free_place < PLACES && s->run[free_place])
		return s->run[free_place];
	if (has_room(s, SMALL))
		put(s, EXEC_FAILED, h->id, "too many commands", strlen("too many commands"));
	return NULL;
}

static void take_frame(struct server *s, const struct exec_head *h, const uint8_t *data)
{
	struct run *r = run_of(s, h);

	if (r)
		run_take(r, h, data);
}

/* What came before the mark was for who was here before. False: it has not come yet. */
static bool find_mark(struct server *s)
{
	uint8_t *at = memmem(s->in, s->in_len, s->mark, sizeof(s->mark));
	size_t keep = s->in_len < sizeof(s->mark) ? s->in_len : sizeof(s->mark) - 1;

	if (at) {
		at += sizeof(s->mark);
		keep = s->in + s->in_len - at;
		s->synced = true;
	} else {
		at = s->in + s->in_len - keep;
	}
	memmove(s->in, at, keep);
	s->in_len = keep;
	return s->synced;
}

static void take_frames(struct server *s)
{
	size_t at = 0;

	if (!s->synced && !find_mark(s))
		return;
	while (s->in_len - at >= EXEC_HEAD) {
		struct exec_head h = exec_head_get(s->in + at);

		if (h.len > EXEC_DATA_MAX) { /* nothing makes sense any more */
			s->leaving = true;
			return;
		}
		if (s->in_len - at - EXEC_HEAD < h.len)
			break;
		take_frame(s, &h, s->in + at + EXEC_HEAD);
		at += EXEC_HEAD + h.len;
	}
	memmove(s->in, s->in + at, s->in_len - at);
	s->in_len -= at;
}

/* False: lunette's end is closed. */
static bool read_port(struct server *s)
{
	ssize_t n = read(s->port, s->in + s->in_len, sizeof(s->in) - s->in_len);

	if (n > 0) {
		s->in_len += n;
		take_frames(s);
	}
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Streams. */

static bool wants_stdin(const struct run *r)
{
	return r->fd[EXEC_STDIN] >= 0 && r->in_at < r->in_end;
}

static bool wants_output(const struct server *s, const struct run *r, enum exec_stream i)
{
	return r->fd[i] >= 0 && !r->started && r->room[i] > EXEC_HEAD &&
	       has_room(s, EXEC_FRAME_MAX);
}

static void read_output(struct server *s, struct run *r, enum exec_stream i)
{
	size_t most = r->room[i] - EXEC_HEAD;
	ssize_t n;

	if (most > EXEC_DATA_MAX)
		most = EXEC_DATA_MAX;
	if (r->ended && most > r->left[i])
		most = r->left[i];
	n = read(r->fd[i], s->out + s->out_len + EXEC_HEAD, most);
	if (n > 0) {
		put(s, i == EXEC_STDOUT ? EXEC_OUT : EXEC_ERR, r->id, NULL, n);
		r->room[i] -= EXEC_HEAD + n;
		if (r->ended && r->left[i] != SIZE_MAX)
			r->left[i] -= n;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || (r->ended && !r->left[i]))
		run_shut(&r->fd[i]);
}

static void put_end(struct server *s, const struct run *r)
{
	uint8_t value = WIFSIGNALED(r->status) ? WTERMSIG(r->status) : WEXITSTATUS(r->status);

	if (r->failed)
		put(s, EXEC_FAILED, r->id, r->failed, strlen(r->failed));
	else
		put(s, WIFSIGNALED(r->status) ? EXEC_KILLED : EXEC_EXIT, r->id, &value, 1);
}

/* What is to be said of it, but for its streams. False: it is no more. */
static bool say(struct server *s, unsigned place)
{
	struct run *r = s->run[place];
	uint8_t text[EXEC_TAKEN_LEN] = { EXEC_STDIN };

	if (r->gone || r->failed) {
		if (!r->gone && !has_room(s, SMALL))
			return true;
		if (!r->gone)
			put_end(s, r);
		r->gone = true;
		if (r->pid && !r->ended)
			return true;
		run_free(r);
		s->run[place] = NULL;
		return false;
	}
	if (r->started && has_room(s, SMALL)) {
		put(s, EXEC_STARTED, r->id, NULL, 0);
		r->started = false;
	}
	if (r->taken >= EXEC_TAKEN_STEP && has_room(s, SMALL)) {
		exec_put(text + 1, r->taken, 4);
		put(s, EXEC_TAKEN, r->id, text, sizeof(text));
		r->taken = 0;
	}
	if (!r->ended || r->started || r->fd[EXEC_STDOUT] >= 0 || r->fd[EXEC_STDERR] >= 0 ||
	    !has_room(s, SMALL))
		return true;
	put_end(s, r);
	run_free(r);
	s->run[place] = NULL;
	return false;
}

/* All that can be done without waiting. */
static void serve_all(struct server *s)
{
	unsigned n, place;
	struct run *r;

	for (n = 0; n < PLACES; n++) {
		place = (s->turn + n) % PLACES;
		r = s->run[place];
		if (!r)
			continue;
		if (wants_stdin(r))
			run_write_stdin(r);
		if (wants_output(s, r, EXEC_STDOUT))
			read_output(s, r, EXEC_STDOUT);
		if (wants_output(s, r, EXEC_STDERR))
			read_output(s, r, EXEC_STDERR);
		run_look_at(r);
		say(s, place);
	}
	s->turn++;
	flush(s);
}

static bool is_idle(const struct server *s)
{
	unsigned i;

	for (i = 0; i < PLACES && !s->run[i]; i++)
		;
	return i == PLACES;
}

/* Waits for something to do. False: the port is closed. */
static bool wait_for_work(struct server *s)
{
	struct pollfd fd[2 + PLACES * EXEC_STREAMS];
	struct signalfd_siginfo info;
	unsigned i, k, n = 2;
	int timeout = -1;

	fd[0] = (struct pollfd){ .fd = s->port, .events = POLLIN | (s->out_len ? POLLOUT : 0) };
	fd[1] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
	for (i = 0; i < PLACES; i++) {
		const struct run *r = s->run[i];

		if (!r)
			continue;
		if (r->deadline)
			timeout = RUN_GRACE_MS / 4;
		if (wants_stdin(r))
			fd[n++] = (struct pollfd){ .fd = r->fd[EXEC_STDIN], .events = POLLOUT };
		for (k = EXEC_STDOUT; k <= EXEC_STDERR; k++) {
			if (wants_output(s, r, k))
				fd[n++] = (struct pollfd){ .fd = r->fd[k], .events = POLLIN };
		}
	}
	if (poll(fd, n, timeout) < 0)
		return true;
	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		s->leaving = s->leaving || info.ssi_signo == SIGTERM;
	reap(s);
	return !(fd[0].revents & (POLLIN | POLLHUP)) || read_port(s);
}

static void make_mark(struct server *s)
{
	uint8_t *nonce = s->mark + EXEC_MARK_LEN;
	struct timespec now;

	memcpy(s->mark, EXEC_MARK, EXEC_MARK_LEN);
	clock_gettime(CLOCK_MONOTONIC, &now);
	memcpy(nonce, &now, EXEC_NONCE);
	getrandom(nonce, EXEC_NONCE, GRND_NONBLOCK);
}

static void take_signals(struct server *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The process. Its status is 0 if another one may take its place. */
static _Noreturn void serve(const char *cwd)
{
	struct server *s = calloc(1, sizeof(*s));
	bool open = true;
	unsigned i;
	int fd;

	for (fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
		close(fd); /* the job's ports, of which each can be open once */
	setsid();
	prctl(PR_SET_NAME, "lunette-exec");
	init_write("/proc/self/oom_score_adj", "-1000");
	if (!s)
		_exit(1);
	s->cwd = cwd;
	s->port = init_port(EXEC_PORT);
	take_signals(s);
	if (s->port < 0 || s->signals < 0)
		_exit(1);
	fcntl(s->port, F_SETFL, O_NONBLOCK);
	make_mark(s);
	put(s, EXEC_HELLO, 0, s->mark + EXEC_MARK_LEN, EXEC_NONCE);
	flush(s);
	while (open && !(s->leaving && is_idle(s))) {
		open = wait_for_work(s);
		serve_all(s);
	}
	for (i = 0; i < PLACES; i++) {
		if (s->run[i])
			run_tell(s->run[i], SIGKILL);
	}
	_exit(!open);
}

/* In the first process. */

static struct {
	pid_t pid; /* 0: there is none */
	const char *cwd;
	unsigned starts;
} server;

void exec_start(const char *cwd)
{
	if (!init_word(EXEC_WORD))
		return;
	server.cwd = cwd;
	server.pid = fork();
	if (server.pid == 0)
		serve(cwd);
}

void exec_ended(pid_t pid, int status)
{
	if (pid != server.pid)
		return;
	server.pid = 0;
	if ((WIFSIGNALED(status) || !WEXITSTATUS(status)) && ++server.starts < STARTS_MAX)
		exec_start(server.cwd);
}
