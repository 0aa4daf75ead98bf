/*
 * main.c - the subcommands and the exit status.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cause.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/crash.h"
#include "vmm/run.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "run", run_main, "boot a guest (lunette run --help)" },
	{ "matrix", matrix_main, "run many, several at once (lunette matrix --help)" },
	{ "ctl", ctl_main, "tell a guest that runs what to do (lunette ctl --help)" },
	{ "doctor", doctor_main, "can this machine run guests?" },
	{ "kernel-check", kernel_check_main, "does a kernel FILE have what guests here need?" },
	{ "clean", clean_main, "remove what killed runs have left" },
};

static void help(FILE *out)
{
	unsigned i;

	fputs("lunette " VERSION " - a small hypervisor with SCSI disks built in\n\n"
	      "usage: lunette COMMAND [OPTION...]\n\n", out);
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-13s %s\n", commands[i].name, commands[i].help);
	fputs("\nExit status:\n", out);
	cause_help(out);
}

/* A file that got the number 1 or 2 would be written to by every message. */
static void open_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
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

int main(int argc, char **argv)
{
	unsigned i;

	open_standard_fds();
	crash_setup();
	heed_signals();
	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("lunette " VERSION);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "--help")) {
		help(stdout);
		return 0;
	}
	for (i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 2, argv + 2);
	}
	if (argc > 1)
		log_err("'%s' is not a command; lunette --help lists them", argv[1]);
	else
		help(stderr);
	return causes[CAUSE_USAGE].status;
}
