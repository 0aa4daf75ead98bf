/* SPDX-License-Identifier: MIT */
/*
 * job.c - the command that lunette runs in this guest.
 *
 * Its outputs are pipes, as everywhere, so that it can open /dev/stderr and children can share
 * them; a loop here moves what comes out of them to the ports, and the other way for stdin. When
 * nobody reads a port any more ("lunette run -- yes | head") lunette closes it, and the command
 * gets its SIGPIPE.
 */
#include "guest/job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest/command.h"
#include "guest/ending.h"
#include "guest/expect.h"
#include "guest/files.h"
#include "guest/init.h"
#include "guest/net.h"
#include "guest/user.h"

#define ARGS_MAX 16384
#define WAIT_US 1000
#define WAIT_TRIES 5000
#define TURNS 16 /* of one pump, before it is another's turn */
#define GRACE_MS 1000 /* for those who are asked to go */
#define CHUNK 32768 /* what Linux moves to or from a port at a time */

/* Moves bytes from one descriptor to the other until the first has no more. */
struct pump {
	int from, to; /* -1: closed */
	char buf[CHUNK];
	size_t at, end;
};

enum { IN, OUT, ERR, PUMPS };

struct job {
	int control;
	char spec[JOB_SPEC_MAX];
	size_t len;
	char *arg[ARGS_MAX + 1];
	unsigned nargs;
	const char *cwd, *user; /* NULL: not said */
	bool has_home;          /* its environment says where */
	struct user who;
	struct files files;
	struct expect expect;
	bool merge, tty, shell;
	struct winsize size;
	struct pump pump[PUMPS];
	int child_fd[PUMPS]; /* the command's own ends */
	pid_t pid;
	int status;
	bool ended;

	struct ending_source ends;
	enum ending ending; /* asked for: of the guest, before the command's own */
	uint64_t deadline;  /* then: of who has not gone by then, in ms */
};

static void say(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct job *j, const char *fmt, ...)
{
	char line[JOB_LINE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(j->control, line, n) != n)
		init_log("lunette cannot be told: %s", strerror(errno));
}

/* The specification. */

static void take_size(struct job *j, const char *text)
{
	sscanf(text, "%hu %hu", &j->size.ws_row, &j->size.ws_col);
}

/* One record, which stays where it is. 1: it was the last, "go". -EPROTO. */
static int take_record(struct job *j, char *text)
{
	char *value = strchr(text, '=');

	if (!strcmp(text, "go"))
		return 1;
	if (!strcmp(text, "merge") || !strcmp(text, "shell")) {
		j->merge = j->merge || *text == 'm';
		j->shell = j->shell || *text == 's';
		return 0;
	}
	if (!value)
		return -EPROTO;
	*value++ = 0;
	if (!strcmp(text, "arg") && j->nargs < ARGS_MAX)
		j->arg[j->nargs++] = value;
	else if (!strcmp(text, "mount") || !strcmp(text, "out") || !strcmp(text, "live") ||
		 !strcmp(text, "seen"))
		return files_take(&j->files, text, value);
	else if (!strcmp(text, "lun") || !strcmp(text, "port") || !strcmp(text, "virtio"))
		return expect_take(&j->expect, text, value);
	else if (!strcmp(text, "env"))
		j->has_home |= putenv(value) == 0 && !strncmp(value, "HOME=", 5);
	else if (!strcmp(text, "cwd"))
		j->cwd = value;
	else if (!strcmp(text, "user"))
		j->user = value;
	else if (!strcmp(text, "tty") || !strcmp(text, "size"))
		take_size(j, value);
	else
		return -EPROTO;
	j->tty = j->tty || !strcmp(text, "tty");
	return 0;
}

/* To a port that the host has not yet opened, the kernel reads the end of the file. */
static int read_spec(struct job *j)
{
	size_t at = 0;
	int tries = 0, r = 0;
	ssize_t n;

	while (j->len < sizeof(j->spec) && tries < WAIT_TRIES) {
		n = read(j->control, j->spec + j->len, sizeof(j->spec) - j->len);
		if (n <= 0) {
			usleep(WAIT_US);
			tries++;
			continue;
		}
		j->len += n;
		while (r == 0 && memchr(j->spec + at, 0, j->len - at)) {
			char *text = j->spec + at;

			at += strlen(text) + 1;
			r = take_record(j, text);
		}
		if (r)
			return r < 0 || !j->nargs ? -EPROTO : 0;
	}
	return -ETIMEDOUT;
}

/* The command. */

static int open_terminal(struct job *j)
{
	int slave, master = command_terminal(&j->size, &slave);

	if (master < 0)
		return master;
	j->child_fd[IN] = j->child_fd[OUT] = j->child_fd[ERR] = slave;
	j->pump[IN].to = j->pump[OUT].from = master;
	return 0;
}

