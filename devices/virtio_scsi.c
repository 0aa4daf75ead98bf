/* SPDX-License-Identifier: MIT */
/*
 * virtio_scsi.c - the SCSI controller: options, config space (virtio 1.3
 * §5.6.4), and who serves it. Its disks are made by scsi_disk.c.
 *
 * There are two data paths. In process, queues are served by scsi_host.c on
 * threads of ours, from the blocks that the disks have opened. By vhost-scsi,
 * the kernel serves them, from a target that lio.c makes of the same disks, or
 * from one that the user names; the control queue has a thread of ours then, too.
 * The guest finds the same disks either way.
 *
 * Which one it is depends on all the disks, so it is decided when every device
 * has been created (choose_path), and only then the virtio device is made.
 *
 * Hot plug is offered on both paths; change events, of a disk that grows, only in
 * process, as the kernel's vhost-scsi has none.
 */
#include "devices/virtio_scsi.h"

#include <errno.h>
#include <linux/virtio_scsi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "devices/lio.h"
#include "devices/scsi/scsi.h"
#include "devices/scsi_host.h"
#include "devices/scsi_plug.h"
#include "devices/vhost_scsi.h"
#include "virtio/virtio.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

struct virtio_scsi_cfg {
	uint32_t queues, queue_size, iothreads;
	unsigned transport; /* enum virtio_transport */
	const char *vhost;
};

#define QUEUES_MAX 64
#define QUEUES_CPUS (QUEUES_MAX + 1) /* stands for: as many as there are CPUs */

static const char *const queues_words[] = { "cpus", NULL };

#define OPTION(name) offsetof(struct virtio_scsi_cfg, name)

static const struct opt virtio_scsi_opts[] = {
	{ .key = "queues", .type = OPT_U32, .offset = OPTION(queues), .def = "cpus", .min = 1,
	  .max = QUEUES_MAX, .words = queues_words,
	  .help = "request queues; cpus is one for each CPU of the guest" },
	/* With less, a request does not fit in the ring: two headers and a buffer. */
	{ .key = "queue-size", .type = OPT_U32, .offset = OPTION(queue_size), .def = "256",
	  .min = 4, .max = 1024, .help = "entries of each queue, a power of two" },
	{ .key = "iothreads", .type = OPT_U32, .offset = OPTION(iothreads), .def = "1", .min = 1,
	  .max = SCSI_HOST_THREADS_MAX,
	  .help = "threads that serve the request queues in turn, in process" },
	{ .key = "vhost", .type = OPT_STR, .offset = OPTION(vhost), .arg = VHOST_WORDS "|WWN",
	  .help = "let the kernel serve the disks; WWN: a target of the kernel's that is there" },
	VIRTIO_TRANSPORT_OPT(struct virtio_scsi_cfg, transport),
	{ 0 }
};

#define CONFIG_LEN 36

extern const struct device_class virtio_scsi_class;

struct virtio_scsi {
	struct device dev;
	struct virtio_device vdev;
	struct platform *platform;
	struct scsi_port port;
	uint32_t queues, queue_size, iothreads;
	unsigned transport; /* enum virtio_transport */
	uint8_t config[CONFIG_LEN];

	enum vhost_policy vhost;
	const char *wwn;         /* of the user's target; NULL: none */
	struct why path;         /* who serves the disks, and why */
	struct scsi_host *host;  /* in process */
	bool in_kernel;
	struct virtio_backend *server; /* the kernel, from choose_path() to virtio_make() */
	struct vhost_scsi_tasks tasks;
	struct scsi_control control; /* of the kernel's path */
	struct lio *lio;         /* the target that was made for it; NULL: none */
};

#define FIELD(name) offsetof(struct virtio_scsi_config, name)

/* Of 512 bytes, when every segment may begin and end inside a page. */
#define KERNEL_SECTORS_MAX ((VHOST_SCSI_PAGES - 2 * SCSI_HOST_SEG_MAX) * 8)

