/* SPDX-License-Identifier: MIT */
#include "devices/virtio_plain.h"

#include <errno.h>
#include <stdlib.h>

#include "vmm/core/util.h"

const struct opt virtio_plain_opts[] = {
	VIRTIO_TRANSPORT_OPT(struct virtio_plain_cfg, transport),
	{ 0 }
};

int virtio_plain_create(struct platform *p, const char *id, const struct virtio_plain_cfg *cfg,
			const struct virtio_spec *spec, struct device **dev)
{
	struct virtio_plain *plain = calloc(1, sizeof(*plain));

	BUG_ON(spec->config_len > sizeof(plain->config));
	if (!plain) {
		log_err("%s: out of memory", id);
		return -ENOMEM;
	}
	plain->platform = p;
	plain->spec = *spec;
	plain->spec.config = plain->config;
	plain->spec.transport = cfg->transport;
	*dev = &plain->dev;
	return 0;
}

int virtio_plain_ready(struct device *dev)
{
	struct virtio_plain *plain = container_of(dev, struct virtio_plain, dev);

	plain->spec.name = dev->id;
	return virtio_make(&plain->vdev, plain->platform, &plain->spec);
}

struct virtio_device *virtio_plain_vdev(struct device *dev)
{
	return &container_of(dev, struct virtio_plain, dev)->vdev;
}

void virtio_plain_destroy(struct device *dev)
{
	struct virtio_plain *plain = container_of(dev, struct virtio_plain, dev);

	virtio_unmake(&plain->vdev);
	free(plain);
}
