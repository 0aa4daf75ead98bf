/* SPDX-License-Identifier: MIT */
/*
 * wire_vdpa.h - a virtio device of the host's, spoken to by vhost-vdpa.
 *
 * The kernel passes on what a driver would tell the device: its status, features,
 * rings and config space. The device, hardware or what stands for it, takes chains
 * from guest memory itself, by addresses that are the guest's own.
 */
#ifndef VIRTIO_WIRE_VDPA_H
#define VIRTIO_WIRE_VDPA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/wire.h"

#define VDPA_CONFIG_MAX 256 /* bytes of a config space */

/* What it is, as it says itself. */
struct vdpa_facts {
	uint32_t id; /* virtio 1.3 §5 */
	uint32_t queues, config_len;
	uint16_t queue_size; /* at most */
	uint64_t features;
	bool suspends; /* it can be stopped without losing its place */
};

/* Asks the device behind @fd. -errno, and what could not be asked for in @what. [setup] */
int vdpa_ask(int fd, struct vdpa_facts *facts, const char **what);

/* Reads its config space, or writes to it, [off, off + len) being inside. -errno. Any thread. */
int vdpa_config(int fd, bool set, size_t off, void *data, size_t len);
/* It has given up, and waits for its reset (§2.1.2). Any thread. */
bool vdpa_needs_reset(int fd);

/*
 * The wire to it, for @vdev alone; @fd, without an owner, is taken over in every case. A device
 * that does not suspend is reset to stop it: from how many chains it has given back follows what is
 * left only when it serves them @in_order, and else when nothing is left. @changes, an eventfd, is
 * borrowed: its config space has changed, or it needs a reset. NULL: no memory. [setup]
 */
struct vhost_wire *vhost_vdpa_create(struct virtio_device *vdev, int fd,
				     const struct vdpa_facts *facts, bool in_order, int changes);

#endif
