/* SPDX-License-Identifier: MIT */
#include "vmm/run/job.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/devices.h"
#include "guest/job.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/console.h"
#include "vmm/machine/machine.h"
#include "vmm/run/files/files.h"
#include "vmm/run/files/oci.h"
#include "vmm/run/report/report.h"
#include "vmm/run/wanted.h"

#define BUS "job" /* the id of the console device */

/* Of the control port when the run is over: more than its socket holds. */
#define LAST_READS 1024

/* How far the guest has got. */
enum stage { STAGE_BOOT, STAGE_UP, STAGE_STARTED, STAGE_ENDED };

struct job {
	struct machine *m;
	struct report *report;
	const struct job_cfg *cfg;
	struct loop_source control; /* our end of a socket pair */
	char line[JOB_LINE_MAX];
	size_t len;
	bool cut; /* the rest of a line that was too long is not yet through */

	enum stage stage;
	bool failed; /* the guest has told of an error, */
	bool lost;   /* and of results that it cannot give */
	unsigned oom; /* processes that the guest's kernel killed */

	/* The terminal. */
	struct loop_source room; /* our end of a pipe with what is typed, watched for room */
	unsigned rows, columns;
};

/* What the guest says: words, some with a number, one with a text. */

static void heard_up(struct job *job, const char *text, unsigned number)
{
	(void)text, (void)number;
	job->stage = STAGE_UP;
	report_mark(job->report, PHASE_UP);
}

static void heard_start(struct job *job, const char *text, unsigned number)
{
	(void)text, (void)number;
	job->stage = STAGE_STARTED;
	limits_up(&job->m->limits);
	report_mark(job->report, PHASE_START);
}

static void heard_error(struct job *job, const char *text, unsigned number)
{
	(void)number;
	if (!job->failed) /* once is enough, and a thousand times would be a flood */
		log_err("the guest: %s", text);
	job->failed = true;
}

static void heard_oom(struct job *job, const char *text, unsigned number)
{
	(void)text;
	if (job->oom)
		return;
	log_warn("out of memory in the guest: its kernel killed %u process%s; --memory gives it "
		 "more", number, number == 1 ? "" : "es");
	job->oom = number;
}

static void heard_exit(struct job *job, const char *text, unsigned number)
{
	(void)text;
	report_mark(job->report, PHASE_END);
	report_command(job->report, number, 0);
}

static void heard_signal(struct job *job, const char *text, unsigned number)
{
	(void)text;
	report_mark(job->report, PHASE_END);
	report_command(job->report, 0, number);
}

static void heard_out(struct job *job, const char *text, unsigned number)
{
	(void)text;
	files_heard_out(job->cfg->files, number);
}

static void heard_lost(struct job *job, const char *text, unsigned number)
{
	(void)number;
	if (!job->lost)
		log_err("--out: the guest cannot give all of its results: %s", text);
	job->lost = true;
	files_heard_lost(job->cfg->files);
}

static void heard_end(struct job *job, const char *text, unsigned number)
{
	(void)text, (void)number;
	job->stage = STAGE_ENDED;
	machine_end(job->m, CAUSE_EXIT);
}

static const struct {
	const char *word;
	void (*fn)(struct job *job, const char *text, unsigned number);
	unsigned min, max; /* of the number; 0: it has none */
} words[] = {
	{ "up", heard_up, 0, 0 },
	{ "start", heard_start, 0, 0 },
	{ "error", heard_error, 0, 0 },
	{ "oom", heard_oom, 1, INT_MAX },
	{ "exit", heard_exit, 0, 255 },
	{ "signal", heard_signal, 1, 64 },
	{ "lost", heard_lost, 0, 0 },
	{ "out", heard_out, 1, INT_MAX },
	{ "end", heard_end, 0, 0 },
};

/* A number that makes no sense is as good as none: the line is not said. */
static bool number_of(const char *text, unsigned min, unsigned max, unsigned *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*number = value;
	return !max || (isdigit((unsigned char)*text) && !*end && value >= min && value <= max);
}

