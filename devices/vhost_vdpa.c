/* SPDX-License-Identifier: MIT */
/*
 * A device of the host's, of hardware or of what stands for it, by the kernel's vDPA: it has the
 * guest's queues, and its config space is the guest's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/devices.h"
#include "virtio/vhost.h"
#include "virtio/virtio.h"
#include "virtio/wire_vdpa.h"
#include "vmm/core/bell.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define QUEUES_MAX 64
/* The features of device types (§6); those of queues and transports are ours to offer. */
#define TYPE_FEATURES (((1ull << 24) - 1) | ~((1ull << 50) - 1))

struct vdpa_cfg {
	unsigned transport; /* enum virtio_transport */
	const char *path;
};

static const struct opt vdpa_opts[] = {
	VIRTIO_TRANSPORT_OPT(struct vdpa_cfg, transport),
	{ "path", OPT_STR, offsetof(struct vdpa_cfg, path), .arg = "FILE",
	  .help = "the device, such as /dev/vhost-vdpa-0" },
	{ 0 }
};

struct vdpa_type {
	uint32_t id;
	const char *name;
	uint32_t pci_class;
	/* It gives chains back in the order in which it takes them, or they may be lost. */
	bool in_order;
};

static const struct vdpa_type types[] = {
	{ VIRTIO_ID_NET, "network", 0x020000, true },
	{ VIRTIO_ID_BLOCK, "block", 0x018000, false },
};

struct vdpa_device {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class;
	struct vdpa_facts facts;
	const struct vdpa_type *type;
	struct platform *platform;
	unsigned transport;
	const char *path;
	int fd;                     /* the wire has another one */
	struct loop_source changes; /* an eventfd: its config space has, or it has given up */
	uint8_t config[VDPA_CONFIG_MAX];
};

static struct vdpa_device *vdpa_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct vdpa_device, vdev);
}

static void config_reading(struct virtio_device *vdev)
{
	struct vdpa_device *d = vdpa_of(vdev);
	uint8_t now[VDPA_CONFIG_MAX];

	if (vdpa_config(d->fd, false, 0, now, vdev->config_len) < 0 ||
	    !memcmp(now, d->config, vdev->config_len))
		return;
	memcpy(d->config, now, vdev->config_len);
	atomic_fetch_add(&vdev->generation, 1);
}

static void config_write(struct virtio_device *vdev, size_t off, const void *data, size_t len)
{
	uint8_t bytes[VDPA_CONFIG_MAX];

	memcpy(bytes, data, len);
	vdpa_config(vdpa_of(vdev)->fd, true, off, bytes, len);
}

/* [main] */
static void changed(void *arg)
{
	struct vdpa_device *d = arg;

	if (!bell_take(d->changes.fd))
		return;
	if (vdpa_needs_reset(d->fd))
		virtio_needs_reset(&d->vdev);
	else
		virtio_config_changed(&d->vdev);
}

static const struct vdpa_type *type_of(uint32_t id)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		if (types[i].id == id)
			return &types[i];
	}
	return NULL;
}

