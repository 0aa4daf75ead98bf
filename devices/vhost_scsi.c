/* SPDX-License-Identifier: MIT */
#include "devices/vhost_scsi.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/block/block.h"
#include "devices/lio.h"
#include "devices/scsi/scsi.h"
#include "devices/scsi_control.h"
#include "virtio/vhost.h"
#include "virtio/virtio.h"
#include "virtio/wire.h"
#include "vmm/core/bounded.h"
#include "vmm/core/platform.h"

static_assert(sizeof(((struct vhost_scsi_target *)0)->vhost_wwpn) == VHOST_SCSI_WWN_MAX, "size");

/* The kernel's ENODEV says no more than that. */
#define NOT_THERE "there is no such target, or it has no nexus, or another virtual machine has it"

static const char *open_cure(int err)
{
	switch (err) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return "modprobe vhost_scsi";
	case EACCES:
	case EPERM:
		return "root may open it, or whom root gives it to: setfacl -m u:USER:rw "
		       VHOST_SCSI_NODE;
	default:
		return "see the kernel's log";
	}
}

int vhost_scsi_open(struct why *why)
{
	int fd = open(VHOST_SCSI_NODE, O_RDWR | O_CLOEXEC), version = 0, err;

	if (fd < 0) {
		err = errno;
		return why_not(why, -err, VHOST_SCSI_NODE ": %s; %s", strerror(err),
			       open_cure(err));
	}
	if (ioctl(fd, VHOST_SCSI_GET_ABI_VERSION, &version) < 0 ||
	    version != VHOST_SCSI_ABI_VERSION) {
		close(fd);
		return why_not(why, -ENOSYS, VHOST_SCSI_NODE ": its interface has version %d, "
			       "not %d; use another kernel", version, VHOST_SCSI_ABI_VERSION);
	}
	return fd;
}

/* The number of the target portal group selects nothing: all of the target's belong to it. */
static void endpoint_init(struct vhost_scsi_target *endpoint, const char *wwn)
{
	*endpoint = (struct vhost_scsi_target){ .abi_version = VHOST_SCSI_ABI_VERSION };
	snprintf(endpoint->vhost_wwpn, sizeof(endpoint->vhost_wwpn), "%s", wwn);
}

static int try_endpoint(int fd, const char *wwn, struct why *why)
{
	struct vhost_scsi_target endpoint;
	int r = vhost_kernel_own_empty(fd), err;

	if (r < 0)
		return why_not(why, r, VHOST_SCSI_NODE ": VHOST_SET_OWNER: %s", strerror(-r));
	endpoint_init(&endpoint, wwn);
	if (ioctl(fd, VHOST_SCSI_SET_ENDPOINT, &endpoint) < 0) {
		err = errno;
		return why_not(why, -err, VHOST_SCSI_NODE ": VHOST_SCSI_SET_ENDPOINT: %s",
			       err == ENODEV ? NOT_THERE : strerror(err));
	}
	ioctl(fd, VHOST_SCSI_CLEAR_ENDPOINT, &endpoint);
	return 0;
}

/* The end point, and who hears that the kernel does not let go of it. */
struct target {
	struct vhost_scsi_target endpoint;
	struct virtio_device *vdev;
	struct platform *platform;
};

/* With an open file of its own: its owner's rights are those of now, which are too many. */
int vhost_scsi_try(const char *wwn, bool *workers, struct why *why)
{
	int fd = vhost_scsi_open(why), r;
	unsigned id;

	if (fd < 0)
		return fd;
	r = try_endpoint(fd, wwn, why);
	*workers = !r && !vhost_kernel_new_worker(fd, &id);
	close(fd);
	return r;
}

/* Have these queues been in service since the driver set them up? */
static bool is_restart(const struct virtio_device *vdev)
{
	unsigned q;

	for (q = 0; q < vdev->nvq; q++) {
		if (vdev->vq[q].s.next_avail)
			return true;
	}
	return false;
}

/*
 * What happens to the target's LUNs while nobody serves the event queue makes no event and is not
 * counted as missed either, so a driver that was in the middle of its life is told to look again.
 */
static int set_endpoint(void *arg, int fd)
{
	struct target *t = arg;
	struct virtio_device *vdev = t->vdev;
	uint32_t missed = is_restart(vdev);
	int err;

	ioctl(fd, VHOST_SCSI_SET_EVENTS_MISSED, &missed);
	if (ioctl(fd, VHOST_SCSI_SET_ENDPOINT, &t->endpoint) == 0)
		return 0;
	err = errno;
	log_guest(&vdev->limit, "%s: %s: %s", vdev->name, t->endpoint.vhost_wwpn,
		  err == ENODEV ? NOT_THERE : strerror(err));
	return -err;
}

static void clear_endpoint(void *arg, int fd)
{
	ioctl(fd, VHOST_SCSI_CLEAR_ENDPOINT, &((struct target *)arg)->endpoint);
}

static void hangs(void *arg)
{
	const struct target *t = arg;
	struct platform *p = t->platform;

	log_err("%s: a disk of the host's hangs: the kernel's target has had work for %d s; %s",
		t->vdev->name, BLOCK_PATIENCE / 1000,
		p->disk_hangs ? "the run ends without" : "waiting");
	if (p->disk_hangs)
		p->disk_hangs(p);
}

struct removal {
	struct lio *lio;
	const struct scsi_lun *lun;
	int result;
};

static void remove_lun(void *arg)
{
	struct removal *r = arg;

	r->result = lio_remove(r->lio, r->lun);
}

int vhost_scsi_remove(struct virtio_device *vdev, struct platform *platform, struct lio *lio,
		      const struct scsi_lun *lun)
{
	struct target t = { .vdev = vdev, .platform = platform };
	const struct bounded patience = { BLOCK_PATIENCE, hangs, &t };
	struct removal r = { .lio = lio, .lun = lun };

	bounded_call(&patience, remove_lun, &r);
	return r.result;
}

static bool serves(unsigned q)
{
	return q != SCSI_HOST_CONTROL;
}

static const struct vhost_endpoint_ops endpoint_ops = {
	.set = set_endpoint,
	.clear = clear_endpoint,
};

static const struct virtio_vhost_ops ops = {
	.serves = serves,
	.patience = BLOCK_PATIENCE,
	.hangs = hangs,
	.destroy = free,
};

struct virtio_backend *vhost_scsi_create(struct virtio_device *vdev, int fd, const char *wwn,
					 struct platform *platform)
{
	struct target *t = malloc(sizeof(*t));
	struct vhost_wire *wire;

	if (!t) {
		close(fd);
		return NULL;
	}
	*t = (struct target){ .vdev = vdev, .platform = platform };
	endpoint_init(&t->endpoint, wwn);
	wire = vhost_kernel_create(vdev, fd, SCSI_HOST_REQUEST, &endpoint_ops, t);
	return virtio_vhost_create(vdev, wire, &ops, t, platform->main_loop);
}

static bool has_target(void *arg, uint8_t target)
{
	const struct vhost_scsi_tasks *t = arg;

	return !t->port || scsi_port_has(t->port, target, NULL);
}

static int tmf(void *arg, const struct scsi_tmf_request *request)
{
	const struct vhost_scsi_tasks *t = arg;
	enum scsi_tmf_response answer = scsi_tmf_idle(t->port, request);
	int r = 0;

	if (answer == SCSI_TMF_COMPLETE)
		r = virtio_vhost_settle(t->backend);
	return r < 0 ? r : (int)answer;
}

const struct scsi_control_ops vhost_scsi_control = { .has_target = has_target, .tmf = tmf };
