/* SPDX-License-Identifier: MIT */
/*
 * Network device (virtio 1.3 §5.1) with one pair of queues, whose frames another process carries:
 * a switch, passt. Its config space is ours, as the protocol has it, and it has no control queue:
 * none of the commands there is for such a process. A frame may be lost, or sent twice, so that it
 * may go and come back without an account of what it had.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "devices/net_mac.h"
#include "devices/user_device.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define MTU_MIN 68 /* of IPv4 */
#define MTU_AT offsetof(struct virtio_net_config, mtu)

struct net_cfg {
	struct user_device_cfg base;
	const char *mac;
	uint32_t mtu;
};

static const struct opt net_opts[] = {
	USER_DEVICE_OPTS_ALONE(struct net_cfg),
	USER_DEVICE_OPT_COMEBACK(struct net_cfg),
	{ "mac", OPT_STR, offsetof(struct net_cfg, mac), .arg = "ADDRESS",
	  .help = "02:00:00:00:00:01 for instance; by default another one in each run" },
	{ "mtu", OPT_U32, offsetof(struct net_cfg, mtu), "0", 0, UINT16_MAX,
	  .help = "largest packet, which the guest is told; 0: it is not" },
	{ 0 }
};

static void net_visit(struct virtio_device *vdev, struct state *s)
{
	net_mac_visit(vdev->config, s);
	state_same(s, le16_get(vdev->config + MTU_AT));
}

static const struct virtio_class net_virtio = {
	.name = "network",
	.id = VIRTIO_ID_NET,
	.pci_class = 0x020000, /* Ethernet controller */
	.features = VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
		    VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
		    VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_UFO) |
		    VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |
		    VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_HOST_UFO) |
		    VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF),
	.own_features = VIRTIO_BIT(VIRTIO_NET_F_MAC),
	.state = net_visit,
};

static const struct user_device_kind net_kind = {
	.size = sizeof(struct user_device),
	.class = &net_virtio,
	.config_len = MTU_AT + sizeof(uint16_t),
	.all_queues = 2,
	.queue_size = 256,
	.in_order = true,
};

static int check_mtu(const char *id, uint32_t mtu)
{
	if (!mtu || mtu >= MTU_MIN)
		return 0;
	log_err("%s: mtu=%u: is less than %u", id, mtu, MTU_MIN);
	return -EUSAGE;
}

static int net_create(struct platform *p, struct device_list *list, const char *id,
		      const void *config, struct device **dev)
{
	const struct net_cfg *cfg = config;
	uint8_t mac[NET_MAC_LEN];
	struct user_device *u;
	int r = net_mac_choose(id, cfg->mac, mac);

	(void)list;
	if (!r)
		r = check_mtu(id, cfg->mtu);
	if (!r)
		r = user_device_create(p, id, &cfg->base, &net_kind, dev);
	if (r < 0)
		return r;
	u = container_of(*dev, struct user_device, dev);
	memcpy(u->config, mac, NET_MAC_LEN);
	le16_put(u->config + MTU_AT, cfg->mtu);
	u->class.own_features |= cfg->mtu ? VIRTIO_BIT(VIRTIO_NET_F_MTU) : 0;
	return 0;
}

static void net_explain(const struct device *dev, FILE *out)
{
	user_device_explain(dev, out);
	net_mac_explain(container_of(dev, struct user_device, dev)->config, out);
}

const struct device_class vhost_user_net_class = {
	.name = "vhost-user-net",
	.nick = "user-net",
	.help = "Ethernet interface that another program serves",
	.opts = net_opts,
	.cfg_size = sizeof(struct net_cfg),
	.create = net_create,
	.explain = net_explain,
	.virtio_id = VIRTIO_ID_NET,
	USER_DEVICE_OTHER_CALLS,
};
