/* SPDX-License-Identifier: MIT */
/*
 * matrix.c - "lunette matrix": many runs, several at once.
 *
 * One thread that waits for signals: of runs that have ended, and of users who
 * want no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"
#include "vmm/machine/memlimit.h"
#include "vmm/run/matrix/matrix_admit.h"
#include "vmm/run/matrix/matrix_child.h"
#include "vmm/run/matrix/matrix_file.h"
#include "vmm/run/matrix/matrix_kept.h"
#include "vmm/run/matrix/matrix_outputs.h"
#include "vmm/run/matrix/matrix_result.h"
#include "vmm/run/run.h"

struct matrix_cfg {
	const char *file;
	uint32_t slots;
	struct matrix_kept_cfg kept;
	bool fail_fast, list;
};

#define AT(member) offsetof(struct matrix_cfg, member)

static const struct opt matrix_opts[] = {
	{ "slots", OPT_U32, AT(slots), NULL, 1, 4096, .arg = "N",
	  .help = "so many runs at once; without, as many as have a CPU for each of theirs" },
	{ "junit", OPT_STR, AT(kept.report[MATRIX_JUNIT]), .arg = "FILE",
	  .help = "one report for CI systems, with a test suite for each run" },
	{ "json", OPT_STR, AT(kept.report[MATRIX_JSON]), .arg = "FILE",
	  .help = "the runs' reports, as a list" },
	{ "html", OPT_STR, AT(kept.report[MATRIX_HTML]), .arg = "FILE",
	  .help = "a page for people: a table of all runs, and why those failed that did" },
	{ "keep", OPT_STR, AT(kept.folder), .arg = "DIR",
	  .help = "what each run printed, its console and its reports, in a folder of its name" },
	{ "fail-fast", OPT_BOOL, AT(fail_fast),
	  .help = "when a run fails, those that run are stopped, and no other begins" },
	{ "list", OPT_BOOL, AT(list), .help = "say what would be run, and end" },
	{ 0 }
};

/* What a run may not have, as we say it, or it could not be waited for. */
static const char *const ours[] = { "--json", "--junit", "--console-log", "--tty", "-t",
				    "--explain", "--help", "-h" };

struct job {
	struct matrix_cfg cfg;
	struct matrix m;
	struct matrix_need *need;       /* these three of each run */
	struct matrix_result *result;
	struct matrix_child *child;
	struct matrix_child_cfg child_cfg;
	struct matrix_host host;
	struct matrix_outputs outputs;
	struct claims *claims;
	struct matrix_kept kept;
	sigset_t signals;               /* that are waited for */
	bool terminal;                  /* is stdout one? */
	bool stopping;                  /* nothing new begins */
	int signal;                     /* that the user has sent; 0: none */
	unsigned left;                  /* runs that wait or run */
	int width;                      /* of the longest name */
	struct timespec begun;
};

void matrix_help(FILE *out)
{
	fputs("usage: lunette matrix FILE [OPTION...]\n\n"
	      "Runs \"lunette run\" for each combination of the values in FILE, as\n\n"
	      "  run      --timeout 5m             # options for all; # begins a comment\n"
	      "  kernel   micro  --kernel micro    # an axis, a value's name, its options\n"
	      "  kernel   mine   --kernel vmlinux --initrd initrd.img\n"
	      "  disk     one    --disk root.img,overlay=on\n"
	      "  cpus     1      --cpus 1\n"
	      "  cpus     4      --cpus 4\n"
	      "  command  tests  -- sh -c 'make check'\n"
	      "  exclude  kernel=micro cpus=4      # leaves out\n"
	      "  include  kernel=mine --memory 2G  # adds options where all of it is so; if\n"
	      "                                    # it is nowhere, or with a new name,\n"
	      "                                    # adds a run\n\n"
	      "Files are relative to FILE's folder; {run} stands for the run's name. What may\n"
	      "be given once to \"lunette run\" may be given by one of a run's lines.\n\n",
	      out);
	opt_help(matrix_opts, "--", out);
	fputs("\nExit status: 0, all succeeded; 1, a command failed; otherwise that of the\n"
	      "gravest of lunette's causes; 128+n, ended by signal n.\n", out);
}

/* The command line. */

/* One word, or an option and its value. Returns how many, or -EUSAGE after one line. */
static int parse_one(struct opt_reader *r, struct matrix_cfg *cfg, char **argv)
{
	int n = opt_word(r, argv);

	if (n)
		return n;
	if (cfg->file) {
		log_err("matrix: '%s': one FILE is wanted, and '%s' is one", argv[0], cfg->file);
		return -EUSAGE;
	}
	cfg->file = argv[0];
	return 1;
}

