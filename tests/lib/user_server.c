/* SPDX-License-Identifier: MIT */
#include "tests/lib/user_server.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/util.h"

#define TIME 20000

struct message {
	struct user_header h;
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct user_memory memory;
		struct user_config config;
		struct user_inflight inflight;
		uint8_t raw[USER_PAYLOAD_MAX];
	};
	int fd[USER_FDS_MAX];
	unsigned nfds;
	int answer_fd; /* -1: none */
};

/* As the device's transport. */

static struct user_server *server_of(struct virtio_device *vdev)
{
	return vdev->transport_data;
}

static int kick_fd(struct virtio_device *vdev, unsigned q)
{
	return server_of(vdev)->ring[q].kick;
}

static void notify(struct virtio_device *vdev, unsigned q)
{
	if (server_of(vdev)->ring[q].call >= 0)
		eventfd_write(server_of(vdev)->ring[q].call, 1);
}

/* The driver is told of a broken ring by whoever has the guest. */
static void notify_config(struct virtio_device *vdev)
{
	struct user_server *s = server_of(vdev);

	if (virtio_is_broken(vdev) && s->ring[0].err >= 0)
		eventfd_write(s->ring[0].err, 1);
}

static const struct virtio_transport_ops transport = {
	.name = "vhost-user",
	.kick_fd = kick_fd,
	.notify = notify,
	.notify_config = notify_config,
};

/* Rings. */

static bool is_ready(const struct user_server_ring *r)
{
	return r->size && r->device && r->kick >= 0 && r->enabled;
}

static uint16_t used_idx(const struct user_server *s, const struct user_server_ring *r)
{
	uint8_t raw[2];

	BUG_ON(mem_read(&s->mem, r->device + 2, raw, 2) < 0);
	return le16_get(raw);
}

/* Gives the device those rings that are complete, and takes the others back. */
static void settle(struct user_server *s)
{
	struct virtio_device *vdev = s->vdev;
	unsigned q, n = 0;

	virtio_device_stop(vdev);
	for (q = 0; q < vdev->nvq; q++) {
		struct user_server_ring *r = &s->ring[q];
		struct vq_state *vs = &vdev->vq[q].s;

		if (vs->ready)
			r->base = vs->next_avail;
		*vs = (struct vq_state){ .max_size = vs->max_size, .ready = is_ready(r) };
		if (!vs->ready)
			continue;
		n++;
		vs->size = r->size;
		vs->desc = r->desc;
		vs->driver = r->driver;
		vs->device = r->device;
		vs->event_idx = s->features & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
		vs->indirect = s->features & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
		vs->next_avail = r->base;
		vs->next_used = used_idx(s, r);
	}
	vdev->accepted = s->features;
	atomic_store(&vdev->status, n ? VIRTIO_CONFIG_S_DRIVER_OK : 0);
	if (n)
		virtio_device_start(vdev);
}

static uint64_t gpa_of(const struct user_server *s, const uint64_t *address, uint64_t at)
{
	unsigned i;

	for (i = 0; i < s->mem.nregions; i++) {
		if (at >= address[i] && at - address[i] < s->mem.region[i].size)
			return s->mem.region[i].gpa + (at - address[i]);
	}
	return 0;
}

static void unmap(struct user_server *s)
{
	unsigned i;

	for (i = 0; i < s->mem.nregions; i++)
		munmap(s->mem.region[i].hva, s->mem.region[i].size);
	s->mem.nregions = 0;
}

static void put_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd;
}

static void forget_ring(struct user_server_ring *r)
{
	put_fd(&r->kick, -1);
	put_fd(&r->call, -1);
	put_fd(&r->err, -1);
	*r = (struct user_server_ring){ .kick = -1, .call = -1, .err = -1 };
}

static void forget_all(struct user_server *s)
{
	unsigned q;

	for (q = 0; q < USER_SERVER_RINGS; q++)
		s->ring[q].enabled = false;
	settle(s);
	for (q = 0; q < USER_SERVER_RINGS; q++)
		forget_ring(&s->ring[q]);
	unmap(s);
	put_fd(&s->inflight, -1);
	s->features = s->agreed = 0;
}

