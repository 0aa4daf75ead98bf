/* SPDX-License-Identifier: MIT */
/*
 * timeto.c - how long a VMM takes until its guest says that it has come so far.
 *
 *	usage: timeto [-k HOOK | -e] MARKER COMMAND [ARGUMENT...]
 *
 * Prints the milliseconds from exec() to the read() that completes MARKER in what COMMAND writes to
 * its standard output. HOOK is then run by the shell, with COMMAND's process id in $VMM_PID, and
 * COMMAND is killed. Without a marker, its output is printed to standard error.
 *
 * -e: prints another line with the milliseconds until COMMAND has ended, with status 0. MARKER may
 * then be '', and the first line is missing.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS 10000

struct run {
	pid_t pid;
	int fd; /* its output */
	double start;
	size_t len;
	char output[1 << 20];
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static bool run_start(struct run *run, char **command)
{
	int fd[2];

	if (pipe(fd) < 0)
		return false;
	run->start = now_ms();
	run->pid = fork();
	if (run->pid == 0) {
		dup2(fd[1], STDOUT_FILENO);
		close(fd[0]);
		close(fd[1]);
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	close(fd[1]);
	run->fd = fd[0];
	return run->pid > 0;
}

/* False: it ended, was silent for too long, or said too much, without the marker. */
static bool run_to_marker(struct run *run, const char *marker)
{
	struct pollfd f = { .fd = run->fd, .events = POLLIN };
	size_t room;

	while ((room = sizeof(run->output) - run->len) > 0) {
		ssize_t n;

		if (poll(&f, 1, TIMEOUT_MS) != 1)
			return false;
		n = read(run->fd, run->output + run->len, room);
		if (n <= 0)
			return false;
		run->len += n;
		if (memmem(run->output, run->len, marker, strlen(marker)))
			return true;
	}
	return false;
}

/* False: it did not end, or not well. */
static bool run_to_end(struct run *run)
{
	struct pollfd f = { .fd = run->fd, .events = POLLIN };
	char more[4096];
	int status;

	do {
		if (poll(&f, 1, TIMEOUT_MS) != 1)
			return false;
	} while (read(run->fd, more, sizeof(more)) > 0);
	return waitpid(run->pid, &status, 0) == run->pid && status == 0;
}

static bool call_hook(const char *hook, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	setenv("VMM_PID", text, 1);
	return system(hook) == 0;
}

int main(int argc, char **argv)
{
	static struct run run;
	const char *hook = NULL, *marker;
	bool ok, to_end = false;
	int option;

	while ((option = getopt(argc, argv, "+k:e")) != -1 && option != '?') {
		if (option == 'k')
			hook = optarg;
		to_end |= option == 'e';
	}
	if (option != -1 || argc - optind < 2) {
		fprintf(stderr, "usage: timeto [-k HOOK | -e] MARKER COMMAND [ARGUMENT...]\n");
		return 2;
	}
	marker = argv[optind];
	ok = run_start(&run, argv + optind + 1) && (!*marker || run_to_marker(&run, marker));
	if (ok && *marker)
		printf("%.3f\n", now_ms() - run.start);
	if (ok && to_end && (ok = run_to_end(&run)))
		printf("%.3f\n", now_ms() - run.start);
	if (!ok)
		fprintf(stderr, "%.*stimeto: no %s\n", (int)run.len, run.output,
			*marker ? marker : "end");
	fflush(stdout);
	if (ok && hook)
		ok = call_hook(hook, run.pid);
	if (!to_end || !ok) {
		kill(run.pid, SIGKILL);
		waitpid(run.pid, NULL, 0);
	}
	return !ok;
}
