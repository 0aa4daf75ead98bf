/* SPDX-License-Identifier: MIT */
#include "virtio/wire_vdpa.h"

#include <errno.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "virtio/user_msg.h"
#include "virtio/virtio.h"
#include "virtio/wire_kernel.h"
#include "vmm/core/compat.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

#define MESSAGES VIRTIO_BIT(VHOST_BACKEND_F_IOTLB_MSG_V2)
#define SUSPENDS VIRTIO_BIT(VHOST_BACKEND_F_SUSPEND)
#define DRAIN_MS 1000 /* for what a device has begun that does not suspend */

struct vdpa {
	struct vhost_kernel base;
	struct vdpa_facts facts;
	int changes;
	bool in_order;
	bool suspended;
	uint8_t status;
};

static struct vdpa *vdpa_of(struct vhost_wire *w)
{
	return container_of(w, struct vdpa, base.wire);
}

static int fails(const struct vdpa *v, const char *what, int err)
{
	log_guest(&v->base.vdev->limit, "%s: %s: %s", v->base.vdev->name, what, strerror(err));
	return -err;
}

#define CALL(v, request, arg) vhost_kernel_call(&(v)->base, request, #request, arg)

/* A device that can do without SUSPEND may be one of a kernel that does not know the question. */
static uint64_t backend_features(int fd)
{
	uint64_t bits = 0;

	ioctl(fd, VHOST_GET_BACKEND_FEATURES, &bits);
	return bits;
}

int vdpa_ask(int fd, struct vdpa_facts *facts, const char **what)
{
	const struct {
		unsigned long request;
		const char *what;
		void *to;
	} asked[] = {
		{ VHOST_VDPA_GET_DEVICE_ID, "its device ID", &facts->id },
		{ VHOST_GET_FEATURES, "its features", &facts->features },
		{ VHOST_VDPA_GET_VQS_COUNT, "its queues (Linux 5.19 and later)", &facts->queues },
		{ VHOST_VDPA_GET_VRING_NUM, "their size", &facts->queue_size },
		{ VHOST_VDPA_GET_CONFIG_SIZE, "its config space", &facts->config_len },
	};
	uint64_t bits = backend_features(fd);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(asked); i++) {
		*what = asked[i].what;
		if (ioctl(fd, asked[i].request, asked[i].to) < 0)
			return -errno;
	}
	*what = "the form of messages about memory";
	facts->suspends = bits & SUSPENDS;
	return bits & MESSAGES ? 0 : -EOPNOTSUPP;
}

int vdpa_config(int fd, bool set, size_t off, void *data, size_t len)
{
	union {
		struct vhost_vdpa_config c;
		uint8_t room[sizeof(struct vhost_vdpa_config) + VDPA_CONFIG_MAX];
	} u = { .c = { .off = (uint32_t)off, .len = (uint32_t)len } };
	int r;

	memcpy(u.c.buf, data, len);
	r = ioctl(fd, set ? VHOST_VDPA_SET_CONFIG : VHOST_VDPA_GET_CONFIG, &u) < 0 ? -errno : 0;
	memcpy(data, u.c.buf, len);
	return r;
}

