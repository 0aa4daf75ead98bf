/* SPDX-License-Identifier: MIT */
#include "tests/lib/kept_server.h"

#include <linux/vhost.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "virtio/user_msg.h"
#include "virtio/virtio.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define AREA 4096 /* of a queue's account */
#define ENTRIES ((AREA - sizeof(struct account)) / sizeof(struct account_entry))
#define TIME 20000
#define AT_ONCE 3 /* requests that are done between two looks */

/* As the protocol's document has them. */
struct account_entry {
	uint8_t inflight, padding[5];
	uint16_t next;
	uint64_t counter;
};

struct account {
	uint64_t features;
	uint16_t version, size, last_batch_head, used_idx;
	struct account_entry entry[];
};

struct ring {
	uint32_t size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	int kick, call; /* -1: none */
	bool enabled, runs;
	uint16_t next_avail;
	uint64_t counter;
	uint16_t todo[128];
	unsigned ntodo;
};

/* One life. */
struct life {
	struct kept_shared *shared;
	int conn;
	uint32_t seed;
	struct user_memory memory;
	uint8_t *map[USER_REGIONS_MAX];
	uint8_t *accounts;
	struct ring ring[KEPT_QUEUES];
};

static void point(struct life *l, enum kept_point here)
{
	unsigned wanted = here;

	if (atomic_compare_exchange_strong(&l->shared->dies, &wanted, KEPT_NOWHERE))
		raise(SIGKILL);
}

/* Memory of the guest, by its own address, or by the one that the other side has for it. */
static void *at(const struct life *l, uint64_t address, bool guests)
{
	unsigned i;

	for (i = 0; ; i++) {
		uint64_t from;

		BUG_ON(i == l->memory.count);
		from = guests ? l->memory.region[i].gpa : l->memory.region[i].address;
		if (address >= from && address - from < l->memory.region[i].size)
			return l->map[i] + (address - from);
	}
}

static struct account *account_of(const struct life *l, unsigned q)
{
	return (void *)(l->accounts + q * AREA);
}

static uint16_t load(const uint16_t *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_SEQ_CST));
}

static void store(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_SEQ_CST);
}

/* Requests. */

static void take(struct life *l, unsigned q)
{
	struct account *a = account_of(l, q);
	struct ring *r = &l->ring[q];

	while (r->next_avail != load(&r->avail->idx)) {
		uint16_t head = le16toh(r->avail->ring[r->next_avail & (r->size - 1)]);

		BUG_ON(head >= r->size || a->entry[head].inflight || r->ntodo == r->size);
		a->entry[head].counter = r->counter++;
		point(l, KEPT_NUMBERED);
		__atomic_store_n(&a->entry[head].inflight, 1, __ATOMIC_SEQ_CST);
		point(l, KEPT_TAKEN);
		r->next_avail++;
		r->todo[r->ntodo++] = head;
		atomic_fetch_add(&l->shared->taken, 1);
	}
}

static uint32_t transform(struct life *l, const struct ring *r, uint16_t head)
{
	const struct vring_desc *out = &r->desc[head], *in = &r->desc[le16toh(out->next)];
	const uint8_t *from = at(l, le64toh(out->addr), true);
	uint8_t *to = at(l, le64toh(in->addr), true);
	uint32_t i, len = le32toh(out->len);

	BUG_ON(len != le32toh(in->len));
	for (i = 0; i < len; i++)
		to[i] = from[i] ^ KEPT_CHANGE;
	return len;
}

