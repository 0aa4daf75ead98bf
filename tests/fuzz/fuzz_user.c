/* SPDX-License-Identifier: MIT */
/*
 * The wire to a vhost-user server that answers as the input says: right, or with any bytes, with
 * descriptors, twice, not at all; it ends the connection, talks or asks on its second socket, with
 * descriptors, too, and writes what it likes to where a ring says how much has been given back. A
 * device is made of it, started, given a request, written to, paused, reset and started again, as
 * far as that goes. Each wait has an end, a driver that is not served is told so and a line says
 * why, no descriptor stays open, and with an honest server it works afterwards.
 */
#include "tests/fuzz/fuzz.h"

#include <linux/vhost.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/lib/vdriver.h"
#include "virtio/user_msg.h"
#include "virtio/vhost.h"
#include "virtio/wire_user.h"
#include "vmm/core/util.h"

#define QUEUES 2
#define CONFIG_LEN 8
#define PATIENCE 60    /* ms, for a server that lies */
#define LONG 20000     /* for one that does not */
#define SILENCES 4     /* of an input, as each takes PATIENCE */

enum answer { RIGHT, BYTES, PAYLOAD, BYTE, HEADER, DESCRIPTORS, TWICE, SILENCE, GONE, BACK,
	      ASK, USED, ANSWERS };

struct message {
	struct user_header h;
	union {
		uint64_t u64;
		struct vhost_vring_state state;
		struct vhost_vring_addr addr;
		struct user_config config;
		struct user_inflight inflight;
		uint8_t raw[USER_PAYLOAD_MAX];
	};
};

struct server {
	struct fuzz_input in; /* the thread's */
	unsigned silences;
	char folder[40], path[60];
	int listener, conn, back; /* -1: none */
	uint8_t *used[QUEUES];    /* the rings' areas; NULL: they are nowhere */
	pthread_t thread;
};

struct fuzz {
	struct testbed tb;
	struct vdriver v;
	struct virtio_device vdev;
	struct vhost_user *user;
	uint8_t config[CONFIG_LEN];
};

/* The server. */

static int right_answer(struct message *m)
{
	int fd = -1;

	m->h.flags = USER_VERSION | USER_REPLY;
	switch (m->h.request) {
	case USER_GET_FEATURES:
		m->u64 = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(USER_F_PROTOCOL);
		break;
	case USER_GET_PROTOCOL_FEATURES: m->u64 = USER_PROTOCOL_ALL; break;
	case USER_GET_QUEUE_NUM: m->u64 = QUEUES; break;
	case USER_GET_MAX_MEM_SLOTS: m->u64 = USER_REGIONS_MAX; break;
	case USER_GET_CONFIG: memset(m->config.data, 1, sizeof(m->config.data)); return fd;
	case USER_GET_VRING_BASE: m->state.num = 0; return fd; /* no ring has been used */
	case USER_GET_INFLIGHT_FD:
		fd = memfd_create("inflight", MFD_CLOEXEC);
		m->inflight.size = 4096;
		return fd;
	default: m->u64 = 0; break;
	}
	m->h.size = sizeof(m->u64);
	return fd;
}

