/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.c - a disk without SCSI (virtio 1.3 §5.2): options, config space, and
 * what is done to it while the guest runs. Its queues are served by blk_host.c.
 *
 * The driver knows it by its place among such disks alone (vda, vdb), and by a
 * serial number of 20 bytes. It is there from the start, as there is no bus that it
 * could come to later; and it has no sense data, so fault= can say no more than that
 * a request fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/blk_host.h"
#include "devices/devices.h"
#include "devices/disk_name.h"
#include "devices/medium.h"
#include "virtio/virtio.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

struct virtio_blk_cfg {
	struct medium_cfg medium;
	const char *serial;
	uint32_t queues, queue_size, iothreads;
	unsigned transport; /* enum virtio_transport */
	unsigned block_size, physical_block;
	bool discard;
};

#define QUEUES_MAX 64
#define QUEUES_CPUS (QUEUES_MAX + 1) /* stands for: as many as there are CPUs */
#define BEST_TRANSFER (1u << 20)     /* bytes */

static const char *const queues_words[] = { "cpus", NULL };

#define OPTION(name) offsetof(struct virtio_blk_cfg, name)

static const struct opt virtio_blk_opts[] = {
	{ .key = "file", .type = OPT_STR, .offset = OPTION(medium.file), .arg = "FILE",
	  .help = "image or block device; 'file=' may be left out" },
	{ .key = "serial", .type = OPT_STR, .offset = OPTION(serial), .arg = "TEXT",
	  .help = "serial number, up to 20 characters (default the file's name, or a digest)" },
	MEDIUM_BLOCK_OPTS(struct virtio_blk_cfg, block_size, physical_block),
	{ .key = "discard", .type = OPT_BOOL, .offset = OPTION(discard), .def = "on",
	  .help = "give space back that the guest discards, where the store can" },
	{ .key = "queues", .type = OPT_U32, .offset = OPTION(queues), .def = "cpus", .min = 1,
	  .max = QUEUES_MAX, .words = queues_words,
	  .help = "cpus is one for each CPU of the guest" },
	/* With less, a request does not fit in the ring: header, buffer and status. */
	{ .key = "queue-size", .type = OPT_U32, .offset = OPTION(queue_size), .def = "256",
	  .min = 4, .max = 1024, .help = "entries of each queue, a power of two" },
	{ .key = "iothreads", .type = OPT_U32, .offset = OPTION(iothreads), .def = "1", .min = 1,
	  .max = BLK_HOST_THREADS_MAX, .help = "threads that serve the queues in turn" },
	VIRTIO_TRANSPORT_OPT(struct virtio_blk_cfg, transport),
	MEDIUM_OPTS(struct virtio_blk_cfg, medium),
	{ 0 }
};

/* Up to the fields of secure erase. */
#define CONFIG_LEN (offsetof(struct virtio_blk_config, unused1) + 3)

struct virtio_blk {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class; /* with the features of this one */
	struct platform *platform;
	struct medium medium;
	struct blk_host host;
	uint32_t queues, queue_size, iothreads, physical_block;
	unsigned transport; /* enum virtio_transport */
	uint8_t config[CONFIG_LEN];
};

extern const struct device_class virtio_blk_class;

static struct virtio_blk *blk_of(struct device *dev)
{
	return container_of(dev, struct virtio_blk, dev);
}

/* As a virtio device. */

static struct blk_host *host_of(struct virtio_device *vdev)
{
	return &container_of(vdev, struct virtio_blk, vdev)->host;
}

static void kick(struct virtio_device *vdev, unsigned q)
{
	blk_host_kick(host_of(vdev), q);
}

static int queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	return blk_host_start(host_of(vdev), q, loop);
}

static void queue_stop(struct virtio_device *vdev, unsigned q)
{
	blk_host_stop(host_of(vdev), q);
}

#define FIELD(name) offsetof(struct virtio_blk_config, name)

/* The main thread may have resized it, and who has the lock alone may write config. */
static void config_reading(struct virtio_device *vdev)
{
	uint64_t capacity = atomic_load(&host_of(vdev)->block)->size / 512;

	vdev->config[FIELD(wce)] = blk_host_has_cache(host_of(vdev));
	if (le64_get(vdev->config + FIELD(capacity)) == capacity)
		return;
	le64_put(vdev->config + FIELD(capacity), capacity);
	atomic_fetch_add(&vdev->generation, 1);
}