static void finish(struct life *l, unsigned q, uint16_t head)
{
	struct account *a = account_of(l, q);
	struct ring *r = &l->ring[q];
	uint32_t len = transform(l, r, head);
	uint16_t idx = load(&r->used->idx);

	point(l, KEPT_DONE);
	a->entry[head].next = a->last_batch_head;
	__atomic_store_n(&a->last_batch_head, head, __ATOMIC_SEQ_CST);
	point(l, KEPT_LISTED);
	r->used->ring[idx & (r->size - 1)] =
		(struct vring_used_elem){ htole32(head), htole32(len) };
	point(l, KEPT_ELEMENT);
	store(&r->used->idx, idx + 1);
	point(l, KEPT_SHOWN);
	__atomic_store_n(&a->entry[head].inflight, 0, __ATOMIC_SEQ_CST);
	point(l, KEPT_CLEARED);
	__atomic_store_n(&a->used_idx, (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
	point(l, KEPT_UNTOLD);
	if (r->call >= 0)
		eventfd_write(r->call, 1);
}

static void finish_some(struct life *l, unsigned q, unsigned most)
{
	struct ring *r = &l->ring[q];

	for (; most && r->ntodo; most--) {
		unsigned i;
		uint16_t head;

		l->seed = l->seed * 1103515245 + 12345;
		i = (l->seed >> 16) % r->ntodo;
		head = r->todo[i];
		memmove(&r->todo[i], &r->todo[i + 1], (r->ntodo - i - 1) * sizeof(r->todo[0]));
		r->ntodo--;
		finish(l, q, head);
	}
}

/* A server before this one has had the ring; or nobody, which looks the same. */
static void go_on(struct life *l, unsigned q)
{
	struct account *a = account_of(l, q);
	struct ring *r = &l->ring[q];
	uint16_t i, idx = load(&r->used->idx), head = a->last_batch_head;

	BUG_ON(a->size != r->size && a->version);
	a->version = 1;
	a->size = r->size;
	for (i = a->used_idx; i != idx; i++) {
		BUG_ON(head >= r->size);
		a->entry[head].inflight = 0;
		head = a->entry[head].next;
	}
	a->used_idx = idx;
	r->counter = r->ntodo = 0;
	for (head = 0; head < r->size; head++) {
		const struct account_entry *e = &a->entry[head];

		if (!e->inflight)
			continue;
		for (i = r->ntodo; i && a->entry[r->todo[i - 1]].counter > e->counter; i--)
			r->todo[i] = r->todo[i - 1];
		r->todo[i] = head;
		r->ntodo++;
	}
	if (r->ntodo)
		r->counter = a->entry[r->todo[r->ntodo - 1]].counter + 1;
	r->next_avail = idx + r->ntodo;
	for (i = 0; i < r->ntodo; i++) {
		unsigned n = atomic_fetch_add(&l->shared->again, 1);

		memcpy(&l->shared->order[n % KEPT_LOG],
		       at(l, le64toh(r->desc[r->todo[i]].addr), true), sizeof(uint32_t));
	}
}

static void settle(struct life *l, unsigned q)
{
	struct ring *r = &l->ring[q];

	if (r->runs || !r->size || !r->used || r->kick < 0 || !r->enabled)
		return;
	go_on(l, q);
	r->runs = true;
	if (q == KEPT_QUEUES - 1)
		atomic_fetch_add(&l->shared->lives, 1);
}

/* Messages. */

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
};

static void set_mem(struct life *l, const struct message *m)
{
	unsigned i;

	BUG_ON(m->memory.count != m->nfds);
	for (i = 0; i < l->memory.count; i++)
		munmap(l->map[i], l->memory.region[i].size);
	l->memory = m->memory;
	for (i = 0; i < m->nfds; i++) {
		l->map[i] = mmap(NULL, m->memory.region[i].size, PROT_READ | PROT_WRITE,
				 MAP_SHARED, m->fd[i], m->memory.region[i].offset);
		BUG_ON(l->map[i] == MAP_FAILED);
	}
}

static void set_inflight(struct life *l, const struct message *m)
{
	BUG_ON(m->nfds != 1 || m->inflight.size != KEPT_QUEUES * AREA);
	if (l->accounts)
		munmap(l->accounts, KEPT_QUEUES * AREA);
	l->accounts = mmap(NULL, KEPT_QUEUES * AREA, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd[0],
			   m->inflight.offset);
	BUG_ON(l->accounts == MAP_FAILED);
}

static void set_fd(struct life *l, struct message *m)
{
	struct ring *r = &l->ring[m->u64 & 0xff];
	int *to = m->h.request == USER_SET_VRING_KICK ? &r->kick : &r->call;

	BUG_ON(m->nfds != 1 || m->u64 >= KEPT_QUEUES);
	if (*to >= 0)
		close(*to);
	*to = m->fd[0];
	m->nfds = 0;
	if (to == &r->call) /* what the one before this has not told */
		eventfd_write(r->call, 1);
}

static void stop(struct life *l, struct message *m)
{
	struct ring *r = &l->ring[m->state.index];

	if (r->runs)
		finish_some(l, m->state.index, r->ntodo);
	m->state.num = r->next_avail;
	close(r->kick);
	close(r->call);
	*r = (struct ring){ .kick = -1, .call = -1 };
}

static int do_message(struct life *l, struct message *m)
{
	struct ring *r = &l->ring[m->state.index & 1];
	int fd = -1;

	switch (m->h.request) {
	case USER_GET_FEATURES:
		m->u64 = VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(USER_F_PROTOCOL) |
			 VIRTIO_BIT(VIRTIO_BLK_F_MQ);
		break;
	case USER_GET_PROTOCOL_FEATURES:
		m->u64 = 1 << USER_P_MQ | 1 << USER_P_REPLY_ACK | 1 << USER_P_CONFIG |
			 1 << USER_P_INFLIGHT;
		break;
	case USER_GET_QUEUE_NUM: m->u64 = KEPT_QUEUES; break;
	case USER_GET_CONFIG:
		memset(m->config.data, 0, sizeof(m->config.data));
		m->config.data[offsetof(struct virtio_blk_config, num_queues)] = KEPT_QUEUES;
		break;
	case USER_GET_INFLIGHT_FD:
		BUG_ON(m->inflight.queues != KEPT_QUEUES || m->inflight.queue_size > ENTRIES);
		fd = memfd_create("accounts", MFD_CLOEXEC);
		BUG_ON(fd < 0 || ftruncate(fd, KEPT_QUEUES * AREA) < 0);
		m->inflight.size = KEPT_QUEUES * AREA;
		m->inflight.offset = 0;
		break;
	case USER_SET_INFLIGHT_FD: set_inflight(l, m); break;
	case USER_SET_MEM_TABLE: set_mem(l, m); break;
	case USER_SET_VRING_NUM: r->size = m->state.num; break;
	case USER_SET_VRING_ADDR:
		r->desc = at(l, m->addr.desc_user_addr, false);
		r->avail = at(l, m->addr.avail_user_addr, false);
		r->used = at(l, m->addr.used_user_addr, false);
		break;
	case USER_SET_VRING_KICK: case USER_SET_VRING_CALL: set_fd(l, m); break;
	case USER_SET_VRING_ENABLE:
		r->enabled = m->state.num;
		settle(l, m->state.index);
		break;
	case USER_GET_VRING_BASE: stop(l, m); break;
	default: break;
	}
	return fd;
}

static bool has_answer(uint32_t request)
{
	return request == USER_GET_FEATURES || request == USER_GET_PROTOCOL_FEATURES ||
	       request == USER_GET_QUEUE_NUM || request == USER_GET_CONFIG ||
	       request == USER_GET_INFLIGHT_FD || request == USER_GET_VRING_BASE;
}

/* False: the other side has gone. */
static bool hear(struct life *l)
{
	bool answers, acks;
	struct message m;
	int fd;

	if (user_recv(l->conn, &m.h, m.raw, m.fd, &m.nfds, TIME) < 0)
		return false;
	answers = has_answer(m.h.request);
	acks = !answers && m.h.flags & USER_NEED_REPLY;
	fd = do_message(l, &m);
	user_close_fds(m.fd, &m.nfds);
	m.h.flags = USER_VERSION | USER_REPLY;
	if (acks || !m.h.size)
		m.h.size = sizeof(m.u64);
	if (acks)
		m.u64 = 0;
	if (answers || acks)
		user_send(l->conn, &m.h, m.raw, &fd, fd >= 0, TIME);
	if (fd >= 0)
		close(fd);
	return true;
}

static void work(struct life *l)
{
	struct pollfd p[1 + KEPT_QUEUES];
	bool busy = false;
	unsigned q;

	p[0] = (struct pollfd){ .fd = l->conn, .events = POLLIN };
	for (q = 0; q < KEPT_QUEUES; q++) {
		struct ring *r = &l->ring[q];

		p[1 + q] = (struct pollfd){ .fd = r->runs ? r->kick : -1, .events = POLLIN };
		busy |= r->ntodo;
	}
	poll(p, 1 + KEPT_QUEUES, busy ? 1 : TIME);
	for (q = 0; q < KEPT_QUEUES; q++) {
		eventfd_t count;

		if (!l->ring[q].runs)
			continue;
		if (p[1 + q].revents & POLLIN)
			eventfd_read(l->ring[q].kick, &count);
		take(l, q);
		if (!atomic_load(&l->shared->hold))
			finish_some(l, q, AT_ONCE);
	}
	if (p[0].revents && !hear(l))
		_exit(0);
}

static void live(struct kept_shared *shared, int listener)
{
	struct life l = { .shared = shared, .seed = getpid() };
	unsigned q;

	for (q = 0; q < KEPT_QUEUES; q++)
		l.ring[q].kick = l.ring[q].call = -1;
	l.conn = accept(listener, NULL, NULL);
	BUG_ON(l.conn < 0);
	for (;;)
		work(&l);
}

/* The process that has the others: 'l', 'k', or the end. */

static void end_life(pid_t *child)
{
	if (*child > 0) {
		kill(*child, SIGKILL);
		waitpid(*child, NULL, 0);
	}
	*child = 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un where = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(where.sun_path, path);
	unlink(path);
	BUG_ON(fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof(where)) < 0 ||
	       listen(fd, 1) < 0);
	return fd;
}

