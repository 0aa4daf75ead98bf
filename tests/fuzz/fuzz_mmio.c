/* SPDX-License-Identifier: MIT */
/*
 * A whole device, its registers and its memory. The input is a list of accesses; whatever they do,
 * a reset makes the device whole again.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/lib/vdriver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

enum action { READ, WRITE, REGISTER, MEMORY, KICK, SETTLE, START, ACTIONS };

static void act(struct testbed *tb, struct vdriver *v, struct fuzz_input *in)
{
	uint8_t raw[8], len;
	uint16_t at;

	switch (fuzz_u8(in) % ACTIONS) {
	case READ:
	case WRITE:
		fuzz_bytes(in, &at, sizeof(at));
		len = fuzz_u8(in);
		fuzz_bytes(in, raw, sizeof(raw));
		if (len & 0x80)
			bus_read(&tb->mmio, v->base + at % 0x120, raw, 1 + len % 8);
		else
			bus_write(&tb->mmio, v->base + at % 0x120, raw, 1 + len % 8);
		break;
	case REGISTER:
		len = fuzz_u8(in);
		fuzz_bytes(in, raw, 4);
		vdriver_write32(v, 4 * (len % 64), le32_get(raw));
		break;
	case MEMORY: /* in the part that a driver's rings are in, or anywhere low */
		fuzz_bytes(in, &at, sizeof(at));
		fuzz_bytes(in, raw, sizeof(raw));
		testbed_settle(tb); /* what was found can then be found again */
		mem_write(&tb->mem, (v->nqueues ? v->queue[0].ring.desc : 0) + at % 0x800, raw, 8);
		break;
	case KICK:
		vdriver_notify(v, fuzz_u8(in) % 4);
		break;
	case SETTLE:
		testbed_settle(tb);
		break;
	case START:
		if (!v->nqueues)
			vdriver_start(v, ~0ull, 1, 1 << fuzz_u8(in) % 8);
		break;
	}
}

static void start_again(struct testbed *tb, struct vdriver *v)
{
	vdriver_fini(v);
	testbed_release(tb);
	BUG_ON(!vdriver_probe(v, tb, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct testbed tb;
	static struct vdriver v;
	struct fuzz_input in = { data, len };
	struct iovec buf = { (uint8_t[16]){ 0 }, 16 };
	unsigned n;

	if (!tb.started) {
		log_set_level(LOG_ERR);
		testbed_init(&tb);
		BUG_ON(device_create(&tb.p, &tb.devices, "virtio-rng,transport=mmio") < 0);
		testbed_start(&tb);
		BUG_ON(!vdriver_probe(&v, &tb, 0));
	}
	for (n = 0; n < 500 && in.left; n++)
		act(&tb, &v, &in);
	start_again(&tb, &v);
	BUG_ON(!vdriver_start(&v, ~0ull, 1, 8));
	BUG_ON(vdriver_request(&v, 0, NULL, 0, &buf, 1, 5000) != 16);
	start_again(&tb, &v);
	return 0;
}