static void config_reset(struct virtio_device *vdev)
{
	struct virtio_scsi *s = container_of(vdev, struct virtio_scsi, vdev);
	uint8_t *c = s->config, last;

	le32_put(c + FIELD(num_queues), s->queues);
	le32_put(c + FIELD(seg_max), min_u64(SCSI_HOST_SEG_MAX, s->queue_size - 2));
	le32_put(c + FIELD(max_sectors), s->in_kernel ? KERNEL_SECTORS_MAX : 0xffff);
	le32_put(c + FIELD(cmd_per_lun), s->queue_size);
	le32_put(c + FIELD(event_info_size), sizeof(struct virtio_scsi_event));
	le32_put(c + FIELD(sense_size), VIRTIO_SCSI_SENSE_DEFAULT_SIZE);
	le32_put(c + FIELD(cdb_size), VIRTIO_SCSI_CDB_DEFAULT_SIZE);
	le16_put(c + FIELD(max_channel), 0);
	/* Windows takes this for how many there are. */
	last = s->wwn ? UINT8_MAX : scsi_port_last_target(&s->port);
	le16_put(c + FIELD(max_target), (uint16_t)min_u64(last + 1u, UINT8_MAX));
	le32_put(c + FIELD(max_lun), SCSI_LUNS_MAX - 1);
}

/*
 * The driver may write sense_size and cdb_size, up to what we can do; the kernel knows nothing but
 * the usual sizes.
 */
static bool sizes_ok(const struct virtio_scsi *s, uint32_t sense_size, uint32_t cdb_size)
{
	if (s->in_kernel)
		return sense_size == VIRTIO_SCSI_SENSE_DEFAULT_SIZE &&
		       cdb_size == VIRTIO_SCSI_CDB_DEFAULT_SIZE;
	return sense_size <= SCSI_SENSE_MAX && cdb_size && cdb_size <= SCSI_CDB_MAX;
}

/* Queues in service keep theirs: a request has one layout from the driver's hand to its end. */
static void config_write(struct virtio_device *vdev, size_t off, const void *data, size_t len)
{
	const struct virtio_scsi *s = container_of(vdev, struct virtio_scsi, vdev);
	bool in_service = virtio_get_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK;
	uint8_t next[CONFIG_LEN];
	uint32_t sense_size, cdb_size;

	memcpy(next, vdev->config, sizeof(next));
	memcpy(next + off, data, len);
	sense_size = le32_get(next + FIELD(sense_size));
	cdb_size = le32_get(next + FIELD(cdb_size));
	if (in_service || !sizes_ok(s, sense_size, cdb_size)) {
		log_guest(&vdev->limit, "%s: sense_size %u, cdb_size %u: refused%s", vdev->name,
			  sense_size, cdb_size, in_service ? " while in service" : "");
		return;
	}
	le32_put(vdev->config + FIELD(sense_size), sense_size);
	le32_put(vdev->config + FIELD(cdb_size), cdb_size);
}

static int queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	const struct virtio_scsi *s = container_of(vdev, struct virtio_scsi, vdev);
	struct scsi_host_format format = {
		.cdb_size = le32_get(vdev->config + FIELD(cdb_size)),
		.sense_size = le32_get(vdev->config + FIELD(sense_size)),
	};

	return s->in_kernel ? 0 : scsi_host_queue_start(s->host, q, loop, &format);
}

static void queue_stop(struct virtio_device *vdev, unsigned q)
{
	const struct virtio_scsi *s = container_of(vdev, struct virtio_scsi, vdev);

	if (!s->in_kernel)
		scsi_host_queue_stop(s->host, q);
}

static void kick(struct virtio_device *vdev, unsigned q)
{
	struct virtio_scsi *s = container_of(vdev, struct virtio_scsi, vdev);

	if (s->in_kernel)
		scsi_control_kick(&s->control); /* it has no other queue here */
	else
		scsi_host_kick(s->host, q);
}

/* The next driver finds disks as after power on, whatever the last one has done to them. */
static void reset(struct virtio_device *vdev)
{
	config_reset(vdev);
	scsi_port_reset(&container_of(vdev, struct virtio_scsi, vdev)->port);
}

/* LUNs of ours are visited with their disks; what the kernel's remember nobody can ask. */
static void visit(struct virtio_device *vdev, struct state *s)
{
	const struct virtio_scsi *scsi = container_of(vdev, struct virtio_scsi, vdev);
	uint8_t *at = vdev->config + FIELD(sense_size), sizes[8]; /* and cdb_size */

	memcpy(sizes, at, sizeof(sizes));
	state_bytes(s, sizes, sizeof(sizes));
	state_check(s, sizes_ok(scsi, le32_get(sizes), le32_get(sizes + 4)));
	if (state_takes(s))
		memcpy(at, sizes, sizeof(sizes));
	scsi_host_state(scsi->host, s);
}

