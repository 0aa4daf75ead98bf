/* SPDX-License-Identifier: MIT */
/*
 * Memory balloon (virtio 1.3 §5.5): the guest gives pages that it does not need, and what it has
 * freed is given back to the host as it reports it. The same page comes back as zeroes when it is
 * touched, so nothing has to be done for that.
 *
 * The pages that a driver names may be in use, by itself, by a device's request that is on its way,
 * or by another process that serves one: all of them find zeroes then, which is the guest's loss.
 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/balloon_pages.h"
#include "devices/devices.h"
#include "virtio/virtio.h"
#include "vmm/core/clock.h"
#include "vmm/core/fail.h"
#include "vmm/core/iov.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

/*
 * By the clause the queues are 0 to 4, and 3, of hints, we have not. Linux counts those alone that
 * there are. So each but the first two is what the driver's features leave.
 */
enum { INFLATE, DEFLATE, STATS, QUEUES = 5, QUEUES_WITHOUT_REPORTS = 3, QUEUE_SIZE = 128 };

/* num_pages, actual, free_page_hint_cmd_id, poison_val. */
enum { NUM_PAGES = 0, ACTUAL = 4, POISON = 12, CONFIG_LEN = 16 };

/* Page numbers of one buffer; no driver sends more. Those after them are not given back. */
#define PFNS_MAX 1024
/* Of one buffer; there are not so many kinds. */
#define STATS_MAX 64
#define STAT_LEN 10

/* By their tags (§5.5.6.4); those without a name are of no interest. */
static const char *const stat_names[] = {
	"swap_in", "swap_out", "major_faults", "minor_faults", "free", "total", "available",
	"caches", "hugetlb_allocations", "hugetlb_failures", "oom_kills", "allocation_stalls",
	"async_scans", "direct_scans", "async_reclaims", "direct_reclaims",
};
#define NSTATS ARRAY_SIZE(stat_names)

struct virtio_balloon {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class; /* with the features of this one */
	struct platform *p;
	unsigned transport;
	bool reporting;
	struct balloon_pages pages;    /* the I/O thread's */
	uint8_t config[CONFIG_LEN];    /* under the device's lock */
	atomic_uint target, actual;    /* pages in the balloon: as we wish, as the driver says */
	atomic_uint poison;            /* what the driver fills free memory with */
	atomic_ullong inflated, deflated, reported, no_memory; /* pages; bytes; pages */
	atomic_ullong stat[NSTATS];
	atomic_uint has_stat;          /* bits: those that the driver has said */
	atomic_ullong said;            /* when it did, in ms; 0: never */
	atomic_bool wanted;            /* newer ones */
	bool seen;                     /* the buffer in the ring has been. The I/O thread's */
};

struct balloon_cfg {
	unsigned transport; /* enum virtio_transport */
	bool reporting, deflate_on_oom;
};

static const struct opt balloon_opts[] = {
	{ "reporting", OPT_BOOL, offsetof(struct balloon_cfg, reporting), "on",
	  .help = "memory that the guest has freed goes back to the host by itself" },
	{ "deflate-on-oom", OPT_BOOL, offsetof(struct balloon_cfg, deflate_on_oom), "on",
	  .help = "a guest that runs out of memory takes some from the balloon" },
	VIRTIO_TRANSPORT_OPT(struct balloon_cfg, transport),
	{ 0 }
};

static struct virtio_balloon *balloon_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_balloon, vdev);
}

static struct virtio_balloon *balloon_dev(const struct device *dev)
{
	return container_of(dev, struct virtio_balloon, dev);
}

/* Queues. */

static bool accepted(const struct virtio_device *vdev, unsigned feature)
{
	return vdev->accepted & VIRTIO_BIT(feature);
}

/* Parts of a page of the host's are remembered for who says when he takes one out. */
static bool may_put(const struct virtio_balloon *b)
{
	return b->pages.parts == 1 || accepted(&b->vdev, VIRTIO_BALLOON_F_MUST_TELL_HOST);
}

