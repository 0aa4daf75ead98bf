/* SPDX-License-Identifier: MIT */
#include "vmm/machine/limits.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"

#define STEP_MS 100
#define LOOK_STEPS 10   /* 1 s: a vCPU that waits for a reader of the terminal does not answer */
#define SILENT_STEPS 10
#define END_STEPS 150   /* a serial port takes its time for a whole log */

/* False: it has not run out, and somebody else was told of an older event. */
static bool take(const struct loop_source *timer)
{
	uint64_t expirations;

	return read(timer->fd, &expirations, sizeof(expirations)) == sizeof(expirations);
}

static void drop_timer(struct limits *l, struct loop_source *timer)
{
	if (timer->fd < 0)
		return;
	loop_del(l->loop, timer);
	close(timer->fd);
	timer->fd = -1;
}

/* Runs out after @ms, again and again if @often. -errno. */
static int add_timer(struct limits *l, struct loop_source *timer, void (*fn)(void *arg),
		     uint64_t ms, bool often)
{
	struct itimerspec when = {
		.it_value = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 },
	};
	int r;

	if (often)
		when.it_interval = when.it_value;
	*timer = (struct loop_source){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.fn = fn, .arg = l,
	};
	if (timer->fd < 0)
		return -errno;
	if (timerfd_settime(timer->fd, 0, &when, NULL) < 0)
		r = -errno;
	else
		r = loop_add(l->loop, timer);
	if (r < 0) {
		close(timer->fd);
		timer->fd = -1;
	}
	return r;
}

static void end(struct limits *l)
{
	drop_timer(l, &l->steps);
	l->ops->end(l->host, atomic_load(&l->over));
}

static void look(struct limits *l)
{
	if (++l->ticks < LOOK_STEPS && !l->ops->looked(l->host))
		return;
	l->printed = l->ops->printed(l->host);
	l->ops->show(l->host);
	l->step = LIMITS_SHOWN;
	l->ticks = 0;
}

static void listen(struct limits *l)
{
	unsigned long printed = l->ops->printed(l->host);

	l->silent = printed == l->printed ? l->silent + 1 : 0;
	l->printed = printed;
	if (++l->ticks == END_STEPS || l->silent == SILENT_STEPS)
		end(l);
}

static void next_step(void *arg)
{
	struct limits *l = arg;

	if (!take(&l->steps))
		return;
	if (l->step == LIMITS_LOOK)
		look(l);
	else
		listen(l);
}

static void begin(struct limits *l, enum cause cause)
{
	drop_timer(l, &l->run);
	drop_timer(l, &l->boot);
	atomic_store(&l->over, cause);
	l->step = LIMITS_LOOK;
	l->ops->look(l->host);
	if (add_timer(l, &l->steps, next_step, l->step_ms, true) < 0)
		end(l);
}

static void run_is_over(void *arg)
{
	struct limits *l = arg;
	char text[24];

	if (!take(&l->run))
		return;
	log_err("--timeout %s: the guest has not ended. Where its CPUs are follows; what its "
		"kernel was at it says on its console", opt_time_text(l->cfg.run, text));
	begin(l, CAUSE_TIMEOUT);
}

static void boot_is_over(void *arg)
{
	struct limits *l = arg;
	char text[24];

	if (!take(&l->boot))
		return;
	log_err("--boot-timeout %s: the guest has not got to its command. Where its CPUs are "
		"follows; how far it got is on its console", opt_time_text(l->cfg.boot, text));
	begin(l, CAUSE_BOOT);
}

int limits_start(struct limits *l, const struct limits_cfg *cfg, const struct limits_ops *ops,
		 void *host, struct loop *loop)
{
	int r = 0;

	*l = (struct limits)LIMITS_NONE;
	l->ops = ops;
	l->host = host;
	l->loop = loop;
	l->cfg = *cfg;
	l->step_ms = STEP_MS;
	l->deadline = cfg->run ? now_ms() + cfg->run : 0;
	if (cfg->run)
		r = add_timer(l, &l->run, run_is_over, cfg->run, false);
	if (r == 0 && cfg->boot)
		r = add_timer(l, &l->boot, boot_is_over, cfg->boot, false);
	if (r < 0) {
		log_err("limits: no timer: %s", strerror(-r));
		limits_stop(l);
	}
	return r;
}

void limits_up(struct limits *l)
{
	drop_timer(l, &l->boot);
}

void limits_unread(struct limits *l)
{
	char text[24];

	log_err("--timeout %s: the end of what the guest has written is lost, as nobody has read "
		"it by now", opt_time_text(l->cfg.run, text));
	atomic_store(&l->over, CAUSE_TIMEOUT);
}

void limits_stop(struct limits *l)
{
	drop_timer(l, &l->run);
	drop_timer(l, &l->boot);
	drop_timer(l, &l->steps);
}

enum cause limits_cause(const struct limits *l, enum cause cause)
{
	enum cause over = atomic_load(&l->over);

	return over == CAUSE_POWEROFF ? cause : over;
}
