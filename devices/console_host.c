/* SPDX-License-Identifier: MIT */
#include "devices/console_host.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_console.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define CHUNK 65536 /* bytes that are written at a time */
#define STEPS 64    /* such writes before it is another queue's turn */
#define DRAIN_POLL_MS 100

#define CONTROL_LEN sizeof(struct virtio_console_control)

/*
 * What the driver of a port has to be told, in this order: Linux shows users the name, and to who
 * reads a port that is not open on this side it reports the end of the input.
 */
enum message { MSG_ADD, MSG_CONSOLE, MSG_OPEN, MSG_NAME, MSG_RESIZE, MESSAGES };

static unsigned rx_queue(const struct console_host_port *p)
{
	return p->id ? CONSOLE_PORT1_RX + 2 * (p->id - 1) : CONSOLE_PORT0_RX;
}

static unsigned tx_queue(const struct console_host_port *p)
{
	return rx_queue(p) + 1;
}

/* Not for the control queues. */
static struct console_host_port *queue_port(struct console_host *h, unsigned q)
{
	return &h->port[q < CONSOLE_CONTROL_RX ? 0 : q / 2 - 1];
}

static bool is_multiport(const struct console_host *h)
{
	return h->vdev->accepted & VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT);
}

static void watch_set(struct console_host *h, struct console_watch *w, bool on)
{
	if (on && !w->on)
		loop_resume(h->loop, &w->src);
	else if (!on && w->on)
		loop_pause(h->loop, &w->src);
	w->on = on;
}

/* After a queue has been worked on; @r is what vq_pop() said last, 1 when it was not asked. */
static void queue_done(struct console_host *h, unsigned q, int r)
{
	struct virtqueue *vq = &h->vdev->vq[q];

	virtio_complete(h->vdev, q);
	if (r < 0)
		virtio_queue_fault(h->vdev, q);
	else if (r > 0 || vq_rearm(vq))
		virtio_queue_again(h->vdev, q);
}

/* Control messages to the driver (§5.3.6.2). */