/* Messages. */

static void set_mem(struct user_server *s, struct message *m)
{
	unsigned i;

	BUG_ON(m->nfds != m->memory.count || m->memory.count > MEM_REGIONS);
	unmap(s);
	for (i = 0; i < m->memory.count; i++) {
		struct mem_region *r = &s->mem.region[i];

		*r = (struct mem_region){ .gpa = m->memory.region[i].gpa,
					  .size = m->memory.region[i].size, .fd = -1,
					  .fd_off = m->memory.region[i].address };
		r->hva = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd[i],
			      m->memory.region[i].offset);
		BUG_ON(r->hva == MAP_FAILED);
	}
	s->mem.nregions = m->memory.count;
}

static void set_addr(struct user_server *s, struct message *m)
{
	struct user_server_ring *r = &s->ring[m->addr.index];
	uint64_t address[MEM_REGIONS];
	unsigned i;

	for (i = 0; i < s->mem.nregions; i++)
		address[i] = s->mem.region[i].fd_off;
	r->desc = gpa_of(s, address, m->addr.desc_user_addr);
	r->driver = gpa_of(s, address, m->addr.avail_user_addr);
	r->device = gpa_of(s, address, m->addr.used_user_addr);
}

static void take_ring_fd(struct user_server *s, struct message *m)
{
	struct user_server_ring *r = &s->ring[m->u64 & 0xff];
	int *to = m->h.request == USER_SET_VRING_KICK ? &r->kick :
		  m->h.request == USER_SET_VRING_CALL ? &r->call : &r->err;

	BUG_ON(m->nfds != 1 || m->u64 >= USER_SERVER_RINGS);
	settle(s); /* nobody holds the old one */
	put_fd(to, m->fd[0]);
	m->nfds = 0;
	settle(s);
}

static void get_base(struct user_server *s, struct message *m)
{
	struct user_server_ring *r = &s->ring[m->state.index];

	r->enabled = false;
	settle(s);
	m->state.num = r->base;
	forget_ring(r);
}

static void get_config(struct user_server *s, struct message *m)
{
	BUG_ON(m->h.size != 12 + m->config.size);
	virtio_config_read(s->vdev, m->config.offset, m->config.data, m->config.size);
}

static void give_inflight(struct user_server *s, struct message *m)
{
	struct stat st;

	(void)s;
	m->answer_fd = memfd_create("inflight", MFD_CLOEXEC);
	BUG_ON(m->answer_fd < 0 || ftruncate(m->answer_fd, 4096) < 0 ||
	       fstat(m->answer_fd, &st) < 0);
	m->inflight.size = 4096;
	m->inflight.offset = 0;
}

static void take_inflight(struct user_server *s, struct message *m)
{
	struct stat st;

	BUG_ON(m->nfds != 1 || fstat(m->fd[0], &st) < 0);
	put_fd(&s->inflight, m->fd[0]);
	s->inflight_node = st.st_ino;
	m->nfds = 0;
}

static void do_message(struct user_server *s, struct message *m)
{
	switch (m->h.request) {
	case USER_GET_FEATURES:
		m->u64 = s->vdev->offered | VIRTIO_BIT(USER_F_PROTOCOL);
		break;
	case USER_SET_FEATURES: s->features = m->u64 & ~VIRTIO_BIT(USER_F_PROTOCOL); break;
	case USER_GET_PROTOCOL_FEATURES: m->u64 = s->protocol; break;
	case USER_SET_PROTOCOL_FEATURES: s->agreed = m->u64; break;
	case USER_GET_QUEUE_NUM: m->u64 = s->vdev->nvq; break;
	case USER_SET_MEM_TABLE: set_mem(s, m); break;
	case USER_SET_VRING_NUM: s->ring[m->state.index].size = m->state.num; break;
	case USER_SET_VRING_BASE: s->ring[m->state.index].base = m->state.num; break;
	case USER_SET_VRING_ADDR: set_addr(s, m); break;
	case USER_SET_VRING_KICK: case USER_SET_VRING_CALL: case USER_SET_VRING_ERR:
		take_ring_fd(s, m);
		break;
	case USER_SET_VRING_ENABLE:
		s->ring[m->state.index].enabled = m->state.num;
		settle(s);
		break;
	case USER_GET_VRING_BASE: get_base(s, m); break;
	case USER_SET_BACKEND_REQ_FD:
		BUG_ON(m->nfds != 1);
		put_fd(&s->back, m->fd[0]);
		m->nfds = 0;
		break;
	case USER_GET_CONFIG: get_config(s, m); break;
	case USER_SET_CONFIG:
		virtio_config_write(s->vdev, m->config.offset, m->config.data, m->config.size);
		break;
	case USER_GET_INFLIGHT_FD: give_inflight(s, m); break;
	case USER_SET_INFLIGHT_FD: take_inflight(s, m); break;
	default: break;
	}
}

