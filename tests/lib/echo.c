/* SPDX-License-Identifier: MIT */
#include "tests/lib/echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

static uint32_t echo_copy(const struct vq_chain *c)
{
	struct iovcur out = iov_cursor(c->out, c->nout), in = iov_cursor(c->in, c->nin);
	uint32_t done = 0;
	char buf[256];

	while (out.left && in.left && done < KIB(64)) {
		size_t n = min_u64(sizeof(buf), min_u64(out.left, in.left));

		iov_pull(&out, buf, n);
		iov_put(&in, buf, n);
		done += n;
	}
	return done;
}

/* Answers the oldest chains until @keep are left. */
static void echo_answer(struct echo *e, unsigned q, unsigned keep)
{
	struct echo_queue *eq = &e->queue[q];
	unsigned i, n = eq->nheld > keep ? eq->nheld - keep : 0;

	for (i = 0; i < n; i++)
		vq_push(&e->vdev.vq[q], eq->held[i].chain.head, echo_copy(&eq->held[i].chain));
	/* The chains' pointers go into their own iovec, so they move with it. */
	for (i = n; i < eq->nheld; i++) {
		struct echo_held *from = &eq->held[i], *to = &eq->held[i - n];

		if (from == to)
			break;
		*to = *from;
		to->chain.out = to->iov;
		to->chain.in = to->iov + to->chain.nout;
	}
	eq->nheld -= n;
}

static void echo_kick(struct virtio_device *vdev, unsigned q)
{
	struct echo *e = container_of(vdev, struct echo, vdev);
	struct echo_queue *eq = &e->queue[q];
	struct virtqueue *vq = &vdev->vq[q];
	int r = 0;

	BUG_ON(!loop_is_current(eq->loop));
	atomic_fetch_add(&e->kicks, 1);
	while (eq->nheld < ECHO_SIZE) {
		struct echo_held *h = &eq->held[eq->nheld];

		r = vq_pop(vq, &h->chain, h->iov, ECHO_PIECES);
		if (r <= 0)
			break;
		eq->nheld++;
	}
	echo_answer(e, q, e->hold);
	virtio_complete(vdev, q);
	if (r < 0)
		virtio_queue_fault(vdev, q);
	else if (vq_rearm(vq))
		virtio_queue_again(vdev, q);
}

static int echo_queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	struct echo *e = container_of(vdev, struct echo, vdev);

	e->queue[q].loop = loop;
	atomic_fetch_add(&e->starts, 1);
	return q == vdev->nvq - 1 ? e->start_error : 0;
}

static void echo_queue_stop(struct virtio_device *vdev, unsigned q)
{
	struct echo *e = container_of(vdev, struct echo, vdev);

	BUG_ON(!loop_is_current(e->queue[q].loop));
	echo_answer(e, q, 0);
	atomic_fetch_add(&e->stops, 1);
}

static void echo_config_write(struct virtio_device *vdev, size_t off, const void *data, size_t len)
{
	if (off >= 4)
		memcpy(vdev->config + off, data, len);
}

static void echo_reset(struct virtio_device *vdev)
{
	struct echo *e = container_of(vdev, struct echo, vdev);

	BUG_ON(vdev->started);
	atomic_fetch_add(&e->resets, 1);
}

static void echo_class_state(struct virtio_device *vdev, struct state *s)
{
	uint8_t config[sizeof(((struct echo *)0)->config)];

	memcpy(config, vdev->config, sizeof(config));
	state_bytes(s, config, sizeof(config));
	if (state_takes(s))
		memcpy(vdev->config, config, sizeof(config));
}

static const struct virtio_class echo_class = {
	.name = "echo",
	.id = ECHO_ID,
	.features = ECHO_FEATURE,
	.kick = echo_kick,
	.config_write = echo_config_write,
	.queue_start = echo_queue_start,
	.queue_stop = echo_queue_stop,
	.reset = echo_reset,
	.state = echo_class_state,
};

static const uint8_t first_config[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static void make(struct echo *e)
{
	memcpy(e->config, first_config, sizeof(e->config));
	e->given = testbed_given(e->tb);
	BUG_ON(virtio_make(&e->vdev, &e->tb->p, &(struct virtio_spec){
		.name = e->name,
		.class = &echo_class,
		.config = e->config,
		.config_len = sizeof(e->config),
		.nvq = ECHO_QUEUES,
		.queue_size = ECHO_SIZE,
		.transport = e->transport,
		.loop = e->loop,
		.nloops = 2,
		.first_request_queue = 1,
	}) < 0);
}

void echo_init(struct echo *e, struct testbed *tb, const char *name,
	       enum virtio_transport transport)
{
	memset(e, 0, sizeof(*e));
	e->tb = tb;
	e->transport = transport;
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->loop[0] = tb->p.iothread(&tb->p, "echo0");
	e->loop[1] = tb->p.iothread(&tb->p, "echo1");
	make(e);
}

void echo_state(void *object, struct state *s)
{
	virtio_state(&((struct echo *)object)->vdev, s);
}

void echo_rebirth(struct echo *e)
{
	uint8_t *data;
	size_t len;

	virtio_device_pause(&e->vdev, true);
	BUG_ON(state_save(echo_state, e, &data, &len) < 0);
	virtio_unmake(&e->vdev);
	testbed_give_again(e->tb, &e->given);
	memset(&e->vdev, 0, sizeof(e->vdev));
	make(e);
	BUG_ON(state_restore(echo_state, e, data, len) < 0);
	free(data);
	virtio_device_pause(&e->vdev, false);
}

void echo_fini(struct echo *e)
{
	virtio_unmake(&e->vdev);
}