static int open_pipes(struct job *j)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	j->child_fd[IN] = in[0];
	j->pump[IN].to = in[1];
	j->child_fd[OUT] = j->child_fd[ERR] = out[1];
	j->pump[OUT].from = out[0];
	if (j->merge)
		return 0;
	if (pipe2(err, O_CLOEXEC) < 0)
		return -errno;
	j->child_fd[ERR] = err[1];
	j->pump[ERR].from = err[0];
	return 0;
}

static int open_all(struct job *j)
{
	int r = j->tty ? open_terminal(j) : open_pipes(j), i;

	if (r < 0)
		return r;
	j->pump[IN].from = init_port(JOB_PORT_STDIN);
	j->pump[OUT].to = init_port(JOB_PORT_STDOUT);
	if (j->pump[ERR].from >= 0)
		j->pump[ERR].to = init_port(JOB_PORT_STDERR);
	if (j->pump[IN].from < 0 || j->pump[OUT].to < 0 ||
	    (j->pump[ERR].from >= 0 && j->pump[ERR].to < 0))
		return -ENODEV;
	for (i = 0; i < PUMPS; i++) {
		if (j->pump[i].from >= 0)
			fcntl(j->pump[i].from, F_SETFL, O_NONBLOCK);
		if (j->pump[i].to >= 0)
			fcntl(j->pump[i].to, F_SETFL, O_NONBLOCK);
	}
	return 0;
}

static _Noreturn void run_command(struct job *j)
{
	struct command c = {
		.arg = j->arg, .cwd = j->cwd, .who = j->user ? &j->who : NULL,
		.has_home = j->has_home, .tty = j->tty, .greet = j->shell,
		.fd = { j->child_fd[IN], j->child_fd[OUT], j->child_fd[ERR] },
	};

	command_run(&c);
}

static int start(struct job *j)
{
	j->pid = fork();
	if (j->pid < 0)
		return -errno;
	if (j->pid == 0)
		run_command(j);
	close(j->child_fd[IN]);
	close(j->child_fd[OUT]);
	if (j->child_fd[ERR] != j->child_fd[OUT])
		close(j->child_fd[ERR]);
	return 0;
}

/* The loop. */

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Both ends of a terminal are one descriptor, which is the output's to close. */
static void pump_stop(struct job *j, struct pump *p)
{
	if (p != &j->pump[IN] || !j->tty)
		shut(&p->to);
	p->to = -1;
	shut(&p->from);
}

/* Moves what can be moved now, but not for ever. False: that was the end of it. */
static bool pump_run(struct pump *p)
{
	int turns = TURNS;
	ssize_t n;

	while (turns--) {
		if (p->at == p->end) {
			n = read(p->from, p->buf, sizeof(p->buf));
			if (n <= 0)
				return n < 0 && (errno == EAGAIN || errno == EINTR);
			p->at = 0;
			p->end = n;
		}
		n = write(p->to, p->buf + p->at, p->end - p->at);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->at += n;
	}
	return true;
}

/*
 * A port whose host's end is closed hangs up: for an input that is its end, once it is read; for
 * an output, nobody listens any more.
 */
static void serve_pump(struct job *j, struct pump *p, const struct pollfd *from,
		       const struct pollfd *to)
{
	bool broken = to->revents & (POLLHUP | POLLERR);

	if (p->from < 0)
		return;
	if (broken || ((from->revents || to->revents) && !pump_run(p)))
		pump_stop(j, p);
}

static void watch_pump(const struct pump *p, struct pollfd *from, struct pollfd *to)
{
	bool full = p->at < p->end;

	*from = (struct pollfd){ .fd = full ? -1 : p->from, .events = POLLIN };
	*to = (struct pollfd){ .fd = p->from < 0 ? -1 : p->to, .events = full ? POLLOUT : 0 };
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

/* False: nobody has ended. */
static bool reap(struct job *j)
{
	bool any = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		any = true;
		if (!j->ended && !j->ending)
			exec_ended(pid, status);
		if (pid != j->pid)
			continue;
		j->ended = true;
		j->status = status;
		/* Those that it leaves behind go with it, and then its outputs end. */
		if (!j->ending)
			kill(-1, SIGKILL);
	}
	return any;
}

/* Who asks for an end, and who ends; it may have asked as its last deed, so they take turns. */
static void hear(struct job *j)
{
	enum ending how;

	do {
		how = ending_asked(&j->ends);
		if (!how || j->ending)
			continue;
		j->ending = how;
		j->deadline = now_ms() + GRACE_MS;
		ending_tell_all();
		if (j->shell)
			kill(j->pid, SIGHUP); /* it does not heed the other one */
	} while (reap(j));
}

/* Of poll(): for ever, or until those who do not go have to. */
static int time_left(const struct job *j)
{
	uint64_t now = now_ms();

	if (!j->ending)
		return -1;
	if (now < j->deadline)
		return j->deadline - now;
	kill(-1, SIGKILL);
	return GRACE_MS;
}

