/* SPDX-License-Identifier: MIT */
/*
 * A balloon with a driver that does what the input says: numbers of any pages, statistics and
 * reports of any length, a config space written anyhow, damage to the ring. Meanwhile the host
 * asks. Afterwards a reset makes the device good again: a page goes back, and comes back.
 */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "tests/lib/vdriver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define QUEUES 5
#define SLOT 4096

enum action { PFNS, NEAR, STATISTICS, REPORT, CONFIG, RESIZE, ASK, FACTS, RESET, MEMORY, KICK,
	      ACTIONS };

struct fuzz {
	struct testbed tb;
	struct vdriver v;
};

static void put(struct vdriver *v, unsigned q, const void *data, uint32_t len, bool write)
{
	struct vdriver_queue *vq = &v->queue[q];
	struct driver_buf buf = {
		.gpa = vq->arena + (uint64_t)vq->ring.first_free * SLOT, .len = len, .write = write,
	};

	/* What comes back is not looked at, so a queue's ring is good for one round. */
	if (!vq->ring.nfree)
		return;
	mem_write(&v->tb->mem, buf.gpa, data, min_u64(len, SLOT));
	if (driver_add(&vq->ring, &buf, 1, 0) >= 0)
		vdriver_kick(v, q);
}

/* Pages around those of the driver's own rings. */
static void put_near(struct fuzz *f, struct fuzz_input *in, unsigned q, unsigned n)
{
	uint8_t raw[SLOT] = { 0 };
	unsigned i;

	for (i = 0; i < n && i < SLOT / 4; i++)
		le32_put(raw + 4 * i, TESTBED_HIGH / 4096 + fuzz_u8(in) * 16 + fuzz_u8(in) % 16);
	put(&f->v, q % 2, raw, 4 * n, false);
}

static void hear(struct device_facts *to, const char *key, uint64_t value)
{
	(void)to;
	BUG_ON(!key || value > INT64_MAX);
}

static void host_acts(struct fuzz *f, uint8_t what, uint8_t n)
{
	struct device *dev = device_find(&f->tb.devices, "virtio-balloon", NULL);
	struct device_facts to = { .number = hear };
	char heard[200];

	log_hear(heard, sizeof(heard));
	if (what == RESIZE)
		dev->class->balloon->resize(dev, (uint64_t)n << 20);
	else if (what == ASK)
		dev->class->balloon->ask(dev);
	log_hear(NULL, 0);
	dev->class->facts(dev, &to);
	dev->class->counters(dev, &to);
}

static void act(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in) % ACTIONS, q = fuzz_u8(in) % QUEUES, n = fuzz_u8(in);
	uint8_t raw[SLOT] = { 0 };

	switch (what) {
	case PFNS:
		fuzz_bytes(in, raw, n);
		put(&f->v, q, raw, n % 16 == 15 ? n * 256 : n, q & 4);
		break;
	case NEAR:
		put_near(f, in, q, n);
		break;
	case STATISTICS:
		fuzz_bytes(in, raw, n);
		put(&f->v, 2, raw, n, false);
		break;
	case REPORT:
		put(&f->v, 2 + q % 3, raw, n * 4096 + q, true);
		break;
	case CONFIG:
		vdriver_config_write(&f->v, n % 20, fuzz_u8(in) * 0x1010101u, 1u << q % 3);
		break;
	case RESET:
		vdriver_reset(&f->v);
		break;
	case MEMORY:
		fuzz_bytes(in, raw, 8);
		testbed_settle(&f->tb); /* what was found can then be found again */
		mem_write(&f->tb.mem, f->v.queue[q].ring.desc + n % 64 * 16, raw, 8);
		break;
	case KICK:
		vdriver_notify(&f->v, q);
		break;
	default:
		host_acts(f, what, n);
	}
}

static void start(struct fuzz *f, uint64_t features)
{
	BUG_ON(!vdriver_probe(&f->v, &f->tb, 0));
	BUG_ON(!vdriver_start(&f->v, features, QUEUES, 32));
}

static void check(struct fuzz *f)
{
	uint64_t gpa = testbed_alloc(&f->tb, 4096, 4096);
	uint8_t pfn[4], byte = 'x';
	struct iovec out = { pfn, sizeof(pfn) };

	mem_write(&f->tb.mem, gpa + 7, &byte, 1);
	le32_put(pfn, gpa / 4096);
	BUG_ON(vdriver_request(&f->v, 0, &out, 1, NULL, 0, 60000) != 0);
	mem_read(&f->tb.mem, gpa + 7, &byte, 1);
	BUG_ON(byte != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct fuzz f = { 0 };
	unsigned n;

	log_set_level(LOG_ERR);
	testbed_init(&f.tb);
	BUG_ON(device_create(&f.tb.p, &f.tb.devices, "virtio-balloon,transport=mmio") < 0);
	testbed_start(&f.tb);
	start(&f, (fuzz_u8(&in) & 0x3f) | ~0x3full);
	for (n = 0; n < 200 && in.left; n++)
		act(&f, &in);
	testbed_settle(&f.tb);
	vdriver_reset(&f.v);
	vdriver_fini(&f.v);
	start(&f, ~0ull);
	check(&f);
	vdriver_fini(&f.v);
	testbed_fini(&f.tb);
	return 0;
}
