/* SPDX-License-Identifier: MIT */
/*
 * net_driver.h - the driver of a network device, and the program at the other end of its socket.
 *
 * Receive buffers are given one by one, so that a test decides how much room the device has.
 */
#ifndef TESTS_NET_DRIVER_H
#define TESTS_NET_DRIVER_H

#include <linux/virtio_net.h>

#include "devices/net_host.h"
#include "tests/lib/vdriver.h"

#define NET_WAIT_MS 5000
#define NET_SLOT 8192 /* bytes that a receive buffer may have; one alone may be larger */

#define NET_ALL (~0ull)
#define NET_UNMERGED (~VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF))

/* Bytes that depend on @seed and their place, so that nothing is lost or changed unnoticed. */
void net_fill(uint8_t *data, size_t len, uint32_t seed);

/* Adds a buffer of @len bytes for a frame, and kicks. */
void net_give(struct vdriver *v, uint32_t len);
/*
 * The next frame that has come, with its header before it, out of as many buffers as that says.
 * Returns its length without the header; the error of vdriver_wait_used(); -EBADMSG: the header
 * counts wrong.
 */
ssize_t net_take(struct vdriver *v, void *data, size_t size, int timeout_ms);

/* Sends a frame with a header (NULL: of zeroes), and waits until the device has it: 0. */
int64_t net_send(struct vdriver *v, const uint8_t *hdr, const void *data, size_t len);

/* The other end of a stream: a frame and its length. False: it is not what is wanted. */
bool net_peer_sends(int fd, const void *data, size_t len);
bool net_peer_gets(int fd, const void *data, size_t len);

#endif
