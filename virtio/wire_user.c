/* SPDX-License-Identifier: MIT */
#include "virtio/wire_user.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "virtio/user_call.h"
#include "virtio/user_mem.h"
#include "virtio/virtio.h"
#include "vmm/core/util.h"

#define INFLIGHT_MAX MIB(64)
#define UNREACHED "%s: socket=%s: %s; is the server running, and listening there?"
#define LOOK_NS 200000 /* between looks at a ring that is to become idle */

static struct vhost_user *user_of(struct vhost_wire *w)
{
	return container_of(w, struct vhost_user, wire);
}

/* A connection. */

static int dial(struct vhost_user *u)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const char *why;
	int r;

	u->failed = u->lied = false;
	if (u->spec.dial) {
		r = u->spec.dial(u->spec.arg);
		u->sock = r < 0 ? -1 : r;
		return r < 0 ? r : 0;
	}
	if (strlen(u->spec.path) >= sizeof(at.sun_path)) {
		log_err("%s: socket=%s: a path of at most %zu bytes is wanted", u->spec.id,
			u->spec.path, sizeof(at.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(at.sun_path, u->spec.path, strlen(u->spec.path));
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
	int r = user_get_u64(u, USER_GET_FEATURES, &can);

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
		r = user_get_u64(u, USER_GET_PROTOCOL_FEATURES, &protocol);
		protocol &= USER_PROTOCOL_ALL;
		if (!r)
			r = user_tell(u, USER_SET_PROTOCOL_FEATURES, &protocol, sizeof(protocol));
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
	int r = user_has(u, USER_P_MQ) ? user_get_u64(u, USER_GET_QUEUE_NUM, &n) : 0;

	if (r < 0)
		return r;
	if (user_has(u, USER_P_MQ) && (!n || n > USER_RINGS_MAX))
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

	if (!user_has(u, USER_P_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return vhost_user_fail(u, -errno, "gets no second socket: %s", strerror(errno));
	u->back = pair[0];
	r = user_tell_fd(u, USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1]);
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
		r = user_mem_greet(u);
	if (!r)
		r = user_tell(u, USER_SET_OWNER, NULL, 0);
	if (!r)
		r = give_second_socket(u);
	if (!r && u->spec.config_len && !user_has(u, USER_P_CONFIG))
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

static int config_get(struct vhost_user *u, uint8_t *config)
{
	size_t head = offsetof(struct user_config, data), len = u->spec.config_len;
	struct user_config c = { .size = len }, got = { 0 };
	int r;

	BUG_ON(len > USER_CONFIG_MAX);
	r = user_ask(u, &(struct user_ask){ .request = USER_GET_CONFIG, .out = &c,
					    .out_len = head + len, .in = &got,
					    .in_len = head + len });
	if (r < 0)
		return r;
	if (got.offset || got.size != len)
		return vhost_user_fail(u, -EPROTO, "answers GET_CONFIG with bytes %u to %llu of "
				       "the config space; 0 to %zu were asked for", got.offset,
				       (unsigned long long)got.offset + got.size, len);
	memcpy(config, got.data, len);
	return 0;
}

int vhost_user_config_get(struct vhost_user *u, uint8_t *config)
{
	user_call_begin(u);
	return config_get(u, config);
}

int vhost_user_config_set(struct vhost_user *u, size_t off, const void *data, size_t len,
			  uint8_t *config)
{
	struct user_config c = { .offset = off, .size = len };
	int r;

	BUG_ON(len > sizeof(c.data));
	memcpy(c.data, data, len);
	user_call_begin(u);
	r = user_tell(u, USER_SET_CONFIG, &c, offsetof(struct user_config, data) + len);
	return r ? r : config_get(u, config);
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
	r = user_ask(u, &(struct user_ask){ .request = USER_GET_INFLIGHT_FD, .out = &want,
					    .out_len = sizeof(want), .in = &u->inflight,
					    .in_len = sizeof(u->inflight),
					    .fd = &u->inflight_fd });
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

	if (!user_has(u, USER_P_INFLIGHT))
		return 0;
	if (!u->resumes)
		r = get_inflight(u);
	return r ? r : user_tell_fd(u, USER_SET_INFLIGHT_FD, &u->inflight, sizeof(u->inflight),
			       u->inflight_fd);
}

void vhost_user_reset(struct vhost_user *u)
{
	uint64_t status = 0;

	forget_inflight(u);
	if (u->sock < 0 || u->failed)
		return;
	user_call_begin(u);
	if (user_has(u, USER_P_RESET_DEVICE))
		user_tell(u, USER_RESET_DEVICE, NULL, 0);
	else if (user_has(u, USER_P_STATUS))
		user_tell(u, USER_SET_STATUS, &status, sizeof(status));
}

/* As a wire. */

static void begin(struct vhost_wire *w)
{
	user_call_begin(user_of(w));
}

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
		r = user_tell(u, USER_SET_FEATURES, &bits, sizeof(bits));
	return r ? r : share_inflight(u);
}

static int set_mem(struct vhost_wire *w, const struct mem *mem)
{
	return user_mem_tell(user_of(w), mem);
}

static int ring_size(struct vhost_wire *w, unsigned q, uint16_t size)
{
	user_of(w)->ring[q].size = size;
	return user_tell_ring(user_of(w), USER_SET_VRING_NUM, q, size);
}

static int ring_set_base(struct vhost_wire *w, unsigned q, uint32_t base)
{
	return user_tell_ring(user_of(w), USER_SET_VRING_BASE, q, base);
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
	return user_tell(u, USER_SET_VRING_ADDR, &addr, sizeof(addr));
}

static int ring_fd(struct vhost_wire *w, unsigned q, enum vhost_fd which, int fd)
{
	static const uint32_t requests[] = {
		[VHOST_FD_KICK] = USER_SET_VRING_KICK,
		[VHOST_FD_CALL] = USER_SET_VRING_CALL,
		[VHOST_FD_ERR] = USER_SET_VRING_ERR,
	};
	uint64_t index = q;

	return user_tell_fd(user_of(w), requests[which], &index, sizeof(index), fd);
}

/* Without features of the protocol a ring that has all is enabled. */
static int ring_enable(struct vhost_wire *w, unsigned q, bool on)
{
	struct vhost_user *u = user_of(w);

	if (!(u->can & VIRTIO_BIT(USER_F_PROTOCOL)))
		return 0;
	return user_tell_ring(u, USER_SET_VRING_ENABLE, q, on);
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
	if (user_has(u, USER_P_STATUS))
		r = user_tell(u, USER_SET_STATUS, &status, sizeof(status));
	if (!r && !user_has(u, USER_P_REPLY_ACK))
		r = user_get_u64(u, USER_GET_FEATURES, &can);
	if (!r)
		u->resumes = false;
	return r;
}

/* The server has stopped taking requests; those that it has are to be answered, too. */
static int await_idle(struct vhost_user *u, unsigned q, uint16_t base)
{
	const uint16_t *idx = (const uint16_t *)(const void *)(u->ring[q].device + 2);
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
		if (!user_call_left(u))
			return vhost_user_fail(u, -ETIMEDOUT, "has stopped queue %u, and still has "
					       "%u requests of it; all of a stop may take %d ms",
					       q, left, u->spec.patience);
		nanosleep(&pause, NULL);
	}
}

static int ring_get_base(struct vhost_wire *w, unsigned q, uint32_t *base)
{
	struct vhost_vring_state state = { .index = q }, got = { 0 };
	struct vhost_user *u = user_of(w);
	int r;

	u->ring[q].told = false;
	r = user_ask(u, &(struct user_ask){ .request = USER_GET_VRING_BASE, .out = &state,
					    .out_len = sizeof(state), .in = &got,
					    .in_len = sizeof(got) });
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
	.begin = begin,
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
	user_call_begin(u);
	r = user_watch_init(u);
	if (!r)
		r = vhost_user_ready(u);
	if (!r)
		return u;
	wire_close(&u->wire);
	errno = -r;
	return NULL;
}
