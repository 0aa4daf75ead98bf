/* SPDX-License-Identifier: MIT */
#include "virtio/user_watch.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "virtio/user_call.h"
#include "virtio/vhost.h"
#include "virtio/virtio.h"
#include "virtio/wire_user.h"

#define TICK_MS 20
#define BACK_MS 100 /* for the rest of a message that has begun */

static void tick_set(struct vhost_user *u, unsigned ms)
{
	const struct timespec t = { .tv_nsec = ms * 1000000l };

	timerfd_settime(u->watch.timer.fd, 0, &(struct itimerspec){ t, t }, NULL);
}

static void rest(struct vhost_user *u, bool on)
{
	void (*fn)(struct loop *loop, struct loop_source *src) = on ? loop_pause : loop_resume;

	u->watch.paused = on;
	if (u->watch.sock.fd >= 0)
		fn(u->spec.loop, &u->watch.sock);
	if (u->watch.back.fd >= 0)
		fn(u->spec.loop, &u->watch.back);
}

static void rest_a_tick(struct vhost_user *u)
{
	rest(u, true);
	tick_set(u, TICK_MS);
}

/* If not, it is tried again at the next tick. */
static bool try_lock(struct vhost_user *u)
{
	if (pthread_mutex_trylock(&u->vdev->lock) == 0)
		return true;
	rest_a_tick(u);
	return false;
}

/* Its driver waits for nothing that could still come. */
static bool is_over(const struct vhost_user *u)
{
	return !u->vdev->started || virtio_is_broken(u->vdev);
}

/* The connection has ended; a line has said why. */
static void lost(struct vhost_user *u)
{
	bool waits = !u->lied && vhost_user_resumable(u);

	user_watch_end(u);
	if (u->spec.gone)
		u->spec.gone(u->spec.arg);
	if (is_over(u))
		return;
	if (!waits) {
		virtio_needs_reset(u->vdev);
		return;
	}
	u->resumes = true;
	u->watch.until = user_now() + u->spec.comeback;
	tick_set(u, TICK_MS);
}

static void heard(void *arg)
{
	struct vhost_user *u = arg;
	char byte;
	ssize_t n;

	if (!try_lock(u))
		return;
	n = recv(u->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n > 0 && !u->failed)
		vhost_user_fail(u, -EPROTO, "says something that nobody asked for");
	else if ((n == 0 || (n < 0 && errno != EAGAIN)) && !u->failed)
		vhost_user_fail(u, -EPIPE, "has gone away");
	if (u->failed)
		lost(u);
	pthread_mutex_unlock(&u->vdev->lock);
}

static void config_changed(struct vhost_user *u)
{
	uint8_t config[USER_CONFIG_MAX];

	if (!u->spec.config_len || vhost_user_config_get(u, config) < 0)
		return;
	u->spec.config(u->spec.arg, config);
	virtio_config_changed(u->vdev);
}

static void obey(struct vhost_user *u, const struct user_header *h)
{
	bool known = h->request == USER_BACKEND_CONFIG_CHANGE;
	struct user_header answer = { h->request, USER_VERSION | USER_REPLY, sizeof(uint64_t) };
	uint64_t refused = !known;

	if (h->flags & USER_NEED_REPLY)
		user_send(u->back, &answer, &refused, NULL, 0, BACK_MS);
	if (known)
		config_changed(u);
}

/* After each message there is a tick in which others get the lock, who wait for it. */
static void asked(void *arg)
{
	struct vhost_user *u = arg;
	uint8_t payload[USER_PAYLOAD_MAX];
	int fds[USER_FDS_MAX], r;
	struct user_header h;
	unsigned nfds;

	if (!try_lock(u))
		return;
	r = user_recv(u->back, &h, payload, fds, &nfds, BACK_MS);
	if (r == 0) {
		user_close_fds(fds, &nfds);
		obey(u, &h);
		rest_a_tick(u);
	} else if (r == -EPIPE) { /* it has nothing to ask any more */
		loop_del(u->spec.loop, &u->watch.back);
		u->watch.back.fd = -1;
	} else if (!u->failed) {
		vhost_user_fail(u, -EPROTO, "asks for something in a message of a wrong size");
	}
	pthread_mutex_unlock(&u->vdev->lock);
}

/* The one that has gone, or another in its place. */
static void try_again(struct vhost_user *u)
{
	bool late = user_now() >= u->watch.until;
	int r;

	u->quiet = !late;
	r = virtio_vhost_again(u->be);
	u->quiet = false;
	if (r < 0 && !late && !u->lied)
		return;
	u->watch.until = 0;
	if (!r) {
		log_guest(&u->vdev->limit, "%s: the server at %s is back", u->spec.id,
			  u->spec.path);
		return;
	}
	if (!late) /* once more, for a line that says what is wrong */
		virtio_vhost_again(u->be);
	virtio_needs_reset(u->vdev);
}

static void tick(void *arg)
{
	struct vhost_user *u = arg;
	uint64_t count;

	if (read(u->watch.timer.fd, &count, sizeof(count)) < 0 ||
	    pthread_mutex_trylock(&u->vdev->lock) != 0)
		return;
	if (u->watch.paused)
		rest(u, false);
	if (is_over(u))
		u->watch.until = 0;
	if (u->watch.until)
		try_again(u);
	if (!u->watch.until)
		tick_set(u, 0);
	pthread_mutex_unlock(&u->vdev->lock);
}

static int begin(void *arg)
{
	struct vhost_user *u = arg;
	struct user_watch *w = &u->watch;
	int r;

	w->sock = (struct loop_source){ .fd = u->sock, .fn = heard, .arg = u };
	w->back = (struct loop_source){ .fd = -1, .fn = asked, .arg = u };
	r = loop_add(u->spec.loop, &w->sock);
	if (r < 0)
		w->sock.fd = -1;
	if (r < 0 || u->back < 0)
		return r;
	w->back.fd = u->back;
	r = loop_add(u->spec.loop, &w->back);
	if (r < 0)
		w->back.fd = -1;
	return r;
}

int user_watch_begin(struct vhost_user *u)
{
	int r = loop_call(u->spec.loop, begin, u);

	return r < 0 ? vhost_user_fail(u, r, "cannot be listened to: %s", strerror(-r)) : 0;
}

static void forget(struct vhost_user *u, struct loop_source *src, int *fd)
{
	if (src->fd >= 0)
		loop_del(u->spec.loop, src);
	src->fd = -1;
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int end(void *arg)
{
	struct vhost_user *u = arg;

	forget(u, &u->watch.sock, &u->sock);
	forget(u, &u->watch.back, &u->back);
	u->watch.paused = false;
	return 0;
}

void user_watch_end(struct vhost_user *u)
{
	loop_call(u->spec.loop, end, u);
}

int user_watch_init(struct vhost_user *u)
{
	struct loop_source *timer = &u->watch.timer;
	int r;

	u->watch.sock.fd = u->watch.back.fd = -1;
	*timer = (struct loop_source){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
		.fn = tick, .arg = u };
	r = timer->fd < 0 ? -errno : loop_add(u->spec.loop, timer);
	if (r < 0)
		log_err("%s: no timer: %s", u->spec.id, strerror(-r));
	return r;
}

static int fini(void *arg)
{
	struct vhost_user *u = arg;
	int fd = u->watch.timer.fd;

	forget(u, &u->watch.timer, &fd);
	return 0;
}

void user_watch_fini(struct vhost_user *u)
{
	loop_call(u->spec.loop, fini, u);
}
