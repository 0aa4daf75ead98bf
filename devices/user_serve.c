/* SPDX-License-Identifier: MIT */
#include "devices/user_serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/core/bell.h"
#include "vmm/core/util.h"

#define ANSWER_MS 10000 /* for a client to take an answer, or to end a message */
#define NO_FD 0x100     /* in a message about a ring's eventfd: there is none */
#define PLACE_MAX (1ull << 40) /* of guest memory, and in its file */

/* As the device's transport. */

static struct user_serve *serve_of(struct virtio_device *vdev)
{
	return vdev->transport_data;
}

static int kick_fd(struct virtio_device *vdev, unsigned q)
{
	return serve_of(vdev)->ring[q].kick;
}

static void notify(struct virtio_device *vdev, unsigned q)
{
	if (serve_of(vdev)->ring[q].call >= 0)
		bell_ring(serve_of(vdev)->ring[q].call);
}

/* The driver is told of a broken ring by whoever has the guest. */
static void notify_config(struct virtio_device *vdev)
{
	if (virtio_is_broken(vdev) && serve_of(vdev)->ring[0].err >= 0)
		bell_ring(serve_of(vdev)->ring[0].err);
}

static const struct virtio_transport_ops transport = {
	.name = "vhost-user",
	.kick_fd = kick_fd,
	.notify = notify,
	.notify_config = notify_config,
};

/* Rings. */

static bool is_ready(const struct user_serve_ring *r)
{
	return r->size && r->device && r->kick >= 0 && r->enabled;
}

/* False: its place is no memory. */
static bool set_state(struct user_serve *s, const struct user_serve_ring *r, struct vq_state *vs)
{
	uint8_t raw[2];

	if (mem_read(&s->mem, r->device + 2, raw, 2) < 0)
		return false;
	vs->size = r->size;
	vs->desc = r->desc;
	vs->driver = r->driver;
	vs->device = r->device;
	vs->event_idx = s->features & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	vs->indirect = s->features & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	vs->next_avail = r->base;
	vs->next_used = le16_get(raw);
	return true;
}

/* Takes all rings back from the device. */
static void take_back(struct user_serve *s)
{
	struct virtio_device *vdev = s->vdev;
	unsigned q;

	virtio_device_stop(vdev);
	for (q = 0; q < vdev->nvq; q++) {
		struct vq_state *vs = &vdev->vq[q].s;

		if (vs->ready)
			s->ring[q].base = vs->next_avail;
		*vs = (struct vq_state){ .max_size = vs->max_size };
	}
	atomic_store(&vdev->status, 0);
}

/* Gives the device those rings that are complete, and takes the others back. */
static const char *settle(struct user_serve *s)
{
	struct virtio_device *vdev = s->vdev;
	unsigned q, n = 0;

	take_back(s);
	for (q = 0; q < vdev->nvq; q++) {
		if (!is_ready(&s->ring[q]))
			continue;
		if (!set_state(s, &s->ring[q], &vdev->vq[q].s))
			return "has a ring where there is no memory";
		vdev->vq[q].s.ready = true;
		n++;
	}
	vdev->accepted = s->features;
	if (!n)
		return NULL;
	atomic_store(&vdev->status, VIRTIO_CONFIG_S_DRIVER_OK);
	virtio_device_start(vdev);
	return NULL;
}

/* After a change of @r. The device is left alone if it neither has that ring nor is to have it. */
static const char *settle_ring(struct user_serve *s, const struct user_serve_ring *r)
{
	return s->vdev->vq[r - s->ring].s.ready != is_ready(r) ? settle(s) : NULL;
}

static void put_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd;
}

static void forget_ring(struct user_serve_ring *r)
{
	put_fd(&r->kick, -1);
	put_fd(&r->call, -1);
	put_fd(&r->err, -1);
	*r = (struct user_serve_ring){ .kick = -1, .call = -1, .err = -1 };
}

static void unmap(struct user_serve *s)
{
	while (s->mem.nregions) {
		struct mem_region *r = &s->mem.region[--s->mem.nregions];

		munmap(r->hva, r->size);
	}
}

static void forget_all(struct user_serve *s)
{
	unsigned q;

	pthread_mutex_lock(&s->vdev->lock);
	take_back(s);
	for (q = 0; q < USER_SERVE_RINGS; q++)
		forget_ring(&s->ring[q]);
	unmap(s);
	s->features = s->agreed = 0;
	pthread_mutex_unlock(&s->vdev->lock);
}