static const uint16_t message_event[] = {
	[MSG_ADD] = VIRTIO_CONSOLE_PORT_ADD,
	[MSG_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
	[MSG_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
	[MSG_NAME] = VIRTIO_CONSOLE_PORT_NAME,
	[MSG_RESIZE] = VIRTIO_CONSOLE_RESIZE,
};
static_assert(ARRAY_SIZE(message_event) == MESSAGES, "an event for each message");

/* Returns its length. @buf has room for the longest. */
static size_t message_make(const struct console_host_port *p, enum message msg, uint8_t *buf)
{
	bool value = msg == MSG_CONSOLE || (msg == MSG_OPEN && !p->ended);
	size_t len = CONTROL_LEN;

	le32_put(buf, p->id);
	le16_put(buf + 4, message_event[msg]);
	le16_put(buf + 6, value);
	if (msg == MSG_NAME) {
		memcpy(buf + len, p->end->name, strlen(p->end->name));
		len += strlen(p->end->name);
	} else if (msg == MSG_RESIZE) {
		le32_put(buf + len, atomic_load(&p->host->size)); /* le16 cols, rows */
		len += 4;
	}
	return len;
}

/* The next one that is due; false: none is. */
static bool message_next(struct console_host *h, struct console_host_port **port, enum message *msg)
{
	unsigned i;

	for (i = 0; i < h->nports; i++) {
		if (h->port[i].due) {
			*port = &h->port[i];
			*msg = __builtin_ctz(h->port[i].due);
			return true;
		}
	}
	return false;
}

static void control_send(struct console_host *h)
{
	struct virtqueue *vq = &h->vdev->vq[CONSOLE_CONTROL_RX];
	uint8_t buf[CONTROL_LEN + CONSOLE_NAME_MAX];
	struct iovec iov[CONSOLE_QUEUE_SIZE];
	struct vq_chain c;
	struct console_host_port *p;
	enum message msg;
	int r = 0;

	if (!is_multiport(h) || !vq_started(vq) || !message_next(h, &p, &msg))
		return;
	do {
		struct iovcur to;
		size_t len;

		r = vq_pop(vq, &c, iov, CONSOLE_QUEUE_SIZE);
		if (r <= 0)
			break;
		len = message_make(p, msg, buf);
		to = iov_cursor(c.in, c.nin);
		/* One that does not fit is lost: the driver gave too little room (§5.3.6.2.2). */
		vq_push(vq, c.head, iov_put(&to, buf, len) ? len : 0);
		p->due &= ~(1u << msg);
		p->added |= msg == MSG_ADD;
	} while (message_next(h, &p, &msg));
	if (r > 0)
		virtio_complete(h->vdev, CONSOLE_CONTROL_RX);
	else
		queue_done(h, CONSOLE_CONTROL_RX, r);
}

/* The host's side of the port is closed. */
static void port_end(struct console_host_port *p)
{
	p->ended = true;
	p->due |= p->ready ? 1u << MSG_OPEN : 0;
	control_send(p->host);
}

/* Input. */

/* May there be input, and is there somebody to give it to? */
static bool input_wanted(struct console_host_port *p)
{
	struct virtio_device *vdev = p->host->vdev;
	struct virtqueue *vq = &vdev->vq[rx_queue(p)];
	bool listening = is_multiport(p->host) ? p->open : p->id == 0;

	if (!p->end || p->end->in < 0 || p->ended)
		return false;
	if (!listening || !vq_started(vq) || virtio_is_broken(vdev))
		return false;
	if (p->unread && !vq_rearm_beyond(vq, p->ahead))
		return false;
	p->unread = false;
	return p->rx.busy || vq_rearm(vq);
}

static void input_update(struct console_host_port *p)
{
	watch_set(p->host, &p->readable, input_wanted(p));
}

/* A buffer to read into. False: there is none. */
static bool input_buffer(struct console_host_port *p)
{
	struct console_host *h = p->host;
	struct virtqueue *vq = &h->vdev->vq[rx_queue(p)];
	struct vq_chain c;
	int r = 0;

	while (!p->rx.busy && (r = vq_pop(vq, &c, p->rx.iov, CONSOLE_QUEUE_SIZE)) > 0) {
		p->rx.head = c.head;
		p->rx.cur = iov_cursor(c.in, c.nin);
		p->rx.busy = p->rx.cur.left;
		if (!p->rx.busy)
			vq_push(vq, c.head, 0);
	}
	if (r < 0)
		virtio_queue_fault(h->vdev, rx_queue(p));
	return p->rx.busy;
}

/*
 * Linux's console takes one buffer of input for an interrupt and does not look for another: that
 * would be stuck until a key is pressed. So it gets the next when it has given that one back.
 */
static void input_pace(struct console_host_port *p)
{
	p->unread = !p->end->name;
	p->ahead = vq_ahead(&p->host->vdev->vq[rx_queue(p)]);
}

/* One buffer at a time, as a second read might wait. */
static void input_ready(void *arg)
{
	struct console_host_port *p = arg;
	struct console_host *h = p->host;
	struct iovec iov[CONSOLE_QUEUE_SIZE];
	ssize_t n;

	if (input_buffer(p)) {
		n = readv(p->end->in, iov, iov_export(&p->rx.cur, iov, CONSOLE_QUEUE_SIZE));
		if (n > 0) {
			vq_push(&h->vdev->vq[rx_queue(p)], p->rx.head, n);
			p->rx.busy = false;
			input_pace(p);
			if (p->end->took)
				p->end->took(p->end->arg);
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			port_end(p);
		}
	}
	virtio_complete(h->vdev, rx_queue(p));
	input_update(p);
}

/* Output. */

/*
 * Writes some of the chain that is under way. -EAGAIN. What nobody will read counts as written, and
 * a guest that writes to a named port hears of it, as programs do by SIGPIPE.
 */
static int output_write(struct console_host_port *p)
{
	struct iovec piece;
	ssize_t n = -EPIPE;

	if (!iov_export(&p->tx.cur, &piece, 1))
		return 0;
	if (p->end && p->end->write)
		n = p->end->write(p->end->arg, piece.iov_base, min_u64(piece.iov_len, CHUNK));
	if (n == -EAGAIN)
		return n;
	if (n < 0 && p->end && p->end->write && p->end->name && !p->ended)
		port_end(p);
	iov_split(&p->tx.cur, n < 0 ? p->tx.cur.left : (size_t)n);
	return 0;
}

/* One write's worth of output. 1: it may go on; 0: there is no more; -EAGAIN, -EPROTO. */
static int output_step(struct console_host_port *p)
{
	struct virtqueue *vq = &p->host->vdev->vq[tx_queue(p)];
	struct vq_chain c;
	int r;

	if (!p->tx.busy) {
		r = vq_pop(vq, &c, p->tx.iov, CONSOLE_QUEUE_SIZE);
		if (r <= 0)
			return r;
		p->tx.busy = true;
		p->tx.head = c.head;
		p->tx.cur = iov_cursor(c.out, c.nout);
		p->tx.len = p->tx.cur.left;
		iov_split(&p->tx.cur, min_u64(p->written, p->tx.len));
		p->written = 0;
	}
	r = output_write(p);
	if (r < 0)
		return r;
	if (!p->tx.cur.left) {
		vq_push(vq, p->tx.head, 0);
		p->tx.busy = false;
	}
	return 1;
}

static void output(struct console_host_port *p)
{
	unsigned n = STEPS;
	int r;

	do
		r = output_step(p);
	while (r > 0 && --n);
	watch_set(p->host, &p->writable, r == -EAGAIN);
	if (r == -EAGAIN)
		virtio_complete(p->host->vdev, tx_queue(p));
	else
		queue_done(p->host, tx_queue(p), r);
}

static void output_room(void *arg)
{
	struct console_host_port *p = arg;

	if (virtio_is_broken(p->host->vdev))
		watch_set(p->host, &p->writable, false);
	else
		output(p);
}

/* Waits for the host's reader a little. False: not any more. */
static bool output_wait(struct console_host_port *p)
{
	struct pollfd room = { .fd = p->end->room, .events = POLLOUT };

	poll(&room, 1, DRAIN_POLL_MS);
	return !platform_hurries(p->host->p);
}

/*
 * All that the guest has sent, however slow its reader is. At most a ring full, as the driver sees
 * none of it coming back meanwhile.
 */
static void output_drain(struct console_host_port *p)
{
	int r;

	do
		r = output_step(p);
	while (r > 0 || (r == -EAGAIN && output_wait(p)));
	if (p->tx.busy)
		vq_push(&p->host->vdev->vq[tx_queue(p)], p->tx.head, 0);
	p->tx.busy = false;
}

/* Control messages from the driver (§5.3.6.2). */

static void device_is_ready(struct console_host *h)
{
	unsigned i;

	for (i = 0; i < h->nports; i++) {
		struct console_host_port *p = &h->port[i];

		if (p->end && !p->added) /* one that the driver knows must not come again */
			p->due |= 1u << MSG_ADD;
	}
}

static void port_is_ready(struct console_host_port *p, bool yes)
{
	bool console = !p->end->name;

	p->ready = yes;
	p->due = 0;
	if (!yes)
		return;
	p->due = 1u << MSG_OPEN;
	p->due |= console ? 1u << MSG_CONSOLE | 1u << MSG_RESIZE : 1u << MSG_NAME;
}

/* False: it makes no sense. */
static bool control_received(struct console_host *h, const uint8_t *msg)
{
	uint32_t id = le32_get(msg);
	uint16_t event = le16_get(msg + 4), value = le16_get(msg + 6);
	struct console_host_port *p = id < h->nports ? &h->port[id] : NULL;

	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		if (value)
			device_is_ready(h);
		return true;
	}
	if (!p || !p->added)
		return false;
	if (event == VIRTIO_CONSOLE_PORT_READY) {
		port_is_ready(p, value);
		return true;
	}
	if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		p->open = value;
		input_update(p);
		return true;
	}
	return false;
}

