/* SPDX-License-Identifier: MIT */
/*
 * A socket device over Unix sockets, with a driver and programs of the host that do what the input
 * says: packets with any header, buffers of any length, callers that say anything, ends in
 * mid-stream, damage to the ring. Afterwards a reset makes the device good again, and who asks for
 * what nobody listens at is refused.
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/vsock_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define CID 9
#define PORTS 4 /* of each side; programs of the host listen at the first two */
#define CALLERS 4
#define HDR_LEN sizeof(struct virtio_vsock_hdr)

enum action { GIVE, SEND, LIE, CALL, SAY, HEAR, LEAVE, RESET, MEMORY, KICK, SETTLE, ACTIONS };

struct fuzz {
	struct testbed tb;
	struct vdriver v;
	char folder[32], path[40];
	int listener[2], caller[CALLERS], callee[CALLERS];
};

static void put(struct vdriver *v, unsigned q, const uint8_t *data, uint32_t len)
{
	struct vdriver_queue *vq = &v->queue[q];
	struct driver_buf buf = {
		.gpa = vq->arena + (uint64_t)vq->ring.first_free * VSOCK_SLOT, .len = len,
		.write = q != VSOCK_TX,
	};

	/* What comes back is not looked at, so a queue's ring is good for one round. */
	if (!vq->ring.nfree)
		return;
	mem_write(&v->tb->mem, buf.gpa, data, min_u64(len, VSOCK_SLOT));
	if (driver_add(&vq->ring, &buf, 1, 0) >= 0)
		vdriver_kick(v, q);
}

/* Mostly right: one of a few connections, by one of the operations. */
static void put_packet(struct fuzz *f, struct fuzz_input *in, uint8_t len)
{
	uint8_t raw[VSOCK_SLOT] = { 0 }, ports = fuzz_u8(in), op = fuzz_u8(in);

	le64_put(raw, CID);
	le64_put(raw + 8, VSOCK_HOST_CID);
	le32_put(raw + 16, ports % PORTS);
	le32_put(raw + 20, ports / 16 % PORTS);
	le32_put(raw + 24, op % 8 == VIRTIO_VSOCK_OP_RW ? len * 8 : 0);
	le16_put(raw + 28, VIRTIO_VSOCK_TYPE_STREAM);
	le16_put(raw + 30, op % 8);
	le32_put(raw + 32, op / 8 % 4);
	le32_put(raw + 36, (uint32_t)fuzz_u8(in) << fuzz_u8(in) % 32);
	le32_put(raw + 40, fuzz_u8(in));
	put(&f->v, VSOCK_TX, raw, HDR_LEN + len * 8);
}

static void set_fd(int *fd, int to)
{
	if (*fd >= 0)
		close(*fd);
	*fd = to;
}

/* A program of the host's, by one that it has called or that has called it. */
static void host_acts(struct fuzz *f, struct fuzz_input *in, uint8_t what, uint8_t n)
{
	int *fd = n & 1 ? &f->caller[n / 2 % CALLERS] : &f->callee[n / 2 % CALLERS];
	uint8_t raw[VSOCK_SLOT];
	char line[32];

	switch (what) {
	case CALL:
		set_fd(&f->caller[n % CALLERS], vsock_connect(f->path));
		snprintf(line, sizeof(line), "CONNECT %u\n", n / 16 % PORTS);
		send(f->caller[n % CALLERS], line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
		set_fd(&f->callee[n % CALLERS],
		       accept4(f->listener[n & 1], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
		break;
	case SAY:
		fuzz_bytes(in, raw, n % 64);
		send(*fd, raw, n & 64 ? sizeof(raw) : n % 64, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case HEAR:
		recv(*fd, raw, sizeof(raw), MSG_DONTWAIT);
		break;
	case LEAVE:
		if (n & 64)
			shutdown(*fd, n & 128 ? SHUT_WR : SHUT_RD);
		else
			set_fd(fd, -1);
		break;
	}
}

static void act(struct fuzz *f, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in) % ACTIONS, q = fuzz_u8(in) % VSOCK_QUEUES, len = fuzz_u8(in);
	uint8_t raw[VSOCK_SLOT] = { 0 };

	switch (what) {
	case GIVE:
		put(&f->v, q ? VSOCK_RX : VSOCK_EVENT, raw, len < 8 ? len : len * 16);
		break;
	case SEND:
		put_packet(f, in, len);
		break;
	case LIE:
		fuzz_bytes(in, raw, HDR_LEN);
		put(&f->v, VSOCK_TX, raw, len);
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
	default:
		host_acts(f, in, what, len);
	}
}

static void begin(struct fuzz *f)
{
	char text[100];
	unsigned i;

	snprintf(f->folder, sizeof(f->folder), "/tmp/fuzz-vsock-XXXXXX");
	BUG_ON(!mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/v", f->folder);
	for (i = 0; i < CALLERS; i++)
		f->caller[i] = f->callee[i] = -1;
	for (i = 0; i < 2; i++) {
		f->listener[i] = vsock_listen(f->path, i);
		/* A program that is slow to take its callers is no reason to wait. */
		BUG_ON(fcntl(f->listener[i], F_SETFL, O_NONBLOCK) < 0);
	}
	snprintf(text, sizeof(text), "virtio-vsock,%u,path=%s,connections=6,transport=mmio", CID,
		 f->path);
	BUG_ON(device_create(&f->tb.p, &f->tb.devices, text) < 0);
	BUG_ON(device_ready_all(&f->tb.devices) < 0); /* it is the only one */
}

static void start(struct fuzz *f)
{
	BUG_ON(!vdriver_probe(&f->v, &f->tb, 0));
	BUG_ON(!vdriver_start(&f->v, ~0ull, VSOCK_QUEUES, 32));
}

/* With nobody listening, a request is refused. */
static void check(struct fuzz *f)
{
	struct vsock_packet p;

	vsock_give(&f->v, 4);
	BUG_ON(vsock_send(&f->v, CID, VIRTIO_VSOCK_OP_REQUEST, 77, PORTS) != 0);
	do /* who has called meanwhile may be before it */
		BUG_ON(!vsock_take(&f->v, &p, VSOCK_WAIT_MS));
	while (p.op == VIRTIO_VSOCK_OP_REQUEST);
	BUG_ON(p.op != VIRTIO_VSOCK_OP_RST || p.dst_port != 77);
}

static void end(struct fuzz *f)
{
	char path[60];
	unsigned i;

	vdriver_fini(&f->v);
	testbed_fini(&f->tb);
	for (i = 0; i < CALLERS; i++) {
		set_fd(&f->caller[i], -1);
		set_fd(&f->callee[i], -1);
	}
	for (i = 0; i < 2; i++) {
		close(f->listener[i]);
		snprintf(path, sizeof(path), "%s_%u", f->path, i);
		unlink(path);
	}
	BUG_ON(rmdir(f->folder) < 0); /* nothing else is left */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct fuzz f = { 0 };
	unsigned n;

	log_set_level(LOG_ERR);
	testbed_init(&f.tb);
	testbed_start(&f.tb);
	begin(&f);
	start(&f);
	for (n = 0; n < 200 && in.left; n++)
		act(&f, &in);
	testbed_settle(&f.tb);
	vdriver_reset(&f.v);
	vdriver_fini(&f.v);
	start(&f);
	check(&f);
	end(&f);
	return 0;
}
