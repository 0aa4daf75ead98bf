/* SPDX-License-Identifier: MIT */
/*
 * virtio_plain.h - what devices share that are a virtio device and no more:
 * no host's side to open, nothing that other devices ask of them. The file of
 * such a class says what it answers to the driver, and has these in its row.
 */
#ifndef DEVICES_VIRTIO_PLAIN_H
#define DEVICES_VIRTIO_PLAIN_H

#include "devices/devices.h"
#include "virtio/virtio.h"

#define VIRTIO_PLAIN_CONFIG_MAX 64

struct virtio_plain {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_spec spec;
	struct platform *platform;
	uint8_t config[VIRTIO_PLAIN_CONFIG_MAX]; /* zero at first */
};

/* The settings of a class that has none but the transport; others begin with it. */
struct virtio_plain_cfg {
	unsigned transport; /* enum virtio_transport */
};

extern const struct opt virtio_plain_opts[];

/*
 * For a class's create(): with class, nvq, queue_size and config_len of @spec, whose rest is filled
 * in here. -ENOMEM. [setup]
 */
int virtio_plain_create(struct platform *p, const char *id, const struct virtio_plain_cfg *cfg,
			const struct virtio_spec *spec, struct device **dev);

/* As in struct device_class. */
int virtio_plain_ready(struct device *dev);
struct virtio_device *virtio_plain_vdev(struct device *dev);
void virtio_plain_destroy(struct device *dev);

#endif
