/* SPDX-License-Identifier: MIT */
#include "virtio/user_call.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "virtio/virtio.h"

void user_call_begin(struct vhost_user *u)
{
	u->until = user_now() + u->spec.patience;
}

int user_call_left(const struct vhost_user *u)
{
	uint64_t now = user_now();

	return now < u->until ? u->until - now : 0;
}

int vhost_user_fail(struct vhost_user *u, int err, const char *fmt, ...)
{
	bool running = u->vdev->transport;
	bool silent = u->quiet || (running && err == -EPIPE && u->spec.watched);
	char what[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	u->failed = true;
	u->lied = err != -EPIPE;
	if (u->sock >= 0)
		shutdown(u->sock, SHUT_RDWR);
	if (!silent && running)
		log_guest(&u->vdev->limit, "%s: the server at %s %s%s", u->spec.id, u->spec.path,
			  what, u->spec.lost ? u->spec.lost :
			  u->lied || !u->vdev->started ? "" :
			  vhost_user_resumable(u) ? "; requests wait until it is back" :
			  "; nobody knows what it had begun, and the guest has to reset the "
			  "device");
	else if (!silent)
		log_err("%s: the server at %s %s", u->spec.id, u->spec.path, what);
	return err;
}

static int fail_call(struct vhost_user *u, int err, uint32_t request, bool sending)
{
	if (err == -EPIPE)
		return vhost_user_fail(u, err, "has gone away");
	if (err == -ETIMEDOUT)
		return vhost_user_fail(u, err, "has not %s %s; all of a start, or of a stop, may "
				       "take %d ms", sending ? "taken" : "answered",
				       user_name(request), u->spec.patience);
	if (err == -EPROTO)
		return vhost_user_fail(u, err, "answers %s with a message that is too long, or "
				       "with too many descriptors", user_name(request));
	return vhost_user_fail(u, err, "cannot be told %s: %s", user_name(request), strerror(-err));
}

static int check_answer(struct vhost_user *u, const struct user_ask *a, const struct user_header *h,
			size_t wanted, unsigned nfds)
{
	const char *name = user_name(a->request);

	if (h->request != a->request || !(h->flags & USER_REPLY))
		return vhost_user_fail(u, -EPROTO, "answers %s with message %u, flags 0x%x", name,
				       h->request, h->flags);
	if ((h->flags & USER_VERSION_MASK) != USER_VERSION)
		return vhost_user_fail(u, -EPROTO, "answers %s by version %u of the protocol; "
				       "this is 1", name, h->flags & USER_VERSION_MASK);
	if (h->size != wanted)
		return vhost_user_fail(u, -EPROTO, "answers %s with %u bytes in place of %zu",
				       name, h->size, wanted);
	if (nfds > (a->fd ? 1 : 0))
		return vhost_user_fail(u, -EPROTO, "answers %s with %u descriptors that nobody "
				       "asked for", name, nfds);
	return 0;
}

static int get_answer(struct vhost_user *u, const struct user_ask *a)
{
	size_t wanted = a->in ? a->in_len : sizeof(uint64_t);
	uint8_t payload[USER_PAYLOAD_MAX];
	int fds[USER_FDS_MAX], r;
	struct user_header h;
	unsigned nfds;

	r = user_recv(u->sock, &h, payload, fds, &nfds, user_call_left(u));
	if (r < 0)
		return fail_call(u, r, a->request, false);
	r = check_answer(u, a, &h, wanted, nfds);
	if (r < 0) {
		user_close_fds(fds, &nfds);
		return r;
	}
	if (a->fd)
		*a->fd = nfds ? fds[0] : -1;
	if (a->in)
		memcpy(a->in, payload, wanted);
	else if (memcmp(payload, &(uint64_t){ 0 }, wanted))
		return vhost_user_fail(u, -EPROTO, "refuses %s", user_name(a->request));
	return 0;
}

int user_ask(struct vhost_user *u, const struct user_ask *a)
{
	bool answered = a->in || user_has(u, USER_P_REPLY_ACK);
	struct user_header h = { a->request, USER_VERSION, a->out_len };
	char byte;
	int r;

	if (u->sock < 0 || u->failed)
		return -EPIPE;
	if (recv(u->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		return vhost_user_fail(u, -EPROTO, "says something that nobody asked for");
	if (!a->in && answered)
		h.flags |= USER_NEED_REPLY;
	r = user_send(u->sock, &h, a->out, a->fds, a->nfds, user_call_left(u));
	if (r < 0)
		return fail_call(u, r, a->request, true);
	return answered ? get_answer(u, a) : 0;
}

int user_tell(struct vhost_user *u, uint32_t request, const void *out, size_t len)
{
	return user_ask(u, &(struct user_ask){ .request = request, .out = out, .out_len = len });
}

int user_tell_fd(struct vhost_user *u, uint32_t request, const void *out, size_t len, int fd)
{
	return user_ask(u, &(struct user_ask){ .request = request, .out = out, .out_len = len,
					       .fds = &fd, .nfds = 1 });
}

int user_get_u64(struct vhost_user *u, uint32_t request, uint64_t *value)
{
	return user_ask(u, &(struct user_ask){ .request = request, .in = value,
					       .in_len = sizeof(*value) });
}

int user_tell_ring(struct vhost_user *u, uint32_t request, unsigned q, uint32_t num)
{
	struct vhost_vring_state state = { .index = q, .num = num };

	return user_tell(u, request, &state, sizeof(state));
}