/* A driver that cannot flush must not have a cache. */
static void config_write(struct virtio_device *vdev, size_t off, const void *data, size_t len)
{
	uint64_t both = VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);

	if ((vdev->accepted & both) == both && off <= FIELD(wce) && off + len > FIELD(wce))
		atomic_store(&host_of(vdev)->writeback,
			     ((const uint8_t *)data)[FIELD(wce) - off] & 1);
}

static void reset(struct virtio_device *vdev)
{
	struct blk_host *h = host_of(vdev);

	atomic_store(&h->writeback, true);
	if (virtio_get_status(vdev) & VIRTIO_CONFIG_S_DRIVER_OK)
		atomic_fetch_add(&h->resets, 1);
}

static void visit(struct virtio_device *vdev, struct state *s)
{
	bool writeback = atomic_load(&host_of(vdev)->writeback);

	state_bool(s, &writeback);
	if (state_takes(s))
		atomic_store(&host_of(vdev)->writeback, writeback);
}

static const struct virtio_class blk_virtio = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.pci_class = 0x018000, /* mass storage, other */
	.features = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
		    VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) | VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) |
		    VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) | VIRTIO_BIT(VIRTIO_BLK_F_MQ),
	.config_reading = config_reading,
	.config_write = config_write,
	.kick = kick,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.reset = reset,
	.state = visit,
};

static void put_discard(struct virtio_blk *b)
{
	uint32_t granularity = b->medium.block->discard_granularity;

	b->class.features |= VIRTIO_BIT(VIRTIO_BLK_F_DISCARD);
	le32_put(b->config + FIELD(max_discard_sectors), BLK_HOST_DISCARD_MAX / 512);
	le32_put(b->config + FIELD(max_discard_seg), BLK_HOST_SEGMENTS_MAX);
	if (granularity < b->host.block_size)
		granularity = b->host.block_size;
	le32_put(b->config + FIELD(discard_sector_alignment), granularity / 512);
}

/* What this disk can do, and how it likes to be used. The rest is put there as it is read. */
static void put_config(struct virtio_blk *b)
{
	uint32_t bs = b->host.block_size;
	uint8_t *c = b->config;

	b->class = blk_virtio;
	le32_put(c + FIELD(seg_max), min_u64(BLK_HOST_SEG_MAX, b->queue_size - 2));
	le32_put(c + FIELD(blk_size), bs);
	c[FIELD(physical_block_exp)] = (uint8_t)__builtin_ctz(b->physical_block / bs);
	le16_put(c + FIELD(min_io_size), min_u64(b->physical_block / bs, UINT16_MAX));
	le32_put(c + FIELD(opt_io_size), BEST_TRANSFER / bs);
	le16_put(c + FIELD(num_queues), b->queues);
	if (b->medium.block->readonly) {
		b->class.features |= VIRTIO_BIT(VIRTIO_BLK_F_RO);
		return;
	}
	if (b->host.discard)
		put_discard(b);
	b->class.features |= VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	le32_put(c + FIELD(max_write_zeroes_sectors), BLK_HOST_ZEROES_MAX / 512);
	le32_put(c + FIELD(max_write_zeroes_seg), BLK_HOST_SEGMENTS_MAX);
	c[FIELD(write_zeroes_may_unmap)] = b->host.discard;
}

/* Its serial number. */

static const struct device *whose(const struct device_list *list, const char *serial)
{
	struct device *dev;

	for (dev = list->last; dev; dev = dev->next) {
		if (dev->class == &virtio_blk_class && !strcmp(blk_of(dev)->host.serial, serial))
			return dev;
	}
	return NULL;
}

/* The user's, or the file's name; of a second such disk its id. */
static int choose_serial(struct virtio_blk *b, const struct device_list *list, const char *id,
			 const char *serial)
{
	char text[DISK_DIGEST_MAX];
	const struct device *other;

	if (!serial) {
		serial = disk_name_of_file(b->medium.block->path, VIRTIO_BLK_ID_BYTES, text);
		serial = whose(list, serial) ? id : serial;
	}
	if (disk_name_check(id, serial, VIRTIO_BLK_ID_BYTES) < 0)
		return -EUSAGE;
	other = whose(list, serial);
	if (other) {
		log_err("%s: serial=%s: is in use by %s; give another serial=", id, serial,
			other->id);
		return -EUSAGE;
	}
	strcpy(b->host.serial, serial);
	return 0;
}