static const struct virtio_class virtio_scsi = {
	.name = VIRTIO_SCSI_CLASS,
	.id = VIRTIO_ID_SCSI,
	.pci_class = 0x010000, /* SCSI controller */
	.features = VIRTIO_BIT(VIRTIO_SCSI_F_HOTPLUG) | VIRTIO_BIT(VIRTIO_SCSI_F_CHANGE),
	.kick = kick,
	.config_write = config_write,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.reset = reset,
	.state = visit,
};

struct scsi_port *virtio_scsi_port(struct device *dev)
{
	return &container_of(dev, struct virtio_scsi, dev)->port;
}

struct scsi_host *virtio_scsi_host(struct device *dev)
{
	return container_of(dev, struct virtio_scsi, dev)->host;
}

/* Of the kernel's target. */
static int add_to_target(struct virtio_scsi *s, struct scsi_lun *lun, struct why *why)
{
	int r;

	if (!s->lio)
		return why_not(why, -EBUSY, "%s is a target that was there before; add the LUN to "
			       "it by configfs", s->wwn);
	r = scsi_port_add(&s->port, lun);
	if (r < 0)
		return r;
	r = lio_add(s->lio, lun, why);
	if (r < 0)
		scsi_nexus_free(scsi_port_take(&s->port, lun));
	return r;
}

static int remove_from_target(struct virtio_scsi *s, struct scsi_lun *lun)
{
	struct scsi_nexus *nexus = scsi_port_take(&s->port, lun);
	int r;

	if (!nexus)
		return 0;
	r = vhost_scsi_remove(&s->vdev, s->platform, s->lio, lun);
	scsi_nexus_free(nexus);
	if (r < 0)
		scsi_port_add(&s->port, lun);
	return r;
}

int virtio_scsi_add(struct device *dev, struct scsi_lun *lun, struct why *why)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);
	int r;

	why->text[0] = 0;
	if (s->in_kernel)
		r = add_to_target(s, lun, why);
	else
		r = s->host ? scsi_plug_add(s->host, lun) : scsi_port_add(&s->port, lun);
	return r < 0 && !why->text[0] ? why_not(why, r, "%s", strerror(-r)) : r;
}

int virtio_scsi_remove(struct device *dev, struct scsi_lun *lun)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	if (s->in_kernel)
		return remove_from_target(s, lun);
	if (s->host)
		scsi_plug_remove(s->host, lun);
	else
		scsi_nexus_free(scsi_port_take(&s->port, lun));
	return 0;
}

bool virtio_scsi_in_kernel(struct device *dev)
{
	return container_of(dev, struct virtio_scsi, dev)->in_kernel;
}

void virtio_scsi_stop(struct device *dev)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	virtio_device_stop(&s->vdev);
	if (s->host)
		scsi_host_close(s->host);
	lio_destroy(s->lio);
	s->lio = NULL;
}

struct virtio_device *virtio_scsi_vdev(struct device *dev)
{
	return &container_of(dev, struct virtio_scsi, dev)->vdev;
}

static void virtio_scsi_destroy(struct device *dev)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	virtio_unmake(&s->vdev);
	scsi_host_destroy(s->host);
	lio_destroy(s->lio);
	scsi_port_fini(&s->port);
	free(s);
}

/* The two paths. */

