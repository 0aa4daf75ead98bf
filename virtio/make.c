/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "virtio/virtio.h"
#include "vmm/core/platform.h"

const char *const virtio_transport_words[] = { "pci", "mmio", NULL };

static const struct virtio_transport_ops *const transports[] = {
	[VIRTIO_ON_PCI] = &virtio_pci,
	[VIRTIO_ON_MMIO] = &virtio_mmio,
};

static void destroy_server(const struct virtio_spec *spec)
{
	if (spec->server)
		spec->server->ops->destroy(spec->server);
}

/* The queues, and the loops for those that the server leaves out. -errno after one line. */
static int make_queues(struct virtio_device *vdev, struct platform *p,
		       const struct virtio_spec *spec)
{
	struct virtio_backend *local, *server = spec->server;
	struct loop *const *loop = spec->loop;
	unsigned nloops = spec->nloops;
	struct loop *own;
	int r;

	if (!nloops) {
		own = p->iothread(p, spec->name);
		if (!own) {
			r = -errno;
			destroy_server(spec);
			log_err("%s: cannot make an I/O thread: %s", spec->name, strerror(-r));
			return r;
		}
		loop = &own;
		nloops = 1;
	}
	local = virtio_local_create(loop, nloops, spec->first_request_queue);
	if (!local) {
		destroy_server(spec);
		server = NULL;
	}
	r = virtio_device_init(vdev, p->mem, server ? server : local, server ? local : NULL,
			       spec->nvq, spec->queue_size);
	if (r < 0)
		log_err("%s: out of memory", spec->name);
	return r;
}

int virtio_make(struct virtio_device *vdev, struct platform *p, const struct virtio_spec *spec)
{
	const struct virtio_transport_ops *transport = transports[p->no_pci ? VIRTIO_ON_MMIO :
								  spec->transport];
	int r;

	snprintf(vdev->name, sizeof(vdev->name), "%s", spec->name);
	vdev->class = spec->class;
	vdev->config = spec->config;
	vdev->config_len = spec->config_len;
	vdev->platform = p;
	r = make_queues(vdev, p, spec);
	if (r < 0)
		return r;
	r = transport->attach(vdev, p);
	if (r < 0) {
		virtio_device_fini(vdev);
		return r;
	}
	vdev->transport = transport;
	return 0;
}

void virtio_unmake(struct virtio_device *vdev)
{
	if (!vdev->transport)
		return;
	/* An I/O thread may be about to try something with it. */
	pthread_mutex_lock(&vdev->lock);
	virtio_device_stop(vdev);
	atomic_store(&vdev->status, 0); /* and then there is nobody to notify */
	pthread_mutex_unlock(&vdev->lock);
	vdev->transport->detach(vdev, vdev->platform);
	virtio_device_fini(vdev);
	vdev->transport = NULL;
}