/* §5.5.6: numbers of pages, which go in or come out. Those that are none are left out. */
static uint32_t move_pages(struct virtio_device *vdev, unsigned q, const struct vq_chain *c)
{
	struct virtio_balloon *b = balloon_of(vdev);
	struct iovcur from = iov_cursor(c->out, c->nout);
	unsigned n, bad = 0;
	uint8_t raw[4];
	bool ok;

	for (n = 0; n < PFNS_MAX && iov_pull(&from, raw, sizeof(raw)); n++) {
		if (q == DEFLATE)
			ok = balloon_pages_take(&b->pages, le32_get(raw));
		else if (may_put(b))
			ok = balloon_pages_put(&b->pages, le32_get(raw));
		else
			continue;
		bad += !ok;
	}
	balloon_pages_flush(&b->pages);
	atomic_fetch_add(q == DEFLATE ? &b->deflated : &b->inflated, n - bad);
	atomic_fetch_add(&b->no_memory, bad);
	if (bad)
		log_guest(&vdev->limit, "%s: %u pages for the balloon are no memory", vdev->name,
			  bad);
	return 0;
}

/* §5.5.6.7: the buffers themselves are free. What is not zero when it is free must stay so. */
static uint32_t take_reports(struct virtio_device *vdev, unsigned q, const struct vq_chain *c)
{
	struct virtio_balloon *b = balloon_of(vdev);
	unsigned i;

	(void)q;
	if (accepted(vdev, VIRTIO_BALLOON_F_PAGE_POISON) && atomic_load(&b->poison))
		return 0;
	for (i = 0; i < c->nin; i++)
		atomic_fetch_add(&b->reported,
				 mem_drop(vdev->mem, c->in[i].iov_base, c->in[i].iov_len));
	return 0;
}

static uint32_t do_nothing(struct virtio_device *vdev, unsigned q, const struct vq_chain *c)
{
	(void)vdev;
	(void)q;
	(void)c;
	return 0;
}

static void read_stats(struct virtio_balloon *b, const struct vq_chain *c)
{
	struct iovcur from = iov_cursor(c->out, c->nout);
	uint8_t raw[STAT_LEN];
	unsigned n, tag;

	for (n = 0; n < STATS_MAX && iov_pull(&from, raw, sizeof(raw)); n++) {
		tag = le16_get(raw);
		if (tag >= NSTATS)
			continue;
		atomic_store(&b->stat[tag], le64_get(raw + 2));
		atomic_fetch_or(&b->has_stat, 1u << tag);
	}
	atomic_store(&b->said, now_ms());
}

/*
 * §5.5.6.3: there is one buffer, which the driver fills again when it gets it back. Until newer
 * ones are wanted it stays in the ring, so that nothing is in flight. One that has another behind
 * it goes back at once.
 */
static void stats_kick(struct virtio_balloon *b)
{
	struct virtqueue *vq = &b->vdev.vq[STATS];
	struct iovec iov[STATS_MAX];
	bool wanted, seen = b->seen;
	struct vq_chain c;
	int r = vq_pop(vq, &c, iov, STATS_MAX);

	b->seen = r > 0;
	if (r < 0) {
		virtio_queue_fault(&b->vdev, STATS);
		return;
	}
	if (r > 0 && !seen)
		read_stats(b, &c);
	wanted = r > 0 && atomic_exchange(&b->wanted, false);
	if (r == 0 || (wanted && seen) || vq_ahead(vq)) {
		b->seen = false;
		if (r > 0)
			vq_push(vq, c.head, 0);
		virtio_complete(&b->vdev, STATS);
		virtio_kick_end(&b->vdev, STATS);
		return;
	}
	vq_unpop(vq, 1);
	if (vq_rearm_beyond(vq, 1))
		virtio_queue_again(&b->vdev, STATS);
}

static void balloon_kick(struct virtio_device *vdev, unsigned q)
{
	struct virtio_balloon *b = balloon_of(vdev);

	if (q <= DEFLATE)
		virtio_answer_all(vdev, q, move_pages);
	else if (q == STATS && accepted(vdev, VIRTIO_BALLOON_F_STATS_VQ))
		stats_kick(b);
	else
		virtio_answer_all(vdev, q, accepted(vdev, VIRTIO_BALLOON_F_REPORTING) ?
				  take_reports : do_nothing);
}

static int balloon_queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	(void)loop;
	if (q == STATS)
		balloon_of(vdev)->seen = false;
	return 0;
}

/* The config space. */

static void balloon_config_reading(struct virtio_device *vdev)
{
	struct virtio_balloon *b = balloon_of(vdev);

	le32_put(b->config + NUM_PAGES, atomic_load(&b->target));
}

