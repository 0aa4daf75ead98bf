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

#include "devices/scsi_host.h"
#include "virtio/vhost.h"
#include "virtio/virtio.h"

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
	int r = virtio_vhost_own_empty(fd), err;

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

/* With an open file of its own: its owner's rights are those of now, which are too many. */
int vhost_scsi_try(const char *wwn, bool *workers, struct why *why)
{
	int fd = vhost_scsi_open(why), r;
	unsigned id;

	if (fd < 0)
		return fd;
	r = try_endpoint(fd, wwn, why);
	*workers = !r && !virtio_vhost_new_worker(fd, &id);
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
static int attach(void *arg, struct virtio_device *vdev, int fd)
{
	struct vhost_scsi_target *endpoint = arg;
	uint32_t missed = is_restart(vdev);
	int err;

	ioctl(fd, VHOST_SCSI_SET_EVENTS_MISSED, &missed);
	if (ioctl(fd, VHOST_SCSI_SET_ENDPOINT, endpoint) == 0)
		return 0;
	err = errno;
	log_guest(&vdev->limit, "%s: %s: %s", vdev->name, endpoint->vhost_wwpn,
		  err == ENODEV ? NOT_THERE : strerror(err));
	return -err;
}

static void detach(void *arg, int fd)
{
	ioctl(fd, VHOST_SCSI_CLEAR_ENDPOINT, arg);
}

static const struct virtio_vhost_ops ops = { .attach = attach, .detach = detach, .destroy = free };

struct virtio_backend *vhost_scsi_create(struct virtio_device *vdev, int fd, const char *wwn,
					 struct loop *main_loop)
{
	struct vhost_scsi_target *endpoint = malloc(sizeof(*endpoint));

	if (!endpoint) {
		close(fd);
		return NULL;
	}
	endpoint_init(endpoint, wwn);
	return virtio_vhost_create(vdev, fd, SCSI_HOST_REQUEST, &ops, endpoint, main_loop);
}
