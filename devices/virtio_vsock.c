/* SPDX-License-Identifier: MIT */
/*
 * Socket device (virtio 1.3 §5.10): AF_VSOCK sockets of the guest, and what they reach on the
 * host. Either the kernel serves it (vhost_vsock.h), or we do, and the host's side is Unix sockets
 * (vsock_unix.h). A connection does not outlive a state that is restored: the driver is told.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "devices/vhost_vsock.h"
#include "devices/vsock_host.h"
#include "virtio/virtio.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"

#define CONFIG_LEN sizeof(struct virtio_vsock_config)
#define CONNECTIONS_MAX 16384

struct vsock_cfg {
	unsigned transport; /* enum virtio_transport */
	uint32_t cid, connections;
	const char *path;
};

#define CID_AUTO (VHOST_VSOCK_CID_MAX + 1)
static const char *const cid_words[] = { "auto", NULL };

static const struct opt vsock_opts[] = {
	{ "cid", OPT_U32, offsetof(struct vsock_cfg, cid), "auto", VHOST_VSOCK_CID_MIN,
	  VHOST_VSOCK_CID_MAX, cid_words, .arg = "N|auto",
	  .help = "the guest's address; auto is one that no other guest has" },
	{ "path", OPT_STR, offsetof(struct vsock_cfg, path), .written = true, .arg = "PATH",
	  .help = "not by the kernel, but by Unix sockets: who connects to PATH writes 'CONNECT "
		  "PORT', and the guest's connections to PORT go to PATH_PORT" },
	{ "connections", OPT_U32, offsetof(struct vsock_cfg, connections), "1024", 1,
	  CONNECTIONS_MAX, .help = "how many there may be at a time, with path", .needs = "path" },
	VIRTIO_TRANSPORT_OPT(struct vsock_cfg, transport),
	{ 0 }
};

struct virtio_vsock {
	struct device dev;
	struct virtio_device vdev;
	struct virtio_class class; /* with the features of who serves */
	struct platform *platform;
	struct loop *loop;
	struct vsock_host host;
	const char *path; /* NULL: the kernel serves it */
	int fd;           /* of the kernel's device, until the back end has it; or -1 */
	unsigned transport;
	uint32_t cid;
	atomic_bool moved; /* the driver has to hear that its connections are gone */
	uint8_t config[CONFIG_LEN];
};

static struct virtio_vsock *vsock_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct virtio_vsock, vdev);
}

/* As a virtio device. */