static bool has_answer(uint32_t request)
{
	static const uint32_t those[] = { USER_GET_FEATURES, USER_GET_PROTOCOL_FEATURES,
					  USER_GET_QUEUE_NUM, USER_GET_VRING_BASE, USER_GET_CONFIG,
					  USER_GET_INFLIGHT_FD };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(those); i++) {
		if (those[i] == request)
			return true;
	}
	return false;
}

/* Sends what the header says; or, as a lie may want it, less. */
static void send_all(int sock, const struct message *m, size_t payload, const int *fds,
		     unsigned nfds)
{
	uint8_t bytes[sizeof(m->h) + USER_PAYLOAD_MAX];
	struct user_header h = m->h;

	if (h.size == payload) {
		user_send(sock, &h, m->raw, fds, nfds, TIME);
		return;
	}
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), m->raw, payload);
	send(sock, bytes, sizeof(h) + payload, MSG_NOSIGNAL);
}

static void answer(struct user_server *s, struct message *m, enum user_lie lie)
{
	int fds[2] = { m->answer_fd, s->listener };
	unsigned nfds = m->answer_fd >= 0;
	size_t payload;

	m->h.flags = USER_VERSION | USER_REPLY;
	if (lie == LIE_SHORT || lie == LIE_LONG)
		m->h.size += lie == LIE_SHORT ? -1 : 8;
	payload = m->h.size;
	if (lie == LIE_HUGE)
		m->h.size = UINT32_MAX;
	else if (lie == LIE_OTHER)
		m->h.request++;
	else if (lie == LIE_NO_REPLY)
		m->h.flags = USER_VERSION;
	else if (lie == LIE_VERSION)
		m->h.flags = 2 | USER_REPLY;
	else if (lie == LIE_REFUSES)
		memset(m->raw, 0xff, sizeof(m->raw));
	else if (lie == LIE_HALF)
		payload = 0;
	else if (lie == LIE_SLOW)
		usleep(USER_SERVER_SLOW * 1000);
	if (lie == LIE_DESCRIPTORS) {
		fds[0] = s->listener;
		nfds = 2;
	}
	if (lie != LIE_SILENT)
		send_all(s->conn, m, payload, fds, nfds);
	if (lie == LIE_TWICE)
		send_all(s->conn, m, payload, fds, nfds);
}

static enum user_lie lie_at(struct user_server *s, uint32_t request)
{
	enum user_lie lie;

	pthread_mutex_lock(&s->lock);
	lie = s->at == request || s->at == USER_SERVER_ANY ? s->lie : LIE_NONE;
	pthread_mutex_unlock(&s->lock);
	return lie;
}

static void handle(struct user_server *s, struct message *m)
{
	bool asks = has_answer(m->h.request), acks = m->h.flags & USER_NEED_REPLY;
	enum user_lie lie = lie_at(s, m->h.request);

	BUG_ON(m->h.request >= USER_REQUESTS);
	m->answer_fd = -1;
	if (lie == LIE_GONE) {
		shutdown(s->conn, SHUT_RDWR);
		return;
	}
	pthread_mutex_lock(&s->vdev->lock);
	do_message(s, m);
	pthread_mutex_unlock(&s->vdev->lock);
	atomic_fetch_add(&s->heard[m->h.request], 1);
	if (asks && !m->h.size)
		m->h.size = 8;
	if (!asks) {
		m->h.size = 8;
		m->u64 = 0;
	}
	if (asks || acks)
		answer(s, m, lie);
	put_fd(&m->answer_fd, -1);
}

