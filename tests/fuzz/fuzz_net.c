/* SPDX-License-Identifier: MIT */
/*
 * A network device over a socket, with a driver and a program at the other end that do what the
 * input says: buffers of any length, frames with any header and length, bytes where a length should
 * stand, damage to the ring. Afterwards a reset makes the device good again, with a peer that keeps
 * to the protocol.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/net_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

enum action { GIVE, SEND, PEER_FRAME, PEER_BYTES, PEER_READS, RESET, MEMORY, KICK, SETTLE,
	      ACTIONS };

struct fuzz {
	struct testbed tb;
	struct vdriver v;
	int peer;
};

static void put(struct vdriver *v, unsigned q, const uint8_t *data, uint32_t len)
{
	struct vdriver_queue *vq = &v->queue[q];
	struct driver_buf buf = {
		.gpa = vq->arena + (uint64_t)vq->ring.first_free * NET_SLOT, .len = len,
		.write = q == NET_RX,
	};

	/* What comes back is not looked at, so a queue's ring is good for one round. */
	if (!vq->ring.nfree)
		return;
	mem_write(&v->tb->mem, buf.gpa, data, min_u64(len, NET_SLOT));
	if (driver_add(&vq->ring, &buf, 1, 0) >= 0)
		vdriver_kick(v, q);
}

static void act(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), q = fuzz_u8(in) % NET_QUEUES, len = fuzz_u8(in);
	uint8_t raw[NET_SLOT] = { 0 };

	switch (what % ACTIONS) {
	case GIVE:
		put(&f->v, NET_RX, raw, len * 8);
		break;
	case SEND:
		fuzz_bytes(in, raw, NET_HDR_LEN);
		put(&f->v, NET_TX, raw, len * 8);
		break;
	case PEER_FRAME:
		be32_put(raw, len * 16);
		send(f->peer, raw, 4 + len * 16, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case PEER_BYTES:
		fuzz_bytes(in, raw, len % 32);
		send(f->peer, raw, len % 32, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case PEER_READS:
		recv(f->peer, raw, sizeof(raw), MSG_DONTWAIT);
		break;
	case RESET:
		vdriver_reset(&f->v);
		break;
	case MEMORY:
		fuzz_bytes(in, raw, 8);
		testbed_settle(&f->tb); /* what was found can then be found again */
		mem_write(&f->tb.mem, f->v.queue[q].ring.desc + len % 64 * 16, raw, 8);
		break;
	case KICK:
		vdriver_notify(&f->v, q);
		break;
	case SETTLE:
		testbed_settle(&f->tb);
		break;
	}
}

/* A device of its own for each input, as a broken stream cannot be mended. */
static void start(struct fuzz *f, uint8_t features)
{
	char text[64];
	int pair[2];

	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0);
	f->peer = pair[0];
	snprintf(text, sizeof(text), "virtio-net,fd=%d,transport=mmio", pair[1]);
	BUG_ON(device_create(&f->tb.p, &f->tb.devices, text) < 0);
	BUG_ON(device_ready_all(&f->tb.devices) < 0); /* it is the only one */
	close(pair[1]);
	BUG_ON(!vdriver_probe(&f->v, &f->tb, 0));
	BUG_ON(!vdriver_start(&f->v, features & 1 ? NET_ALL : NET_UNMERGED, NET_QUEUES, 32));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct fuzz f = { 0 };
	unsigned n;

	log_set_level(LOG_ERR);
	testbed_init(&f.tb);
	testbed_start(&f.tb);
	start(&f, fuzz_u8(&in));
	for (n = 0; n < 200 && in.left; n++)
		act(&f, &in);
	testbed_settle(&f.tb);
	vdriver_reset(&f.v);
	vdriver_fini(&f.v);
	BUG_ON(!vdriver_probe(&f.v, &f.tb, 0));
	BUG_ON(!vdriver_start(&f.v, NET_ALL, NET_QUEUES, 32));
	BUG_ON(net_send(&f.v, NULL, data, len < 60 ? len : 60) != 0);
	vdriver_fini(&f.v);
	testbed_fini(&f.tb);
	close(f.peer);
	return 0;
}