static void take_line(struct job *job)
{
	char *text = strchr(job->line, ' '), *c;
	unsigned i, number;

	for (c = job->line; *c; c++) { /* it may go to a terminal */
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
	if (text)
		*text++ = 0;
	else
		text = c;
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(job->line, words[i].word) && job->stage != STAGE_ENDED &&
		    number_of(text, words[i].min, words[i].max, &number))
			words[i].fn(job, text, number);
	}
}

static void take_byte(struct job *job, char c)
{
	if (c == '\n') {
		job->line[job->len] = 0;
		if (!job->cut)
			take_line(job);
		job->len = 0;
		job->cut = false;
	} else if (job->len == sizeof(job->line) - 1) {
		job->cut = true;
	} else {
		job->line[job->len++] = c;
	}
}

/* 0: the guest's end is closed; < 0: it has said no more. */
static ssize_t hear(struct job *job)
{
	char buf[512];
	ssize_t n = recv(job->control.fd, buf, sizeof(buf), MSG_DONTWAIT), i;

	for (i = 0; i < n; i++)
		take_byte(job, buf[i]);
	return n;
}

static void control_ready(void *arg)
{
	struct job *job = arg;

	if (hear(job) == 0)
		loop_pause(job->m->main_loop, &job->control);
}

/* What the guest is told. */