/* Messages. Each function returns what is wrong with one, NULL: nothing. */

static const char *get_features(struct user_serve *s, struct user_message *m)
{
	m->u64 = s->vdev->offered | VIRTIO_BIT(USER_F_PROTOCOL);
	return NULL;
}

static const char *set_features(struct user_serve *s, struct user_message *m)
{
	uint64_t features = m->u64 & ~VIRTIO_BIT(USER_F_PROTOCOL);

	if (features & ~s->vdev->offered)
		return "chooses features that it was not offered";
	s->features = features;
	return NULL;
}

static const char *get_protocol(struct user_serve *s, struct user_message *m)
{
	m->u64 = s->protocol;
	return NULL;
}

static const char *set_protocol(struct user_serve *s, struct user_message *m)
{
	if (m->u64 & ~s->protocol)
		return "chooses features of the protocol that it was not offered";
	s->agreed = m->u64;
	return NULL;
}

static const char *get_queues(struct user_serve *s, struct user_message *m)
{
	m->u64 = s->vdev->nvq;
	return NULL;
}

static const char *nothing(struct user_serve *s, struct user_message *m)
{
	(void)s;
	(void)m;
	return NULL;
}

/* A page of it that there is not yet is made when we look, unless all memory is used up. */
static bool is_plain(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static bool can_shrink(int fd, uint64_t end)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 ||
	       end > (uint64_t)st.st_size;
}

/* Region @i of @m, which is in @fd; those before it are mapped. */
static const char *map(struct user_serve *s, const struct user_memory *m, unsigned i, int fd)
{
	uint64_t page = sysconf(_SC_PAGESIZE), size = m->region[i].size;
	uint64_t gpa = m->region[i].gpa, offset = m->region[i].offset, end;
	const struct mem_region *last = i ? &s->mem.region[i - 1] : NULL;
	struct mem_region *r = &s->mem.region[i];

	if (!size || size % page || gpa % page || offset % page ||
	    !add_u64(m->region[i].address, size, &end) || !add_u64(gpa, size, &end) ||
	    end > PLACE_MAX || !add_u64(offset, size, &end) || end > PLACE_MAX ||
	    (last && gpa < last->gpa + last->size))
		return "has memory of impossible sizes, or at impossible places";
	if (!is_plain(fd))
		return "has memory of huge pages, or in a file; a plain memfd is wanted";
	if (can_shrink(fd, end))
		return "has memory that can become shorter, or is too short; a memfd with "
		       "F_SEAL_SHRINK is wanted";
	*r = (struct mem_region){ .gpa = gpa, .size = size, .fd = -1,
				  .fd_off = m->region[i].address };
	r->hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		      (off_t)offset);
	if (r->hva == MAP_FAILED)
		return "has memory that cannot be mapped";
	madvise(r->hva, size, MADV_DONTDUMP);
	s->mem.nregions++;
	return NULL;
}

const char *user_serve_map(struct user_serve *s, const struct user_memory *m, const int *fds)
{
	const char *wrong = NULL;
	unsigned i;

	if (s->vdev->started)
		return "changes its memory while rings are in use";
	unmap(s);
	for (i = 0; !wrong && i < m->count; i++)
		wrong = map(s, m, i, fds[i]);
	return wrong;
}

static const char *set_mem(struct user_serve *s, struct user_message *m)
{
	const size_t head = offsetof(struct user_memory, region);

	if (m->h.size < head || !m->memory.count || m->memory.count > MEM_REGIONS ||
	    m->nfds != m->memory.count ||
	    m->h.size < head + m->memory.count * sizeof(m->memory.region[0]))
		return "sends a table of memory that is not whole, or too long";
	return user_serve_map(s, &m->memory, m->fd);
}

static struct user_serve_ring *ring_of(struct user_serve *s, uint64_t index)
{
	return index < s->vdev->nvq ? &s->ring[index] : NULL;
}

static const char no_ring[] = "names a queue that there is not";

static const char *set_num(struct user_serve *s, struct user_message *m)
{
	struct user_serve_ring *r = ring_of(s, m->state.index);

	if (!r || m->state.num > VQ_SIZE_MAX)
		return no_ring;
	r->size = m->state.num;
	return NULL;
}

static const char *set_base(struct user_serve *s, struct user_message *m)
{
	struct user_serve_ring *r = ring_of(s, m->state.index);

	if (!r || m->state.num > UINT16_MAX)
		return no_ring;
	r->base = m->state.num;
	return NULL;
}

