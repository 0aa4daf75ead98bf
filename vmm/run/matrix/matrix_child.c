/* SPDX-License-Identifier: MIT */
#include "vmm/run/matrix/matrix_child.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/nameless.h"
#include "vmm/core/util.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_result.h"

#define REPORT_MAX MIB(64) /* what is longer counts as none */
#define LAST_LINES 20      /* of each stream, when a run has failed */
#define LAST_BYTES 4096

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Files. */

static int open_nameless(void)
{
	int fd = nameless_open(nameless_folder());

	/* There may be no such folder, or no room in it. */
	return fd >= 0 ? fd : memfd_create("lunette-matrix", MFD_CLOEXEC);
}

/* -errno. */
static int open_kept(const struct matrix_child_cfg *cfg, const char *run, const char *name,
		     struct claim **claim)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s/%s", cfg->keep, run) < 0)
		return -ENOMEM;
	fd = mkdir(path, 0777) < 0 && errno != EEXIST ? -errno : 0;
	free(path);
	if (fd < 0)
		return fd;
	if (asprintf(&path, "%s/%s/%s", cfg->keep, run, name) < 0)
		return -ENOMEM;
	fd = claim_open(cfg->claims, path, path, CLAIM_REGULAR | CLAIM_BACK, claim);
	free(path);
	return fd;
}

static void close_outputs(struct matrix_child *c)
{
	unsigned i;

	for (i = 0; i < MATRIX_OUTPUTS; i++) {
		if (c->fd[i] >= 0 && !c->claim[i])
			close(c->fd[i]);
		claim_drop(c->claim[i]);
		c->claim[i] = NULL;
		c->fd[i] = -1;
	}
}

static int open_outputs(struct matrix_child *c, const struct matrix_child_cfg *cfg,
			const struct matrix_run *run)
{
	static const char *const names[] = {
		[OUTPUT_STDOUT] = "stdout", [OUTPUT_STDERR] = "stderr",
		[OUTPUT_JSON] = "report.json", [OUTPUT_JUNIT] = "report.xml",
	};
	unsigned i;
	int err;

	for (i = 0; i < MATRIX_OUTPUTS; i++)
		c->fd[i] = -1;
	for (i = 0; i < MATRIX_OUTPUTS; i++) {
		if (i == OUTPUT_JUNIT && !cfg->junit)
			continue;
		c->fd[i] = cfg->keep ? open_kept(cfg, run->name, names[i], &c->claim[i]) :
				       open_nameless();
		if (c->fd[i] < 0) {
			err = cfg->keep ? c->fd[i] : -errno;
			close_outputs(c);
			return err;
		}
	}
	return 0;
}

/* The process. */

struct command_line {
	char **argv;
	char json[32], junit[32], *console; /* what some of the words are */
};

static void free_command_line(struct command_line *l)
{
	free(l->argv);
	free(l->console);
}

static int make_command_line(struct command_line *l, const struct matrix_child *c,
			     const struct matrix_child_cfg *cfg, const struct matrix_run *run)
{
	char **word;

	*l = (struct command_line){ .argv = calloc(run->argc + 9, sizeof(*l->argv)) };
	if (!l->argv || (cfg->keep && asprintf(&l->console, "%s/%s/console", cfg->keep,
					       run->name) < 0)) {
		l->console = NULL;
		free_command_line(l);
		return -ENOMEM;
	}
	snprintf(l->json, sizeof(l->json), "/dev/fd/%d", c->fd[OUTPUT_JSON]);
	snprintf(l->junit, sizeof(l->junit), "/dev/fd/%d", c->fd[OUTPUT_JUNIT]);
	word = mempcpy(l->argv, (char *[]){ "lunette", "run", "--json", l->json },
		       4 * sizeof(*word));
	if (cfg->junit)
		word = mempcpy(word, (char *[]){ "--junit", l->junit }, 2 * sizeof(*word));
	if (cfg->keep)
		word = mempcpy(word, (char *[]){ "--console-log", l->console }, 2 * sizeof(*word));
	memcpy(word, run->argv, run->argc * sizeof(*word));
	return 0;
}