/* 1: help was asked for. -EUSAGE, or -ENOMEM, after one line. */
static int parse(struct matrix_cfg *cfg, char **argv)
{
	struct opt_reader r = { matrix_opts, cfg, "--", 0 };
	int n;

	opt_defaults(matrix_opts, cfg);
	for (; *argv; argv += n) {
		if (help_wanted(*argv)) {
			matrix_help(stdout);
			return 1;
		}
		n = parse_one(&r, cfg, argv);
		if (n < 0)
			return n;
	}
	if (!cfg->file) {
		log_err("matrix: FILE is missing; lunette matrix --help tells more");
		return -EUSAGE;
	}
	return 0;
}

/* The runs, before any begins. */

static const char *word_of_ours(const struct matrix_run *run)
{
	unsigned i, n;
	size_t len;

	for (i = 0; i < run->argc && strcmp(run->argv[i], "--"); i++) {
		for (n = 0; n < ARRAY_SIZE(ours); n++) {
			len = strlen(ours[n]);
			if (!strncmp(run->argv[i], ours[n], len) && strchr("=", run->argv[i][len]))
				return ours[n];
		}
	}
	return NULL;
}

/* Who hears of what a run writes. */
struct listener {
	struct job *j;
	unsigned run;
	int err;
};

static void hear_output(void *arg, const char *option, const char *path)
{
	struct listener *l = arg;
	int err = matrix_outputs_add(&l->j->outputs, l->run, option, path);

	l->err = l->err ? l->err : err;
}

/* A typing error in the last one is better found now than after hours. */
static int check_run(struct job *j, unsigned i)
{
	const struct matrix_run *run = &j->m.run[i];
	const char *word = word_of_ours(run);
	struct listener l = { j, i, 0 };
	char heard[512];
	uint64_t memory;
	int err;

	if (word) {
		log_err("%s: %s: %s is not for a run of a matrix; see lunette matrix --help",
			j->cfg.file, run->name, word);
		return -EUSAGE;
	}
	log_hear(heard, sizeof(heard));
	err = run_check(run->argc, run->argv, &memory, &j->need[i].cpus, hear_output, &l);
	err = err ? err : l.err;
	log_hear(NULL, 0);
	if (err) {
		log_err("%s: %s: %s", j->cfg.file, run->name, *heard ? heard : strerror(-err));
		return err;
	}
	j->need[i].memory = memlimit_need(memory, j->need[i].cpus, 0);
	return err;
}

static int check_runs(struct job *j)
{
	unsigned i;
	int err = 0;

	j->need = calloc(j->m.runs, sizeof(*j->need));
	j->result = calloc(j->m.runs, sizeof(*j->result));
	j->child = calloc(j->m.runs, sizeof(*j->child));
	if (!j->need || !j->result || !j->child) {
		log_err("%s: out of memory", j->cfg.file);
		return -ENOMEM;
	}
	for (i = 0; i < j->m.runs && !err; i++) {
		err = check_run(j, i);
		if ((int)strlen(j->m.run[i].name) > j->width)
			j->width = (int)strlen(j->m.run[i].name);
	}
	j->left = j->m.runs;
	return err ? err : matrix_outputs_check(&j->outputs, &j->m);
}

static int list(const struct job *j)
{
	unsigned i, n;

	for (i = 0; i < j->m.runs; i++) {
		printf("%-*s  lunette run", j->width, j->m.run[i].name);
		for (n = 0; n < j->m.run[i].argc; n++)
			words_print(stdout, j->m.run[i].argv[n]);
		putchar('\n');
	}
	return 0;
}

/* What is shown meanwhile. */

static void clear_progress(const struct job *j)
{
	if (j->terminal)
		fputs("\r\033[K", stdout);
}

/* One line, cut to the terminal's width. */
static void show_progress(const struct job *j)
{
	struct winsize ws = { 0 };
	char line[512];
	unsigned i, failed = 0;
	int len;

	if (!j->terminal)
		return;
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	for (i = 0; i < j->m.runs; i++)
		failed += j->result[i].state == MATRIX_ENDED && j->result[i].status;
	len = snprintf(line, sizeof(line), "%u of %u done, %u failed; running:",
		       j->m.runs - j->left, j->m.runs, failed);
	for (i = 0; i < j->m.runs && len < (int)sizeof(line); i++) {
		if (j->result[i].state == MATRIX_RUNNING)
			len += snprintf(line + len, sizeof(line) - len, " %s", j->m.run[i].name);
	}
	clear_progress(j);
	printf("%.*s", ws.ws_col > 1 ? ws.ws_col - 1 : 79, line);
	fflush(stdout);
}

