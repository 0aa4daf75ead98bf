/* SPDX-License-Identifier: MIT */
/*
 * Socket device (virtio 1.3 §5.10), which another process serves: it has the other ends of the
 * guest's connections, and says which address the guest has. One that came after it would know of
 * no connection; so there is no coming back.
 */
#include <linux/virtio_vsock.h>

#include "devices/user_device.h"

static const struct virtio_class vsock_virtio = {
	.name = "socket",
	.id = VIRTIO_ID_VSOCK,
	.pci_class = 0x078000, /* simple communication controller, other */
	.features = VIRTIO_BIT(VIRTIO_VSOCK_F_SEQPACKET),
};

struct vsock_cfg {
	struct user_device_cfg base;
};

static const struct opt vsock_opts[] = {
	USER_DEVICE_OPTS_ALONE(struct vsock_cfg),
	{ 0 }
};

static const struct user_device_kind vsock_kind = {
	.size = sizeof(struct user_device),
	.class = &vsock_virtio,
	.config_len = sizeof(struct virtio_vsock_config),
	.config_is_servers = true,
	.all_queues = 3, /* to the guest, from it, events */
	.queue_size = 128,
	.once = true,
};

static int vsock_create(struct platform *p, struct device_list *list, const char *id,
			const void *config, struct device **dev)
{
	const struct vsock_cfg *cfg = config;

	(void)list;
	return user_device_create(p, id, &cfg->base, &vsock_kind, dev);
}

const struct device_class vhost_user_vsock_class = {
	.name = "vhost-user-vsock",
	.nick = "user-vsock",
	.help = "sockets to what another program has them reach",
	.opts = vsock_opts,
	.cfg_size = sizeof(struct vsock_cfg),
	.create = vsock_create,
	.virtio_id = VIRTIO_ID_VSOCK,
	USER_DEVICE_CALLS,
};