static void keep(struct kept_server *k, int hears, int says)
{
	pid_t child = 0;
	char what;

	while (read(hears, &what, 1) == 1) {
		end_life(&child);
		if (what == 'l') {
			int listener = listen_at(k->path);

			child = fork();
			if (!child)
				live(k->shared, listener);
			close(listener);
		}
		BUG_ON(write(says, &what, 1) != 1);
	}
	end_life(&child);
	_exit(0);
}

static void order(struct kept_server *k, char what)
{
	char done;

	BUG_ON(write(k->say, &what, 1) != 1 || read(k->hear, &done, 1) != 1 || done != what);
}

void kept_server_begin(struct kept_server *k)
{
	int say[2], hear_[2];

	k->shared = mmap(NULL, sizeof(*k->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(k->folder, "/tmp/lunette-kept-XXXXXX");
	BUG_ON(k->shared == MAP_FAILED || !mkdtemp(k->folder) || pipe(say) < 0 || pipe(hear_) < 0);
	snprintf(k->path, sizeof(k->path), "%s/socket", k->folder);
	k->keeper = fork();
	BUG_ON(k->keeper < 0);
	if (!k->keeper) {
		close(say[1]);
		close(hear_[0]);
		keep(k, say[0], hear_[1]);
	}
	close(say[0]);
	close(hear_[1]);
	k->say = say[1];
	k->hear = hear_[0];
}

void kept_server_live(struct kept_server *k)
{
	order(k, 'l');
}

void kept_server_kill(struct kept_server *k)
{
	order(k, 'k');
}

void kept_server_end(struct kept_server *k)
{
	close(k->say);
	waitpid(k->keeper, NULL, 0);
	close(k->hear);
	unlink(k->path);
	rmdir(k->folder);
	munmap(k->shared, sizeof(*k->shared));
}
