/* SPDX-License-Identifier: MIT */
/*
 * vsock_fixture.h - a socket device with Unix sockets at its other side, in a folder of its own.
 */
#ifndef TESTS_VSOCK_FIXTURE_H
#define TESTS_VSOCK_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/tree.h"
#include "tests/lib/vsock_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define CID 77
#define GUEST_PORT 1234u
#define HOST_PORT 700u
#define BUFFERS 16

static struct testbed tb;
static struct vdriver v;
static struct tree tree;
static struct vsock_packet got;
static char path[80], said[512];

static inline void set_up(void)
{
	testbed_init(&tb);
	tree_create(&tree);
	snprintf(path, sizeof(path), "%s/v", tree.root);
	log_hear(said, sizeof(said));
}

static inline void tear_down(void)
{
	log_hear(NULL, 0);
	vdriver_fini(&v);
	testbed_fini(&tb);
	tree_remove(&tree);
}

/* The device, with more of its options from their comma on. */
static inline void make(const char *more)
{
	static char text[200];

	snprintf(text, sizeof(text), "virtio-vsock,%u,path=%s%s", CID, path, more);
	testbed_device(&tb, text);
	testbed_start(&tb);
}

static inline void start_with(unsigned buffers)
{
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, VSOCK_QUEUES, 64));
	vsock_give(&v, buffers);
}

static inline void start(void)
{
	make("");
	start_with(BUFFERS);
}

static inline void sends(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	ck_assert_int_eq(vsock_send(&v, CID, op, guest_port, host_port), 0);
}

/* The next packet is for @guest_port from @host_port. */
static inline void gets(uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	ck_assert(vsock_take(&v, &got, VSOCK_WAIT_MS));
	ck_assert_uint_eq(got.op, op);
	ck_assert_uint_eq(got.dst_port, guest_port);
	ck_assert_uint_eq(got.src_port, host_port);
	ck_assert_uint_eq(got.dst_cid, CID);
	ck_assert_uint_eq(got.type, VIRTIO_VSOCK_TYPE_STREAM);
}

static inline void gets_nothing(void)
{
	testbed_settle(&tb);
	ck_assert(!vsock_take(&v, &got, 20));
}

/* The guest connects to who listens at HOST_PORT; the host's end. */
static inline int connected(void)
{
	int listener = vsock_listen(path, HOST_PORT), fd;

	sends(VIRTIO_VSOCK_OP_REQUEST, GUEST_PORT, HOST_PORT);
	fd = accept(listener, NULL, NULL);
	ck_assert_int_ge(fd, 0);
	close(listener);
	gets(VIRTIO_VSOCK_OP_RESPONSE, GUEST_PORT, HOST_PORT);
	ck_assert_uint_eq(got.src_cid, VSOCK_HOST_CID);
	ck_assert_uint_eq(got.buf_alloc, VSOCK_BUFFER);
	ck_assert_uint_eq(got.fwd_cnt, 0);
	return fd;
}

/* @len bytes that depend on @seed go from the guest. */
static inline void guest_says(uint32_t len, uint8_t seed)
{
	struct vsock_packet p = vsock_packet(CID, VIRTIO_VSOCK_OP_RW, GUEST_PORT, HOST_PORT);

	memset(p.data, seed, len);
	p.len = len;
	ck_assert_int_eq(vsock_send_raw(&v, &p, len), 0);
}

/* The host gets that. */
static inline void host_hears(int fd, uint32_t len, uint8_t seed)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t data[VSOCK_SLOT];
	uint32_t at, n = 0;
	ssize_t r;

	while (n < len) {
		ck_assert_int_eq(poll(&p, 1, VSOCK_WAIT_MS), 1);
		r = read(fd, data, min_u64(len - n, sizeof(data)));
		ck_assert_int_gt(r, 0);
		for (at = 0; at < r; at++)
			ck_assert_uint_eq(data[at], seed);
		n += (uint32_t)r;
	}
}

/* It gets no more, ever. */
static inline void host_hears_end(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	ck_assert_int_eq(poll(&p, 1, VSOCK_WAIT_MS), 1);
	ck_assert_int_le(read(fd, &c, 1), 0);
}

#endif
