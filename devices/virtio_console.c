/* SPDX-License-Identifier: MIT */
/*
 * Console device (virtio 1.3 §5.3): port 0 is a console on lunette's terminal, other ports have
 * names. Without those it does not offer MULTIPORT, and has no control messages.
 */
#include "devices/virtio_console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "devices/console_host.h"
#include "devices/devices.h"
#include "virtio/virtio.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define CONFIG_LEN sizeof(struct virtio_console_config)

struct virtio_console {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class; /* with the features of this one */
	struct console_host host;
	unsigned transport;
	uint8_t config[CONFIG_LEN];
	struct console_end terminal;
	int keys[2]; /* a pipe of what the user types, for port 0 */
};

struct console_cfg {
	unsigned transport; /* enum virtio_transport */
	bool terminal;
};

static const struct opt console_opts[] = {
	VIRTIO_TRANSPORT_OPT(struct console_cfg, transport),
	{ .key = "terminal", .type = OPT_BOOL, .offset = offsetof(struct console_cfg, terminal),
	  .def = "on", .help = "port 0 is a console, hvc0, on lunette's own terminal" },
	{ 0 }
};

/* As a virtio device. */

static struct console_host *host_of(struct virtio_device *vdev)
{
	return &container_of(vdev, struct virtio_console, vdev)->host;
}

static void console_kick(struct virtio_device *vdev, unsigned q)
{
	console_host_kick(host_of(vdev), q);
}

static void console_queue_stop(struct virtio_device *vdev, unsigned q)
{
	console_host_stop(host_of(vdev), q);
}

static void console_reset(struct virtio_device *vdev)
{
	console_host_reset(host_of(vdev));
}

/* The terminal's size comes from another thread, and only who has the lock may write config. */
static void console_config_reading(struct virtio_device *vdev)
{
	uint32_t size = atomic_load(&host_of(vdev)->size);

	if (le32_get(vdev->config) == size)
		return;
	le32_put(vdev->config, size); /* le16 cols, rows */
	atomic_fetch_add(&vdev->generation, 1);
}

static void console_visit(struct virtio_device *vdev, struct state *s)
{
	console_host_state(host_of(vdev), s);
}

static const struct virtio_class console_virtio = {
	.name = "console",
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000, /* communication controller, other */
	.features = VIRTIO_BIT(VIRTIO_CONSOLE_F_SIZE),
	.config_reading = console_config_reading,
	.kick = console_kick,
	.queue_stop = console_queue_stop,
	.reset = console_reset,
	.state = console_visit,
};

/* The terminal: a pipe takes what its user types to the I/O thread, and bounds it. */

static size_t terminal_input(void *dev, const void *data, size_t len)
{
	struct virtio_console *con = dev;
	ssize_t n = write(con->keys[1], data, len);

	return n < 0 ? 0 : n;
}

static void terminal_resized(void *dev, unsigned cols, unsigned rows)
{
	struct virtio_console *con = dev;

	console_host_resize(&con->host, cols, rows);
}

/* Linux's hvc console takes what follows ^O for such a key. */
static bool terminal_sysrq(void *dev, char key)
{
	const char keys[] = { 'O' & 0x1f, key };

	return terminal_input(dev, keys, sizeof(keys)) == sizeof(keys);
}

static const struct console_user terminal_user = {
	.input = terminal_input,
	.sysrq = terminal_sysrq,
	.resized = terminal_resized,
};

static void terminal_took(void *arg)
{
	struct platform *p = arg;

	p->console_ops->more(p->console);
}

static ssize_t terminal_write(void *arg, const void *data, size_t len)
{
	struct platform *p = arg;

	return p->console_ops->try_write(p->console, data, len);
}

