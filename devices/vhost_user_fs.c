/* SPDX-License-Identifier: MIT */
/*
 * File system device (virtio 1.3 §5.11), whose requests another process serves: virtiofsd. Its
 * config space is ours. That process knows which files the guest has open, and one that came after
 * it would not; so there is no coming back.
 */
#include <errno.h>
#include <linux/virtio_fs.h>
#include <string.h>

#include "devices/user_device.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define TAG_MAX sizeof(((struct virtio_fs_config *)0)->tag)

static const struct virtio_class fs_virtio = {
	.name = "file system",
	.id = VIRTIO_ID_FS,
	.pci_class = 0x018000, /* mass storage, other */
};

struct fs_cfg {
	struct user_device_cfg base;
	const char *tag;
};

static const struct opt fs_opts[] = {
	USER_DEVICE_OPTS_ONCE(struct fs_cfg),
	{ "tag", OPT_STR, offsetof(struct fs_cfg, tag), .arg = "NAME",
	  .help = "by which the guest mounts it: mount -t virtiofs NAME /mnt" },
	{ "by", OPT_STR, offsetof(struct fs_cfg, base.by), .arg = "WORDS",
	  .help = "what --explain calls a program whose end somebody else tells of" },
	{ 0 }
};

struct fs {
	struct user_device base;
	const char *tag;
};

static void take(struct user_device *u, const struct user_device_cfg *cfg)
{
	container_of(u, struct fs, base)->tag = container_of(cfg, struct fs_cfg, base)->tag;
}

static void put_config(struct user_device *u, uint8_t *config)
{
	const char *tag = container_of(u, struct fs, base)->tag;

	memcpy(config, tag, strlen(tag));
	le32_put(config + offsetof(struct virtio_fs_config, num_request_queues), u->queues);
}

static const struct user_device_kind fs_kind = {
	.size = sizeof(struct fs),
	.class = &fs_virtio,
	.config_len = sizeof(struct virtio_fs_config),
	.other_queues = 1, /* for what must not wait behind requests */
	.queue_size = 128,
	.config = put_config,
	.once = true,
	.take = take,
};

static int check_tag(const char *id, const char *tag)
{
	if (tag && strlen(tag) <= TAG_MAX)
		return 0;
	log_err("%s: tag=NAME is wanted, of 1 to %zu bytes, by which the guest mounts it", id,
		TAG_MAX);
	return -EUSAGE;
}

static int fs_create(struct platform *p, struct device_list *list, const char *id,
		     const void *config, struct device **dev)
{
	const struct fs_cfg *cfg = config;
	int r = check_tag(id, cfg->tag);

	(void)list;
	return r < 0 ? r : user_device_create(p, id, &cfg->base, &fs_kind, dev);
}

const struct device_class vhost_user_fs_class = {
	.name = "vhost-user-fs",
	.nick = "user-fs",
	.help = "folder that another program serves",
	.opts = fs_opts,
	.cfg_size = sizeof(struct fs_cfg),
	.create = fs_create,
	.virtio_id = VIRTIO_ID_FS,
	USER_DEVICE_CALLS,
};