/* From the client's own addresses. False: no memory is there. */
static bool gpa_of(const struct user_serve *s, uint64_t at, uint64_t *gpa)
{
	unsigned i;

	for (i = 0; i < s->mem.nregions; i++) {
		const struct mem_region *r = &s->mem.region[i];

		*gpa = r->gpa + (at - r->fd_off);
		if (at >= r->fd_off && at - r->fd_off < r->size)
			return true;
	}
	return false;
}

static const char *set_addr(struct user_serve *s, struct user_message *m)
{
	struct user_serve_ring *r = ring_of(s, m->addr.index);

	if (!r)
		return no_ring;
	if (!gpa_of(s, m->addr.desc_user_addr, &r->desc) ||
	    !gpa_of(s, m->addr.avail_user_addr, &r->driver) ||
	    !gpa_of(s, m->addr.used_user_addr, &r->device))
		return "has a ring where there is no memory";
	return NULL;
}

/* Neither to read nor to write it may wait; but its flags stay the client's, too: see bell.h. */
static bool is_eventfd(int fd)
{
	char link[32], name[64];
	ssize_t n;
	int flags;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	if (n != 20 || memcmp(name, "anon_inode:[eventfd]", 20))
		return false;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static const char *set_fd(struct user_serve *s, struct user_message *m)
{
	struct user_serve_ring *r = ring_of(s, m->u64 & 0xff);
	unsigned wanted = m->u64 & NO_FD ? 0 : 1;
	struct virtio_device *vdev = s->vdev;
	bool used;
	int *to;

	if (!r || m->u64 & ~(uint64_t)(NO_FD | 0xff))
		return no_ring;
	if (m->nfds != wanted || (wanted && !is_eventfd(m->fd[0])))
		return "sends something else where an eventfd is wanted";
	to = m->h.request == USER_SET_VRING_KICK ? &r->kick :
	     m->h.request == USER_SET_VRING_CALL ? &r->call : &r->err;
	/* Whoever finds a ring broken, of any queue, says so by the first one's. */
	used = vdev->vq[r - s->ring].s.ready || (to == &s->ring[0].err && vdev->started);
	if (used)
		take_back(s); /* nobody holds the old one */
	put_fd(to, wanted ? m->fd[0] : -1);
	m->fd[0] = -1;
	return used ? settle(s) : settle_ring(s, r);
}

static const char *enable(struct user_serve *s, struct user_message *m)
{
	struct user_serve_ring *r = ring_of(s, m->state.index);

	if (!r)
		return no_ring;
	r->enabled = m->state.num;
	return settle_ring(s, r);
}

static const char *get_base(struct user_serve *s, struct user_message *m)
{
	struct user_serve_ring *r = ring_of(s, m->state.index);
	const char *wrong;

	if (!r)
		return no_ring;
	r->enabled = false;
	wrong = settle_ring(s, r);
	m->state.num = r->base;
	forget_ring(r);
	return wrong;
}

static const char *reset(struct user_serve *s, struct user_message *m)
{
	unsigned q;

	(void)m;
	for (q = 0; q < s->vdev->nvq; q++)
		s->ring[q].enabled = false;
	take_back(s);
	if (s->vdev->class->reset)
		s->vdev->class->reset(s->vdev);
	return NULL;
}

#define ANY UINT16_MAX

static const struct row {
	const char *(*fn)(struct user_serve *s, struct user_message *m);
	uint16_t size;  /* bytes of payload; ANY: @fn looks at it */
	bool fds, answers;
} rows[USER_REQUESTS] = {
	[USER_GET_FEATURES] = { get_features, 0, false, true },
	[USER_SET_FEATURES] = { set_features, 8, false, false },
	[USER_SET_OWNER] = { nothing, 0, false, false },
	[USER_GET_PROTOCOL_FEATURES] = { get_protocol, 0, false, true },
	[USER_SET_PROTOCOL_FEATURES] = { set_protocol, 8, false, false },
	[USER_GET_QUEUE_NUM] = { get_queues, 0, false, true },
	[USER_SET_MEM_TABLE] = { set_mem, ANY, true, false },
	[USER_SET_VRING_NUM] = { set_num, sizeof(struct vhost_vring_state), false, false },
	[USER_SET_VRING_BASE] = { set_base, sizeof(struct vhost_vring_state), false, false },
	[USER_SET_VRING_ADDR] = { set_addr, sizeof(struct vhost_vring_addr), false, false },
	[USER_SET_VRING_KICK] = { set_fd, 8, true, false },
	[USER_SET_VRING_CALL] = { set_fd, 8, true, false },
	[USER_SET_VRING_ERR] = { set_fd, 8, true, false },
	[USER_SET_VRING_ENABLE] = { enable, sizeof(struct vhost_vring_state), false, false },
	[USER_GET_VRING_BASE] = { get_base, sizeof(struct vhost_vring_state), false, true },
	[USER_RESET_DEVICE] = { reset, 0, false, false },
};

static const char *check(const struct row *row, const struct user_message *m)
{
	if ((m->h.flags & USER_VERSION_MASK) != USER_VERSION || m->h.flags & USER_REPLY)
		return "speaks another protocol";
	if (row && row->size != ANY && m->h.size != row->size)
		return "sends a message of a wrong size";
	if (row && m->nfds && !row->fds)
		return "sends descriptors that nobody has asked for";
	return NULL;
}

static const char *obey(struct user_serve *s, const struct row *row, struct user_message *m,
			bool *answers)
{
	const struct user_serve_ops *ops = s->ops;
	const char *wrong = "asks for what it was not offered";

	pthread_mutex_lock(&s->vdev->lock);
	if (row) {
		wrong = row->fn(s, m);
		*answers = row->answers;
	} else if (ops && ops->other) {
		wrong = ops->other(s, m, answers);
	}
	pthread_mutex_unlock(&s->vdev->lock);
	return wrong;
}

static const char *answer(struct user_serve *s, struct user_message *m, bool answers)
{
	int r = 0;

	if (!answers)
		m->u64 = 0;
	if (!answers || !m->h.size)
		m->h.size = sizeof(m->u64);
	m->h.flags = USER_VERSION | USER_REPLY;
	if (s->ops && s->ops->answer)
		s->ops->answer(s, m);
	else
		r = user_send(s->sock, &m->h, m->raw, &m->answer_fd, m->answer_fd >= 0, ANSWER_MS);
	return r == -ETIMEDOUT ? "does not take its answers" : NULL;
}

static const char *handle(struct user_serve *s, struct user_message *m)
{
	const struct row *row = m->h.request < USER_REQUESTS && rows[m->h.request].fn ?
				&rows[m->h.request] : NULL;
	bool answers = false, acks = m->h.flags & USER_NEED_REPLY;
	const char *wrong = check(row, m);

	m->answer_fd = -1;
	if (!wrong)
		wrong = obey(s, row, m, &answers);
	if (!wrong && (answers || acks))
		wrong = answer(s, m, answers);
	put_fd(&m->answer_fd, -1);
	return wrong;
}

static void close_fds(struct user_message *m)
{
	while (m->nfds)
		put_fd(&m->fd[--m->nfds], -1);
}

/* Waits for the next message; what has begun comes soon. False: there is none. */
static bool receive(struct user_serve *s, struct user_message *m)
{
	struct pollfd readable = { .fd = s->sock, .events = POLLIN };
	int r;

	while (poll(&readable, 1, -1) < 0 && errno == EINTR)
		;
	memset(m->raw, 0, sizeof(m->raw));
	r = user_recv(s->sock, &m->h, m->raw, m->fd, &m->nfds, ANSWER_MS);
	if (r == -ETIMEDOUT)
		s->wrong = "begins a message and does not end it";
	else if (r == -EPROTO)
		s->wrong = "sends a message that is too long, or with too many descriptors";
	return r == 0;
}

void user_serve_run(struct user_serve *s, int sock)
{
	struct user_message m;

	s->sock = sock;
	s->wrong = NULL;
	while (!s->wrong && receive(s, &m)) {
		if (s->ops && s->ops->heard && !s->ops->heard(s, m.h.request)) {
			close_fds(&m);
			break;
		}
		s->wrong = handle(s, &m);
		close_fds(&m);
	}
	forget_all(s);
}

void user_serve_init(struct user_serve *s, struct virtio_device *vdev)
{
	unsigned q;

	BUG_ON(vdev->nvq > USER_SERVE_RINGS);
	*s = (struct user_serve){ .vdev = vdev, .sock = -1, .mem.shared = true };
	s->protocol = 1ull << USER_P_MQ | 1ull << USER_P_REPLY_ACK | 1ull << USER_P_RESET_DEVICE;
	for (q = 0; q < USER_SERVE_RINGS; q++)
		s->ring[q] = (struct user_serve_ring){ .kick = -1, .call = -1, .err = -1 };
	vdev->transport = &transport;
	vdev->transport_data = s;
	vdev->mem = &s->mem;
}