/* In the child. */
static void become(const struct matrix_child *c, const struct matrix_child_cfg *cfg,
		   pid_t parent, char **argv)
{
	int null = open("/dev/null", O_RDONLY);

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &cfg->mask, NULL);
	dup2(null, STDIN_FILENO);
	close(null);
	dup2(c->fd[OUTPUT_STDOUT], STDOUT_FILENO);
	dup2(c->fd[OUTPUT_STDERR], STDERR_FILENO);
	fcntl(c->fd[OUTPUT_JSON], F_SETFD, 0);
	if (c->fd[OUTPUT_JUNIT] >= 0)
		fcntl(c->fd[OUTPUT_JUNIT], F_SETFD, 0);
	if (getppid() == parent && chdir(cfg->dir) == 0)
		execv("/proc/self/exe", argv);
	_exit(causes[CAUSE_BUG].status);
}

int matrix_child_start(struct matrix_child *c, const struct matrix_child_cfg *cfg,
		       const struct matrix_run *run)
{
	struct command_line l;
	pid_t parent = getpid();
	int err = open_outputs(c, cfg, run);

	if (err)
		return err;
	err = make_command_line(&l, c, cfg, run);
	if (err) {
		close_outputs(c);
		return err;
	}
	c->begun = now();
	fflush(stdout);
	c->pid = fork();
	if (c->pid == 0)
		become(c, cfg, parent, l.argv);
	err = c->pid < 0 ? -errno : 0;
	free_command_line(&l);
	if (err)
		close_outputs(c);
	else
		setpgid(c->pid, c->pid); /* it does so, too: whoever comes first */
	return err;
}

/* Its end. */

/* All that is in a file; NULL: nothing, or too much. */
static char *text_of(int fd)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !st.st_size || st.st_size > (off_t)REPORT_MAX)
		return NULL;
	text = malloc(st.st_size + 1);
	n = text ? pread(fd, text, st.st_size, 0) : -1;
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = 0;
	return text;
}

/* The last lines of a file. */
static void put_last(FILE *out, int fd)
{
	char text[LAST_BYTES + 1], *line;
	unsigned lines = 0;
	struct stat st;
	off_t from;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return;
	from = st.st_size > LAST_BYTES ? st.st_size - LAST_BYTES : 0;
	n = pread(fd, text, LAST_BYTES, from);
	if (n <= 0)
		return;
	text[n] = 0;
	for (line = text + n - (text[n - 1] == '\n'); line > text; line--) {
		if (line[-1] == '\n' && ++lines == LAST_LINES)
			break;
	}
	for (; *line; line++)
		fputc(*line, out);
	if (text[n - 1] != '\n')
		fputc('\n', out);
}

static char *last_of(const struct matrix_child *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	put_last(out, c->fd[OUTPUT_STDOUT]);
	put_last(out, c->fd[OUTPUT_STDERR]);
	return fclose(out) ? NULL : text;
}

static bool asks_to_end(int signal)
{
	return signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
}

/* By its name in the report, or what there is to say without one. */
static enum cause cause_of(const json_t *report, int wstatus)
{
	const char *name = json_string_value(json_object_get(report, "cause"));
	unsigned c;

	for (c = 0; name && c < CAUSE_COUNT; c++) {
		if (!strcmp(causes[c].name, name))
			return c;
	}
	return WIFSIGNALED(wstatus) && asks_to_end(WTERMSIG(wstatus)) ? CAUSE_SIGNAL : CAUSE_BUG;
}

/* What a run could not say itself; NULL: it could. */
static char *error_of(const json_t *report, int wstatus)
{
	char *text = NULL;

	if (WIFSIGNALED(wstatus) && asprintf(&text, "lunette was killed by signal %d",
					     WTERMSIG(wstatus)) < 0)
		return NULL;
	if (!text && !report && asprintf(&text, "lunette ended with status %d, and no report",
					 WEXITSTATUS(wstatus)) < 0)
		return NULL;
	return text;
}

void matrix_child_end(struct matrix_child *c, struct matrix_result *r)
{
	char *json;
	int wstatus = 0;

	kill(-c->pid, SIGKILL); /* whom it has left behind; the number is its own until waitpid() */
	waitpid(c->pid, &wstatus, 0);
	c->pid = 0;
	r->seconds = (double)(now() - c->begun) / 1e9;
	r->status = WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
	json = text_of(c->fd[OUTPUT_JSON]);
	r->report = json ? json_loads(json, 0, NULL) : NULL;
	free(json);
	r->junit = text_of(c->fd[OUTPUT_JUNIT]);
	r->cause = cause_of(r->report, wstatus);
	r->error = error_of(r->report, wstatus);
	r->last = r->status ? last_of(c) : NULL;
	close_outputs(c);
}
