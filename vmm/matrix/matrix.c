/*
 * matrix.c - "lunette matrix": many runs, several at once.
 *
 * One thread that waits for signals: of runs that have ended, and of users who
 * want no more.
 */
#include <errno.h>
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

#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"
#include "vmm/matrix/matrix_admit.h"
#include "vmm/matrix/matrix_child.h"
#include "vmm/matrix/matrix_file.h"
#include "vmm/matrix/matrix_result.h"
#include "vmm/memlimit.h"
#include "vmm/report/report_file.h"
#include "vmm/run.h"

struct matrix_cfg {
	const char *file;
	uint32_t slots;
	const char *junit, *json, *keep;
	bool fail_fast, list;
};

#define AT(member) offsetof(struct matrix_cfg, member)

static const struct opt matrix_opts[] = {
	{ "slots", OPT_U32, AT(slots), NULL, 1, 4096, .arg = "N",
	  .help = "so many runs at once; without, as many as have a CPU for each of theirs" },
	{ "junit", OPT_STR, AT(junit), .arg = "FILE",
	  .help = "one report for CI systems, with a test suite for each run" },
	{ "json", OPT_STR, AT(json), .arg = "FILE", .help = "the runs' reports, as a list" },
	{ "keep", OPT_STR, AT(keep), .arg = "DIR",
	  .help = "what each run printed, its console and its reports, in a folder of its name" },
	{ "fail-fast", OPT_BOOL, AT(fail_fast),
	  .help = "when a run fails, those that run are stopped, and no other begins" },
	{ "list", OPT_BOOL, AT(list), .help = "say what would be run, and end" },
	{ 0 }
};

/* What a run may not have, as we say it, or it could not be waited for. */
static const char *const ours[] = { "--json", "--junit", "--console-log", "--tty", "-t",
				    "--explain", "--help" };

struct job {
	struct matrix_cfg cfg;
	struct matrix m;
	struct matrix_need *need;       /* these three of each run */
	struct matrix_result *result;
	struct matrix_child *child;
	struct matrix_child_cfg child_cfg;
	struct matrix_host host;
	struct report_file json, junit; /* ->path NULL: not wanted */
	sigset_t signals;               /* that are waited for */
	char *keep;                     /* ->cfg.keep, as an absolute path */
	bool terminal;                  /* is stdout one? */
	bool stopping;                  /* nothing new begins */
	int signal;                     /* that the user has sent; 0: none */
	unsigned left;                  /* runs that wait or run */
	int width;                      /* of the longest name */
	struct timespec begun;
};

static void help(FILE *out)
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
	      "  include  kernel=mine --memory 2G  # adds options where all of it is so; if it is\n"
	      "                                    # nowhere, or with a new name, adds a run\n\n"
	      "Files are relative to FILE's folder; {run} stands for the run's name.\n\n",
	      out);
	opt_help(matrix_opts, "--", out);
	fputs("\nExit status: 0, all succeeded; 1, a command failed; otherwise that of the\n"
	      "gravest of lunette's causes; 128+n, ended by signal n.\n", out);
}

/* The command line. */

static bool is_switch(const char *key)
{
	const struct opt *o = matrix_opts;

	while (o->key && strcmp(o->key, key))
		o++;
	return o->key && o->type == OPT_BOOL;
}

/* One word, or an option and its value. Returns how many, or -EINVAL after one line. */
static int parse_one(struct matrix_cfg *cfg, char **argv)
{
	char *key = argv[0] + 2, *value = strchr(argv[0], '=');
	int words = 1;

	if (strncmp(argv[0], "--", 2)) {
		if (cfg->file) {
			log_err("matrix: '%s': one FILE is wanted, and '%s' is one", argv[0],
				cfg->file);
			return -EINVAL;
		}
		cfg->file = argv[0];
		return 1;
	}
	if (value) {
		*value++ = 0;
	} else if (argv[1] && !is_switch(key)) {
		value = argv[1];
		words = 2;
	}
	return opt_set(matrix_opts, cfg, "--", key, value) < 0 ? -EINVAL : words;
}

