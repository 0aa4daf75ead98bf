/* SPDX-License-Identifier: MIT */
/*
 * main.c - the subcommands and the exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/near.h"
#include "vmm/core/util.h"
#include "vmm/core/version.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/crash.h"
#include "vmm/run/run.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	void (*help)(FILE *out);
	const char *text; /* NULL: for lunette itself */
} commands[] = {
	{ "run", run_main, run_help, "boot a guest, or run a command in one" },
	{ "matrix", matrix_main, matrix_help, "run many, several at once" },
	{ "ctl", ctl_main, ctl_help, "tell a guest that runs what to do" },
	{ "doctor", doctor_main, doctor_help, "can this machine run guests?" },
	{ "kernel", kernel_main, kernel_help, "list, fetch, build or check kernels for guests" },
	{ "clean", clean_main, clean_help, "remove what killed runs have left" },
	{ "shared-disk", serve_main, serve_help, NULL },
};

static void help(FILE *out)
{
	unsigned i;

	fprintf(out, "lunette %s - a small hypervisor with SCSI disks built in\n\n",
		lunette_version);
	fputs("usage: lunette COMMAND [OPTION...]\n"
	      "       lunette help COMMAND         what it does; also lunette COMMAND --help\n"
	      "       lunette --version\n\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (commands[i].text)
			help_row(out, 16, commands[i].name, commands[i].text);
	}
	fputs("\nExit status:\n", out);
	cause_help(out);
}

/*
 * A file that got the number 1 or 2 would be written to by every message. To write to what is
 * closed remains an error.
 */
static void open_standard_fds(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0)
			return;
	}
}

/* What commands print is no answer when it got nowhere. */
static int flushed(int status)
{
	bool bad = fflush(stdout) == EOF || ferror(stdout);
	int err = errno;

	if (!bad || status || err == EPIPE)
		return status;
	log_err("stdout: cannot be written: %s", strerror(err));
	return causes[CAUSE_HOST_IO].status;
}

/* The soft limit is for programs that select(); each disk takes a descriptor or two. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void end_by_signal(int sig)
{
	_exit(128 + sig);
}

/*
 * The first process of a container is spared by signals for which it has no handler: set-up and
 * teardown would not end by them.
 */
static void heed_signals(void)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };
	unsigned i;

	for (i = 0; getpid() == 1 && i < ARRAY_SIZE(ends); i++) {
		if (signal(ends[i], end_by_signal) == SIG_IGN)
			signal(ends[i], SIG_IGN);
	}
}

/* The place in the table, or -1 after one line. */
static int find_command(const char *name)
{
	char meant[NEAR_TEXT];
	struct near near;
	unsigned i;

	near_begin(&near, name);
	for (i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(name, commands[i].name))
			return (int)i;
		if (commands[i].text)
			near_try(&near, commands[i].name);
	}
	log_err("'%s' is not a command%s", name, *name == '-' ?
		"; options come after one: lunette run --help lists them" :
		*near_text(&near, "", meant) ? meant : "; lunette --help lists them");
	return -1;
}

static bool asks_for_help(const char *word)
{
	return help_wanted(word) || (word && !strcmp(word, "help"));
}

/* "help", "help COMMAND", and what else follows is wrong. Returns the exit status. */
static int show_help(int argc, char **argv)
{
	int i;

	if (argc > 2 && !asks_for_help(argv[2])) {
		i = find_command(argv[2]);
		if (i < 0)
			return causes[CAUSE_USAGE].status;
		commands[i].help(stdout);
	} else {
		help(stdout);
	}
	return 0;
}

static int run_command(int argc, char **argv)
{
	int i;

	if (argc < 2) {
		help(stderr);
		return causes[CAUSE_USAGE].status;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		printf("lunette %s\n", lunette_version);
		return 0;
	}
	if (asks_for_help(argv[1]))
		return show_help(argc, argv);
	i = find_command(argv[1]);
	if (i < 0)
		return causes[CAUSE_USAGE].status;
	if (argc == 3 && asks_for_help(argv[2])) {
		commands[i].help(stdout);
		return 0;
	}
	return commands[i].main(argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
	open_standard_fds();
	raise_descriptors();
	crash_setup();
	heed_signals();
	signal(SIGXFSZ, SIG_IGN); /* it is an error of a write */
	return flushed(run_command(argc, argv));
}
