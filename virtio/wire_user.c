/* SPDX-License-Identifier: MIT */
#include "virtio/wire_user.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "virtio/vhost.h"
#include "virtio/virtio.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

#define HAS(u, bit) ((u)->protocol >> (bit) & 1)
#define INFLIGHT_MAX MIB(64)
#define UNREACHED "%s: socket=%s: %s; is the server running, and listening there?"
#define LOOK_NS 200000 /* between looks at a ring that is to become idle */

/* A request, and what its answer has to be. */
struct ask {
	uint32_t request;
	const void *out;
	size_t out_len;
	const int *fds; /* that go along */
	unsigned nfds;
	void *in;       /* of the answer, which has exactly that many bytes; NULL: it has none */
	size_t in_len;
	int *fd;        /* one descriptor comes with it, or none: -1. NULL: none */
};

static struct vhost_user *user_of(struct vhost_wire *w)
{
	return container_of(w, struct vhost_user, wire);
}

int vhost_user_fail(struct vhost_user *u, int err, const char *fmt, ...)
{
	bool running = u->vdev->transport;
	char what[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	u->failed = true;
	u->lied = err != -EPIPE;
	if (u->sock >= 0)
		shutdown(u->sock, SHUT_RDWR);
	if (!u->quiet && running)
		log_guest(&u->vdev->limit, "%s: the server at %s %s%s", u->spec.id, u->spec.path,
			  what, u->lied || !u->vdev->started ? "" : vhost_user_resumable(u) ?
			  "; requests wait until it is back" :
			  "; nobody knows what it had begun, and the guest has to reset the "
			  "device");
	else if (!u->quiet)
		log_err("%s: the server at %s %s", u->spec.id, u->spec.path, what);
	return err;
}

static int fail_call(struct vhost_user *u, int err, uint32_t request, bool sending)
{
	if (err == -EPIPE)
		return vhost_user_fail(u, err, "has gone away");
	if (err == -ETIMEDOUT)
		return vhost_user_fail(u, err, "has not %s %s for %d ms",
				       sending ? "taken" : "answered", user_name(request),
				       u->spec.patience);
	if (err == -EPROTO)
		return vhost_user_fail(u, err, "answers %s with a message that is too long, or "
				       "with too many descriptors", user_name(request));
	return vhost_user_fail(u, err, "cannot be told %s: %s", user_name(request), strerror(-err));
}

static int check_answer(struct vhost_user *u, const struct ask *a, const struct user_header *h,
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

static int get_answer(struct vhost_user *u, const struct ask *a)
{
	size_t wanted = a->in ? a->in_len : sizeof(uint64_t);
	uint8_t payload[USER_PAYLOAD_MAX];
	int fds[USER_FDS_MAX], r;
	struct user_header h;
	unsigned nfds;

	r = user_recv(u->sock, &h, payload, fds, &nfds, u->spec.patience);
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

/* -errno after one line, unless a line has been said before. */
static int ask(struct vhost_user *u, const struct ask *a)
{
	bool answered = a->in || HAS(u, USER_P_REPLY_ACK);
	struct user_header h = { a->request, USER_VERSION, a->out_len };
	char byte;
	int r;

	if (u->sock < 0 || u->failed)
		return -EPIPE;
	if (recv(u->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		return vhost_user_fail(u, -EPROTO, "says something that nobody asked for");
	if (!a->in && answered)
		h.flags |= USER_NEED_REPLY;
	r = user_send(u->sock, &h, a->out, a->fds, a->nfds, u->spec.patience);
	if (r < 0)
		return fail_call(u, r, a->request, true);
	return answered ? get_answer(u, a) : 0;
}

static int tell(struct vhost_user *u, uint32_t request, const void *out, size_t len)
{
	return ask(u, &(struct ask){ .request = request, .out = out, .out_len = len });
}

static int tell_fd(struct vhost_user *u, uint32_t request, const void *out, size_t len, int fd)
{
	return ask(u, &(struct ask){ .request = request, .out = out, .out_len = len, .fds = &fd,
				     .nfds = 1 });
}

static int get_u64(struct vhost_user *u, uint32_t request, uint64_t *value)
{
	return ask(u, &(struct ask){ .request = request, .in = value, .in_len = sizeof(*value) });
}

static int tell_ring(struct vhost_user *u, uint32_t request, unsigned q, uint32_t num)
{
	struct vhost_vring_state state = { .index = q, .num = num };

	return tell(u, request, &state, sizeof(state));
}

/* A connection. */

static int dial(struct vhost_user *u)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const char *why;
	int r;

	if (strlen(u->spec.path) >= sizeof(at.sun_path)) {
		log_err("%s: socket=%s: a path of at most %zu bytes is wanted", u->spec.id,
			u->spec.path, sizeof(at.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(at.sun_path, u->spec.path, strlen(u->spec.path));
	u->failed = u->lied = false;
	u->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (u->sock >= 0 && connect(u->sock, (struct sockaddr *)&at, sizeof(at)) == 0)
		return 0;
	r = -errno;
	why = r == -EAGAIN ? "it has too many to speak to" : strerror(-r);
	if (!u->quiet && u->vdev->transport)
		log_guest(&u->vdev->limit, UNREACHED, u->spec.id, u->spec.path, why);
	else if (!u->quiet)
		log_err(UNREACHED, u->spec.id, u->spec.path, why);
	return r;
}

static int get_features(struct vhost_user *u)
{
	uint64_t can = 0;
	int r = get_u64(u, USER_GET_FEATURES, &can);

	if (r < 0)
		return r;
	if (!(can & VIRTIO_BIT(VIRTIO_F_VERSION_1)))
		return vhost_user_fail(u, -EPROTO, "serves drivers of before virtio 1.0 only");
	if (u->known && u->can & ~can)
		return vhost_user_fail(u, -EPROTO, "has come back without the features 0x%llx",
				       (unsigned long long)(u->can & ~can));
	u->can = u->known ? u->can : can;
	return 0;
}

static int get_protocol(struct vhost_user *u)
{
	uint64_t protocol = 0;
	int r = 0;

	u->protocol = 0;
	if (u->can & VIRTIO_BIT(USER_F_PROTOCOL)) {
		r = get_u64(u, USER_GET_PROTOCOL_FEATURES, &protocol);
		protocol &= USER_PROTOCOL_ALL;
		if (!r)
			r = tell(u, USER_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol));
	}
	if (r < 0)
		return r;
	if (u->known && u->first_protocol & ~protocol)
		return vhost_user_fail(u, -EPROTO, "has come back without the protocol's features "
				       "0x%llx",
				       (unsigned long long)(u->first_protocol & ~protocol));
	u->first_protocol = u->known ? u->first_protocol : protocol;
	u->protocol = protocol;
	return 0;
}

static int get_queues(struct vhost_user *u)
{
	uint64_t n = 0;
	int r = HAS(u, USER_P_MQ) ? get_u64(u, USER_GET_QUEUE_NUM, &n) : 0;

	if (r < 0)
		return r;
	if (HAS(u, USER_P_MQ) && (!n || n > USER_RINGS_MAX))
		return vhost_user_fail(u, -EPROTO, "has %llu queues; 1 to %u can be",
				       (unsigned long long)n, USER_RINGS_MAX);
	if (u->known && n < u->queues)
		return vhost_user_fail(u, -EPROTO, "has come back with %llu queues; it had %u",
				       (unsigned long long)n, u->queues);
	u->queues = n;
	return 0;
}

static int give_second_socket(struct vhost_user *u)
{
	int pair[2], r;

	if (!HAS(u, USER_P_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return vhost_user_fail(u, -errno, "gets no second socket: %s", strerror(errno));
	u->back = pair[0];
	r = tell_fd(u, USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1]);
	close(pair[1]);
	return r;
}

static int greet(struct vhost_user *u)
{
	int r = dial(u);

	if (!r)
		r = get_features(u);
	if (!r)
		r = get_protocol(u);
	if (!r)
		r = get_queues(u);
	if (!r)
		r = tell(u, USER_SET_OWNER, NULL, 0);
	if (!r)
		r = give_second_socket(u);
	if (!r && u->spec.config_len && !HAS(u, USER_P_CONFIG))
		r = vhost_user_fail(u, -EPROTO, "does not tell the device's config space");
	return r;
}

int vhost_user_ready(struct vhost_user *u)
{
	unsigned q;
	int r;

	if (u->sock >= 0 && !u->failed)
		return 0;
	user_watch_end(u);
	for (q = 0; q < USER_RINGS_MAX; q++)
		u->ring[q].told = false;
	r = greet(u);
	if (!r)
		r = user_watch_begin(u);
	if (r < 0)
		user_watch_end(u);
	else
		u->known = true;
	return r;
}

/* The config space. */

int vhost_user_config_get(struct vhost_user *u, uint8_t *config)
{
	size_t head = offsetof(struct user_config, data), len = u->spec.config_len;
	struct user_config c = { .size = len }, got = { 0 };
	int r;

	BUG_ON(len > USER_CONFIG_MAX);
	r = ask(u, &(struct ask){ .request = USER_GET_CONFIG, .out = &c, .out_len = head + len,
				  .in = &got, .in_len = head + len });
	if (r < 0)
		return r;
	if (got.offset || got.size != len)
		return vhost_user_fail(u, -EPROTO, "answers GET_CONFIG with bytes %u to %llu of "
				       "the config space; 0 to %zu were asked for", got.offset,
				       (unsigned long long)got.offset + got.size, len);
	memcpy(config, got.data, len);
	return 0;
}

int vhost_user_config_set(struct vhost_user *u, size_t off, const void *data, size_t len)
{
	struct user_config c = { .offset = off, .size = len };

	BUG_ON(len > sizeof(c.data));
	memcpy(c.data, data, len);
	return tell(u, USER_SET_CONFIG, &c, offsetof(struct user_config, data) + len);
}

/* In-flight requests: memory that is the server's, and that we keep for its successor. */

static void forget_inflight(struct vhost_user *u)
{
	if (u->inflight_fd >= 0)
		close(u->inflight_fd);
	u->inflight_fd = -1;
	u->resumes = false;
}

static int get_inflight(struct vhost_user *u)
{
	struct user_inflight want = { .queues = u->vdev->nvq,
				      .queue_size = u->vdev->vq[0].s.max_size };
	int r;

	forget_inflight(u);
	r = ask(u, &(struct ask){ .request = USER_GET_INFLIGHT_FD, .out = &want,
				  .out_len = sizeof(want), .in = &u->inflight,
				  .in_len = sizeof(u->inflight), .fd = &u->inflight_fd });
	if (r < 0)
		return r;
	if (u->inflight_fd < 0 || !u->inflight.size || u->inflight.size > INFLIGHT_MAX)
		return vhost_user_fail(u, -EPROTO, "answers GET_INFLIGHT_FD with %llu bytes%s",
				       (unsigned long long)u->inflight.size,
				       u->inflight_fd < 0 ? ", and no descriptor" : "");
	return 0;
}

static int share_inflight(struct vhost_user *u)
{
	int r = 0;

	if (!HAS(u, USER_P_INFLIGHT))
		return 0;
	if (!u->resumes)
		r = get_inflight(u);
	return r ? r : tell_fd(u, USER_SET_INFLIGHT_FD, &u->inflight, sizeof(u->inflight),
			       u->inflight_fd);
}

void vhost_user_reset(struct vhost_user *u)
{
	uint64_t status = 0;

	forget_inflight(u);
	if (u->sock < 0 || u->failed)
		return;
	if (HAS(u, USER_P_RESET_DEVICE))
		tell(u, USER_RESET_DEVICE, NULL, 0);
	else if (HAS(u, USER_P_STATUS))
		tell(u, USER_SET_STATUS, &status, sizeof(status));
}

/* As a wire. */

/* Each connection begins with it. */
static int own(struct vhost_wire *w)
{
	(void)w;
	return 0;
}

static uint64_t features(struct vhost_wire *w)
{
	return user_of(w)->can & ~VIRTIO_BIT(USER_F_PROTOCOL);
}

static int set_features(struct vhost_wire *w, uint64_t bits)
{
	struct vhost_user *u = user_of(w);
	int r = vhost_user_ready(u);

	bits |= u->can & VIRTIO_BIT(USER_F_PROTOCOL);
	if (!r)
		r = tell(u, USER_SET_FEATURES, &bits, sizeof(bits));
	return r ? r : share_inflight(u);
}

static int set_mem(struct vhost_wire *w, const struct mem *mem)
{
	struct user_memory m = { .count = mem->nregions };
	int fds[MEM_REGIONS];
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *r = &mem->region[i];

		BUG_ON(r->fd < 0);
		m.region[i].gpa = r->gpa;
		m.region[i].size = r->size;
		m.region[i].address = (uintptr_t)r->hva;
		m.region[i].offset = r->fd_off;
		fds[i] = r->fd;
	}
	return ask(user_of(w), &(struct ask){ .request = USER_SET_MEM_TABLE, .out = &m,
		.out_len = offsetof(struct user_memory, region) + i * sizeof(m.region[0]),
		.fds = fds, .nfds = i });
}

static int ring_size(struct vhost_wire *w, unsigned q, uint16_t size)
{
	user_of(w)->ring[q].size = size;
	return tell_ring(user_of(w), USER_SET_VRING_NUM, q, size);
}

static int ring_set_base(struct vhost_wire *w, unsigned q, uint32_t base)
{
	return tell_ring(user_of(w), USER_SET_VRING_BASE, q, base);
}

static int ring_addr(struct vhost_wire *w, unsigned q, const struct virtqueue *vq)
{
	struct vhost_vring_addr addr = {
		.index = q, .desc_user_addr = (uintptr_t)vq->desc,
		.avail_user_addr = (uintptr_t)vq->driver, .used_user_addr = (uintptr_t)vq->device,
	};
	struct vhost_user *u = user_of(w);

	u->ring[q].device = vq->device;
	u->ring[q].told = true;
	return tell(u, USER_SET_VRING_ADDR, &addr, sizeof(addr));
}

static int ring_fd(struct vhost_wire *w, unsigned q, enum vhost_fd which, int fd)
{
	static const uint32_t requests[] = {
		[VHOST_FD_KICK] = USER_SET_VRING_KICK,
		[VHOST_FD_CALL] = USER_SET_VRING_CALL,
		[VHOST_FD_ERR] = USER_SET_VRING_ERR,
	};
	uint64_t index = q;

	return tell_fd(user_of(w), requests[which], &index, sizeof(index), fd);
}

/* Without features of the protocol a ring that has all is enabled. */
static int ring_enable(struct vhost_wire *w, unsigned q, bool on)
{
	struct vhost_user *u = user_of(w);

	if (!(u->can & VIRTIO_BIT(USER_F_PROTOCOL)))
		return 0;
	return tell_ring(u, USER_SET_VRING_ENABLE, q, on);
}

/* A server whose answers are few is asked for one, so that it has done all before. */
static int run(struct vhost_wire *w, bool on)
{
	uint64_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			  VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
	struct vhost_user *u = user_of(w);
	uint64_t can;
	int r = 0;

	if (!on)
		return 0;
	if (HAS(u, USER_P_STATUS))
		r = tell(u, USER_SET_STATUS, &status, sizeof(status));
	if (!r && !HAS(u, USER_P_REPLY_ACK))
		r = get_u64(u, USER_GET_FEATURES, &can);
	if (!r)
		u->resumes = false;
	return r;
}

/* The server has stopped taking requests; those that it has are to be answered, too. */
static int await_idle(struct vhost_user *u, unsigned q, uint16_t base)
{
	const uint16_t *idx = (const uint16_t *)(const void *)(u->ring[q].device + 2);
	uint64_t until = user_now() + u->spec.patience;
	struct timespec pause = { .tv_nsec = LOOK_NS };
	uint16_t left;

	for (;;) {
		left = base - le16toh(__atomic_load_n(idx, __ATOMIC_ACQUIRE));
		if (!left)
			return 0;
		if (left > u->ring[q].size)
			return vhost_user_fail(u, -EPROTO, "says that it has taken %u requests of "
					       "queue %u, and has given back %u", base, q,
					       (uint16_t)(base - left));
		if (user_now() >= until)
			return vhost_user_fail(u, -ETIMEDOUT, "has stopped queue %u, and still has "
					       "%u requests of it after %d ms", q, left,
					       u->spec.patience);
		nanosleep(&pause, NULL);
	}
}

static int ring_get_base(struct vhost_wire *w, unsigned q, uint32_t *base)
{
	struct vhost_vring_state state = { .index = q }, got = { 0 };
	struct vhost_user *u = user_of(w);
	int r;

	u->ring[q].told = false;
	r = ask(u, &(struct ask){ .request = USER_GET_VRING_BASE, .out = &state,
				  .out_len = sizeof(state), .in = &got, .in_len = sizeof(got) });
	u->resumes |= r < 0 && !u->lied && vhost_user_resumable(u);
	if (r < 0)
		return u->resumes ? -EPIPE : -EPROTO;
	if (got.index != q || got.num > UINT16_MAX)
		return vhost_user_fail(u, -EPROTO, "answers GET_VRING_BASE of queue %u with queue "
				       "%u, base %u", q, got.index, got.num);
	*base = got.num;
	return await_idle(u, q, got.num);
}

/* To ask for its base is what stops a ring. */
static void ring_close(struct vhost_wire *w, unsigned q)
{
	struct vhost_user *u = user_of(w);
	uint32_t base;

	if (u->ring[q].told)
		ring_get_base(w, q, &base);
	u->ring[q].device = NULL;
}

static void wire_close(struct vhost_wire *w)
{
	struct vhost_user *u = user_of(w);

	user_watch_end(u);
	user_watch_fini(u);
	forget_inflight(u);
	free(u);
}

static const struct vhost_wire_ops user_ops = {
	.server = "the server",
	.own = own,
	.features = features,
	.set_features = set_features,
	.set_mem = set_mem,
	.ring_size = ring_size,
	.ring_set_base = ring_set_base,
	.ring_addr = ring_addr,
	.ring_fd = ring_fd,
	.ring_enable = ring_enable,
	.run = run,
	.ring_get_base = ring_get_base,
	.ring_close = ring_close,
	.close = wire_close,
};

struct vhost_user *vhost_user_connect(struct virtio_device *vdev,
				      const struct vhost_user_spec *spec)
{
	struct vhost_user *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return NULL;
	u->wire.ops = &user_ops;
	u->vdev = vdev;
	u->spec = *spec;
	u->sock = u->back = u->inflight_fd = -1;
	r = user_watch_init(u);
	if (!r)
		r = vhost_user_ready(u);
	if (!r)
		return u;
	wire_close(&u->wire);
	errno = -r;
	return NULL;
}