static int parse(struct matrix_cfg *cfg, char **argv)
{
	int n;

	opt_defaults(matrix_opts, cfg);
	for (; *argv; argv += n) {
		n = parse_one(cfg, argv);
		if (n < 0)
			return -EINVAL;
	}
	if (!cfg->file) {
		log_err("matrix: FILE is missing; lunette matrix --help tells more");
		return -EINVAL;
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

/* A typing error in the last one is better found now than after hours. */
static int check_run(struct job *j, unsigned i)
{
	const struct matrix_run *run = &j->m.run[i];
	const char *word = word_of_ours(run);
	char heard[512];
	uint64_t memory;
	int err;

	if (word) {
		log_err("%s: %s: %s is not for a run of a matrix; see lunette matrix --help",
			j->cfg.file, run->name, word);
		return -EINVAL;
	}
	log_hear(heard, sizeof(heard));
	err = run_check(run->argc, run->argv, &memory, &j->need[i].cpus);
	log_hear(NULL, 0);
	if (err)
		log_err("%s: %s: %s", j->cfg.file, run->name, heard);
	j->need[i].memory = memlimit_need(memory, j->need[i].cpus);
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
	return err;
}

/* As a shell would take it. */
static void print_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-.+,=/:@%";

	if (*word && !word[strspn(word, plain)]) {
		printf(" %s", word);
		return;
	}
	fputs(" '", stdout);
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*word);
	}
	putchar('\'');
}

static int list(const struct job *j)
{
	unsigned i, n;

	for (i = 0; i < j->m.runs; i++) {
		printf("%-*s  lunette run", j->width, j->m.run[i].name);
		for (n = 0; n < j->m.run[i].argc; n++)
			print_word(j->m.run[i].argv[n]);
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

/* Reports. */

static int write_report(const struct job *j, const struct report_file *f,
			char *(*make)(const struct matrix *, const struct matrix_result *))
{
	char *text;
	int err;

	if (!f->path)
		return 0;
	text = make(&j->m, j->result);
	if (text)
		err = report_file_write(f, text, strlen(text));
	else
		err = -ENOMEM;
	free(text);
	return err;
}

static int open_report(const struct job *j, struct report_file *f, const char *option,
		       const char *path,
		       char *(*make)(const struct matrix *, const struct matrix_result *))
{
	int err = path ? report_file_open(f, option, path) : 0;

	return !err && path && report_file_is_replaced(f) ? write_report(j, f, make) : err;
}

/* What the runs need of the host beside themselves. -errno after one line. */
static int prepare(struct job *j)
{
	int err;

	if (j->cfg.keep) {
		mkdir(j->cfg.keep, 0777);
		j->keep = realpath(j->cfg.keep, NULL);
		if (!j->keep || access(j->keep, W_OK) < 0) {
			err = -errno;
			log_err("--keep %s: %s", j->cfg.keep, strerror(-err));
			return err;
		}
	}
	j->child_cfg.keep = j->keep;
	j->child_cfg.junit = j->cfg.junit;
	err = open_report(j, &j->json, "--json", j->cfg.json, matrix_json);
	return err ? err : open_report(j, &j->junit, "--junit", j->cfg.junit, matrix_junit);
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
	int status;

	if (prepare(j) < 0)
		return causes[CAUSE_SETUP].status;
	clock_gettime(CLOCK_MONOTONIC, &j->begun);
	j->terminal = isatty(STDOUT_FILENO);
	setlinebuf(stdout);
	run_all(j);
	matrix_print_end(stdout, &j->m, j->result, seconds_since(&j->begun));
	status = j->signal ? 128 + j->signal : matrix_status(j->result, j->m.runs);
	if (write_report(j, &j->json, matrix_json) < 0 ||
	    write_report(j, &j->junit, matrix_junit) < 0)
		status = status ? status : causes[CAUSE_HOST_IO].status;
	return status;
}

static void job_fini(struct job *j)
{
	unsigned i;

	for (i = 0; j->result && i < j->m.runs; i++)
		matrix_result_fini(&j->result[i]);
	report_file_close(&j->json);
	report_file_close(&j->junit);
	matrix_free(&j->m);
	free(j->need);
	free(j->result);
	free(j->child);
	free(j->keep);
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

int matrix_main(int argc, char **argv)
{
	struct job j = { .json.fd = -1, .junit.fd = -1 };
	int status = causes[CAUSE_USAGE].status;
	char *dir = NULL;

	if (argc && !strcmp(argv[0], "--help")) {
		help(stdout);
		return 0;
	}
	if (parse(&j.cfg, argv) == 0)
		dir = folder_of(j.cfg.file);
	if (dir && matrix_read(&j.m, j.cfg.file) == 0 && check_runs(&j) == 0) {
		j.child_cfg.dir = dir;
		status = j.cfg.list ? list(&j) : run(&j);
	}
	free(dir);
	job_fini(&j);
	return status;
}
