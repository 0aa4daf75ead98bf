/* SPDX-License-Identifier: MIT */
/*
 * scsi_plug.h - what happens to LUNs without a request: they come and go, grow,
 * and get other media; and how the driver hears of it.
 *
 * It hears by the event queue (virtio 1.3 §5.6.6.3). The driver keeps buffers in
 * that ring; an event takes one. When there is none, the event is lost, and the
 * driver is told that by the next buffer that it gives, upon which it looks at
 * everything anew.
 */
#ifndef DEVICES_SCSI_PLUG_H
#define DEVICES_SCSI_PLUG_H

#include <stdbool.h>
#include <stdint.h>

struct block_counters;
struct scsi_host;
struct scsi_lun;
struct virtio_device;

/* While the guest runs; any thread but an I/O thread. */

/* -EEXIST: the address is taken; other -errno: no memory, no channel. The LUN is the caller's. */
int scsi_plug_add(struct scsi_host *host, struct scsi_lun *lun);
/* Its commands end; when this returns, the host has forgotten it. */
void scsi_plug_remove(struct scsi_host *host, struct scsi_lun *lun);
/*
 * lun->block of one or more LUNs is another now, after scsi_lun_eject(), or NULL; on each host of
 * such a LUN, and then scsi_lun_load(). Commands end whose medium is gone. -errno: no channel.
 */
int scsi_plug_media(struct scsi_host *host);
/* Waits until its commands in flight have ended. */
void scsi_plug_settle(struct scsi_host *host, const struct scsi_lun *lun);
/*
 * lun->block is another that has the same bytes. Commands in flight end by the old one, which is
 * not used any more when this returns. -errno: a thread has no channel for the new one, and goes on
 * with the old.
 */
int scsi_plug_swap(struct scsi_host *host, const struct scsi_lun *lun);
/* lun->block->size is another: the driver is told, on each host, and the initiator. */
void scsi_plug_resized(struct scsi_host *host, struct scsi_lun *lun);
/* Adds what @lun has done on all threads. */
void scsi_plug_count(struct scsi_host *host, const struct scsi_lun *lun,
		     struct block_counters *sum);

struct scsi_events {
	struct virtio_device *vdev;
	unsigned q;
	bool open;   /* the queue is in service */
	bool missed;
};

struct scsi_event {
	uint32_t event, reason; /* VIRTIO_SCSI_T_..., without EVENTS_MISSED */
	uint8_t target;
	uint16_t lun;
};

/* The rest of it is for the thread of the event queue. The queue has been opened, is closed. */
void scsi_events_start(struct scsi_events *events);
void scsi_events_stop(struct scsi_events *events);
/* The driver may have given buffers. */
void scsi_events_kick(struct scsi_events *events);
/*
 * Tells the driver, if it has accepted the feature that the event belongs to; otherwise, and while
 * the queue is not in service, it is to find out by itself.
 */
void scsi_events_send(struct scsi_events *events, const struct scsi_event *event);

#endif
