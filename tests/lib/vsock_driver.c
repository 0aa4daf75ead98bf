/* SPDX-License-Identifier: MIT */
#include "tests/lib/vsock_driver.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm/core/util.h"

#define HDR_LEN sizeof(struct virtio_vsock_hdr)
#define HDR(field) offsetof(struct virtio_vsock_hdr, field)

static void give(struct vdriver *v)
{
	struct vdriver_queue *vq = &v->queue[VSOCK_RX];
	struct driver_buf buf = {
		.gpa = vq->arena + (uint64_t)vq->ring.first_free * VSOCK_SLOT, .len = VSOCK_SLOT,
		.write = true,
	};

	BUG_ON(driver_add(&vq->ring, &buf, 1, 0) < 0);
}

void vsock_give(struct vdriver *v, unsigned n)
{
	while (n--)
		give(v);
	vdriver_kick(v, VSOCK_RX);
}

bool vsock_take(struct vdriver *v, struct vsock_packet *p, int timeout_ms)
{
	uint8_t raw[VSOCK_SLOT];
	uint16_t head;
	uint32_t len;

	if (vdriver_wait_used(v, VSOCK_RX, &head, &len, timeout_ms) < 0)
		return false;
	BUG_ON(len < HDR_LEN || len > sizeof(raw));
	mem_read(&v->tb->mem, v->queue[VSOCK_RX].arena + (uint64_t)head * VSOCK_SLOT, raw, len);
	*p = (struct vsock_packet){
		.src_cid = le64_get(raw + HDR(src_cid)), .dst_cid = le64_get(raw + HDR(dst_cid)),
		.src_port = le32_get(raw + HDR(src_port)),
		.dst_port = le32_get(raw + HDR(dst_port)),
		.len = le32_get(raw + HDR(len)), .type = le16_get(raw + HDR(type)),
		.op = le16_get(raw + HDR(op)), .flags = le32_get(raw + HDR(flags)),
		.buf_alloc = le32_get(raw + HDR(buf_alloc)),
		.fwd_cnt = le32_get(raw + HDR(fwd_cnt)),
	};
	BUG_ON(p->len != len - HDR_LEN);
	memcpy(p->data, raw + HDR_LEN, p->len);
	vsock_give(v, 1);
	return true;
}

int64_t vsock_send_raw(struct vdriver *v, const struct vsock_packet *p, size_t len)
{
	uint8_t raw[HDR_LEN];
	const struct iovec out[] = { { raw, HDR_LEN }, { (void *)p->data, len } };

	le64_put(raw + HDR(src_cid), p->src_cid);
	le64_put(raw + HDR(dst_cid), p->dst_cid);
	le32_put(raw + HDR(src_port), p->src_port);
	le32_put(raw + HDR(dst_port), p->dst_port);
	le32_put(raw + HDR(len), p->len);
	le16_put(raw + HDR(type), p->type);
	le16_put(raw + HDR(op), p->op);
	le32_put(raw + HDR(flags), p->flags);
	le32_put(raw + HDR(buf_alloc), p->buf_alloc);
	le32_put(raw + HDR(fwd_cnt), p->fwd_cnt);
	return vdriver_request(v, VSOCK_TX, out, len ? 2 : 1, NULL, 0, VSOCK_WAIT_MS);
}

struct vsock_packet vsock_packet(uint64_t cid, uint16_t op, uint32_t guest_port, uint32_t host_port)
{
	return (struct vsock_packet){ .src_cid = cid, .dst_cid = VSOCK_HOST_CID, .op = op,
				      .type = VIRTIO_VSOCK_TYPE_STREAM, .src_port = guest_port,
				      .dst_port = host_port, .buf_alloc = VSOCK_ROOM };
}

int64_t vsock_send(struct vdriver *v, uint64_t cid, uint16_t op, uint32_t guest_port,
		   uint32_t host_port)
{
	struct vsock_packet p = vsock_packet(cid, op, guest_port, host_port);

	return vsock_send_raw(v, &p, 0);
}

static int unix_socket(struct sockaddr_un *addr)
{
	addr->sun_family = AF_UNIX;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int vsock_listen(const char *path, uint32_t port)
{
	struct sockaddr_un addr = { 0 };
	int fd = unix_socket(&addr);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", path, port);
	BUG_ON(fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	       listen(fd, 100) < 0);
	return fd;
}

int vsock_connect(const char *path)
{
	struct sockaddr_un addr = { 0 };
	int fd = unix_socket(&addr);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	BUG_ON(fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0);
	return fd;
}