static void balloon_config_write(struct virtio_device *vdev, size_t off, const void *data,
				 size_t len)
{
	struct virtio_balloon *b = balloon_of(vdev);
	const uint8_t *from = data;

	for (; len--; off++, from++) {
		if ((off >= ACTUAL && off < ACTUAL + 4) || off >= POISON)
			b->config[off] = *from;
	}
	atomic_store(&b->actual, le32_get(b->config + ACTUAL));
	atomic_store(&b->poison, le32_get(b->config + POISON));
}

/* What is wished for stays: the next driver hears of it. */
static void balloon_reset(struct virtio_device *vdev)
{
	struct virtio_balloon *b = balloon_of(vdev);

	memset(b->config, 0, sizeof(b->config));
	atomic_store(&b->actual, 0);
	atomic_store(&b->poison, 0);
	atomic_store(&b->has_stat, 0);
	atomic_store(&b->said, 0);
	atomic_store(&b->wanted, false);
	balloon_pages_reset(&b->pages);
}

static uint64_t pages_of(const struct virtio_balloon *b)
{
	return mem_size(b->p->mem) / BALLOON_PAGE;
}

/* Which parts of a page of the host's were in is forgotten: they just stay. */
static void balloon_visit(struct virtio_device *vdev, struct state *s)
{
	struct virtio_balloon *b = balloon_of(vdev);
	uint32_t target = atomic_load(&b->target);

	state_u32(s, &target);
	state_check(s, target <= pages_of(b));
	state_atomic(s, &b->actual, UINT32_MAX);
	state_atomic(s, &b->poison, UINT32_MAX);
	if (!state_takes(s))
		return;
	atomic_store(&b->target, target);
	le32_put(b->config + ACTUAL, atomic_load(&b->actual));
	le32_put(b->config + POISON, atomic_load(&b->poison));
	balloon_pages_reset(&b->pages);
}

static const struct virtio_class balloon_virtio = {
	.name = "memory balloon",
	.id = VIRTIO_ID_BALLOON,
	.features = VIRTIO_BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST) |
		    VIRTIO_BIT(VIRTIO_BALLOON_F_STATS_VQ),
	.kick = balloon_kick,
	.queue_start = balloon_queue_start,
	.config_reading = balloon_config_reading,
	.config_write = balloon_config_write,
	.reset = balloon_reset,
	.state = balloon_visit,
};

/* What users ask. */

static int no_driver(const struct virtio_balloon *b)
{
	if (virtio_get_status(&b->vdev) & VIRTIO_CONFIG_S_DRIVER_OK &&
	    !virtio_is_broken(&b->vdev))
		return 0;
	log_err("%s: the guest has no driver for it, or not yet; Linux's is virtio_balloon",
		b->dev.id);
	return -ENODEV;
}

static int balloon_resize(struct device *dev, uint64_t size)
{
	struct virtio_balloon *b = balloon_dev(dev);
	uint64_t all = mem_size(b->p->mem);
	int r = no_driver(b);

	if (r < 0)
		return r;
	if (size > all) {
		log_err("%s: the guest has %lluM of memory, and cannot have more", dev->id,
			(unsigned long long)all >> 20);
		return -EUSAGE;
	}
	atomic_store(&b->target, (all - size) / BALLOON_PAGE);
	virtio_config_changed(&b->vdev);
	return 0;
}

static int balloon_ask(struct device *dev)
{
	struct virtio_balloon *b = balloon_dev(dev);
	int r = no_driver(b);

	if (r < 0)
		return r;
	atomic_store(&b->wanted, true);
	virtio_queue_again(&b->vdev, STATS);
	return 0;
}

static const struct device_balloon balloon_asked = { balloon_resize, balloon_ask };

static uint64_t left_with(const struct virtio_balloon *b, uint64_t inside)
{
	return (pages_of(b) - min_u64(inside, pages_of(b))) * BALLOON_PAGE;
}