static void say(int sock, const void *bytes, size_t len)
{
	if (sock >= 0)
		send(sock, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Any bytes at all, on either socket. */
static void babble(struct server *s, int sock)
{
	uint8_t raw[64], len = fuzz_u8(&s->in) % sizeof(raw);

	fuzz_bytes(&s->in, raw, len);
	say(sock, raw, len);
}

/* A request on the second socket that looks like one, with descriptors at either part of it. */
static void ask(struct server *s)
{
	struct user_header h = { fuzz_u8(&s->in) % 8, fuzz_u8(&s->in), fuzz_u8(&s->in) };
	static const int fds[USER_FDS_MAX] = { 0, 1, 2, 0, 1, 2, 0, 1 };
	uint8_t n = fuzz_u8(&s->in), raw[UINT8_MAX];

	if (s->back < 0)
		return;
	fuzz_bytes(&s->in, raw, h.size);
	user_put(s->back, &h, sizeof(h), fds, n % (USER_FDS_MAX + 1), 0);
	user_put(s->back, raw, h.size, fds, n / 16 % (USER_FDS_MAX + 1), 0);
}

/* What a ring that is to be stopped says of itself. Its owner waits for the answer. */
static void write_used(struct server *s, struct message *m)
{
	uint8_t *used = m->h.request == USER_GET_VRING_BASE && m->state.index < QUEUES ?
			s->used[m->state.index] : NULL;

	if (!used)
		return;
	le16_put(used + 2, fuzz_u8(&s->in));
	m->state.num = fuzz_u8(&s->in);
}

static void send_right(struct server *s, const struct message *m, const int *fds, unsigned nfds)
{
	user_send(s->conn, &m->h, m->raw, fds, nfds, LONG);
}

static void answer(struct server *s, struct message *m)
{
	enum answer how = s->in.left ? fuzz_u8(&s->in) % ANSWERS : RIGHT;
	int fd = right_answer(m), fds[4] = { fd, 0, 1, 2 };
	unsigned nfds = fd >= 0, at;

	if (how == SILENCE && s->silences++ >= SILENCES)
		how = RIGHT;
	switch (how) {
	case BYTES: babble(s, s->conn); break;
	case PAYLOAD:
		fuzz_bytes(&s->in, m->raw, m->h.size);
		send_right(s, m, fds, nfds);
		break;
	case BYTE:
		at = fuzz_u8(&s->in);
		m->raw[at % m->h.size] = fuzz_u8(&s->in);
		send_right(s, m, fds, nfds);
		break;
	case HEADER:
		at = fuzz_u8(&s->in);
		((uint8_t *)&m->h)[at % sizeof(m->h)] = fuzz_u8(&s->in);
		say(s->conn, m, sizeof(m->h) + 8);
		break;
	case DESCRIPTORS:
		nfds = fuzz_u8(&s->in) % 4;
		send_right(s, m, fds + (fd < 0), nfds < 3 ? nfds : 3);
		break;
	case SILENCE: break;
	case GONE: shutdown(s->conn, SHUT_RDWR); break;
	case TWICE:
		send_right(s, m, fds, nfds);
		send_right(s, m, fds, nfds);
		break;
	case BACK: case ASK: case USED:
		if (how == BACK)
			babble(s, s->back);
		else if (how == ASK)
			ask(s);
		else
			write_used(s, m);
		send_right(s, m, fds, nfds);
		break;
	default: send_right(s, m, fds, nfds); break;
	}
	if (fd >= 0)
		close(fd);
}

static bool has_answer(const struct message *m)
{
	switch (m->h.request) {
	case USER_GET_FEATURES: case USER_GET_PROTOCOL_FEATURES: case USER_GET_QUEUE_NUM:
	case USER_GET_MAX_MEM_SLOTS:
	case USER_GET_CONFIG: case USER_GET_VRING_BASE: case USER_GET_INFLIGHT_FD: return true;
	default: return m->h.flags & USER_NEED_REPLY;
	}
}

static void forget(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void *serve(void *arg)
{
	struct server *s = arg;

	while ((s->conn = accept(s->listener, NULL, NULL)) >= 0) {
		int fds[USER_FDS_MAX];
		struct message m;
		unsigned nfds;

		while (user_recv(s->conn, &m.h, m.raw, fds, &nfds, LONG) == 0) {
			if (m.h.request == USER_SET_BACKEND_REQ_FD && nfds) {
				forget(&s->back);
				s->back = fds[--nfds];
			}
			user_close_fds(fds, &nfds);
			if (m.h.request == USER_SET_VRING_ADDR && m.addr.index < QUEUES)
				s->used[m.addr.index] = (uint8_t *)m.addr.used_user_addr;
			if (has_answer(&m))
				answer(s, &m);
		}
		forget(&s->conn);
		forget(&s->back);
		memset(s->used, 0, sizeof(s->used));
	}
	return NULL;
}

static void server_begin(struct server *s, const uint8_t *data, size_t len)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	*s = (struct server){ .in = { data, len }, .conn = -1, .back = -1 };
	strcpy(s->folder, "/tmp/lunette-fuzz-XXXXXX");
	BUG_ON(!mkdtemp(s->folder));
	snprintf(s->path, sizeof(s->path), "%s/s", s->folder);
	strcpy(at.sun_path, s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	BUG_ON(s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	       listen(s->listener, 4) < 0);
	BUG_ON(pthread_create(&s->thread, NULL, serve, s));
}

/* No connection is there any more. */
static void server_end(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	unlink(s->path);
	rmdir(s->folder);
}

/* The device. */

static void on_reset(struct virtio_device *vdev)
{
	vhost_user_reset(container_of(vdev, struct fuzz, vdev)->user);
}

static void on_config(void *arg, const uint8_t *config)
{
	memcpy(((struct fuzz *)arg)->config, config, CONFIG_LEN);
}

static const struct virtio_class class = { .name = "served", .id = 4242, .reset = on_reset };

static bool make(struct fuzz *f, const char *path, int patience)
{
	struct loop *loop = f->tb.p.iothread(&f->tb.p, "u0");
	struct vhost_user_spec spec = { .id = "u0", .path = path, .loop = loop,
					.mem = &f->tb.mem,
					.config_len = CONFIG_LEN, .patience = patience,
					.comeback = patience, .config = on_config, .arg = f };
	struct virtio_spec device = { .name = "u0", .class = &class, .config = f->config,
				      .config_len = CONFIG_LEN, .nvq = QUEUES, .queue_size = 16,
				      .transport = VIRTIO_ON_MMIO, .loop = &loop, .nloops = 1 };

	f->user = vhost_user_connect(&f->vdev, &spec);
	if (!f->user)
		return false;
	if (vhost_user_config_get(f->user, f->config) < 0) {
		f->user->wire.ops->close(&f->user->wire);
		return false;
	}
	device.server = virtio_vhost_create(&f->vdev, &f->user->wire, NULL, NULL, f->tb.main_loop);
	BUG_ON(!device.server);
	f->user->be = device.server;
	return virtio_make(&f->vdev, &f->tb.p, &device) == 0;
}

/* Who is not served is told so, and the user why. */
static bool is_served(struct fuzz *f, bool started)
{
	bool broken = vdriver_status(&f->v) & VIRTIO_CONFIG_S_NEEDS_RESET;

	BUG_ON(!started && !broken);
	BUG_ON(broken && !atomic_load(&f->vdev.limit.total));
	return !broken;
}

static bool start(struct fuzz *f)
{
	vdriver_fini(&f->v);
	testbed_release(&f->tb);
	BUG_ON(!vdriver_probe(&f->v, &f->tb, 0));
	return is_served(f, vdriver_start(&f->v, ~0ull, QUEUES, 16));
}

static void request(struct fuzz *f)
{
	const struct driver_buf buf = { f->v.queue[0].arena, 64, false };

	BUG_ON(driver_add(&f->v.queue[0].ring, &buf, 1, 0) < 0);
	vdriver_kick(&f->v, 0);
}

static void use(struct fuzz *f)
{
	uint8_t now[CONFIG_LEN];

	if (start(f))
		request(f);
	testbed_settle(&f->tb);
	pthread_mutex_lock(&f->vdev.lock);
	vhost_user_config_set(f->user, 4, "abcd", 4, now);
	pthread_mutex_unlock(&f->vdev.lock);
	virtio_device_pause(&f->vdev, true);
	virtio_device_pause(&f->vdev, false);
	testbed_settle(&f->tb);
	is_served(f, true);
	start(f);
}

/* As far as it goes. True: the driver was served in the end. */
static bool run(const char *path, int patience)
{
	struct fuzz f = { 0 };
	bool served = false;

	testbed_init_shared(&f.tb);
	if (make(&f, path, patience)) {
		testbed_start(&f.tb);
		use(&f);
		served = start(&f);
		vdriver_fini(&f.v);
		virtio_unmake(&f.vdev);
	}
	testbed_fini(&f.tb);
	return served;
}

static int first_free_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int before = first_free_fd();
	struct server s;

	log_set_level(LOG_ERR);
	server_begin(&s, data, len);
	run(s.path, PATIENCE);
	server_end(&s);
	server_begin(&s, NULL, 0);
	BUG_ON(!run(s.path, LONG));
	server_end(&s);
	BUG_ON(first_free_fd() != before);
	return 0;
}