static int terminal_connect(struct virtio_console *con, struct platform *p)
{
	con->terminal = (struct console_end){ .in = -1, .room = -1, .arg = p };
	con->host.port[0].end = &con->terminal;
	if (!p->console_ops)
		return 0;
	if (pipe2(con->keys, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	con->terminal.in = con->keys[0];
	con->terminal.took = terminal_took;
	con->terminal.write = terminal_write;
	con->terminal.room = p->console_ops->room(p->console);
	p->console_attach(p->console, &terminal_user, con);
	return 0;
}

/* Making and taking down. */

static void console_free(struct virtio_console *con)
{
	unsigned i;

	console_host_fini(&con->host);
	for (i = 0; i < ARRAY_SIZE(con->keys); i++) {
		if (con->keys[i] >= 0)
			close(con->keys[i]);
	}
	free(con);
}

static int console_create(struct platform *p, struct device_list *list, const char *id,
			  const void *config, struct device **dev)
{
	const struct console_cfg *cfg = config;
	struct virtio_console *con = calloc(1, sizeof(*con));
	struct loop *loop = con ? p->iothread(p, id) : NULL;
	int r = loop ? 0 : -errno;

	(void)list;
	if (!con)
		return -ENOMEM;
	con->transport = cfg->transport;
	con->class = console_virtio;
	con->keys[0] = con->keys[1] = -1;
	console_host_init(&con->host, &con->vdev, p, loop);
	if (r == 0 && cfg->terminal)
		r = terminal_connect(con, p);
	if (r < 0) {
		log_err("%s: %s", id, strerror(-r));
		console_free(con);
		return r;
	}
	*dev = &con->dev;
	return 0;
}

int virtio_console_add(struct device *dev, const struct console_end *end)
{
	struct console_host *h = &container_of(dev, struct virtio_console, dev)->host;
	unsigned i;

	if (h->nports == CONSOLE_PORTS_MAX)
		return -ENOSPC;
	for (i = 1; i < h->nports; i++) {
		if (!strcmp(h->port[i].end->name, end->name))
			return -EEXIST;
	}
	h->port[h->nports++].end = end;
	return 0;
}

static int prepare_ports(struct virtio_console *con)
{
	struct console_host *h = &con->host;
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < h->nports; i++)
		r = console_host_prepare(&h->port[i]);
	if (r < 0)
		log_err("%s: %s", con->dev.id, strerror(-r));
	return r;
}

/* Once all ports are there: how many queues it has is fixed from now on. */
static int console_ready(struct device *dev)
{
	struct virtio_console *con = container_of(dev, struct virtio_console, dev);
	struct console_host *h = &con->host;
	struct virtio_spec spec = {
		.name = dev->id,
		.class = &con->class,
		.config = con->config,
		.config_len = CONFIG_LEN,
		.nvq = console_host_queues(h),
		.queue_size = CONSOLE_QUEUE_SIZE,
		.transport = con->transport,
		.loop = &h->loop,
		.nloops = 1,
	};
	int r = prepare_ports(con);

	if (r < 0)
		return r;
	if (h->nports > 1)
		con->class.features |= VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT);
	le32_put(con->config + offsetof(struct virtio_console_config, max_nr_ports), h->nports);
	return virtio_make(&con->vdev, h->p, &spec);
}

void virtio_console_stop(struct device *dev)
{
	virtio_device_stop(&container_of(dev, struct virtio_console, dev)->vdev);
}

static void console_destroy(struct device *dev)
{
	struct virtio_console *con = container_of(dev, struct virtio_console, dev);

	virtio_unmake(&con->vdev);
	console_free(con);
}

static struct virtio_device *console_vdev(struct device *dev)
{
	return &container_of(dev, struct virtio_console, dev)->vdev;
}

static void console_explain(const struct device *dev, FILE *out)
{
	const struct virtio_console *con = container_of(dev, struct virtio_console, dev);
	const struct console_host *h = &con->host;
	unsigned i;

	fprintf(out, "  transport: %s, %s\n", con->vdev.transport->name, con->vdev.transport->help);
	for (i = 0; i < h->nports; i++) {
		if (h->port[i].end)
			fprintf(out, "  port %u: %s\n", i,
				i ? h->port[i].end->name : "console, on the terminal");
	}
}

const struct device_class virtio_console_class = {
	.name = VIRTIO_CONSOLE_CLASS,
	.help = "console, and ports for data that belongs on none",
	.opts = console_opts,
	.cfg_size = sizeof(struct console_cfg),
	.create = console_create,
	.ready = console_ready,
	.drain = virtio_console_stop,
	.virtio = console_vdev,
	.explain = console_explain,
	.destroy = console_destroy,
};
