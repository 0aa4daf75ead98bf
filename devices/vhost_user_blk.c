/* SPDX-License-Identifier: MIT */
/* Block device (virtio 1.3 §5.2), whose requests another process serves. */
#include <linux/virtio_blk.h>

#include "devices/user_device.h"
#include "vmm/core/util.h"

/* Up to the fields of secure erase. */
#define CONFIG_LEN (offsetof(struct virtio_blk_config, unused1) + 3)

static const struct virtio_class blk_virtio = {
	.name = "block",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x018000, /* mass storage, other */
	.features = VIRTIO_BIT(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
		    VIRTIO_BIT(VIRTIO_BLK_F_GEOMETRY) | VIRTIO_BIT(VIRTIO_BLK_F_RO) |
		    VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |
		    VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) |
		    VIRTIO_BIT(VIRTIO_BLK_F_MQ) | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) |
		    VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES),
};

struct blk_cfg {
	struct user_device_cfg base;
};

static const struct opt blk_opts[] = {
	USER_DEVICE_OPTS(struct blk_cfg),
	{ 0 }
};

static unsigned queues_told(const uint8_t *config)
{
	unsigned n = le16_get(config + offsetof(struct virtio_blk_config, num_queues));

	return n ? n : 1;
}

static void put_config(struct user_device *u, uint8_t *config)
{
	le16_put(config + offsetof(struct virtio_blk_config, num_queues), u->queues);
}

static const struct user_device_kind blk_kind = {
	.size = sizeof(struct user_device),
	.class = &blk_virtio,
	.config_len = CONFIG_LEN,
	.config_is_servers = true,
	.writable_at = offsetof(struct virtio_blk_config, wce), /* 5.2.4: "writeback" */
	.writable_len = 1,
	.queue_size = 128,
	.config = put_config,
	.queues_told = queues_told,
};

static int blk_create(struct platform *p, struct device_list *list, const char *id,
		      const void *config, struct device **dev)
{
	const struct blk_cfg *cfg = config;

	(void)list;
	return user_device_create(p, id, &cfg->base, &blk_kind, dev);
}

const struct device_class vhost_user_blk_class = {
	.name = "vhost-user-blk",
	.nick = "user-blk",
	.help = "disk that another program serves",
	.opts = blk_opts,
	.cfg_size = sizeof(struct blk_cfg),
	.create = blk_create,
	.virtio_id = VIRTIO_ID_BLOCK,
	USER_DEVICE_CALLS,
};