/* Running. */

static void signal_all(const struct job *j, int signal)
{
	unsigned i;

	for (i = 0; i < j->m.runs; i++) {
		if (j->child[i].pid)
			kill(-j->child[i].pid, signal);
	}
}

/* Those that run end in good order; the others never begin. */
static void stop(struct job *j)
{
	unsigned i;

	if (j->stopping)
		return;
	j->stopping = true;
	signal_all(j, SIGTERM);
	for (i = 0; i < j->m.runs; i++) {
		if (j->result[i].state == MATRIX_RUNNING)
			j->result[i].state = MATRIX_STOPPED;
		else if (j->result[i].state == MATRIX_WAITING)
			j->left--;
	}
}

static void ended(struct job *j, unsigned i)
{
	struct matrix_result *r = &j->result[i];

	if (r->state != MATRIX_STOPPED)
		r->state = MATRIX_ENDED;
	j->left--;
	if (!j->terminal || (r->state == MATRIX_ENDED && r->status)) {
		clear_progress(j);
		matrix_print(stdout, j->m.run[i].name, j->width, r);
	}
	if (j->cfg.fail_fast && r->state == MATRIX_ENDED && r->status)
		stop(j);
}

/* It cannot even begin. */
static void __attribute__((format(printf, 4, 5)))
refuse(struct job *j, unsigned i, enum cause cause, const char *fmt, ...)
{
	struct matrix_result *r = &j->result[i];
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&r->error, fmt, args) < 0)
		r->error = NULL;
	va_end(args);
	r->cause = cause;
	r->status = causes[cause].status;
	ended(j, i);
}

static unsigned long long mib(uint64_t bytes)
{
	return (bytes + MIB(1) - 1) / MIB(1);
}

static void start(struct job *j, unsigned i)
{
	int err;

	if (matrix_never_fits(&j->host, &j->need[i])) {
		refuse(j, i, CAUSE_MEMORY, "guest and overhead need %lluM of memory, and all there "
		       "is are %lluM (%s)", mib(j->need[i].memory), mib(j->host.memory),
		       j->host.where);
		return;
	}
	if (!matrix_fits(&j->host, &j->need[i]))
		return;
	err = matrix_child_start(&j->child[i], &j->child_cfg, &j->m.run[i]);
	if (err) {
		refuse(j, i, CAUSE_HOST_IO, "it cannot be started: %s", strerror(-err));
		return;
	}
	j->result[i].state = MATRIX_RUNNING;
	matrix_take(&j->host, &j->need[i]);
}

static void start_what_fits(struct job *j)
{
	unsigned i;

	for (i = 0; i < j->m.runs && !j->stopping; i++) {
		if (j->result[i].state == MATRIX_WAITING)
			start(j, i);
	}
}

static void reap(struct job *j)
{
	siginfo_t info = { 0 };
	unsigned i;

	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		for (i = 0; i < j->m.runs && j->child[i].pid != info.si_pid; i++)
			;
		if (i == j->m.runs) { /* of who was here before exec() */
			waitpid(info.si_pid, NULL, 0);
		} else {
			matrix_child_end(&j->child[i], &j->result[i]);
			matrix_give_back(&j->host, &j->need[i]);
			ended(j, i);
		}
		info.si_pid = 0;
	}
}

static void wait_for_signal(struct job *j)
{
	int signal = sigwaitinfo(&j->signals, NULL);

	if (signal < 0) /* stopped and continued */
		return;
	if (signal == SIGCHLD) {
		reap(j);
		return;
	}
	if (j->signal)
		signal_all(j, SIGKILL);
	else
		log_note("runs are being stopped; once more: at once");
	j->signal = j->signal ? j->signal : signal;
	stop(j);
}