static void control_kick(struct console_host *h)
{
	struct virtqueue *vq = &h->vdev->vq[CONSOLE_CONTROL_TX];
	struct iovec iov[CONSOLE_QUEUE_SIZE];
	uint8_t msg[CONTROL_LEN];
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c, iov, CONSOLE_QUEUE_SIZE)) > 0) {
		struct iovcur from = iov_cursor(c.out, c.nout);

		if (!iov_pull(&from, msg, sizeof(msg)) || !control_received(h, msg))
			log_guest(&h->vdev->limit, "%s: a control message makes no sense",
				  h->vdev->name);
		vq_push(vq, c.head, 0);
	}
	queue_done(h, CONSOLE_CONTROL_TX, r);
	control_send(h);
}

/* The queues. */

void console_host_kick(struct console_host *h, unsigned q)
{
	struct console_host_port *console = h->port;

	if (q == CONSOLE_CONTROL_TX) {
		control_kick(h);
	} else if (q == CONSOLE_CONTROL_RX) {
		if (atomic_exchange(&h->resized, false) && console->ready)
			console->due |= 1u << MSG_RESIZE;
		control_send(h);
	} else if (q % 2) {
		output(queue_port(h, q));
	} else {
		input_update(queue_port(h, q));
	}
}

/* The chain that a transfer is at is popped again after the pause. */
static void give_back(struct console_host_port *p, struct console_transfer *t,
		      struct virtqueue *vq)
{
	if (!t->busy)
		return;
	vq_unpop(vq, 1);
	t->busy = false;
	if (t == &p->tx)
		p->written = t->len - t->cur.left;
}

