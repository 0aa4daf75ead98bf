/* SPDX-License-Identifier: MIT */
/*
 * scsi_host.h - the queues of a virtio-scsi device, served by our own I/O
 * threads: each request in a virtqueue becomes a SCSI command for a target and
 * its answer goes back (virtio 1.3 §5.6.6).
 *
 * It knows nothing of config space and options; virtio_scsi.c has those.
 */
#ifndef DEVICES_SCSI_HOST_H
#define DEVICES_SCSI_HOST_H

#include <stdint.h>

#include "devices/scsi_control.h"

struct loop;
struct scsi_ctx;
struct scsi_event;
struct scsi_host;
struct scsi_port;
struct state;
struct virtio_device;

#define SCSI_HOST_SEG_MAX (SCSI_HOST_CHAIN_MAX - 2)
#define SCSI_HOST_THREADS_MAX 16

/*
 * The queues will be served on @loop, the control queue on the first one. LUNs are added to @port
 * before the first queue starts, or by scsi_plug_add(). Everything is borrowed. NULL: no memory.
 * [setup]
 */
struct scsi_host *scsi_host_create(struct virtio_device *vdev, struct scsi_port *port,
				   struct loop *const *loop, unsigned nloops);
/* After the queues have stopped. NULL: nothing to do. */
/* Bytes that @queues request queues of @entries, served by @threads, may take at most. */
uint64_t scsi_host_memory(unsigned queues, unsigned entries, unsigned threads);

void scsi_host_destroy(struct scsi_host *host);
/* Lets go of the target and its LUNs, for good. After the queues have stopped. */
void scsi_host_close(struct scsi_host *host);

/* Sizes of the fields of a request, up to the sizes that SCSI knows. They hold until stop. */
struct scsi_host_format {
	uint32_t cdb_size, sense_size;
};

/* Visits what it remembers while the queues are stopped (state.h). NULL: -EOPNOTSUPP. */
void scsi_host_state(struct scsi_host *host, struct state *s);

/* For scsi_plug.c: any thread but an I/O thread. */

struct scsi_port *scsi_host_port(struct scsi_host *host);
/* Runs fn(ctx, arg) on each thread that has a ctx; the first error. */
int scsi_host_ask(struct scsi_host *host, int (*fn)(struct scsi_ctx *ctx, void *arg), void *arg);
/* scsi_events_send(), on its thread. */
void scsi_host_tell(struct scsi_host *host, const struct scsi_event *event);

/* Hooks of struct virtio_class. [iothread of q] */
int scsi_host_queue_start(struct scsi_host *host, unsigned q, struct loop *loop,
			  const struct scsi_host_format *format);
void scsi_host_queue_stop(struct scsi_host *host, unsigned q);
void scsi_host_kick(struct scsi_host *host, unsigned q);

#endif
