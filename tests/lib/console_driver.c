/* SPDX-License-Identifier: MIT */
#include "tests/lib/console_driver.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define BUFFER 4096 /* of the arena, for each descriptor of the ring */

static ssize_t try_write(void *console, const void *data, size_t len)
{
	struct console_terminal *t = console;
	bool fits;

	pthread_mutex_lock(&t->lock);
	fits = len <= sizeof(t->out) - t->len;
	if (fits) {
		memcpy(t->out + t->len, data, len);
		t->len += len;
	}
	pthread_mutex_unlock(&t->lock);
	return fits ? (ssize_t)len : -EPIPE;
}

static void wait_and_write(void *console, const void *data, size_t len)
{
	try_write(console, data, len);
}

static int room(void *console)
{
	struct console_terminal *t = console;

	return t->room;
}

static void more(void *console)
{
	struct console_terminal *t = console;

	atomic_fetch_add(&t->mores, 1);
}

static void attach(void *console, const struct console_user *user, void *dev)
{
	struct console_terminal *t = console;

	t->user = user;
	t->dev = dev;
	user->resized(dev, 80, 25);
}

void console_terminal_init(struct console_terminal *t, struct testbed *tb)
{
	static const struct console_ops ops = { .write = wait_and_write, .try_write = try_write,
						.room = room, .more = more };

	*t = (struct console_terminal){ .room = eventfd(0, EFD_CLOEXEC) };
	pthread_mutex_init(&t->lock, NULL);
	tb->p.console = t;
	tb->p.console_ops = &ops;
	tb->p.console_attach = attach;
}

void console_terminal_fini(struct console_terminal *t)
{
	close(t->room);
	pthread_mutex_destroy(&t->lock);
}

bool console_terminal_shows(struct console_terminal *t, const void *data, size_t len)
{
	bool same = false;
	unsigned ms;

	for (ms = 0; !same && ms < CONSOLE_WAIT_MS; ms++) {
		pthread_mutex_lock(&t->lock);
		same = t->len == len && !memcmp(t->out, data, len);
		pthread_mutex_unlock(&t->lock);
		usleep(1000);
	}
	return same;
}

/* Of the arena, for what will be the next head: descriptors are given out one by one. */
static uint64_t place(struct vdriver_queue *vq, uint32_t len)
{
	BUG_ON(len > BUFFER && vq->ring.nfree < vq->ring.size);
	return vq->arena + (uint64_t)vq->ring.first_free * BUFFER;
}

void console_give(struct vdriver *v, unsigned q, uint32_t len)
{
	struct vdriver_queue *vq = &v->queue[q];
	struct driver_buf buf = { .gpa = place(vq, len), .len = len, .write = true };

	BUG_ON(driver_add(&vq->ring, &buf, 1, 0) < 0);
	vdriver_kick(v, q);
}

int console_take(struct vdriver *v, unsigned q, void *data, size_t size, int timeout_ms)
{
	struct vdriver_queue *vq = &v->queue[q];
	uint16_t head;
	uint32_t len;
	int r = vdriver_wait_used(v, q, &head, &len, timeout_ms);

	if (r < 0)
		return r;
	BUG_ON(len > size);
	mem_read(vq->ring.mem, vq->arena + (uint64_t)head * BUFFER, data, len);
	return len;
}

void console_put(struct vdriver *v, unsigned q, const void *data, size_t len)
{
	struct vdriver_queue *vq = &v->queue[q];
	struct driver_buf buf = { .gpa = place(vq, len), .len = len };

	mem_write(vq->ring.mem, buf.gpa, data, len);
	BUG_ON(driver_add(&vq->ring, &buf, 1, 0) < 0);
	vdriver_kick(v, q);
}

bool console_tell(struct vdriver *v, uint32_t id, uint16_t event, uint16_t value)
{
	uint8_t raw[8];
	struct iovec out = { raw, sizeof(raw) };

	le32_put(raw, id);
	le16_put(raw + 4, event);
	le16_put(raw + 6, value);
	return vdriver_request(v, CONSOLE_CTL_TX, &out, 1, NULL, 0, CONSOLE_WAIT_MS) == 0;
}

bool console_hear(struct vdriver *v, struct console_msg *msg, int timeout_ms)
{
	uint8_t raw[8 + sizeof(msg->text)];
	int len;

	/* One that was given for a message that did not come is still there. */
	if (v->queue[CONSOLE_CTL_RX].ring.nfree == v->queue[CONSOLE_CTL_RX].ring.size)
		console_give(v, CONSOLE_CTL_RX, sizeof(raw));
	len = console_take(v, CONSOLE_CTL_RX, raw, sizeof(raw), timeout_ms);
	if (len < 8)
		return false;
	*msg = (struct console_msg){ .id = le32_get(raw), .event = le16_get(raw + 4),
				     .value = le16_get(raw + 6), .len = len - 8 };
	memcpy(msg->text, raw + 8, msg->len);
	return true;
}

/* True: nothing but the messages that are due has been said. */
static bool open_one(struct vdriver *v, uint32_t id)
{
	unsigned i, messages = id ? 2 : 3; /* name, open; console, open, resize */
	struct console_msg msg;

	if (!console_tell(v, id, VIRTIO_CONSOLE_PORT_READY, 1))
		return false;
	for (i = 0; i < messages; i++) {
		if (!console_hear(v, &msg, CONSOLE_WAIT_MS) || msg.id != id)
			return false;
	}
	return console_tell(v, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

bool console_open(struct vdriver *v, unsigned first, unsigned nports)
{
	struct console_msg msg;
	unsigned i;

	if (!console_tell(v, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1))
		return false;
	for (i = first; i < nports; i++) {
		if (!console_hear(v, &msg, CONSOLE_WAIT_MS) || msg.id != i ||
		    msg.event != VIRTIO_CONSOLE_PORT_ADD)
			return false;
	}
	for (i = first; i < nports; i++) {
		if (!open_one(v, i))
			return false;
	}
	return true;
}