bool vdpa_needs_reset(int fd)
{
	uint8_t status = 0;

	ioctl(fd, VHOST_VDPA_GET_STATUS, &status);
	return status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static int own(struct vhost_wire *w)
{
	const struct vdpa *v = vdpa_of(w);
	uint64_t bits = MESSAGES | (v->facts.suspends ? SUSPENDS : 0);
	int r = CALL(v, VHOST_SET_OWNER, NULL);

	return r ? r : CALL(v, VHOST_SET_BACKEND_FEATURES, &bits);
}

static uint64_t features(struct vhost_wire *w)
{
	return vdpa_of(w)->facts.features;
}

static int set_status(struct vdpa *v, uint8_t status)
{
	v->status = status;
	return CALL(v, VHOST_VDPA_SET_STATUS, &status);
}

static int add_status(struct vdpa *v, uint8_t bit)
{
	int r = set_status(v, v->status | bit);

	if (!r)
		r = CALL(v, VHOST_VDPA_GET_STATUS, &v->status);
	return r || v->status & bit ? r : fails(v, "the device refuses a status", EOPNOTSUPP);
}

/*
 * From the beginning (§3.1.1). It reaches guest memory by a map, of which the driver knows nothing,
 * and a reset may have it forget whom to tell of changes.
 */
static int set_features(struct vhost_wire *w, uint64_t bits)
{
	struct vdpa *v = vdpa_of(w);
	int r = set_status(v, 0);

	bits |= v->facts.features & VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM);
	if (!r)
		r = add_status(v, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	if (!r)
		r = add_status(v, VIRTIO_CONFIG_S_DRIVER);
	if (!r)
		r = CALL(v, VHOST_SET_FEATURES, &bits);
	if (!r)
		r = add_status(v, VIRTIO_CONFIG_S_FEATURES_OK);
	return r ? r : CALL(v, VHOST_VDPA_SET_CONFIG_CALL, &v->changes);
}

static int tell(const struct vdpa *v, uint8_t type, const struct mem_region *m)
{
	const struct vhost_msg_v2 msg = {
		.type = VHOST_IOTLB_MSG_V2,
		.iotlb = { .iova = m->gpa, .size = m->size, .uaddr = (uintptr_t)m->hva,
			   .perm = VHOST_ACCESS_RW, .type = type },
	};

	return write(v->base.fd, &msg, sizeof(msg)) == sizeof(msg) ? 0 : -errno;
}

/* After a reset the kernel may still have the map, or the device have lost it: it is made anew. */
static int set_mem(struct vhost_wire *w, const struct mem *mem)
{
	const struct vdpa *v = vdpa_of(w);
	unsigned i;
	int r;

	for (i = 0; i < mem->nregions; i++) {
		tell(v, VHOST_IOTLB_INVALIDATE, &mem->region[i]);
		r = tell(v, VHOST_IOTLB_UPDATE, &mem->region[i]);
		if (r == -ENOMEM)
			return fails(v, "guest memory cannot be pinned for the device; raise the "
					"limit of locked memory (ulimit -l)", ENOMEM);
		if (r < 0)
			return fails(v, "guest memory cannot be mapped", -r);
	}
	return 0;
}

static int ring_addr(struct vhost_wire *w, unsigned q, const struct virtqueue *vq)
{
	return vhost_kernel_ring_at(w, q, vq->s.desc, vq->s.driver, vq->s.device);
}

static int ring_enable(struct vhost_wire *w, unsigned q, bool on)
{
	struct vhost_vring_state state = { .index = q, .num = 1 };

	/* Not each device can stop one ring. What it is not told of it does not begin. */
	return on ? CALL(vdpa_of(w), VHOST_VDPA_SET_VRING_ENABLE, &state) :
		    vhost_kernel_ring_fd(w, q, VHOST_FD_KICK, VHOST_FILE_UNBIND);
}

static bool is_drained(const struct vdpa *v)
{
	unsigned q;

	for (q = 0; q < v->base.vdev->nvq; q++) {
		const struct virtqueue *vq = &v->base.vdev->vq[q];

		if (vq->desc && vq_left(vq))
			return false;
	}
	return true;
}

static void drain(const struct vdpa *v)
{
	uint64_t until = user_now() + DRAIN_MS;

	while (!is_drained(v) && user_now() < until)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* A device that has been reset uses no chain any more (§2.4). */
static int run(struct vhost_wire *w, bool on)
{
	struct vdpa *v = vdpa_of(w);

	if (on)
		return add_status(v, VIRTIO_CONFIG_S_DRIVER_OK);
	v->suspended = v->facts.suspends && CALL(v, VHOST_VDPA_SUSPEND, NULL) == 0;
	if (v->suspended)
		return 0;
	if (!v->in_order)
		drain(v);
	return set_status(v, 0);
}

static int ring_get_base(struct vhost_wire *w, unsigned q, uint32_t *base)
{
	const struct vdpa *v = vdpa_of(w);

	if (!v->suspended)
		return v->in_order ? -EPIPE : -EIO;
	return vhost_kernel_ring_get_base(w, q, base);
}

/* The last one who has it open: the kernel resets it. */
static void wire_close(struct vhost_wire *w)
{
	struct vdpa *v = vdpa_of(w);

	close(v->base.fd);
	free(v);
}

static const struct vhost_wire_ops vdpa_ops = {
	.server = "the device",
	.own = own,
	.features = features,
	.set_features = set_features,
	.set_mem = set_mem,
	.ring_size = vhost_kernel_ring_size,
	.ring_set_base = vhost_kernel_ring_set_base,
	.ring_addr = ring_addr,
	.ring_fd = vhost_kernel_ring_fd,
	.ring_enable = ring_enable,
	.run = run,
	.ring_get_base = ring_get_base,
	.ring_close = vhost_kernel_ring_unbind,
	.close = wire_close,
};

struct vhost_wire *vhost_vdpa_create(struct virtio_device *vdev, int fd,
				     const struct vdpa_facts *facts, bool in_order, int changes)
{
	struct vdpa *v = malloc(sizeof(*v));

	if (!v) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	*v = (struct vdpa){ .facts = *facts, .changes = changes, .in_order = in_order };
	return vhost_kernel_wire(&v->base, &vdpa_ops, vdev, fd);
}
