/* SPDX-License-Identifier: MIT */
#include "guest/ending.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/init.h"

#define FIFO "/run/initctl"
#define GRACE_TRIES 100
#define GRACE_US 10000
#define DRAIN_TRIES 1000
#define DRAIN_US 1000

/* From so many above SIGRTMIN, which is no constant. */
#define RT(n) (-1 - (n))

static const struct {
	int signal;
	enum ending ending;
} asked_by[] = {
	{ SIGUSR1, ENDING_HALT },
	{ SIGUSR2, ENDING_POWEROFF },
	{ SIGTERM, ENDING_REBOOT },
	{ SIGINT, ENDING_REBOOT },
	{ SIGPWR, ENDING_POWEROFF },
	{ RT(3), ENDING_HALT },
	{ RT(4), ENDING_POWEROFF },
	{ RT(5), ENDING_REBOOT },
	{ RT(13), ENDING_HALT }, /* these without asking anybody else */
	{ RT(14), ENDING_POWEROFF },
	{ RT(15), ENDING_REBOOT },
};

/* A request of sysvinit's. */
struct request {
	int32_t magic, what, runlevel, seconds;
	char more[368];
};
#define REQUEST_MAGIC 0x03091969
#define REQUEST_RUNLEVEL 1

static int number(int signal)
{
	return signal < 0 ? SIGRTMIN - 1 - signal : signal;
}

int ending_open(struct ending_source *s)
{
	sigset_t set;
	size_t i;

	s->fifo = -1;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (i = 0; i < sizeof(asked_by) / sizeof(asked_by[0]); i++)
		sigaddset(&set, number(asked_by[i].signal));
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	reboot(RB_DISABLE_CAD); /* else it resets at once */
	return s->signals < 0 ? -errno : 0;
}

/* Open for writing, too, so that it has no end when a writer leaves. */
void ending_make_fifo(struct ending_source *s)
{
	mkfifo(FIFO, 0600);
	s->fifo = open(FIFO, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static enum ending of_signal(int signal)
{
	size_t i;

	for (i = 0; i < sizeof(asked_by) / sizeof(asked_by[0]); i++)
		if (number(asked_by[i].signal) == signal)
			return asked_by[i].ending;
	return ENDING_NONE;
}

static enum ending of_request(const struct request *r)
{
	if (r->magic != REQUEST_MAGIC || r->what != REQUEST_RUNLEVEL)
		return ENDING_NONE;
	return r->runlevel == '0' ? ENDING_POWEROFF : r->runlevel == '6' ? ENDING_REBOOT :
	       ENDING_NONE;
}

enum ending ending_asked(struct ending_source *s)
{
	enum ending ending = ENDING_NONE;
	struct signalfd_siginfo info;
	struct request request;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		if (!ending)
			ending = of_signal(info.ssi_signo);
	while (s->fifo >= 0 && read(s->fifo, &request, sizeof(request)) == sizeof(request))
		if (!ending)
			ending = of_request(&request);
	return ending;
}

void ending_forget(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void ending_tell_all(void)
{
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
}

static bool all_gone(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/*
 * What was printed last leaves a serial port by interrupts, and would be lost with the power.
 * Another CPU may be busy with it, for as long as a reader takes; what does not get on any more,
 * like a terminal that was stopped by ^S, is not waited for.
 */
static void drain_console(void)
{
	int left, last = 0, tries = 0;

	while (tries < DRAIN_TRIES && ioctl(STDOUT_FILENO, TIOCOUTQ, &left) == 0 && left) {
		tries = left == last ? tries + 1 : 0;
		last = left;
		usleep(DRAIN_US);
	}
}

void ending_go(enum ending how)
{
	int try;

	for (try = 0; how && try < GRACE_TRIES && !all_gone(); try++)
		usleep(GRACE_US);
	kill(-1, SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	drain_console();
	chdir("/");
	init_write_back();
	init_write("/proc/sys/kernel/printk", "0"); /* else it says "Power down" on the console */
	reboot(how == ENDING_REBOOT ? RB_AUTOBOOT : how == ENDING_HALT ? RB_HALT_SYSTEM :
								     RB_POWER_OFF);
}
