/* SPDX-License-Identifier: MIT */
/* state.c - a virtio device as bytes. */
#include <poll.h>

#include "virtio/virtio.h"
#include "vmm/core/bell.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

static bool is_kicked(struct virtio_device *vdev, unsigned q)
{
	struct pollfd p = { .fd = vdev->transport->kick_fd(vdev, q), .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

/*
 * Size and addresses may be any: they are judged when the queue is started. All that was popped has
 * been pushed, so one index stands for both.
 */
static void queue_state(struct virtio_device *vdev, unsigned q, struct vq_state v, bool usable,
			struct state *s)
{
	bool kicked = is_kicked(vdev, q);

	state_same(s, v.max_size);
	state_u16(s, &v.size);
	state_bool(s, &v.ready);
	state_u64(s, &v.desc);
	state_u64(s, &v.driver);
	state_u64(s, &v.device);
	state_u16(s, &v.next_avail);
	state_bool(s, &kicked);
	state_check(s, usable || !v.ready);
	if (!state_takes(s))
		return;
	v.next_used = v.next_avail;
	vdev->vq[q] = (struct virtqueue){ .s = v };
	bell_take(vdev->transport->kick_fd(vdev, q));
	if (kicked)
		virtio_queue_again(vdev, q);
}

void virtio_transport_state(struct virtio_device *vdev, struct state *s)
{
	vdev->transport->state(vdev, s);
}

void virtio_state(struct virtio_device *vdev, struct state *s)
{
	uint8_t status = virtio_get_status(vdev);
	uint64_t accepted = vdev->accepted;
	bool usable;
	unsigned q;

	BUG_ON(vdev->started);
	state_same(s, vdev->class->id);
	state_same(s, vdev->nvq);
	state_u8(s, &status);
	state_atomic(s, &vdev->generation, UINT32_MAX);
	state_u64(s, &accepted);
	usable = status & VIRTIO_CONFIG_S_FEATURES_OK;
	state_check(s, virtio_status_ok(status));
	state_check(s, !usable || virtio_features_ok(vdev, accepted));
	if (state_takes(s)) {
		vdev->held |= VIRTIO_HOLD_PAUSE;
		vdev->accepted = accepted;
		atomic_store(&vdev->status, status);
	}
	for (q = 0; q < vdev->nvq; q++) {
		struct vq_state v = vdev->vq[q].s;

		v.event_idx = usable && accepted & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
		v.indirect = usable && accepted & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
		queue_state(vdev, q, v, usable, s);
	}
	if (vdev->class->state)
		vdev->class->state(vdev, s);
	vdev->transport->state(vdev, s);
}
