/* SPDX-License-Identifier: MIT */
/*
 * vsock_driver.h - the driver of a socket device: packets one by one, and the Unix sockets at its
 * other side.
 */
#ifndef TESTS_VSOCK_DRIVER_H
#define TESTS_VSOCK_DRIVER_H

#include <linux/virtio_vsock.h>

#include "devices/vsock_host.h"
#include "tests/lib/vdriver.h"

#define VSOCK_WAIT_MS 5000
#define VSOCK_SLOT 4096 /* bytes of a receive buffer */
#define VSOCK_ROOM 262144u /* what the driver says that it has room for */

struct vsock_packet {
	uint64_t src_cid, dst_cid;
	uint32_t src_port, dst_port, len, flags, buf_alloc, fwd_cnt;
	uint16_t type, op;
	uint8_t data[VSOCK_SLOT];
};

/* Gives @n receive buffers. */
void vsock_give(struct vdriver *v, unsigned n);
/* The next packet that has come; its buffer is given again. False: none. */
bool vsock_take(struct vdriver *v, struct vsock_packet *p, int timeout_ms);
/* Sends one of @len bytes (of p->data), as it is, and waits until the device has it. */
int64_t vsock_send_raw(struct vdriver *v, const struct vsock_packet *p, size_t len);
/* One from @guest_port of @cid to @host_port, with VSOCK_ROOM and nothing taken yet. */
struct vsock_packet vsock_packet(uint64_t cid, uint16_t op, uint32_t guest_port,
				 uint32_t host_port);
/* Such a one is sent. */
int64_t vsock_send(struct vdriver *v, uint64_t cid, uint16_t op, uint32_t guest_port,
		   uint32_t host_port);

/* Unix sockets at PATH and PATH_PORT: who listens, who connects; a descriptor. */
int vsock_listen(const char *path, uint32_t port);
int vsock_connect(const char *path);

#endif
