/* SPDX-License-Identifier: MIT */
#include "vmm/run/control/remote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest/exec.h"
#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/core/outlet.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/tty.h"

#define TO_MAX (2 * EXEC_FRAME_MAX)
#define WAIT_MS 20000
#define SMALL 64 /* room for what is no stream's */

/* Output on its way to who reads it here. */
struct output {
	struct outlet to;
	bool shut;   /* nobody does */
	size_t owed; /* taken, to be said */
	size_t at, end;
	uint8_t buf[EXEC_WINDOW];
};

struct remote {
	const struct remote_cfg *cfg;
	int fd, signals;
	char *spec; /* the records, and how far they are sent */
	size_t spec_at, spec_len;
	bool ready; /* the guest's init is there */
	bool started, in_ended;
	uint8_t passed; /* the last signal; 0: the guest has said something since */
	int status;   /* -1: not known yet */
	size_t room;  /* for its input */
	uint64_t deadline;
	size_t to_len, from_len;
	uint8_t to[TO_MAX], from[2 * EXEC_FRAME_MAX];
	struct output output[EXEC_STREAMS]; /* the first is none */
};

/* What is sent. */

static bool has_room(const struct remote *r, size_t len)
{
	return sizeof(r->to) - r->to_len >= EXEC_HEAD + len;
}

static void put(struct remote *r, enum exec_kind kind, const void *data, size_t len)
{
	exec_head_put(r->to + r->to_len, kind, 0, (unsigned)len);
	if (len)
		memcpy(r->to + r->to_len + EXEC_HEAD, data, len);
	r->to_len += EXEC_HEAD + len;
}

static void put_spec(struct remote *r)
{
	size_t len;

	while (r->spec_at < r->spec_len && has_room(r, EXEC_DATA_MAX)) {
		len = min_u64(r->spec_len - r->spec_at, EXEC_DATA_MAX);
		put(r, EXEC_SPEC, r->spec + r->spec_at, len);
		r->spec_at += len;
	}
}

static void put_taken(struct remote *r)
{
	uint8_t data[EXEC_TAKEN_LEN];
	unsigned i;

	for (i = EXEC_STDOUT; i < EXEC_STREAMS; i++) {
		struct output *o = &r->output[i];

		if (o->owed < EXEC_TAKEN_STEP || !has_room(r, SMALL))
			continue;
		data[0] = (uint8_t)i;
		exec_put(data + 1, (uint32_t)o->owed, 4);
		put(r, EXEC_TAKEN, data, sizeof(data));
		o->owed = 0;
	}
}

/* Its size; false: this is no terminal, or it has none. */
static bool size_here(const struct remote *r, struct winsize *size)
{
	return r->cfg->tty && ioctl(r->cfg->in, TIOCGWINSZ, size) == 0 && size->ws_row;
}

static void put_size(struct remote *r)
{
	struct winsize size;
	uint8_t data[EXEC_SIZE_LEN];

	if (!r->started || !size_here(r, &size) || !has_room(r, SMALL))
		return;
	exec_put(data, size.ws_row, 2);
	exec_put(data + 2, size.ws_col, 2);
	put(r, EXEC_SIZE, data, sizeof(data));
}

static bool wants_input(const struct remote *r)
{
	return r->started && r->status < 0 && !r->in_ended && r->room > EXEC_HEAD + SMALL &&
	       has_room(r, EXEC_DATA_MAX + SMALL);
}

static void read_input(struct remote *r)
{
	uint8_t *to = r->to + r->to_len;
	size_t most = min_u64(r->room - EXEC_HEAD, EXEC_DATA_MAX - SMALL);
	ssize_t n = r->cfg->in < 0 ? 0 : read(r->cfg->in, to + EXEC_HEAD, most);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	r->in_ended = n <= 0;
	n = n < 0 ? 0 : n;
	exec_head_put(to, EXEC_IN, 0, (unsigned)n);
	r->to_len += EXEC_HEAD + (size_t)n;
	r->room -= EXEC_HEAD + (size_t)n;
}