void console_host_stop(struct console_host *h, unsigned q)
{
	struct console_host_port *p = queue_port(h, q);

	if (q == CONSOLE_CONTROL_RX || q == CONSOLE_CONTROL_TX)
		return;
	watch_set(h, q % 2 ? &p->writable : &p->readable, false);
	if (virtio_is_paused(h->vdev)) {
		give_back(p, q % 2 ? &p->tx : &p->rx, &h->vdev->vq[q]);
	} else if (q % 2) {
		output_drain(p);
	} else {
		if (p->rx.busy)
			vq_push(&h->vdev->vq[q], p->rx.head, 0);
		p->rx.busy = p->unread = false;
	}
}

void console_host_reset(struct console_host *h)
{
	unsigned i;

	for (i = 0; i < h->nports; i++) {
		struct console_host_port *p = &h->port[i];

		p->added = p->ready = p->open = false;
		p->due = 0;
		p->written = 0;
	}
}

static void port_state(struct console_host_port *p, struct state *s)
{
	bool added = p->added, ready = p->ready, open = p->open, ended = p->ended,
	     unread = p->unread;
	uint64_t written = p->written;
	uint16_t ahead = p->ahead;
	uint32_t due = p->due;

	state_same(s, p->end ? hash_u64(p->end->name ? p->end->name : "",
					p->end->name ? strlen(p->end->name) : 0) : 0);
	state_bool(s, &added);
	state_bool(s, &ready);
	state_bool(s, &open);
	state_bool(s, &ended);
	state_bool(s, &unread);
	state_u16(s, &ahead);
	state_u32(s, &due);
	state_u64(s, &written);
	state_check(s, p->end || !(added | ready | due));
	state_check(s, !(due >> MESSAGES));
	state_check(s, !(due & 1u << MSG_NAME) || (p->end && p->end->name));
	if (!state_takes(s))
		return;
	p->added = added;
	p->ready = ready;
	p->open = open;
	p->ended = ended;
	p->unread = unread;
	p->ahead = ahead;
	p->due = due;
	p->written = written;
}

void console_host_state(struct console_host *h, struct state *s)
{
	unsigned i;

	state_same(s, h->nports);
	for (i = 0; i < h->nports; i++)
		port_state(&h->port[i], s);
}

void console_host_resize(struct console_host *h, unsigned cols, unsigned rows)
{
	atomic_store(&h->size, (cols & 0xffff) | rows << 16);
	if (!h->vdev->transport)
		return;
	virtio_config_changed(h->vdev);
	if (h->nports > 1) {
		atomic_store(&h->resized, true);
		virtio_queue_again(h->vdev, CONSOLE_CONTROL_RX);
	}
}

/* Making and taking down. */

void console_host_init(struct console_host *h, struct virtio_device *vdev, struct platform *p,
		       struct loop *loop)
{
	unsigned i;

	h->vdev = vdev;
	h->p = p;
	h->loop = loop;
	h->nports = 1;
	for (i = 0; i < CONSOLE_PORTS_MAX; i++)
		h->port[i] = (struct console_host_port){ .host = h, .id = i, .always = -1 };
}

void console_host_fini(struct console_host *h)
{
	unsigned i;

	for (i = 0; i < h->nports; i++) {
		if (h->port[i].always >= 0)
			close(h->port[i].always);
	}
}

unsigned console_host_queues(const struct console_host *h)
{
	return h->nports > 1 ? 2 * h->nports + 2 : 2;
}

/* A file is always readable, but the loop wants to hear it from an eventfd. */
int console_host_prepare(struct console_host_port *p)
{
	struct loop_source *in = &p->readable.src;
	int r = 0;

	if (!p->end)
		return 0;
	p->writable.src = (struct loop_source){ .fd = p->end->room, .fn = output_room, .arg = p,
						.write = true };
	*in = (struct loop_source){ .fd = p->end->in, .fn = input_ready, .arg = p };
	if (p->end->in < 0)
		return 0;
	r = loop_add(p->host->loop, in);
	if (r == 0)
		loop_del(p->host->loop, in);
	if (r != -EPERM)
		return r;
	in->fd = p->always = eventfd(1, EFD_CLOEXEC);
	return in->fd < 0 ? -errno : 0;
}