static int make_loops(struct virtio_scsi *s, struct loop **loop, unsigned count)
{
	struct platform *p = s->platform;
	char name[24];
	unsigned i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%.11s.%u", s->dev.id, i);
		loop[i] = p->iothread(p, name);
		if (!loop[i]) {
			log_err("%s: no I/O thread: %s", s->dev.id, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

/* Takes the target @wwn, and the open file @fd in every case. */
static int take_target(struct virtio_scsi *s, int fd, const char *wwn, struct why *why)
{
	bool workers;
	int r;

	r = vhost_scsi_try(wwn, &workers, why);
	if (r < 0) {
		close(fd);
		return r;
	}
	s->server = vhost_scsi_create(&s->vdev, fd, wwn, s->platform);
	if (!s->server)
		return why_not(why, -ENOMEM, VHOST_SCSI_NODE ": %s", strerror(ENOMEM));
	s->tasks = (struct vhost_scsi_tasks){ s->server, s->wwn ? NULL : &s->port };
	s->control = (struct scsi_control){ &s->vdev, &vhost_scsi_control, &s->tasks };
	s->in_kernel = true;
	why_not(&s->path, 0, "by the kernel (vhost-scsi, target %s, %s)", wwn,
		s->queues == 1 ? "one worker" : workers ? "a worker for each request queue" :
		"one worker, as this kernel has no more: Linux 6.5 has");
	return 0;
}

static int serve_in_kernel(struct virtio_scsi *s, struct why *why)
{
	int fd, r;

	fd = vhost_scsi_open(why);
	if (fd < 0)
		return fd;
	if (s->wwn)
		return take_target(s, fd, s->wwn, why);
	r = lio_create(&lio_configfs, s->dev.id, &s->port, &s->lio, why);
	if (r < 0) {
		close(fd);
		return r;
	}
	return take_target(s, fd, lio_wwn(s->lio), why);
}

/* Nothing of the kernel's path is left. */
static void leave_kernel(struct virtio_scsi *s)
{
	lio_destroy(s->lio);
	s->lio = NULL;
	s->in_kernel = false;
}

static void fall_back(struct virtio_scsi *s, const struct why *why)
{
	leave_kernel(s);
	why_not(&s->path, 0, "in process: %.*s", (int)sizeof(s->path.text) - 16, why->text);
}

/* Why the kernel is not even asked; NULL: it is. */
static const char *no_kernel(const struct virtio_scsi *s)
{
	if (s->vhost == VHOST_OFF)
		return "vhost=off";
	if (s->vhost == VHOST_ON)
		return NULL;
	if (!s->port.count)
		return "it has no disks";
	return s->port.trace ? "--trace scsi= is given" : NULL;
}

static int choose_path(struct virtio_scsi *s)
{
	const char *no = no_kernel(s);
	struct why why = { "" };
	int r;

	if (s->wwn && s->port.count) {
		log_err("%s: vhost=%s: %s cannot be added to a target that is there; give it "
			"another bus=", s->dev.id, s->wwn, s->port.nexus[0]->lun->serial);
		return -EUSAGE;
	}
	if (no) {
		why_not(&why, 0, "%s", no);
		fall_back(s, &why);
		return 0;
	}
	if (s->port.trace)
		log_warn("%s: vhost=on: there is no trace of what the kernel does", s->dev.id);
	r = serve_in_kernel(s, &why);
	if (r < 0 && s->vhost == VHOST_ON) {
		log_err("%s: vhost=%s: %s", s->dev.id, s->wwn ? s->wwn : "on", why.text);
		return -ENODEV;
	}
	if (r < 0)
		fall_back(s, &why);
	log_note("%s: disks are served %s", s->dev.id, s->path.text);
	return 0;
}

/* By whom they are served is known. Takes over s->server in every case. */
static int make_device(struct virtio_scsi *s)
{
	struct loop *loop[SCSI_HOST_THREADS_MAX];
	struct virtio_spec spec = {
		.name = s->dev.id,
		.class = &virtio_scsi,
		.config = s->config,
		.config_len = sizeof(s->config),
		.nvq = SCSI_HOST_REQUEST + s->queues,
		.queue_size = s->queue_size,
		.transport = s->transport,
		.server = s->server,
		.loop = loop,
		.nloops = s->in_kernel ? 1 : s->iothreads,
		.first_request_queue = SCSI_HOST_REQUEST,
	};
	int r = make_loops(s, loop, spec.nloops);

	if (r < 0) {
		if (s->server)
			s->server->ops->destroy(s->server);
		leave_kernel(s);
		return r;
	}
	config_reset(&s->vdev);
	r = virtio_make(&s->vdev, s->platform, &spec);
	if (r < 0)
		leave_kernel(s);
	if (r < 0 || s->in_kernel)
		return r;
	s->host = scsi_host_create(&s->vdev, &s->port, loop, s->iothreads);
	if (s->host)
		return 0;
	log_err("%s: out of memory", s->dev.id);
	return -ENOMEM;
}

/* The disks are known now. */
static int ready(struct device *dev)
{
	struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);
	int r = choose_path(s);

	return r < 0 ? r : make_device(s);
}

/* Creation. */

/* The kernel looks at no more of a name than what kind it is. */
static bool is_wwn(const char *text)
{
	return strlen(text) < VHOST_SCSI_WWN_MAX &&
	       (!strncmp(text, "naa.", 4) || !strncmp(text, "fc.", 3) || !strncmp(text, "iqn.", 4));
}

static int parse_vhost(struct virtio_scsi *s, const char *text, const char *id)
{
	char words[64] = "";
	unsigned i;

	s->vhost = s->platform->vhost;
	if (!text)
		return 0;
	for (i = 0; vhost_words[i]; i++) {
		if (!strcmp(text, vhost_words[i])) {
			s->vhost = i;
			return 0;
		}
		strcat(strcat(words, vhost_words[i]), ", ");
	}
	if (!is_wwn(text)) {
		log_err("%s: vhost=%s: is none of: %sor the name of a target of the kernel's, as "
			"naa.5001405000000001", id, text, words);
		return -EUSAGE;
	}
	s->vhost = VHOST_ON;
	s->wwn = text;
	return 0;
}

static int take_options(struct virtio_scsi *s, const struct virtio_scsi_cfg *cfg, const char *id)
{
	s->queues = cfg->queues;
	if (s->queues == QUEUES_CPUS)
		s->queues = s->platform->cpus ? min_u64(s->platform->cpus, QUEUES_MAX) : 1;
	s->queue_size = cfg->queue_size;
	s->iothreads = cfg->iothreads;
	s->transport = cfg->transport;
	if (!is_power_of_2(s->queue_size)) {
		log_err("%s: queue-size=%u: is not a power of two", id, s->queue_size);
		return -EUSAGE;
	}
	if (s->iothreads > s->queues) {
		log_err("%s: iothreads=%u: queues=%u gives work to so many only; raise queues", id,
			s->iothreads, s->queues);
		return -EUSAGE;
	}
	return parse_vhost(s, cfg->vhost, id);
}

/* Controllers are numbered as they are made, from 1. */
static uint16_t port_id(const struct device_list *list)
{
	const struct device *dev;
	uint16_t id = 1;

	for (dev = list->last; dev; dev = dev->next)
		id += dev->class == &virtio_scsi_class;
	return id;
}

static int virtio_scsi_create(struct platform *p, struct device_list *list, const char *id,
			      const void *config, struct device **dev)
{
	const struct virtio_scsi_cfg *cfg = config;
	struct virtio_scsi *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->platform = p;
	scsi_port_init(&s->port, port_id(list));
	s->port.trace = p->scsi_trace;
	r = take_options(s, cfg, id);
	if (r < 0) {
		scsi_port_fini(&s->port);
		free(s);
		return r;
	}
	*dev = &s->dev;
	return 0;
}

static void explain(const struct device *dev, FILE *out)
{
	const struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	fprintf(out, "  queues: control, event, and %u for requests%s; %u entries each\n",
		s->queues, s->queues == s->platform->cpus ? ", one for each CPU" : "",
		s->queue_size);
	fprintf(out, "  interrupts: by %s: %s\n", s->vdev.transport->name,
		s->vdev.transport->help);
	fprintf(out, "  disks: served %s\n", s->path.text);
}

static uint64_t memory(const struct device *dev)
{
	const struct virtio_scsi *s = container_of(dev, struct virtio_scsi, dev);

	return s->host ? scsi_host_memory(s->queues, s->queue_size, s->iothreads) : 0;
}

static int clean(FILE *out)
{
	return lio_clean(&lio_configfs, out);
}

const struct device_class virtio_scsi_class = {
	.name = VIRTIO_SCSI_CLASS,
	.help = "SCSI controller for scsi-disk",
	.opts = virtio_scsi_opts,
	.cfg_size = sizeof(struct virtio_scsi_cfg),
	.create = virtio_scsi_create,
	.ready = ready,
	.memory = memory,
	.explain = explain,
	.clean = clean,
	.virtio = virtio_scsi_vdev,
	.destroy = virtio_scsi_destroy,
};
