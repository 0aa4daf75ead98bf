/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue whose state and whose memory are the input. What is popped must lie in memory, the
 * number of chains must be bounded, and broken must stay broken.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <linux/virtio_ring.h>

#include "virtio/queue.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"

#define RAM 0x4000u
#define PIECES 24

static void check_elements(const struct mem *mem, const struct vq_chain *c, const struct iovec *iov)
{
	unsigned i;

	BUG_ON(c->nout + c->nin > PIECES || c->out != iov || c->in != iov + c->nout);
	for (i = 0; i < c->nout + c->nin; i++) {
		const uint8_t *at = iov[i].iov_base, *ram = mem->region[0].hva;

		BUG_ON(at < ram || iov[i].iov_len > RAM || at + iov[i].iov_len > ram + RAM);
	}
}

static void serve(struct virtqueue *vq, const struct mem *mem, struct fuzz_input *in)
{
	struct iovec iov[PIECES];
	uint16_t head[64];
	unsigned n, held = 0, max = vq->s.size;
	struct vq_chain c;
	int r = 0;

	/* Nothing shown, so the driver may not go on: no more than the ring holds can come. */
	for (n = 0; held < 64 && (r = vq_pop(vq, &c, iov, PIECES)) > 0; n++) {
		check_elements(mem, &c, iov);
		BUG_ON(n == max || vq->inflight > max);
		head[held++] = c.head;
		if (fuzz_u8(in) & 1)
			vq_push(vq, head[--held], fuzz_u8(in));
	}
	BUG_ON((r < 0) != !!vq->broken || (r < 0 && vq_pop(vq, &c, iov, PIECES) != -EPROTO));
	while (held)
		vq_push(vq, head[--held], 0);
	vq_flush(vq);
	BUG_ON(vq_flush(vq) || vq->inflight || (vq->broken && vq_rearm(vq)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct mem mem;
	struct fuzz_input in = { data, len };
	struct virtqueue vq = { .s = { .max_size = 64, .ready = true } };
	uint8_t flags = fuzz_u8(&in);

	if (!mem.nregions)
		BUG_ON(mem_add(&mem, 0, RAM) < 0);
	vq.s.event_idx = flags & 1;
	vq.s.indirect = flags & 2;
	vq.s.size = flags & 4 ? fuzz_u8(&in) : 1 << (flags >> 5);
	vq.s.desc = fuzz_u8(&in) * 16u;
	vq.s.driver = fuzz_u8(&in) * 16u;
	vq.s.device = fuzz_u8(&in) * 16u;
	fuzz_bytes(&in, &vq.s.next_avail, sizeof(vq.s.next_avail));
	vq.s.next_used = vq.s.next_avail;
	fuzz_bytes(&in, mem.region[0].hva, RAM);
	if (vq_start(&vq, &mem) < 0)
		return 0;
	serve(&vq, &mem, &in);
	vq_rearm(&vq);
	vq_stop(&vq);
	return 0;
}