/* Making and taking down. */

static int refuse_sense(const char *id, const char *rules)
{
	if (!rules || !strstr(rules, ":sense="))
		return 0;
	log_err("%s: fault=%s: sense= is for SCSI disks, as virtio-blk has no sense data; "
		"error=EIO will do", id, rules);
	return -EUSAGE;
}

static int take_options(struct virtio_blk *b, const struct virtio_blk_cfg *cfg, const char *id)
{
	b->queues = cfg->queues;
	if (b->queues == QUEUES_CPUS)
		b->queues = b->platform->cpus ? min_u64(b->platform->cpus, QUEUES_MAX) : 1;
	b->queue_size = cfg->queue_size;
	b->iothreads = cfg->iothreads;
	b->transport = cfg->transport;
	b->host.block_size = medium_block_sizes[cfg->block_size];
	if (!is_power_of_2(b->queue_size))
		log_err("%s: queue-size=%u: is not a power of two", id, b->queue_size);
	else if (b->iothreads > b->queues)
		log_err("%s: iothreads=%u: queues=%u gives work to so many only; raise queues", id,
			b->iothreads, b->queues);
	else
		return refuse_sense(id, cfg->medium.fault);
	return -EUSAGE;
}

static int open_medium(struct virtio_blk *b, const struct device_list *list, const char *id,
		       const struct virtio_blk_cfg *cfg)
{
	const struct block *block;
	int r = medium_init(&b->medium, b->platform, id, &cfg->medium, b->host.block_size, "--disk",
			    false);

	if (r < 0)
		return r;
	block = b->medium.block;
	b->host.block = b->medium.block;
	b->host.discard = cfg->discard && block->can_discard;
	b->physical_block = cfg->physical_block ? medium_physical_sizes[cfg->physical_block] :
						  block->physical_block;
	if (b->physical_block < b->host.block_size)
		b->physical_block = b->host.block_size;
	r = choose_serial(b, list, id, cfg->serial);
	if (r < 0)
		medium_fini(&b->medium);
	else
		put_config(b);
	return r;
}

static int create(struct platform *p, struct device_list *list, const char *id,
		  const void *config, struct device **dev)
{
	struct virtio_blk *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	b->platform = p;
	r = take_options(b, config, id);
	if (!r)
		r = open_medium(b, list, id, config);
	if (r < 0)
		free(b);
	else
		*dev = &b->dev;
	return r;
}

static int make_loops(struct virtio_blk *b, struct loop **loop)
{
	char name[24];
	unsigned i;

	for (i = 0; i < b->iothreads; i++) {
		snprintf(name, sizeof(name), "%.11s.%u", b->dev.id, i);
		loop[i] = b->platform->iothread(b->platform, name);
		if (!loop[i]) {
			log_err("%s: no I/O thread: %s", b->dev.id, strerror(errno));
			return -errno;
		}
	}
	return 0;
}

static int ready(struct device *dev)
{
	struct loop *loop[BLK_HOST_THREADS_MAX];
	struct virtio_blk *b = blk_of(dev);
	struct virtio_spec spec = {
		.name = dev->id,
		.class = &b->class,
		.config = b->config,
		.config_len = CONFIG_LEN,
		.nvq = b->queues,
		.queue_size = b->queue_size,
		.transport = b->transport,
		.loop = loop,
		.nloops = b->iothreads,
	};
	int r = make_loops(b, loop);

	if (r < 0)
		return r;
	r = blk_host_open(&b->host, &b->vdev, b->queues, loop, b->iothreads);
	if (r < 0) {
		log_err("%s: out of memory", dev->id);
		return r;
	}
	return virtio_make(&b->vdev, b->platform, &spec);
}

static void destroy(struct device *dev)
{
	struct virtio_blk *b = blk_of(dev);

	virtio_unmake(&b->vdev);
	blk_host_close(&b->host);
	medium_fini(&b->medium);
	free(b);
}

/* Nobody does I/O on it any more. */
static int finish(struct device *dev)
{
	struct virtio_blk *b = blk_of(dev);

	virtio_device_stop(&b->vdev);
	return medium_finish(&b->medium);
}

