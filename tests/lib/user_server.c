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

static struct user_server *server_of(struct user_serve *s)
{
	return s->arg;
}

static void put_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd;
}

/* What a SCSI target has no use for. */

static const char *get_config(struct user_server *s, struct user_message *m)
{
	BUG_ON(m->h.size != 12 + m->config.size);
	virtio_config_read(s->vdev, m->config.offset, m->config.data, m->config.size);
	return NULL;
}

static const char *set_config(struct user_server *s, struct user_message *m)
{
	virtio_config_write(s->vdev, m->config.offset, m->config.data, m->config.size);
	return NULL;
}

static const char *give_inflight(struct user_server *s, struct user_message *m)
{
	(void)s;
	m->answer_fd = memfd_create("inflight", MFD_CLOEXEC);
	BUG_ON(m->answer_fd < 0 || ftruncate(m->answer_fd, 4096) < 0);
	m->inflight.size = 4096;
	m->inflight.offset = 0;
	return NULL;
}

static const char *take_inflight(struct user_server *s, struct user_message *m)
{
	struct stat st;

	BUG_ON(m->nfds != 1 || fstat(m->fd[0], &st) < 0);
	put_fd(&s->inflight, m->fd[0]);
	s->inflight_node = st.st_ino;
	m->fd[0] = -1;
	return NULL;
}

static const char *take_back(struct user_server *s, struct user_message *m)
{
	BUG_ON(m->nfds != 1);
	put_fd(&s->back, m->fd[0]);
	m->fd[0] = -1;
	return NULL;
}

static const char *take_status(struct user_server *s, struct user_message *m)
{
	(void)s;
	(void)m;
	return NULL;
}

static const char *give_slots(struct user_server *s, struct user_message *m)
{
	m->u64 = s->slots;
	return NULL;
}

/* Where a region is, or would be: they are in the order of addresses. */
static unsigned slot_of(const struct user_server *s, const struct user_region *r)
{
	unsigned i;

	for (i = 0; i < s->known.count && s->known.region[i].gpa < r->gpa; i++)
		;
	return i;
}

static const char *add_region(struct user_server *s, struct user_message *m)
{
	unsigned i = slot_of(s, &m->slot.region), after = s->known.count - i;

	BUG_ON(m->h.size != sizeof(m->slot) || m->nfds != 1 || s->known.count == s->slots);
	memmove(&s->known.region[i + 1], &s->known.region[i], after * sizeof(m->slot.region));
	memmove(&s->known_fd[i + 1], &s->known_fd[i], after * sizeof(m->fd[0]));
	s->known.region[i] = m->slot.region;
	s->known_fd[i] = m->fd[0];
	m->fd[0] = -1;
	s->known.count++;
	return user_serve_map(&s->serve, &s->known, s->known_fd);
}

static void forget_region(struct user_server *s, unsigned i)
{
	unsigned after = --s->known.count - i;

	close(s->known_fd[i]);
	memmove(&s->known.region[i], &s->known.region[i + 1], after * sizeof(s->known.region[0]));
	memmove(&s->known_fd[i], &s->known_fd[i + 1], after * sizeof(s->known_fd[0]));
}

static const char *remove_region(struct user_server *s, struct user_message *m)
{
	unsigned i = slot_of(s, &m->slot.region);

	BUG_ON(m->h.size != sizeof(m->slot) || m->nfds || i == s->known.count ||
	       memcmp(&s->known.region[i], &m->slot.region, sizeof(m->slot.region)));
	forget_region(s, i);
	return user_serve_map(&s->serve, &s->known, s->known_fd);
}

static const struct {
	const char *(*fn)(struct user_server *s, struct user_message *m);
	bool answers;
} others[USER_REQUESTS] = {
	[USER_GET_CONFIG] = { get_config, true },
	[USER_SET_CONFIG] = { set_config, false },
	[USER_GET_INFLIGHT_FD] = { give_inflight, true },
	[USER_SET_INFLIGHT_FD] = { take_inflight, false },
	[USER_SET_BACKEND_REQ_FD] = { take_back, false },
	[USER_SET_STATUS] = { take_status, false },
	[USER_GET_MAX_MEM_SLOTS] = { give_slots, true },
	[USER_ADD_MEM_REG] = { add_region, false },
	[USER_REM_MEM_REG] = { remove_region, false },
};

static const char *other(struct user_serve *serve, struct user_message *m, bool *answers)
{
	BUG_ON(m->h.request >= USER_REQUESTS || !others[m->h.request].fn);
	*answers = others[m->h.request].answers;
	return others[m->h.request].fn(server_of(serve), m);
}

static enum user_lie lie_at(struct user_server *s, uint32_t request)
{
	enum user_lie lie;

	pthread_mutex_lock(&s->lock);
	lie = s->at == request || s->at == USER_SERVER_ANY ? s->lie : LIE_NONE;
	pthread_mutex_unlock(&s->lock);
	return lie;
}

/* The lie holds for the whole of a request. */
static bool heard(struct user_serve *serve, uint32_t request)
{
	struct user_server *s = server_of(serve);

	BUG_ON(request >= USER_REQUESTS);
	s->now = lie_at(s, request);
	if (s->now == LIE_GONE)
		return false;
	atomic_fetch_add(&s->heard[request], 1);
	return true;
}

/* Sends what the header says; or, as a lie may want it, less. */
static void send_all(int sock, const struct user_message *m, size_t payload, const int *fds,
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

static void answer(struct user_serve *serve, struct user_message *m)
{
	struct user_server *s = server_of(serve);
	int fds[2] = { m->answer_fd, s->listener };
	unsigned nfds = m->answer_fd >= 0;
	enum user_lie lie = s->now;
	size_t payload;

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

static const struct user_serve_ops ops = { .other = other, .heard = heard, .answer = answer };

static void serve_one(struct user_server *s)
{
	user_serve_run(&s->serve, s->conn);
	BUG_ON(s->serve.wrong);
	pthread_mutex_lock(&s->lock);
	while (s->known.count)
		forget_region(s, 0);
	put_fd(&s->inflight, -1);
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
	memset(s, 0, sizeof(*s));
	s->vdev = vdev;
	s->conn = s->back = s->inflight = -1;
	pthread_mutex_init(&s->lock, NULL);
	s->own = vdev->transport;
	s->own_data = vdev->transport_data;
	s->own_mem = vdev->mem;
	user_serve_init(&s->serve, vdev);
	s->serve.ops = &ops;
	s->serve.arg = s;
	s->serve.protocol = USER_PROTOCOL_ALL;
	s->slots = USER_REGIONS_MAX;
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
