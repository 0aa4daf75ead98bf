/* SPDX-License-Identifier: MIT */
#include "tests/lib/net_driver.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/core/util.h"

void net_fill(uint8_t *data, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (seed * 31 + i) * 167 >> 3;
}

void net_give(struct vdriver *v, uint32_t len)
{
	struct vdriver_queue *vq = &v->queue[NET_RX];
	struct driver_buf buf = {
		.gpa = vq->arena + (uint64_t)vq->ring.first_free * NET_SLOT, .len = len,
		.write = true,
	};

	BUG_ON(len > NET_SLOT && vq->ring.nfree < vq->ring.size);
	BUG_ON(driver_add(&vq->ring, &buf, 1, 0) < 0);
	vdriver_kick(v, NET_RX);
}

ssize_t net_take(struct vdriver *v, void *data, size_t size, int timeout_ms)
{
	struct vdriver_queue *vq = &v->queue[NET_RX];
	unsigned wanted = 1, n;
	size_t got = 0;

	for (n = 0; n < wanted; n++) {
		uint16_t head;
		uint32_t len;
		int r = vdriver_wait_used(v, NET_RX, &head, &len, timeout_ms);

		if (r < 0)
			return r;
		BUG_ON(got + len > size);
		mem_read(&v->tb->mem, vq->arena + (uint64_t)head * NET_SLOT, (char *)data + got,
			 len);
		got += len;
		wanted = got < NET_HDR_LEN ? n + 2 : le16_get((char *)data + NET_HDR_LEN - 2);
	}
	return got > NET_HDR_LEN && wanted ? (ssize_t)got - NET_HDR_LEN : -EBADMSG;
}

int64_t net_send(struct vdriver *v, const uint8_t *hdr, const void *data, size_t len)
{
	static const uint8_t zero[NET_HDR_LEN];
	struct iovec out[] = { { (void *)(hdr ? hdr : zero), NET_HDR_LEN }, { (void *)data, len } };

	return vdriver_request(v, NET_TX, out, ARRAY_SIZE(out), NULL, 0, NET_WAIT_MS);
}

bool net_peer_sends(int fd, const void *data, size_t len)
{
	uint8_t prefix[4];
	struct iovec iov[] = { { prefix, sizeof(prefix) }, { (void *)data, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	be32_put(prefix, len);
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)(sizeof(prefix) + len);
}

static bool gets_bytes(int fd, const uint8_t *data, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t got[4096];

	while (len) {
		size_t want = min_u64(len, sizeof(got));
		ssize_t n = poll(&p, 1, NET_WAIT_MS) == 1 ? recv(fd, got, want, 0) : 0;

		if (n <= 0 || memcmp(got, data, n))
			return false;
		data += n;
		len -= n;
	}
	return true;
}

bool net_peer_gets(int fd, const void *data, size_t len)
{
	uint8_t prefix[4];

	be32_put(prefix, len);
	return gets_bytes(fd, prefix, sizeof(prefix)) && gets_bytes(fd, data, len);
}
