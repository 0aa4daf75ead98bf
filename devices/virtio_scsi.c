/*
 * virtio_scsi.c - the SCSI controller: options, config space (virtio 1.3
 * §5.6.4), threads. Its queues are served by scsi_host.c, its disks are made by
 * scsi_disk.c.
 *
 * Neither hot plug nor change events are offered, as LUNs do not change while
 * the guest runs.
 */
#include "devices/virtio_scsi.h"

#include <errno.h>
#include <linux/virtio_scsi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "devices/scsi/scsi.h"
#include "devices/scsi_host.h"
#include "virtio/virtio.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

struct virtio_scsi_cfg {
	uint32_t queues, queue_size, iothreads;
};

#define OPTION(name) offsetof(struct virtio_scsi_cfg, name)

static const struct opt virtio_scsi_opts[] = {
	{ .key = "queues", .type = OPT_U32, .offset = OPTION(queues), .def = "1", .min = 1,
	  .max = 64, .help = "request queues; the guest's CPUs share them" },
	/* With less, a request does not fit in the ring: two headers and a buffer. */
	{ .key = "queue-size", .type = OPT_U32, .offset = OPTION(queue_size), .def = "256",
	  .min = 4, .max = 1024, .help = "entries of each queue, a power of two" },
	{ .key = "iothreads", .type = OPT_U32, .offset = OPTION(iothreads), .def = "1", .min = 1,
	  .max = SCSI_HOST_THREADS_MAX, .help = "threads that serve the request queues in turn" },
	{ 0 }
};

#define CONFIG_LEN 36

struct virtio_scsi {
	struct device dev;
	struct virtio_device vdev;
	struct platform *platform;
	struct scsi_target target;
	struct scsi_host *host;
	uint32_t queues, queue_size;
	uint8_t config[CONFIG_LEN];
};

#define FIELD(name) offsetof(struct virtio_scsi_config, name)

static void config_reset(struct virtio_device *vdev)
{
	struct virtio_scsi *s = container_of(vdev, struct virtio_scsi, vdev);
	uint8_t *c = s->config;

	le32_put(c + FIELD(num_queues), s->queues);
	le32_put(c + FIELD(seg_max), min_u64(SCSI_HOST_SEG_MAX, s->queue_size - 2));
	le32_put(c + FIELD(max_sectors), 0xffff);
	le32_put(c + FIELD(cmd_per_lun), s->queue_size);
	le32_put(c + FIELD(event_info_size), sizeof(struct virtio_scsi_event));
	le32_put(c + FIELD(sense_size), VIRTIO_SCSI_SENSE_DEFAULT_SIZE);
	le32_put(c + FIELD(cdb_size), VIRTIO_SCSI_CDB_DEFAULT_SIZE);
	le16_put(c + FIELD(max_channel), 0);
	/* We have target 0 only; Windows takes this for their number, and would look at none. */
	le16_put(c + FIELD(max_target), 1);
	le32_put(c + FIELD(max_lun), SCSI_LUNS_MAX - 1);
}

/*
 * The driver may write sense_size and cdb_size, up to what we can do. Queues in service keep their
 * sizes, so that a request has one layout from the driver's hand to its end.
 */
static void config_write(struct virtio_device *vdev, size_t off, const void *data, size_t len)
{
	uint8_t next[CONFIG_LEN];
	uint32_t sense_size, cdb_size;

	memcpy(next, vdev->config, sizeof(next));
	memcpy(next + off, data, len);
	sense_size = le32_get(next + FIELD(sense_size));
	cdb_size = le32_get(next + FIELD(cdb_size));
	if (vdev->started || sense_size > SCSI_SENSE_MAX || !cdb_size || cdb_size > SCSI_CDB_MAX) {
		log_guest(&vdev->limit, "%s: sense_size %u, cdb_size %u: refused%s", vdev->name,
			  sense_size, cdb_size, vdev->started ? " while in service" : "");
		return;
	}
	le32_put(vdev->config + FIELD(sense_size), sense_size);
	le32_put(vdev->config + FIELD(cdb_size), cdb_size);
}

static int queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	struct scsi_host_format format = {
		.cdb_size = le32_get(vdev->config + FIELD(cdb_size)),
		.sense_size = le32_get(vdev->config + FIELD(sense_size)),
	};

	return scsi_host_queue_start(container_of(vdev, struct virtio_scsi, vdev)->host, q, loop,
				     &format);
}

