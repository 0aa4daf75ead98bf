/* SPDX-License-Identifier: MIT */
/*
 * firstrun.c - what a VMM spends from exec() to its first ioctl(KVM_RUN).
 *
 *	usage: firstrun [-n RUNS] [-m GUEST-MIB] COMMAND [ARGUMENT...]
 *
 * A seccomp filter reports the first KVM_RUN by a user notification, so that nothing before it is
 * stopped or slowed, unlike under a debugger, and no rights are needed. The VMM is looked at and
 * killed there. Prints a line of numbers:
 *
 *	time: minimum, median, maximum (ms)
 *	and of the last run: page faults; resident memory and the anonymous part of it (KiB),
 *	without the guest's, which is any mapping of GUEST-MIB to twice that; the guest's (KiB);
 *	threads
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/util.h"

#define RUNS_MAX 1000
#define TIMEOUT_MS 30000

struct memory {
	long faults, threads;
	long rss, anonymous, guest; /* KiB */
};

struct run {
	pid_t pid;
	int go;       /* a byte written here starts the VMM */
	int listener; /* readable: the first KVM_RUN */
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int install_filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		       &program);
}

/* Its own process group: @command may have children. */
static _Noreturn void child(char **command, int tell, int go)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), listener;
	char c;

	setpgid(0, 0);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	listener = install_filter();
	if (write(tell, &listener, sizeof(listener)) < 0 || listener < 0 || read(go, &c, 1) != 1)
		_exit(126);
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

/* Makes the process, which waits before exec(), and takes its listener over. */
static bool run_prepare(struct run *run, char **command)
{
	int tell[2], go[2], theirs = -1, pidfd;

	if (pipe2(tell, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return false;
	run->pid = fork();
	if (run->pid == 0)
		child(command, tell[1], go[0]);
	close(tell[1]);
	close(go[0]);
	run->go = go[1];
	if (read(tell[0], &theirs, sizeof(theirs)) < 0)
		theirs = -1;
	close(tell[0]);
	pidfd = syscall(SYS_pidfd_open, run->pid, 0);
	run->listener = syscall(SYS_pidfd_getfd, pidfd, theirs, 0);
	close(pidfd);
	if (run->listener < 0)
		fprintf(stderr, "firstrun: this kernel has no seccomp user notification for us\n");
	return run->listener >= 0;
}

static bool run_to_first(struct run *run, double *ms)
{
	struct pollfd f = { .fd = run->listener, .events = POLLIN };
	double start = now_ms();

	if (write(run->go, "", 1) != 1)
		return false;
	if (poll(&f, 1, TIMEOUT_MS) == 1 && f.revents & POLLIN) {
		*ms = now_ms() - start;
		return true;
	}
	fprintf(stderr, "firstrun: it ended, or %d s passed, without KVM_RUN\n", TIMEOUT_MS / 1000);
	return false;
}

static void run_end(struct run *run)
{
	kill(-run->pid, SIGKILL);
	kill(run->pid, SIGKILL); /* when it has not come to setpgid() */
	waitpid(run->pid, NULL, 0);
	close(run->go);
	close(run->listener);
}

static FILE *open_proc(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return fopen(path, "r");
}

static bool read_stat(pid_t pid, struct memory *m)
{
	FILE *f = open_proc(pid, "stat");
	int n = 0;

	if (!f)
		return false;
	/* Behind the name, which may hold anything: state and 6 more, faults, 9 more, threads. */
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %n", &n) == 0 && n)
		n = fscanf(f, "%ld %*d %*d %*d %*d %*d %*d %*d %*d %*d %ld", &m->faults,
			   &m->threads);
	fclose(f);
	return n == 2;
}

static bool read_smaps(pid_t pid, long guest_kib, struct memory *m)
{
	FILE *f = open_proc(pid, "smaps");
	bool is_guest = false;
	char line[512];
	long kib;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Size: %ld", &kib) == 1)
			is_guest = guest_kib && kib >= guest_kib && kib < 2 * guest_kib;
		else if (sscanf(line, "Rss: %ld", &kib) == 1)
			*(is_guest ? &m->guest : &m->rss) += kib;
		else if (!is_guest && sscanf(line, "Anonymous: %ld", &kib) == 1)
			m->anonymous += kib;
	}
	fclose(f);
	return m->rss;
}

static bool measure(char **command, long guest_kib, double *ms, struct memory *m)
{
	struct run run;
	bool ok;

	if (!run_prepare(&run, command))
		return false;
	*m = (struct memory){ 0 };
	ok = run_to_first(&run, ms);
	if (ok && (!read_stat(run.pid, m) || !read_smaps(run.pid, guest_kib, m))) {
		fprintf(stderr, "firstrun: its files in /proc cannot be read\n");
		ok = false;
	}
	run_end(&run);
	return ok;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int usage(void)
{
	fprintf(stderr, "usage: firstrun [-n RUNS, 1 to %d] [-m GUEST-MIB] COMMAND [ARGUMENT...]\n",
		RUNS_MAX);
	return 2;
}

int main(int argc, char **argv)
{
	int runs = 1, option, i;
	double ms[RUNS_MAX];
	long guest_mib = 0;
	struct memory m;

	while ((option = getopt(argc, argv, "+n:m:")) != -1) {
		if (option == 'n')
			runs = atoi(optarg);
		else if (option == 'm')
			guest_mib = atol(optarg);
		else
			return usage();
	}
	if (optind == argc || runs < 1 || runs > RUNS_MAX)
		return usage();
	for (i = 0; i < runs; i++) {
		if (!measure(argv + optind, guest_mib * 1024, &ms[i], &m))
			return 1;
	}
	qsort(ms, runs, sizeof(ms[0]), compare);
	printf("%.2f %.2f %.2f %ld %ld %ld %ld %ld\n", ms[0], ms[runs / 2], ms[runs - 1], m.faults,
	       m.rss, m.anonymous, m.guest, m.threads);
	return 0;
}