static int put(FILE *spec, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int put(FILE *spec, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(spec, fmt, ap);
	va_end(ap);
	return fputc(0, spec);
}

static void put_env(FILE *spec, const char *item)
{
	const char *value = getenv(item);

	if (strchr(item, '='))
		put(spec, "env=%s", item);
	else if (value)
		put(spec, "env=%s=%s", item, value);
}

static size_t name_length(const char *item)
{
	return strcspn(item, "=");
}

/* -EUSAGE after one line: no shell could use it, or an earlier one has the same name. */
static int check_env(const struct opt_list *env, unsigned i)
{
	const char *item = env->item[i];
	size_t len = name_length(item), n;

	for (n = 0; n < len && (unsigned char)item[n] > ' ' && item[n] != 0x7f; n++)
		;
	if (!len || n < len) {
		log_err("--env %s: a name without blanks is wanted, NAME=VALUE or NAME", item);
		return -EUSAGE;
	}
	while (i--) {
		if (name_length(env->item[i]) != len || strncmp(env->item[i], item, len))
			continue;
		log_err("--env %s: %.*s is given twice; one of them has to go", item, (int)len,
			item);
		return -EUSAGE;
	}
	return 0;
}

int job_check(const struct job_cfg *cfg)
{
	unsigned i;
	int r = 0;

	if (cfg->cwd && *cfg->cwd != '/') {
		log_err("--cwd %s: a path in the guest is wanted that begins with /", cfg->cwd);
		return -EUSAGE;
	}
	for (i = 0; i < cfg->env.count && !r; i++)
		r = check_env(&cfg->env, i);
	return r;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static void put_args(FILE *spec, char *const *args)
{
	for (; args && *args; args++)
		put(spec, "arg=%s", *args);
}

/* An image's entry point stands before every command, as container tools have it; a shell for who
 * looks around has none. */
static int put_command(const struct job *job, FILE *spec)
{
	const struct oci *oci = files_oci(job->cfg->files);
	bool own = job->cfg->own && oci;

	if (own && !oci->entry && !oci->command) {
		log_err("run: the image of --root has no command of its own; one is given after "
			"--");
		return -EUSAGE;
	}
	if (oci && !job->cfg->shell)
		put_args(spec, oci->entry);
	put_args(spec, own ? oci->command : job->cfg->argv);
	put(spec, "go");
	return 0;
}

/* What the image says of it goes first, as the last one of a name counts. */
static void put_surroundings(const struct job *job, FILE *spec)
{
	const struct job_cfg *cfg = job->cfg;
	const struct oci *oci = files_oci(cfg->files);
	const char *cwd = cfg->cwd ? cfg->cwd : files_cwd(cfg->files);
	const char *user = cfg->user ? cfg->user : oci ? oci->user : NULL;
	unsigned i;

	if (!cwd && oci)
		cwd = oci->workdir;
	if (cwd)
		put(spec, "cwd=%s", cwd);
	if (user)
		put(spec, "user=%s", user);
	for (i = 0; oci && oci->env && oci->env[i]; i++)
		put(spec, "env=%s", oci->env[i]);
	for (i = 0; i < cfg->env.count; i++)
		put_env(spec, cfg->env.item[i]);
}

static int put_spec(const struct job *job, FILE *spec)
{
	const struct job_cfg *cfg = job->cfg;
	const char *record;
	unsigned i;
	int r;

	for (i = 0; (record = files_record(cfg->files, i)); i++)
		put(spec, "%s", record);
	r = wanted_put(&job->m->devices, spec);
	if (cfg->tty) {
		put_env(spec, "TERM");
		put(spec, "tty=%u %u", job->rows, job->columns);
	} else if (same_file(STDOUT_FILENO, STDERR_FILENO)) {
		put(spec, "merge");
	}
	if (cfg->shell)
		put(spec, "shell");
	put_surroundings(job, spec);
	return r < 0 ? r : put_command(job, spec);
}

/* It waits in the socket until the guest reads it. */
static int send_spec(struct job *job)
{
	char *text = NULL;
	size_t len = 0;
	FILE *spec = open_memstream(&text, &len);
	int r;

	if (!spec)
		return -ENOMEM;
	r = put_spec(job, spec);
	fclose(spec);
	if (r < 0) {
		free(text);
		return r;
	}
	if (len > JOB_SPEC_MAX || send(job->control.fd, text, len, MSG_DONTWAIT) != (ssize_t)len) {
		log_err("run: the command and its environment have %zu bytes; %u are possible; a "
			"script in the guest's files has no limit", len, JOB_SPEC_MAX);
		r = -EUSAGE;
	}
	free(text);
	return r;
}

/* The terminal. */

static size_t job_input(void *dev, const void *data, size_t len)
{
	struct job *job = dev;
	ssize_t n = write(job->room.fd, data, len);

	if (n < (ssize_t)len)
		loop_resume(job->m->main_loop, &job->room);
	return n < 0 ? 0 : n;
}

static void input_has_room(void *arg)
{
	struct job *job = arg;
	struct platform *p = &job->m->platform;

	loop_pause(job->m->main_loop, &job->room);
	p->console_ops->more(p->console);
}

static void job_resized(void *dev, unsigned columns, unsigned rows)
{
	struct job *job = dev;
	char text[64];
	int n;

	job->columns = columns;
	job->rows = rows;
	if (job->stage != STAGE_STARTED || !rows)
		return;
	n = snprintf(text, sizeof(text), "size=%u %u", rows, columns);
	send(job->control.fd, text, n + 1, MSG_DONTWAIT); /* full: there will be another change */
}

static const struct console_user job_user = { .input = job_input, .resized = job_resized };

/* Ports. */

/* Results of tests may be among it. */
static void port_sent(void *arg, const char *name, const void *data, size_t len)
{
	struct job *job = arg;

	if (!strcmp(name, JOB_PORT_STDOUT))
		report_feed(job->report, STREAM_STDOUT, data, len);
}

#define NONE -1

/* @in is read for the guest, @out is written to. */
static int add_port(struct job *job, const char *name, int in, int out)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "console-port,bus=" BUS ",name=%s", name);

	if (in != NONE)
		n += snprintf(text + n, sizeof(text) - n, ",in-fd=%d", in);
	if (out != NONE)
		snprintf(text + n, sizeof(text) - n, ",out-fd=%d", out);
	return device_create(&job->m->platform, &job->m->devices, text);
}

/* A port takes descriptors as programs get them: one that is open after an exec. */
static int add_inherited(struct job *job, const char *name, int in, int out)
{
	int r;

	fcntl(in, F_SETFD, 0);
	r = add_port(job, name, in, out);
	close(in);
	return r;
}

/* -errno, after one line. */
static int no_channel(int err)
{
	log_err("run: no channel to the command: %s", strerror(err));
	return -err;
}

