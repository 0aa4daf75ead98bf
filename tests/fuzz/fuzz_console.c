/* SPDX-License-Identifier: MIT */
/*
 * A console device with ports: control messages of any content, buffers of any size on any queue,
 * rings that change under it, input and output at any time. A reset makes it whole again.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/console_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define QUEUES (CONSOLE_TX(2) + 1)

enum action { TELL, GIVE, PUT, INPUT, RESIZE, MEMORY, KICK, SETTLE, ACTIONS };

struct fuzz {
	struct testbed tb;
	struct console_terminal term;
	struct vdriver v;
};

/* What comes back is not looked at, so that a queue's ring is good for one round. */
static bool has_room(const struct vdriver *v, unsigned q)
{
	return v->queue[q].ring.nfree;
}

static void act(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), q = fuzz_u8(in) % QUEUES, len = fuzz_u8(in) % 64;
	uint8_t raw[64] = { 0 };

	switch (what % ACTIONS) {
	case TELL:
		q = CONSOLE_CTL_TX;
		/* fall through */
	case PUT:
		fuzz_bytes(in, raw, len);
		if (has_room(&f->v, q))
			console_put(&f->v, q, raw, len);
		break;
	case GIVE:
		if (has_room(&f->v, q))
			console_give(&f->v, q, len);
		break;
	case INPUT:
		f->term.user->input(f->term.dev, raw, len);
		break;
	case RESIZE:
		f->term.user->resized(f->term.dev, len, q);
		break;
	case MEMORY:
		fuzz_bytes(in, raw, 8);
		testbed_settle(&f->tb); /* what was found can then be found again */
		mem_write(&f->tb.mem, f->v.queue[q].ring.desc + len * 16, raw, 8);
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
	f->term.len = 0;
	BUG_ON(!vdriver_probe(&f->v, &f->tb, 0));
	BUG_ON(!vdriver_start(&f->v, ~0ull, QUEUES, 32));
}

static void make(struct fuzz *f)
{
	char text[64];

	log_set_level(LOG_ERR);
	testbed_init(&f->tb);
	console_terminal_init(&f->term, &f->tb);
	snprintf(text, sizeof(text), "console-port,b,out=/dev/null,in-fd=%d",
		 open("/dev/zero", O_RDONLY));
	BUG_ON(device_create(&f->tb.p, &f->tb.devices, "virtio-console,transport=mmio") < 0 ||
	       device_create(&f->tb.p, &f->tb.devices, "console-port,a") < 0 ||
	       device_create(&f->tb.p, &f->tb.devices, text) < 0);
	testbed_start(&f->tb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct fuzz f;
	struct fuzz_input in = { data, len };
	unsigned n;

	if (!f.tb.started)
		make(&f);
	start(&f);
	for (n = 0; n < 200 && in.left; n++)
		act(&f, &in);
	start(&f);
	BUG_ON(!console_open(&f.v, 0, 3));
	vdriver_reset(&f.v);
	return 0;
}
