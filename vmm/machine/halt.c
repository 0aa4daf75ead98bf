/* SPDX-License-Identifier: MIT */
#include "vmm/machine/halt.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/core/log.h"

#define LOOK_MS 400
#define IDLE_NS (LOOK_MS * 1000000ull / 20) /* being asked takes some, too */
#define ANSWERS 2

void halt_look(struct halt *h)
{
	uint64_t used = h->ops->used(h->host), ran = used - h->used;

	h->used = used;
	if (ran > IDLE_NS) {
		h->asked = 0;
		return;
	}
	if (h->asked && !h->ops->halted(h->host))
		h->asked = 0;
	if (h->asked == ANSWERS) {
		h->ops->end(h->host);
		return;
	}
	h->asked++;
	h->ops->ask(h->host);
}

static void timer_ready(void *arg)
{
	struct halt *h = arg;
	uint64_t expirations;

	if (read(h->timer.fd, &expirations, sizeof(expirations)) == sizeof(expirations))
		halt_look(h);
}

int halt_start(struct halt *h, const struct halt_ops *ops, void *host, struct loop *loop)
{
	static const struct itimerspec when = {
		.it_interval = { .tv_nsec = LOOK_MS * 1000000 },
		.it_value = { .tv_nsec = LOOK_MS * 1000000 },
	};
	int r;

	*h = (struct halt){
		.ops = ops, .host = host, .loop = loop,
		.timer = { .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
			   .fn = timer_ready, .arg = h },
	};
	if (h->timer.fd < 0 || timerfd_settime(h->timer.fd, 0, &when, NULL) < 0)
		r = -errno;
	else
		r = loop_add(loop, &h->timer);
	if (r == 0)
		return 0;
	log_err("no timer that looks for halted vCPUs: %s", strerror(-r));
	if (h->timer.fd >= 0)
		close(h->timer.fd);
	h->timer.fd = -1;
	return r;
}

void halt_stop(struct halt *h)
{
	if (h->timer.fd < 0)
		return;
	loop_del(h->loop, &h->timer);
	close(h->timer.fd);
	h->timer.fd = -1;
}