static int setup_control(struct job *job)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return no_channel(errno);
	job->control = (struct loop_source){ .fd = pair[0], .fn = control_ready, .arg = job };
	r = loop_add(job->m->main_loop, &job->control);
	if (r < 0) {
		close(pair[1]);
		return no_channel(-r);
	}
	return add_inherited(job, JOB_PORT_CONTROL, pair[1], pair[1]);
}

static int setup_terminal(struct job *job)
{
	struct platform *p = &job->m->platform;
	int keys[2], r;

	if (pipe2(keys, O_CLOEXEC | O_NONBLOCK) < 0)
		return no_channel(errno);
	job->room = (struct loop_source){ .fd = keys[1], .write = true, .fn = input_has_room,
					  .arg = job };
	r = loop_add(job->m->main_loop, &job->room);
	if (r < 0) {
		close(keys[0]);
		return no_channel(-r);
	}
	loop_pause(job->m->main_loop, &job->room);
	p->console_attach(p->console, &job_user, job);
	return add_inherited(job, JOB_PORT_STDIN, keys[0], NONE);
}

static int setup_ports(struct job *job)
{
	int r = device_create(&job->m->platform, &job->m->devices,
			      "virtio-console,id=" BUS ",terminal=off");

	if (r == 0)
		r = setup_control(job);
	if (r == 0 && job->cfg->tty)
		r = setup_terminal(job);
	else if (r == 0)
		r = add_port(job, JOB_PORT_STDIN, STDIN_FILENO, NONE);
	if (r == 0)
		r = add_port(job, JOB_PORT_STDOUT, NONE, STDOUT_FILENO);
	if (r == 0 && !job->cfg->tty && !same_file(STDOUT_FILENO, STDERR_FILENO))
		r = add_port(job, JOB_PORT_STDERR, NONE, STDERR_FILENO);
	return r;
}

struct job *job_create(struct machine *m, struct report *report, const struct job_cfg *cfg)
{
	struct job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return NULL;
	job->m = m;
	job->report = report;
	job->cfg = cfg;
	job->control.fd = job->room.fd = -1;
	m->platform.port_sent = port_sent;
	m->platform.port_sent_arg = job;
	console_set_quiet(m->console, cfg->tty);
	r = setup_ports(job);
	if (r == 0)
		r = send_spec(job);
	if (r == 0)
		return job;
	job_destroy(job);
	errno = -r;
	return NULL;
}

static void let_go(struct job *job, struct loop_source *src)
{
	if (src->fd < 0)
		return;
	loop_del(job->m->main_loop, src);
	close(src->fd);
}

void job_destroy(struct job *job)
{
	if (!job)
		return;
	let_go(job, &job->control);
	let_go(job, &job->room);
	free(job);
}

/* How it ended. */

enum cause job_cause(struct job *job, enum cause cause)
{
	const struct report *r = job->report;
	unsigned reads = 0;

	/* The vCPU that powers the guest off does not wait for main, which may have lines left. */
	while (reads++ < LAST_READS && hear(job) > 0)
		;
	if (cause == CAUSE_POWEROFF && job->stage == STAGE_ENDED)
		cause = CAUSE_EXIT;
	/* Or what it goes on saying would have to be read when the ports are emptied. */
	shutdown(job->control.fd, SHUT_RD);
	if (cause == CAUSE_EXIT) {
		if (r->exit < 0 && r->signal < 0 && job->failed)
			return CAUSE_BOOT;
		if (r->exit < 0 && r->signal < 0) {
			log_err("the guest has come to its end and has not said how the command "
				"ended");
			return CAUSE_NO_RESULT;
		}
		/* A shell says so of its children, too. */
		if (job->oom && (r->signal == SIGKILL || r->exit == 128 + SIGKILL))
			return CAUSE_OOM;
		return CAUSE_EXIT;
	}
	if (cause != CAUSE_POWEROFF)
		return cause;
	if (job->stage == STAGE_BOOT) {
		log_err("the guest powered itself off before it got as far as its command");
		return CAUSE_BOOT;
	}
	if (job->cfg->shell)
		return cause;
	log_err("the guest powered itself off before the command ended");
	return CAUSE_NO_RESULT;
}