/* False: the other end is closed; what it has said before is still to be read. */
static bool send_some(struct remote *r)
{
	ssize_t n = send(r->fd, r->to, r->to_len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	r->to_len -= (size_t)n;
	memmove(r->to, r->to + n, r->to_len);
	return true;
}

/* What is heard. */

static void end(struct remote *r, int status)
{
	if (r->status < 0)
		r->status = status;
}

static void end_by_text(struct remote *r, const char *who, const uint8_t *text, size_t len,
			int status)
{
	char plain[4 * EXEC_TEXT_MAX + 1];

	utf8_plain(plain, sizeof(plain), (const char *)text, len);
	tty_restore();
	log_err("%s: %s%s", r->cfg->what, who, plain);
	end(r, status);
}

static void heard_ready(struct remote *r, const uint8_t *data, size_t len)
{
	(void)data, (void)len;
	r->ready = true;
}

static void heard_started(struct remote *r, const uint8_t *data, size_t len)
{
	(void)data, (void)len;
	if (r->cfg->tty && !r->started)
		tty_make_raw();
	r->started = true;
}

static void heard_output(struct remote *r, enum exec_stream i, const uint8_t *data, size_t len)
{
	struct output *o = &r->output[i];

	o->owed += EXEC_HEAD;
	if (o->shut) {
		o->owed += len;
		return;
	}
	if (sizeof(o->buf) - o->end < len) {
		memmove(o->buf, o->buf + o->at, o->end - o->at);
		o->end -= o->at;
		o->at = 0;
	}
	if (sizeof(o->buf) - o->end < len) {
		end_by_text(r, "more came than was asked for", NULL, 0,
			    causes[CAUSE_NO_RESULT].status);
		o->at = o->end = 0; /* nobody is waited for */
		return;
	}
	memcpy(o->buf + o->end, data, len);
	o->end += len;
}

static void heard_out(struct remote *r, const uint8_t *data, size_t len)
{
	heard_output(r, EXEC_STDOUT, data, len);
}

static void heard_err(struct remote *r, const uint8_t *data, size_t len)
{
	heard_output(r, EXEC_STDERR, data, len);
}

static void heard_taken(struct remote *r, const uint8_t *data, size_t len)
{
	(void)len;
	if (data[0] == EXEC_STDIN)
		r->room = min_u64(r->room + exec_get(data + 1, 4), EXEC_WINDOW);
}

static void heard_failed(struct remote *r, const uint8_t *data, size_t len)
{
	end_by_text(r, "the guest: ", data, len, causes[CAUSE_BOOT].status);
}

static void heard_exit(struct remote *r, const uint8_t *data, size_t len)
{
	(void)len;
	end(r, data[0]);
}

static void heard_killed(struct remote *r, const uint8_t *data, size_t len)
{
	(void)len;
	end(r, 128 + data[0] % 128);
}

static void heard_lost(struct remote *r, const uint8_t *data, size_t len)
{
	end_by_text(r, "", data + 1, len - 1, data[0]);
}

static const struct {
	void (*fn)(struct remote *r, const uint8_t *data, size_t len);
	size_t least, most;
} heard[EXEC_KINDS] = {
	[EXEC_READY] = { heard_ready, 0, 0 },
	[EXEC_STARTED] = { heard_started, 0, 0 },
	[EXEC_OUT] = { heard_out, 1, EXEC_DATA_MAX },
	[EXEC_ERR] = { heard_err, 1, EXEC_DATA_MAX },
	[EXEC_TAKEN] = { heard_taken, EXEC_TAKEN_LEN, EXEC_TAKEN_LEN },
	[EXEC_FAILED] = { heard_failed, 0, EXEC_TEXT_MAX },
	[EXEC_EXIT] = { heard_exit, 1, 1 },
	[EXEC_KILLED] = { heard_killed, 1, 1 },
	[EXEC_LOST] = { heard_lost, 1, EXEC_TEXT_MAX },
};

static void take_frames(struct remote *r)
{
	size_t at = 0;

	while (r->status < 0 && r->from_len - at >= EXEC_HEAD) {
		struct exec_head h = exec_head_get(r->from + at);

		if (h.kind >= EXEC_KINDS || !heard[h.kind].fn || h.len < heard[h.kind].least ||
		    h.len > heard[h.kind].most) {
			end_by_text(r, "what comes makes no sense", NULL, 0,
				    causes[CAUSE_NO_RESULT].status);
			break;
		}
		if (r->from_len - at - EXEC_HEAD < h.len)
			break;
		heard[h.kind].fn(r, r->from + at + EXEC_HEAD, h.len);
		at += EXEC_HEAD + h.len;
	}
	r->from_len -= at;
	memmove(r->from, r->from + at, r->from_len);
}

static void receive(struct remote *r)
{
	ssize_t n = recv(r->fd, r->from + r->from_len, sizeof(r->from) - r->from_len,
			 MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_by_text(r, "the run has ended", NULL, 0, causes[CAUSE_NO_RESULT].status);
		return;
	}
	r->from_len += (size_t)n;
	r->passed = 0;
	take_frames(r);
}

/* What comes out here. */

/* Nobody reads it any more: the command hears of it as it would here. */
static void shut_output(struct remote *r, enum exec_stream i)
{
	struct output *o = &r->output[i];
	uint8_t stream = (uint8_t)i;

	o->owed += o->end - o->at;
	o->at = o->end = 0;
	o->shut = true;
	if (has_room(r, SMALL))
		put(r, EXEC_SHUT, &stream, 1);
}

static void write_output(struct remote *r, enum exec_stream i)
{
	struct output *o = &r->output[i];
	ssize_t n = outlet_write(&o->to, o->buf + o->at, o->end - o->at);

	if (n == -EAGAIN)
		return;
	if (n < 0) {
		if (n != -EPIPE)
			end_by_text(r, i == EXEC_STDOUT ? "stdout cannot be written: " :
				    "stderr cannot be written: ",
				    (const uint8_t *)strerror((int)-n), strlen(strerror((int)-n)),
				    causes[CAUSE_HOST_IO].status);
		shut_output(r, i);
		return;
	}
	o->at += (size_t)n;
	o->owed += (size_t)n;
	if (o->at == o->end)
		o->at = o->end = 0;
}

static bool is_written(const struct remote *r)
{
	return r->output[EXEC_STDOUT].at == r->output[EXEC_STDOUT].end &&
	       r->output[EXEC_STDERR].at == r->output[EXEC_STDERR].end;
}

/*
 * Signals are the command's, as soon as it is there. One that comes again while the guest has said
 * nothing since is not heard there: this ends here. False: so it does.
 */
static bool take_signal(struct remote *r)
{
	struct signalfd_siginfo info;
	uint8_t number;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	number = (uint8_t)info.ssi_signo;
	if (number == SIGWINCH) {
		put_size(r);
		return true;
	}
	if (!r->started || r->passed == number || r->status >= 0 || !has_room(r, SMALL)) {
		r->status = 128 + number;
		return false;
	}
	put(r, EXEC_SIGNAL, &number, 1);
	r->passed = number;
	return true;
}

/* -1: as long as it takes. */
static int time_left(const struct remote *r)
{
	uint64_t now = now_ms();

	if (r->ready || r->started || r->status >= 0)
		return -1;
	return now < r->deadline ? (int)(r->deadline - now) : 0;
}

/* False: this ends here. */
static bool serve(struct remote *r)
{
	enum { SOCKET, SIGNALS, INPUT, OUTPUT, ERROR, FDS };
	struct pollfd fd[FDS];
	struct output *o = r->output;
	int n;

	if (r->ready)
		put_spec(r);
	put_taken(r);
	if (r->cfg->in < 0 && wants_input(r))
		read_input(r); /* the end of it */
	fd[SOCKET] = (struct pollfd){ .fd = r->status < 0 ? r->fd : -1,
				      .events = POLLIN | (r->to_len ? POLLOUT : 0) };
	fd[SIGNALS] = (struct pollfd){ .fd = r->signals, .events = POLLIN };
	fd[INPUT] = (struct pollfd){ .fd = wants_input(r) ? r->cfg->in : -1, .events = POLLIN };
	fd[OUTPUT] = (struct pollfd){ .fd = o[1].at < o[1].end ? o[1].to.fd : -1,
				      .events = POLLOUT };
	fd[ERROR] = (struct pollfd){ .fd = o[2].at < o[2].end ? o[2].to.fd : -1,
				     .events = POLLOUT };
	n = poll(fd, FDS, time_left(r));
	if (n == 0)
		end_by_text(r, "the guest's init does not answer: it is not lunette's, or has not "
			    "got that far", NULL, 0, causes[CAUSE_BOOT].status);
	if (n <= 0)
		return true;
	if (fd[SIGNALS].revents && !take_signal(r))
		return false;
	if (fd[INPUT].revents)
		read_input(r);
	if (fd[SOCKET].revents & POLLOUT && r->to_len)
		send_some(r);
	if (fd[SOCKET].revents & (POLLIN | POLLHUP | POLLERR))
		receive(r);
	if (fd[OUTPUT].revents)
		write_output(r, EXEC_STDOUT);
	if (fd[ERROR].revents)
		write_output(r, EXEC_STDERR);
	return true;
}

/* What the guest is told. */

static void put_record(FILE *spec, const char *name, const char *value)
{
	fprintf(spec, "%s=%s%c", name, value, 0);
}

static void put_env(FILE *spec, const char *item)
{
	const char *value = getenv(item);

	if (strchr(item, '='))
		put_record(spec, "env", item);
	else if (value)
		fprintf(spec, "env=%s=%s%c", item, value, 0);
}

/* False after one line. */
static bool make_spec(struct remote *r)
{
	const struct remote_cfg *cfg = r->cfg;
	FILE *spec = open_memstream(&r->spec, &r->spec_len);
	struct winsize size = { 0 };
	unsigned i;

	if (!spec) {
		log_err("%s: %s", cfg->what, strerror(ENOMEM));
		return false;
	}
	if (cfg->tty) {
		size_here(r, &size);
		fprintf(spec, "tty=%u %u%c", size.ws_row, size.ws_col, 0);
		put_env(spec, "TERM");
	}
	if (cfg->cwd)
		put_record(spec, "cwd", cfg->cwd);
	if (cfg->user)
		put_record(spec, "user", cfg->user);
	for (i = 0; i < cfg->env.count; i++)
		put_env(spec, cfg->env.item[i]);
	for (i = 0; cfg->argv[i]; i++)
		put_record(spec, "arg", cfg->argv[i]);
	fprintf(spec, "go%c", 0);
	fclose(spec);
	if (r->spec_len <= EXEC_SPEC_MAX)
		return true;
	log_err("%s: the command and its environment have %zu bytes; %u are possible", cfg->what,
		r->spec_len, EXEC_SPEC_MAX);
	return false;
}

static bool open_output(struct remote *r, enum exec_stream i, int fd)
{
	int err = outlet_open(&r->output[i].to, fd);

	if (err == 0)
		return true;
	log_err("%s: %s: %s", r->cfg->what, i == EXEC_STDOUT ? "stdout" : "stderr",
		strerror(-err));
	return false;
}

/* With nohup it is nobody's business that the terminal hangs up. */
static bool heeds(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) < 0 || sa.sa_handler != SIG_IGN;
}