static void queue_stop(struct virtio_device *vdev, unsigned q)
{
	scsi_host_queue_stop(container_of(vdev, struct virtio_scsi, vdev)->host, q);
}

static void kick(struct virtio_device *vdev, unsigned q)
{
	scsi_host_kick(container_of(vdev, struct virtio_scsi, vdev)->host, q);
}

/* The next driver finds disks as after power on, whatever the last one has done to them. */
static void reset(struct virtio_device *vdev)
{
	config_reset(vdev);
	scsi_target_reset(&container_of(vdev, struct virtio_scsi, vdev)->target);
}

static const struct virtio_class virtio_scsi = {
	.name = VIRTIO_SCSI_CLASS,
	.id = VIRTIO_ID_SCSI,
	.kick = kick,
	.config_write = config_write,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.reset = reset,
};

struct scsi_target *virtio_scsi_target(struct device *dev)
{
	return &container_of(dev, struct virtio_scsi, dev)->target;
}

void virtio_scsi_stop(struct device *dev)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	virtio_device_stop(&s->vdev);
	scsi_host_close(s->host);
}

static void virtio_scsi_destroy(struct device *dev)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	virtio_mmio_detach(&s->vdev, s->platform);
	scsi_host_destroy(s->host);
	virtio_device_fini(&s->vdev);
	scsi_target_fini(&s->target);
	free(s);
}

static int check_options(const struct virtio_scsi_cfg *cfg, const char *id)
{
	if (!is_power_of_2(cfg->queue_size)) {
		log_err("%s: queue-size=%u: is not a power of two", id, cfg->queue_size);
		return -EINVAL;
	}
	if (cfg->iothreads > cfg->queues) {
		log_err("%s: iothreads=%u: queues=%u gives work to so many only; raise queues", id,
			cfg->iothreads, cfg->queues);
		return -EINVAL;
	}
	return 0;
}

static int make_loops(struct platform *p, const char *id, struct loop **loop, unsigned nloops)
{
	char name[24];
	unsigned i;

	for (i = 0; i < nloops; i++) {
		snprintf(name, sizeof(name), "%.11s.%u", id, i);
		loop[i] = p->iothread(p, name);
		if (!loop[i]) {
			log_err("%s: no I/O thread: %s", id, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

/* The device and who serves it; it is not visible yet. */
static int device_init(struct virtio_scsi *s, const char *id, struct loop *const *loop,
		       unsigned nloops)
{
	struct virtio_device *vdev = &s->vdev;
	int r;

	snprintf(vdev->name, sizeof(vdev->name), "%s", id);
	vdev->class = &virtio_scsi;
	vdev->config = s->config;
	vdev->config_len = sizeof(s->config);
	config_reset(vdev);
	r = virtio_device_init(vdev, s->platform->mem,
			       virtio_local_create(loop, nloops, SCSI_HOST_REQUEST),
			       SCSI_HOST_REQUEST + s->queues, s->queue_size);
	if (r < 0)
		return r;
	s->host = scsi_host_create(vdev, &s->target, loop, nloops);
	if (!s->host) {
		virtio_device_fini(vdev);
		return -ENOMEM;
	}
	return 0;
}

static int virtio_scsi_create(struct platform *p, struct device_list *list, const char *id,
			      const void *config, struct device **dev)
{
	const struct virtio_scsi_cfg *cfg = config;
	struct loop *loop[SCSI_HOST_THREADS_MAX];
	struct virtio_scsi *s;
	int r;

	(void)list;
	r = check_options(cfg, id);
	if (!r)
		r = make_loops(p, id, loop, cfg->iothreads);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->platform = p;
	s->queues = cfg->queues;
	s->queue_size = cfg->queue_size;
	r = device_init(s, id, loop, cfg->iothreads);
	if (r < 0)
		goto free;
	r = virtio_mmio_attach(&s->vdev, p);
	if (r < 0)
		goto fini;
	*dev = &s->dev;
	return 0;

fini:
	scsi_host_destroy(s->host);
	virtio_device_fini(&s->vdev);
free:
	free(s);
	return r;
}

const struct device_class virtio_scsi_class = {
	.name = VIRTIO_SCSI_CLASS,
	.help = "SCSI controller for scsi-disk",
	.opts = virtio_scsi_opts,
	.cfg_size = sizeof(struct virtio_scsi_cfg),
	.create = virtio_scsi_create,
	.destroy = virtio_scsi_destroy,
};