static void serve_one(struct user_server *s)
{
	struct message m;

	while (user_recv(s->conn, &m.h, m.raw, m.fd, &m.nfds, TIME) == 0) {
		handle(s, &m);
		user_close_fds(m.fd, &m.nfds);
	}
	pthread_mutex_lock(&s->vdev->lock);
	forget_all(s);
	pthread_mutex_unlock(&s->vdev->lock);
	pthread_mutex_lock(&s->lock);
	put_fd(&s->conn, -1);
	put_fd(&s->back, -1);
	pthread_mutex_unlock(&s->lock);
}

static void *serve(void *arg)
{
	struct user_server *s = arg;

	while (!atomic_load(&s->ends)) {
		int conn = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

		if (conn < 0)
			break;
		pthread_mutex_lock(&s->lock);
		s->conn = conn;
		pthread_mutex_unlock(&s->lock);
		atomic_fetch_add(&s->connections, 1);
		serve_one(s);
	}
	return NULL;
}

void user_server_live(struct user_server *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	strcpy(at.sun_path, s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	BUG_ON(s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	       listen(s->listener, 1) < 0);
	atomic_store(&s->ends, false);
	BUG_ON(pthread_create(&s->thread, NULL, serve, s));
}

void user_server_die(struct user_server *s)
{
	unlink(s->path);
	atomic_store(&s->ends, true);
	shutdown(s->listener, SHUT_RDWR);
	pthread_mutex_lock(&s->lock);
	if (s->conn >= 0)
		shutdown(s->conn, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

void user_server_start(struct user_server *s, struct virtio_device *vdev)
{
	unsigned q;

	memset(s, 0, sizeof(*s));
	s->vdev = vdev;
	s->conn = s->back = s->inflight = -1;
	for (q = 0; q < USER_SERVER_RINGS; q++)
		s->ring[q] = (struct user_server_ring){ .kick = -1, .call = -1, .err = -1 };
	s->protocol = USER_PROTOCOL_ALL;
	pthread_mutex_init(&s->lock, NULL);
	s->own = vdev->transport;
	s->own_data = vdev->transport_data;
	s->own_mem = vdev->mem;
	vdev->transport = &transport;
	vdev->transport_data = s;
	vdev->mem = &s->mem;
	strcpy(s->folder, "/tmp/lunette-user-XXXXXX");
	BUG_ON(!mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/socket", s->folder);
	user_server_live(s);
}

void user_server_end(struct user_server *s)
{
	user_server_die(s);
	rmdir(s->folder);
	s->vdev->transport = s->own;
	s->vdev->transport_data = s->own_data;
	s->vdev->mem = s->own_mem;
	pthread_mutex_destroy(&s->lock);
}

void user_server_lie(struct user_server *s, enum user_lie lie, uint32_t at)
{
	pthread_mutex_lock(&s->lock);
	s->lie = lie;
	s->at = at;
	pthread_mutex_unlock(&s->lock);
}

void user_server_config_changed(struct user_server *s, bool wants_answer)
{
	struct user_header h = { USER_BACKEND_CONFIG_CHANGE, USER_VERSION, 0 };
	uint64_t done = 1;
	unsigned nfds;
	int fds[USER_FDS_MAX], back;

	h.flags |= wants_answer ? USER_NEED_REPLY : 0;
	pthread_mutex_lock(&s->lock);
	back = s->back;
	BUG_ON(user_send(back, &h, NULL, NULL, 0, TIME) < 0);
	pthread_mutex_unlock(&s->lock);
	if (wants_answer)
		BUG_ON(user_recv(back, &h, &done, fds, &nfds, TIME) < 0 || h.size != 8 || done);
}

void user_server_babble(struct user_server *s, bool back, const void *bytes, size_t len)
{
	pthread_mutex_lock(&s->lock);
	send(back ? s->back : s->conn, bytes, len, MSG_NOSIGNAL);
	pthread_mutex_unlock(&s->lock);
}
