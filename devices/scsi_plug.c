/* SPDX-License-Identifier: MIT */
#include "devices/scsi_plug.h"

#include <linux/virtio_scsi.h>
#include <stddef.h>
#include <string.h>

#include "devices/scsi/scsi.h"
#include "devices/scsi_host.h"
#include "virtio/virtio.h"
#include "vmm/core/iov.h"
#include "vmm/core/util.h"

/* Each event belongs to a feature; nothing else is ever sent (§5.6.6.3). */
static uint64_t feature_of(uint32_t event)
{
	return event == VIRTIO_SCSI_T_PARAM_CHANGE ? VIRTIO_BIT(VIRTIO_SCSI_F_CHANGE) :
						     VIRTIO_BIT(VIRTIO_SCSI_F_HOTPLUG);
}

/* In the form that REPORT LUNS has: drivers hand it on to their scan. */
static void put_event(uint8_t *to, const struct scsi_event *event, bool missed)
{
	uint8_t *lun = to + offsetof(struct virtio_scsi_event, lun);

	le32_put(to + offsetof(struct virtio_scsi_event, event),
		 event->event | (missed ? VIRTIO_SCSI_T_EVENTS_MISSED : 0));
	le32_put(to + offsetof(struct virtio_scsi_event, reason), event->reason);
	if (event->event == VIRTIO_SCSI_T_NO_EVENT)
		return;
	lun[0] = 1;
	lun[1] = event->target;
	be16_put(lun + 2, event->lun < 256 ? event->lun : 0x4000 | event->lun);
}

/* True: a buffer took the event. A driver whose buffers are too small has broken the device. */
static bool deliver(struct scsi_events *events, const struct scsi_event *event)
{
	struct virtio_device *vdev = events->vdev;
	struct virtqueue *vq = &vdev->vq[events->q];
	uint8_t data[sizeof(struct virtio_scsi_event)] = { 0 };
	struct iovec iov[8];
	struct vq_chain chain;
	struct iovcur in;
	int r = vq_pop(vq, &chain, iov, ARRAY_SIZE(iov));

	if (r < 0)
		virtio_queue_fault(vdev, events->q);
	if (r <= 0)
		return false;
	in = iov_cursor(chain.in, chain.nin);
	put_event(data, event, events->missed);
	if (iov_put(&in, data, sizeof(data))) {
		vq_push(vq, chain.head, sizeof(data));
		events->missed = false;
	} else {
		log_guest(&vdev->limit, "%s: queue %u: event buffer shorter than an event",
			  vdev->name, events->q);
		vq_push(vq, chain.head, 0);
		virtio_needs_reset(vdev);
	}
	virtio_complete(vdev, events->q);
	return true;
}

void scsi_events_start(struct scsi_events *events)
{
	events->open = true;
}

void scsi_events_stop(struct scsi_events *events)
{
	events->open = false;
	events->missed &= virtio_is_paused(events->vdev);
}

void scsi_events_kick(struct scsi_events *events)
{
	static const struct scsi_event none = { .event = VIRTIO_SCSI_T_NO_EVENT };

	if (events->open && events->missed)
		deliver(events, &none);
}

void scsi_events_send(struct scsi_events *events, const struct scsi_event *event)
{
	bool in_service = events->open || virtio_is_paused(events->vdev);

	if (!in_service || !(events->vdev->accepted & feature_of(event->event)))
		return;
	if (!events->open || !deliver(events, event))
		events->missed = true;
}

static void tell(struct scsi_host *host, const struct scsi_lun *lun, uint32_t event,
		 uint32_t reason)
{
	struct scsi_event e = { event, reason, lun->target, lun->lun };

	scsi_host_tell(host, &e);
}

/* By the event queue, and for who does not listen there, by a unit attention. */
static void tell_change(struct scsi_host *host, const struct scsi_lun *lun, uint32_t reason)
{
	scsi_port_luns_changed(scsi_host_port(host), lun);
	tell(host, lun, VIRTIO_SCSI_T_TRANSPORT_RESET, reason);
}

static int sync_paths(struct scsi_ctx *ctx, void *arg)
{
	(void)arg;
	return scsi_ctx_sync(ctx);
}

int scsi_plug_add(struct scsi_host *host, struct scsi_lun *lun)
{
	int r = scsi_port_add(scsi_host_port(host), lun);

	if (r < 0)
		return r;
	r = scsi_host_ask(host, sync_paths, NULL);
	if (r < 0)
		scsi_plug_remove(host, lun);
	else
		tell_change(host, lun, VIRTIO_SCSI_EVT_RESET_RESCAN);
	return r;
}

void scsi_plug_remove(struct scsi_host *host, struct scsi_lun *lun)
{
	struct scsi_nexus *nexus = scsi_port_take(scsi_host_port(host), lun);

	if (!nexus)
		return;
	scsi_host_ask(host, sync_paths, NULL);
	scsi_nexus_free(nexus);
	tell_change(host, lun, VIRTIO_SCSI_EVT_RESET_REMOVED);
}

int scsi_plug_media(struct scsi_host *host)
{
	return scsi_host_ask(host, sync_paths, NULL);
}

static int settle(struct scsi_ctx *ctx, void *lun)
{
	scsi_ctx_settle(ctx, lun);
	return 0;
}

void scsi_plug_settle(struct scsi_host *host, const struct scsi_lun *lun)
{
	scsi_host_ask(host, settle, (void *)lun);
}

static int swap(struct scsi_ctx *ctx, void *lun)
{
	return scsi_ctx_swap(ctx, lun);
}

int scsi_plug_swap(struct scsi_host *host, const struct scsi_lun *lun)
{
	return scsi_host_ask(host, swap, (void *)lun);
}

void scsi_plug_resized(struct scsi_host *host, struct scsi_lun *lun)
{
	scsi_attention(lun, SENSE_CAPACITY_CHANGED);
	tell(host, lun, VIRTIO_SCSI_T_PARAM_CHANGE, 0x2a | 0x09 << 8);
}

struct counting {
	const struct scsi_lun *lun;
	struct block_counters *sum;
};

static int count(struct scsi_ctx *ctx, void *arg)
{
	const struct counting *c = arg;

	scsi_ctx_count(ctx, c->lun, c->sum);
	return 0;
}

void scsi_plug_count(struct scsi_host *host, const struct scsi_lun *lun,
		     struct block_counters *sum)
{
	struct counting c = { lun, sum };

	scsi_host_ask(host, count, &c);
}