/* While the guest runs. */

static void settle(void *host)
{
	blk_host_settle(host);
}

static int resize(struct device *dev, uint64_t size)
{
	struct virtio_blk *b = blk_of(dev);
	int r;

	if (!size || size % b->host.block_size) {
		log_err("%s: %llu bytes: a multiple of the block size, %u, is wanted", dev->id,
			(unsigned long long)size, b->host.block_size);
		return -EUSAGE;
	}
	if (size == b->medium.block->size)
		return 0;
	r = block_resize(b->medium.block, size, settle, &b->host);
	if (!r)
		virtio_config_changed(&b->vdev);
	return r;
}

static int has_it_for_good(const struct device *dev)
{
	log_err("%s: has a medium that stays in it; a SCSI disk with removable=on may be without",
		dev->id);
	return -EUSAGE;
}

static int eject(struct device *dev)
{
	return has_it_for_good(dev);
}

static int insert(struct device *dev, const char *file)
{
	(void)file;
	return has_it_for_good(dev);
}

static int fault(struct device *dev, const char *rules)
{
	struct virtio_blk *b = blk_of(dev);
	int r = refuse_sense(dev->id, rules);

	if (!r)
		r = medium_fault(&b->medium, rules);
	if (r < 0)
		return r;
	r = blk_host_swap(&b->host, b->medium.block);
	if (r < 0)
		log_err("%s: fault=: %s", dev->id, strerror(-r));
	return r;
}

static int keep(struct device *dev, int folder)
{
	struct virtio_blk *b = blk_of(dev);

	if (!medium_changes_vanish(&b->medium))
		return 0;
	virtio_device_stop(&b->vdev);
	return medium_keep(&b->medium, dev->id, folder);
}

static const struct device_medium medium_ops = {
	.resize = resize, .eject = eject, .insert = insert, .fault = fault, .keep = keep,
};

/* What is told. */

static void facts(const struct device *dev, struct device_facts *to)
{
	const struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);

	to->text(to, "served", "process");
	to->text(to, "serial", b->host.serial);
	to->text(to, "medium", "in");
	medium_facts(&b->medium, to);
}

static int counters(struct device *dev, struct device_facts *to)
{
	struct block_counters sum = { 0 };

	blk_host_count(&blk_of(dev)->host, &sum);
	medium_counters(&sum, to);
	return 0;
}

static const char *discard_words(const struct virtio_blk *b)
{
	if (b->medium.block->readonly)
		return "off, as nothing is written";
	if (b->host.discard)
		return "gives space back";
	return b->medium.block->can_discard ? "off, as asked" : "off, as the store cannot";
}

static void explain(const struct device *dev, FILE *out)
{
	const struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);
	const struct block *block = b->medium.block;

	utf8_line(out, "  image: %s, %llu bytes in blocks of %u, %s", block->path,
		  (unsigned long long)block->size, b->host.block_size,
		  block->readonly ? "write-protected" : "writable");
	if (block->by)
		utf8_line(out, "  image served by: %s", block->by);
	fprintf(out, "  queues: %u%s; %u entries each; served in process\n", b->queues,
		b->queues == b->platform->cpus ? ", one for each CPU" : "", b->queue_size);
	fprintf(out, "  interrupts: by %s: %s\n", b->vdev.transport->name,
		b->vdev.transport->help);
	fprintf(out, "  serial number: %s\n", b->host.serial);
	fprintf(out, "  discard: %s\n", discard_words(b));
}

static uint64_t memory(const struct device *dev)
{
	const struct virtio_blk *b = container_of(dev, struct virtio_blk, dev);

	return blk_host_memory(b->queues, b->queue_size);
}

static struct virtio_device *vdev_of(struct device *dev)
{
	return &blk_of(dev)->vdev;
}

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.nick = "blk",
	.help = "disk without SCSI; --disk FILE,on=blk is short for it",
	.opts = virtio_blk_opts,
	.first_opt = "file",
	.cfg_size = sizeof(struct virtio_blk_cfg),
	.create = create,
	.ready = ready,
	.finish = finish,
	.medium = &medium_ops,
	.facts = facts,
	.counters = counters,
	.virtio_id = VIRTIO_ID_BLOCK,
	.memory = memory,
	.explain = explain,
	.virtio = vdev_of,
	.destroy = destroy,
};
