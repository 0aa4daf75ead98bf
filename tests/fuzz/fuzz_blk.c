/* SPDX-License-Identifier: MIT */
/*
 * A disk without SCSI: requests of any type, place and length, rings and memory that change under
 * it, kicks and resets at any time. A reset makes it whole again.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/lib/blk_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define QUEUES 2
#define SLOT 4096u

enum action { SEND, MEMORY, CONFIG, KICK, SETTLE, ACTIONS };

struct fuzz {
	struct testbed tb;
	struct vdriver v;
};

/* What comes back is not looked at, so that a queue's ring is good for one round. */
static void send(struct vdriver *v, unsigned q, uint8_t len, uint8_t cut, const uint8_t raw[64])
{
	struct vdriver_queue *vq = &v->queue[q];
	uint64_t at = vq->arena + (uint64_t)vq->ring.first_free * SLOT;
	uint32_t bytes = cut & 1 ? 16u * (len % 80) : 512u * (len % 4);
	struct driver_buf buf[] = {
		{ at, cut & 2 ? cut % 24 : BLK_HEADER, false },
		{ at + 64, bytes, cut & 4 },
		{ at + 32, cut & 8 ? 1 : cut % 3, true },
	};
	unsigned i, n = 0;

	if (vq->ring.nfree < 3)
		return;
	mem_write(&v->tb->mem, at, raw, 64);
	mem_write(&v->tb->mem, at + 64, raw + 16, 48);
	for (i = 0; i < ARRAY_SIZE(buf); i++)
		if (buf[i].len)
			buf[n++] = buf[i];
	if (n && driver_add(&vq->ring, buf, n, 0) >= 0)
		vdriver_kick(v, q);
}

static void act(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), q = fuzz_u8(in) % QUEUES, len = fuzz_u8(in), cut = fuzz_u8(in);
	uint8_t raw[64];

	fuzz_bytes(in, raw, what % ACTIONS == SEND ? 48 : 8);
	switch (what % ACTIONS) {
	case SEND:
		send(&f->v, q, len, cut, raw);
		break;
	case MEMORY:
		testbed_settle(&f->tb); /* what was found can then be found again */
		mem_write(&f->tb.mem, f->v.queue[q].ring.desc + len % 32 * 16, raw, 8);
		break;
	case CONFIG:
		vdriver_config_write(&f->v, len % 72, cut, 1 + q);
		break;
	case KICK:
		vdriver_notify(&f->v, q);
		break;
	case SETTLE:
		testbed_settle(&f->tb);
		break;
	}
}

static void start(struct fuzz *f)
{
	vdriver_fini(&f->v);
	testbed_release(&f->tb);
	BUG_ON(!vdriver_probe(&f->v, &f->tb, 0));
	BUG_ON(!vdriver_start(&f->v, ~0ull, QUEUES, 32));
}

static void make(struct fuzz *f)
{
	log_set_level(LOG_ERR);
	testbed_init(&f->tb);
	BUG_ON(device_create(&f->tb.p, &f->tb.devices, "virtio-blk,store=null,size=1M,queues=2,"
			     "transport=mmio,fault=discard:error=EIO") < 0);
	testbed_start(&f->tb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz f;
	struct fuzz_input in = { data, len };
	uint8_t sector[512];
	unsigned n;

	if (!f.tb.started)
		make(&f);
	start(&f);
	for (n = 0; n < 100 && in.left; n++)
		act(&f, &in);
	start(&f);
	BUG_ON(blk_driver_rw(&f.v, 0, false, 0, sector, sizeof(sector)).status != VIRTIO_BLK_S_OK);
	vdriver_reset(&f.v);
	return 0;
}