/* What a guest says may be anything: but it is a number that JSON can have. */
static void balloon_facts(const struct device *dev, struct device_facts *to)
{
	struct virtio_balloon *b = balloon_dev(dev);
	uint64_t said = atomic_load(&b->said);
	unsigned has = atomic_load(&b->has_stat), i;

	to->number(to, "target", left_with(b, atomic_load(&b->target)));
	to->number(to, "memory", left_with(b, atomic_load(&b->actual)));
	if (!said)
		return;
	to->number(to, "age_ms", now_ms() - said);
	for (i = 0; i < NSTATS; i++) {
		if (has & 1u << i)
			to->number(to, stat_names[i], min_u64(atomic_load(&b->stat[i]), INT64_MAX));
	}
}

static int balloon_counters(struct device *dev, struct device_facts *to)
{
	struct virtio_balloon *b = balloon_dev(dev);

	to->number(to, "inflated_pages", atomic_load(&b->inflated));
	to->number(to, "deflated_pages", atomic_load(&b->deflated));
	to->number(to, "no_memory_pages", atomic_load(&b->no_memory));
	to->number(to, "inflated_bytes_freed", atomic_load(&b->pages.dropped));
	to->number(to, "reported_bytes_freed", atomic_load(&b->reported));
	return 0;
}

/* Making and taking down. */

static int balloon_ready(struct device *dev)
{
	struct virtio_balloon *b = balloon_dev(dev);
	struct virtio_spec spec = {
		.name = dev->id,
		.class = &b->class,
		.config = b->config,
		.config_len = CONFIG_LEN,
		.nvq = b->reporting ? QUEUES : QUEUES_WITHOUT_REPORTS,
		.queue_size = QUEUE_SIZE,
		.transport = b->transport,
	};

	if (b->p->pins) {
		log_err("%s: %s has the kernel keep all of the guest's memory, so none can be "
			"given back; leave one of them out, or give the disk io=threads", dev->id,
			b->p->pins);
		return -EUSAGE;
	}
	return virtio_make(&b->vdev, b->p, &spec);
}

static int balloon_create(struct platform *p, struct device_list *list, const char *id,
			  const void *config, struct device **dev)
{
	const struct balloon_cfg *cfg = config;
	struct virtio_balloon *b;

	if (device_find(list, "virtio-balloon", NULL)) {
		log_err("%s: there is a balloon already, and a guest has one", id);
		return -EUSAGE;
	}
	b = calloc(1, sizeof(*b));
	if (!b || balloon_pages_init(&b->pages, p->mem, sysconf(_SC_PAGESIZE)) < 0) {
		free(b);
		log_err("%s: out of memory", id);
		return -ENOMEM;
	}
	b->p = p;
	b->transport = cfg->transport;
	b->reporting = cfg->reporting;
	b->class = balloon_virtio;
	if (cfg->reporting)
		b->class.features |= VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING) |
				     VIRTIO_BIT(VIRTIO_BALLOON_F_PAGE_POISON);
	if (cfg->deflate_on_oom)
		b->class.features |= VIRTIO_BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	p->balloon = true;
	*dev = &b->dev;
	return 0;
}

static void balloon_destroy(struct device *dev)
{
	struct virtio_balloon *b = balloon_dev(dev);

	virtio_unmake(&b->vdev);
	b->p->balloon = false;
	balloon_pages_fini(&b->pages);
	free(b);
}

static struct virtio_device *balloon_vdev(struct device *dev)
{
	return &balloon_dev(dev)->vdev;
}

static uint64_t balloon_memory(const struct device *dev)
{
	return balloon_pages_memory(&balloon_dev(dev)->pages);
}

static void balloon_explain(const struct device *dev, FILE *out)
{
	const struct virtio_balloon *b = balloon_dev(dev);

	fprintf(out, "  transport: %s, %s\n", b->vdev.transport->name,
		b->vdev.transport->help);
	fprintf(out, "  memory that the guest frees: %s\n", b->reporting ?
		"goes back as it reports it" : "stays, but for what lunette ctl asks for");
}

const struct device_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.nick = "balloon",
	.help = "gives the host the memory that the guest does not need",
	.opts = balloon_opts,
	.cfg_size = sizeof(struct balloon_cfg),
	.create = balloon_create,
	.balloon = &balloon_asked,
	.facts = balloon_facts,
	.counters = balloon_counters,
	.ready = balloon_ready,
	.virtio = balloon_vdev,
	.virtio_id = VIRTIO_ID_BALLOON,
	.memory = balloon_memory,
	.explain = balloon_explain,
	.destroy = balloon_destroy,
};