/* Can a guest have it? -errno after one line. */
static int check(struct vdpa_device *d, const char *id)
{
	const struct vdpa_facts *f = &d->facts;

	d->type = type_of(f->id);
	if (!d->type) {
		log_err("%s: %s: it is a virtio device with ID %u; a guest can have network (%u) "
			"and block (%u) devices", id, d->path, f->id, VIRTIO_ID_NET,
			VIRTIO_ID_BLOCK);
		return -EOPNOTSUPP;
	}
	if (!(f->features & VIRTIO_BIT(VIRTIO_F_VERSION_1))) {
		log_err("%s: %s: the device is older than virtio 1.0", id, d->path);
		return -EOPNOTSUPP;
	}
	if (!f->queues || f->queues > QUEUES_MAX || !is_power_of_2(f->queue_size) ||
	    f->config_len > VDPA_CONFIG_MAX) {
		log_err("%s: %s: %u queues of %u and %u bytes of config space; 1 to %u queues and "
			"%u bytes can be had", id, d->path, f->queues, f->queue_size, f->config_len,
			QUEUES_MAX, VDPA_CONFIG_MAX);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int open_device(struct vdpa_device *d, const char *id)
{
	const char *what;
	int r;

	d->fd = open(d->path, O_RDWR | O_CLOEXEC);
	if (d->fd < 0) {
		r = -errno;
		log_err("%s: %s: %s; %s", id, d->path, strerror(-r), r == -EACCES ?
			"root may open it, or whom root gives it to: setfacl -m u:USER:rw FILE" :
			r == -EBUSY ? "somebody uses it" :
			"\"vdpa dev show\" lists what there is; modprobe vhost_vdpa");
		return r;
	}
	r = vdpa_ask(d->fd, &d->facts, &what);
	if (r < 0)
		log_err("%s: %s: %s: %s; a vhost-vdpa device is wanted", id, d->path, what,
			strerror(-r));
	return r < 0 ? r : check(d, id);
}

static int forget(void *arg)
{
	struct vdpa_device *d = arg;

	loop_del(d->platform->main_loop, &d->changes);
	return 0;
}

static void vdpa_destroy(struct device *dev)
{
	struct vdpa_device *d = container_of(dev, struct vdpa_device, dev);

	if (d->changes.fd >= 0) {
		loop_call(d->platform->main_loop, forget, d);
		close(d->changes.fd);
	}
	virtio_unmake(&d->vdev);
	close(d->fd);
	free(d);
}

static int vdpa_create(struct platform *p, struct device_list *list, const char *id,
		       const void *config, struct device **dev)
{
	const struct vdpa_cfg *cfg = config;
	struct vdpa_device *d;
	int r;

	(void)list;
	if (!cfg->path || !*cfg->path) {
		log_err("%s: path=FILE is wanted, such as /dev/vhost-vdpa-0", id);
		return -EUSAGE;
	}
	p->pins = "a vhost-vdpa device"; /* a balloon refuses then to be made ready */
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->platform = p;
	d->transport = cfg->transport;
	d->path = cfg->path;
	d->changes.fd = -1;
	r = open_device(d, id);
	if (r < 0) {
		vdpa_destroy(&d->dev);
		return r;
	}
	d->class = (struct virtio_class){
		.name = d->type->name, .id = (uint16_t)d->facts.id, .pci_class = d->type->pci_class,
		.features = d->facts.features & TYPE_FEATURES,
		.config_reading = config_reading, .config_write = config_write,
	};
	*dev = &d->dev;
	return 0;
}

static int make(struct vdpa_device *d)
{
	struct loop *loop = d->platform->main_loop;
	struct virtio_spec spec = {
		.name = d->dev.id, .class = &d->class, .config = d->config,
		.config_len = d->facts.config_len, .nvq = d->facts.queues,
		.queue_size = (uint16_t)min_u64(d->facts.queue_size, VQ_SIZE_MAX),
		.transport = d->transport, .loop = &loop, .nloops = 1,
	};
	int wire = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);

	if (wire >= 0)
		spec.server = virtio_vhost_create(&d->vdev, vhost_vdpa_create(
				&d->vdev, wire, &d->facts, d->type->in_order, d->changes.fd),
				NULL, NULL, loop);
	if (!spec.server) {
		log_err("%s: %s", d->dev.id, strerror(errno));
		return -errno;
	}
	return virtio_make(&d->vdev, d->platform, &spec);
}

/* The device keeps all of the guest's memory, if it is hardware. */
static int vdpa_ready(struct device *dev)
{
	struct vdpa_device *d = container_of(dev, struct vdpa_device, dev);
	int r;

	d->changes = (struct loop_source){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					   .fn = changed, .arg = d };
	r = d->changes.fd < 0 ? -errno : loop_add(d->platform->main_loop, &d->changes);
	if (r < 0) {
		log_err("%s: its changes cannot be heard of: %s", dev->id, strerror(-r));
		return r;
	}
	d->platform->mem->pinned = true;
	return make(d);
}

static void vdpa_expect(const struct device *dev, struct device_facts *to)
{
	to->number(to, "virtio", container_of(dev, struct vdpa_device, dev)->facts.id);
}

static struct virtio_device *vdpa_vdev(struct device *dev)
{
	return &container_of(dev, struct vdpa_device, dev)->vdev;
}

static void vdpa_explain(const struct device *dev, FILE *out)
{
	const struct vdpa_device *d = container_of(dev, struct vdpa_device, dev);

	fprintf(out, "  transport: %s, %s\n", d->vdev.transport->name, d->vdev.transport->help);
	fprintf(out, "  served by: the %s device at %s (vDPA), which reaches the guest's memory "
		"itself\n", d->type->name, d->path);
	fprintf(out, "  queues: %u\n", d->facts.queues);
	fprintf(out, "  while the guest is paused: it %s\n", d->facts.suspends ? "is suspended" :
		"is reset, as it cannot be suspended");
}

const struct device_class vhost_vdpa_class = {
	.name = "vhost-vdpa",
	.nick = "vdpa",
	.help = "disk or network device of the host's hardware (vDPA)",
	.opts = vdpa_opts,
	.cfg_size = sizeof(struct vdpa_cfg),
	.create = vdpa_create,
	.ready = vdpa_ready,
	.shares_memory = true,
	.expect = vdpa_expect,
	.virtio = vdpa_vdev,
	.explain = vdpa_explain,
	.destroy = vdpa_destroy,
};