static uint32_t put_event(struct virtio_device *vdev, unsigned q, const struct vq_chain *c)
{
	uint8_t raw[sizeof(struct virtio_vsock_event)];
	struct iovcur to = iov_cursor(c->in, c->nin);

	(void)vdev;
	(void)q;
	le32_put(raw, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	return iov_put(&to, raw, sizeof(raw)) ? sizeof(raw) : 0;
}

/* The only event that there is (§5.10.6.7). Buffers stay in the ring until then. */
static void event_kick(struct virtio_vsock *v)
{
	struct virtqueue *vq = &v->vdev.vq[VSOCK_EVENT];
	struct iovec piece[VSOCK_PIECES_MAX];
	struct vq_chain c;
	int r;

	if (!atomic_load(&v->moved))
		return;
	r = vq_pop(vq, &c, piece, VSOCK_PIECES_MAX);
	if (r > 0) {
		atomic_store(&v->moved, false);
		vq_push(vq, c.head, put_event(&v->vdev, VSOCK_EVENT, &c));
		virtio_complete(&v->vdev, VSOCK_EVENT);
	} else if (r < 0) {
		virtio_queue_fault(&v->vdev, VSOCK_EVENT);
	} else {
		virtio_kick_end(&v->vdev, VSOCK_EVENT);
	}
}

static void vsock_kick(struct virtio_device *vdev, unsigned q)
{
	struct virtio_vsock *v = vsock_of(vdev);

	if (q == VSOCK_EVENT)
		event_kick(v);
	else
		vsock_host_kick(&v->host, q);
}

static int vsock_queue_start(struct virtio_device *vdev, unsigned q, struct loop *loop)
{
	(void)loop;
	return vsock_host_start(&vsock_of(vdev)->host, q);
}

static void vsock_queue_stop(struct virtio_device *vdev, unsigned q)
{
	vsock_host_stop(&vsock_of(vdev)->host, q);
}

static void vsock_reset(struct virtio_device *vdev)
{
	struct virtio_vsock *v = vsock_of(vdev);

	atomic_store(&v->moved, false);
	if (v->path)
		vsock_host_reset(&v->host);
}

/* The address may be another one. */
static void vsock_visit(struct virtio_device *vdev, struct state *s)
{
	struct virtio_vsock *v = vsock_of(vdev);

	state_same(s, v->path != NULL);
	if (state_takes(s))
		atomic_store(&v->moved, true);
}

static const struct virtio_class vsock_virtio = {
	.name = "socket",
	.id = VIRTIO_ID_VSOCK,
	.pci_class = 0x078000, /* communication controller, other */
	.kick = vsock_kick,
	.queue_start = vsock_queue_start,
	.queue_stop = vsock_queue_stop,
	.reset = vsock_reset,
	.state = vsock_visit,
};

/* Making and taking down. */

static int open_side(struct virtio_vsock *v, const char *id, const struct vsock_cfg *cfg)
{
	v->path = cfg->path;
	v->cid = cfg->cid == CID_AUTO ? 0 : cfg->cid;
	if (!v->path) {
		v->class.features = VIRTIO_BIT(VIRTIO_VSOCK_F_SEQPACKET);
		v->fd = vhost_vsock_open(id, &v->cid);
		return v->fd < 0 ? v->fd : 0;
	}
	/* Nobody else sees it. */
	v->cid = v->cid ? v->cid : VHOST_VSOCK_CID_MIN;
	v->host.vdev = &v->vdev;
	v->host.guest_cid = v->cid;
	v->host.max = cfg->connections;
	return vsock_host_open(&v->host, id, v->path);
}

static int vsock_create(struct platform *p, struct device_list *list, const char *id,
			const void *config, struct device **dev)
{
	const struct vsock_cfg *cfg = config;
	struct virtio_vsock *v = calloc(1, sizeof(*v));
	int r;

	(void)list;
	if (!v)
		return -ENOMEM;
	v->platform = p;
	v->class = vsock_virtio;
	v->transport = cfg->transport;
	v->fd = -1;
	r = open_side(v, id, cfg);
	if (r < 0) {
		free(v);
		return r;
	}
	le64_put(v->config, v->cid);
	*dev = &v->dev;
	return 0;
}

static int make_loop(struct virtio_vsock *v)
{
	v->loop = v->platform->iothread(v->platform, v->dev.id);
	if (!v->loop) {
		log_err("%s: no I/O thread: %s", v->dev.id, strerror(errno));
		return -errno;
	}
	v->host.loop = v->loop;
	return 0;
}

/* Back end for the queues of data; NULL: ours. -errno after one line. */
static int make_server(struct virtio_vsock *v, struct virtio_backend **server)
{
	int fd = v->fd;

	if (v->path)
		return 0;
	v->fd = -1;
	*server = vhost_vsock_create(&v->vdev, fd, v->platform);
	if (*server)
		return 0;
	log_err("%s: %s", v->dev.id, strerror(errno));
	return -errno;
}

static int vsock_ready(struct device *dev)
{
	struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);
	struct virtio_spec spec = {
		.name = dev->id,
		.class = &v->class,
		.config = v->config,
		.config_len = CONFIG_LEN,
		.nvq = VSOCK_QUEUES,
		.queue_size = VSOCK_QUEUE_SIZE,
		.transport = v->transport,
		.loop = &v->loop,
		.nloops = 1,
	};
	int r = make_loop(v);

	r = r ? r : make_server(v, &spec.server);
	return r ? r : virtio_make(&v->vdev, v->platform, &spec);
}

static void vsock_destroy(struct device *dev)
{
	struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);

	virtio_unmake(&v->vdev);
	if (v->path)
		vsock_host_close(&v->host);
	if (v->fd >= 0)
		close(v->fd);
	free(v);
}

/* What is told. */

static struct virtio_device *vsock_vdev(struct device *dev)
{
	return &container_of(dev, struct virtio_vsock, dev)->vdev;
}

static void vsock_facts(const struct device *dev, struct device_facts *to)
{
	const struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);

	to->text(to, "served", v->path ? "process" : "kernel");
	to->number(to, "cid", v->cid);
}

static void vsock_explain(const struct device *dev, FILE *out)
{
	const struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);

	fprintf(out, "  transport: %s, %s\n", v->vdev.transport->name, v->vdev.transport->help);
	fprintf(out, "  address: CID %u\n", v->cid);
	if (v->path)
		utf8_line(out, "  host's side: %s and %s_PORT, Unix sockets, %u connections",
			  v->path, v->path, v->host.max);
	else
		fprintf(out, "  host's side: AF_VSOCK sockets, by " VHOST_VSOCK_NODE "\n");
}

static uint64_t vsock_memory(const struct device *dev)
{
	const struct virtio_vsock *v = container_of(dev, struct virtio_vsock, dev);

	return v->path ? vsock_host_memory(v->host.max) : 0;
}

const struct device_class virtio_vsock_class = {
	.name = "virtio-vsock",
	.nick = "vsock",
	.help = "sockets between host and guest; --vsock CID is short for it",
	.opts = vsock_opts,
	.first_opt = "cid",
	.cfg_size = sizeof(struct vsock_cfg),
	.create = vsock_create,
	.ready = vsock_ready,
	.facts = vsock_facts,
	.virtio_id = VIRTIO_ID_VSOCK,
	.memory = vsock_memory,
	.explain = vsock_explain,
	.virtio = vsock_vdev,
	.destroy = vsock_destroy,
};
