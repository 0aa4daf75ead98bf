/* SPDX-License-Identifier: MIT */
/*
 * SCSI controller (virtio 1.3 §5.6), all of whose queues another process serves: those of requests,
 * of task management and of events. Its config space is ours, as the protocol has it.
 */

#include "devices/vhost_user_scsi.h"
#include "vmm/core/util.h"

#define CDB_SIZE 32
#define SENSE_SIZE 96
#define SEG_MAX 126 /* with header and response no more than a queue has */
#define MAX_SECTORS 65535
#define CMD_PER_LUN 128
#define MAX_TARGET 255
#define MAX_LUN 16383
#define EVENT_INFO 16

const struct virtio_class user_scsi_virtio = {
	.name = "SCSI host",
	.id = VIRTIO_ID_SCSI,
	.pci_class = 0x010000, /* SCSI controller */
	.features = VIRTIO_BIT(VIRTIO_SCSI_F_INOUT) | VIRTIO_BIT(VIRTIO_SCSI_F_HOTPLUG) |
		    VIRTIO_BIT(VIRTIO_SCSI_F_CHANGE),
};

struct scsi_cfg {
	struct user_device_cfg base;
};

static const struct opt scsi_opts[] = {
	USER_DEVICE_OPTS(struct scsi_cfg),
	{ 0 }
};

void user_scsi_config(struct user_device *u, uint8_t *config)
{
	le32_put(config + offsetof(struct virtio_scsi_config, num_queues), u->queues);
	le32_put(config + offsetof(struct virtio_scsi_config, seg_max), SEG_MAX);
	le32_put(config + offsetof(struct virtio_scsi_config, max_sectors), MAX_SECTORS);
	le32_put(config + offsetof(struct virtio_scsi_config, cmd_per_lun), CMD_PER_LUN);
	le32_put(config + offsetof(struct virtio_scsi_config, event_info_size), EVENT_INFO);
	le32_put(config + offsetof(struct virtio_scsi_config, sense_size), SENSE_SIZE);
	le32_put(config + offsetof(struct virtio_scsi_config, cdb_size), CDB_SIZE);
	le16_put(config + offsetof(struct virtio_scsi_config, max_channel), 0);
	le16_put(config + offsetof(struct virtio_scsi_config, max_target), MAX_TARGET);
	le32_put(config + offsetof(struct virtio_scsi_config, max_lun), MAX_LUN);
}

static const struct user_device_kind scsi_kind = {
	.size = sizeof(struct user_device),
	USER_SCSI_KIND,
	.config = user_scsi_config,
};

static int scsi_create(struct platform *p, struct device_list *list, const char *id,
		       const void *config, struct device **dev)
{
	const struct scsi_cfg *cfg = config;

	(void)list;
	return user_device_create(p, id, &cfg->base, &scsi_kind, dev);
}

const struct device_class vhost_user_scsi_class = {
	.name = "vhost-user-scsi",
	.nick = "user-scsi",
	.help = "SCSI controller that another program serves",
	.opts = scsi_opts,
	.cfg_size = sizeof(struct scsi_cfg),
	.create = scsi_create,
	.virtio_id = VIRTIO_ID_SCSI,
	USER_DEVICE_CALLS,
};