/* Of several sizes that have come meanwhile the last one counts. */
static void take_control(struct job *j)
{
	char text[256];
	ssize_t n = read(j->control, text, sizeof(text) - 1), at;

	if (n <= 0)
		return;
	text[n] = 0;
	for (at = 0; at < n; at += strlen(text + at) + 1) {
		if (!strncmp(text + at, "size=", 5))
			take_size(j, text + at + 5);
	}
	ioctl(j->pump[OUT].from, TIOCSWINSZ, &j->size);
}

/* Until the command has ended, by itself or not, and all that it printed is with the host. */
static void serve(struct job *j)
{
	enum { SIGNALS, FIFO, CONTROL, FIRST_PUMP };
	struct pollfd fd[FIRST_PUMP + 2 * PUMPS];
	int i;

	while (!j->ended || j->pump[OUT].from >= 0 || j->pump[ERR].from >= 0) {
		fd[SIGNALS] = (struct pollfd){ .fd = j->ends.signals, .events = POLLIN };
		fd[FIFO] = (struct pollfd){ .fd = j->ends.fifo, .events = POLLIN };
		fd[CONTROL] = (struct pollfd){ .fd = j->tty ? j->control : -1, .events = POLLIN };
		if (j->ended)
			pump_stop(j, &j->pump[IN]);
		for (i = 0; i < PUMPS; i++)
			watch_pump(&j->pump[i], &fd[FIRST_PUMP + 2 * i],
				   &fd[FIRST_PUMP + 2 * i + 1]);
		if (poll(fd, FIRST_PUMP + 2 * PUMPS, time_left(j)) < 0)
			continue;
		if (fd[SIGNALS].revents || fd[FIFO].revents)
			hear(j);
		if (fd[CONTROL].revents & POLLIN)
			take_control(j);
		for (i = 0; i < PUMPS; i++)
			serve_pump(j, &j->pump[i], &fd[FIRST_PUMP + 2 * i],
				   &fd[FIRST_PUMP + 2 * i + 1]);
	}
}

static unsigned long oom_kills(void)
{
	char text[16384], *at = strstr(init_read("/proc/vmstat", text, sizeof(text)), "oom_kill ");

	return at ? strtoul(at + strlen("oom_kill "), NULL, 10) : 0;
}

static void report(struct job *j)
{
	unsigned long kills = oom_kills();

	if (kills)
		say(j, "oom %lu", kills);
	if (WIFSIGNALED(j->status))
		say(j, "signal %d", WTERMSIG(j->status));
	else
		say(j, "exit %d", WEXITSTATUS(j->status));
}

static void give_files(struct job *j)
{
	const char *lost;
	unsigned blocks;

	if (!j->files.out.disk)
		return;
	blocks = files_give(&j->files, &lost);
	if (lost)
		say(j, "lost %s", lost);
	if (blocks)
		say(j, "out %u", blocks);
}

/* Returns what went wrong, or NULL. */
static const char *prepare(struct job *j)
{
	const char *error;
	int r = read_spec(j);

	if (r < 0)
		return r == -ETIMEDOUT ? "no command came" : "the command makes no sense";
	if (!expect_met(&j->expect, &j->files) || !init_network())
		return init_said();
	files_keep(&j->files);
	r = init_mount_root();
	if (r > 0) {
		net_keep_resolver("/mnt", init_word("lunette.overlay"));
		r = init_enter_root();
		mkdir("/run", 0755);
		mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
	}
	if (r < 0)
		return init_said();
	ending_make_fifo(&j->ends);
	error = files_mount(&j->files);
	if (error)
		return error;
	if (j->user && user_find(j->user, "/etc/passwd", "/etc/group", &j->who) < 0) {
		init_log("no user %s in /etc/passwd, or no such group in /etc/group", j->user);
		return init_said();
	}
	if (open_all(j) < 0)
		return "a port is missing";
	return NULL;
}

static void run(struct job *j)
{
	const char *error = prepare(j);

	if (!error) {
		say(j, "up");
		exec_start(j->cwd);
		if (start(j) < 0)
			error = "no process for the command";
	}
	if (error) {
		say(j, "error %s", error);
		return;
	}
	say(j, "start");
	serve(j);
	if (j->ending)
		return;
	report(j);
	give_files(j);
}

enum ending job_main(void)
{
	struct job *j = calloc(1, sizeof(*j));
	int i;

	if (!j || ending_open(&j->ends) < 0)
		return ENDING_NONE;
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < PUMPS; i++)
		j->pump[i].from = j->pump[i].to = -1;
	j->control = init_port(JOB_PORT_CONTROL);
	if (j->control < 0) {
		expect_take(&j->expect, "port", JOB_PORT_CONTROL);
		expect_met(&j->expect, &j->files); /* the console hears why it is not there */
		return ENDING_NONE;
	}
	run(j);
	if (j->ending)
		return j->ending;
	init_write_back();
	say(j, "end");
	return ENDING_NONE;
}