static void take_signals(struct remote *r, sigset_t *before)
{
	static const int ours[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
	sigset_t set;
	unsigned i;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	for (i = 0; i < ARRAY_SIZE(ours); i++) {
		if (heeds(ours[i]))
			sigaddset(&set, ours[i]);
	}
	sigprocmask(SIG_BLOCK, &set, before);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(struct remote *r)
{
	sigset_t before;

	take_signals(r, &before);
	if (r->cfg->tty)
		tty_watch();
	while (r->status < 0 || !is_written(r)) {
		if (!serve(r))
			break;
	}
	tty_restore();
	tty_unwatch();
	if (r->signals >= 0)
		close(r->signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r->status;
}

int remote_run(const struct remote_cfg *cfg, int fd)
{
	struct remote *r = calloc(1, sizeof(*r));
	int status = causes[CAUSE_USAGE].status;

	if (!r) {
		log_err("%s: %s", cfg->what, strerror(ENOMEM));
		close(fd);
		return causes[CAUSE_SETUP].status;
	}
	r->cfg = cfg;
	r->fd = fd;
	r->status = -1;
	r->room = EXEC_WINDOW;
	r->deadline = now_ms() + (cfg->wait_ms ? cfg->wait_ms : WAIT_MS);
	r->output[EXEC_STDOUT].to.fd = r->output[EXEC_STDERR].to.fd = -1;
	if (make_spec(r) && open_output(r, EXEC_STDOUT, cfg->out) &&
	    open_output(r, EXEC_STDERR, cfg->err))
		status = run(r);
	outlet_close(&r->output[EXEC_STDOUT].to);
	outlet_close(&r->output[EXEC_STDERR].to);
	free(r->spec);
	free(r);
	close(fd);
	return status;
}