/* But for those that we have been told to ignore, as by nohup. */
static void choose_signals(struct job *j)
{
	static const int wanted[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction before;
	unsigned i;

	sigemptyset(&j->signals);
	sigaddset(&j->signals, SIGCHLD);
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (sigaction(wanted[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaddset(&j->signals, wanted[i]);
	}
	signal(SIGCHLD, SIG_DFL); /* who ignores it has no zombies */
	sigprocmask(SIG_BLOCK, &j->signals, &j->child_cfg.mask);
}

static void run_all(struct job *j)
{
	choose_signals(j);
	matrix_host_find(&j->host, j->cfg.slots);
	for (start_what_fits(j); j->left; start_what_fits(j)) {
		show_progress(j);
		wait_for_signal(j);
	}
	clear_progress(j);
}

/* From its files to its end. */

static int claim_file(const struct job *j)
{
	int fd = open(j->cfg.file, O_PATH | O_CLOEXEC), err;
	struct claim *claim;

	if (fd < 0)
		return 0; /* it has been read */
	err = claim_read(j->claims, j->cfg.file, fd, claim_descriptor(j->cfg.file) >= 0, &claim);
	close(fd);
	return err;
}

static int spare_files_of_runs(const struct job *j)
{
	int folder = open(j->child_cfg.dir, O_PATH | O_DIRECTORY | O_CLOEXEC), err = 0;
	unsigned i;

	for (i = 0; i < j->m.runs && !err; i++)
		err = run_spare_words(j->claims, folder, j->m.run[i].argv);
	if (folder >= 0)
		close(folder);
	return err;
}

/* What the runs need of the host beside themselves. -errno after one line. */
static int prepare(struct job *j)
{
	int err = claim_file(j);

	if (!err)
		err = matrix_kept_open(&j->kept, j->claims, &j->cfg.kept, &j->m);
	j->child_cfg.keep = j->kept.folder;
	j->child_cfg.claims = j->claims;
	j->child_cfg.junit = j->cfg.kept.report[MATRIX_JUNIT] || j->cfg.kept.report[MATRIX_HTML];
	if (!err)
		err = spare_files_of_runs(j);
	if (!err)
		err = claims_begin(j->claims);
	return err ? err : matrix_kept_begin(&j->kept, &j->m, j->result);
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

/* Returns the exit status. */
static int run(struct job *j)
{
	int status, err;

	j->claims = claims_create(false);
	err = j->claims ? prepare(j) : -EIO;
	if (err)
		return causes[cause_of_err(err)].status;
	clock_gettime(CLOCK_MONOTONIC, &j->begun);
	j->terminal = isatty(STDOUT_FILENO);
	setlinebuf(stdout);
	run_all(j);
	matrix_print_end(stdout, &j->m, j->result, seconds_since(&j->begun));
	status = j->signal ? 128 + j->signal : matrix_status(j->result, j->m.runs);
	if (matrix_kept_write(&j->kept, &j->m, j->result) < 0)
		status = status ? status : causes[CAUSE_HOST_IO].status;
	return status;
}

static void job_fini(struct job *j)
{
	unsigned i;

	for (i = 0; j->result && i < j->m.runs; i++)
		matrix_result_fini(&j->result[i]);
	matrix_kept_close(&j->kept);
	claims_destroy(j->claims);
	matrix_outputs_free(&j->outputs);
	matrix_free(&j->m);
	free(j->need);
	free(j->result);
	free(j->child);
}

/* Names of files begin beside @file, or here when that is a pipe. malloc()ed; NULL: no memory. */
static char *folder_of(const char *file)
{
	char *path = realpath(file, NULL), *slash = path ? strrchr(path, '/') : NULL;
	struct stat st;

	if (!path || stat(path, &st) < 0 || !S_ISREG(st.st_mode)) {
		free(path);
		return strdup(".");
	}
	slash[slash == path] = 0;
	return path;
}

static int find_folder(struct job *j, char **dir)
{
	*dir = folder_of(j->cfg.file);
	if (!*dir) {
		log_err("%s: %s", j->cfg.file, strerror(ENOMEM));
		return -ENOMEM;
	}
	j->outputs.dir = j->child_cfg.dir = *dir;
	return 0;
}

int matrix_main(int argc, char **argv)
{
	struct job j = { .kept = MATRIX_KEPT_NOTHING };
	int r = parse(&j.cfg, argv), status;
	char *dir = NULL;

	(void)argc;
	if (r > 0)
		return 0;
	if (r == 0)
		r = find_folder(&j, &dir);
	if (r == 0)
		r = matrix_read(&j.m, j.cfg.file);
	if (r == 0)
		r = check_runs(&j);
	if (r < 0)
		status = causes[cause_of_err(r)].status;
	else
		status = j.cfg.list ? list(&j) : run(&j);
	free(dir);
	job_fini(&j);
	return status;
}
