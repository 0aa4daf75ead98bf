/* SPDX-License-Identifier: MIT */
#include "devices/vhost_vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/vsock_host.h"
#include "virtio/vhost.h"
#include "virtio/virtio.h"
#include "virtio/wire.h"
#include "vmm/core/fail.h"
#include "vmm/core/platform.h"

#define TRIES 1000

static const char *open_cure(int err)
{
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return "modprobe vhost_vsock, or give path=FILE, which needs no kernel's help";
	case EACCES:
	case EPERM:
		return "root may open it, or whom root gives it to: setfacl -m u:USER:rw "
		       VHOST_VSOCK_NODE "; or give path=FILE, which needs no rights";
	default:
		return "see the kernel's log";
	}
}

static int try_cid(int fd, uint32_t cid)
{
	uint64_t wanted = cid;

	return ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &wanted) < 0 ? -errno : 0;
}

/* From a number on that another run hardly begins with, so that numbers are not soon used again. */
static int take_free(int fd, uint32_t *cid)
{
	int r = -EADDRINUSE;
	unsigned i;

	*cid = VHOST_VSOCK_CID_MIN + (uint32_t)getpid();
	for (i = 0; i < TRIES && r == -EADDRINUSE; i++)
		r = try_cid(fd, ++*cid);
	return r;
}

int vhost_vsock_open(const char *id, uint32_t *cid)
{
	int fd = open(VHOST_VSOCK_NODE, O_RDWR | O_CLOEXEC), r;

	if (fd < 0) {
		r = -errno;
		log_err("%s: " VHOST_VSOCK_NODE ": %s; %s", id, strerror(-r), open_cure(-r));
		return r;
	}
	r = *cid ? try_cid(fd, *cid) : take_free(fd, cid);
	if (r == 0)
		return fd;
	if (r == -EADDRINUSE)
		log_err("%s: cid=%u: another guest has it; give another one, or auto", id, *cid);
	else
		log_err("%s: cid=%u: %s", id, *cid, strerror(-r));
	close(fd);
	return r;
}

static int set_running(int fd, int on)
{
	return ioctl(fd, VHOST_VSOCK_SET_RUNNING, &on) < 0 ? -errno : 0;
}

static int run(void *vdev, int fd)
{
	struct virtio_device *v = vdev;
	int r = set_running(fd, 1);

	if (r < 0)
		log_guest(&v->limit, "%s: VHOST_VSOCK_SET_RUNNING: %s", v->name, strerror(-r));
	return r;
}

static void rest(void *vdev, int fd)
{
	(void)vdev;
	set_running(fd, 0);
}

static bool serves(unsigned q)
{
	return q != VSOCK_EVENT;
}

static const struct vhost_endpoint_ops endpoint_ops = { .set = run, .clear = rest };
static const struct virtio_vhost_ops ops = { .serves = serves };

struct virtio_backend *vhost_vsock_create(struct virtio_device *vdev, int fd,
					  struct platform *platform)
{
	/* The one worker that every device has will do for both queues. */
	struct vhost_wire *wire = vhost_kernel_create(vdev, fd, VSOCK_QUEUES, &endpoint_ops, vdev);

	return virtio_vhost_create(vdev, wire, &ops, vdev, platform->main_loop);
}
