/* Entropy device (virtio 1.3 §5.4): fills the driver's buffers with random bytes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "devices/devices.h"
#include "virtio/virtio.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define RNG_QUEUE_SIZE 64
/* A buffer need not be filled whole (§5.4.6.1), and nobody needs more at a time. */
#define RNG_BYTES_MAX 4096

struct rng_cfg {
	unsigned transport; /* enum virtio_transport */
};

static const struct opt rng_opts[] = {
	{ .key = "transport", .type = OPT_ENUM, .offset = offsetof(struct rng_cfg, transport),
	  .def = "pci", .words = virtio_transport_words,
	  .help = "the bus that the guest finds it on" },
	{ 0 }
};

struct rng {
	struct device dev;
	struct virtio_device vdev;
	struct platform *p;
};

static uint32_t rng_fill(const struct vq_chain *c)
{
	uint32_t done = 0;
	unsigned i;

	for (i = 0; i < c->nin && done < RNG_BYTES_MAX; i++) {
		size_t want = min_u64(c->in[i].iov_len, RNG_BYTES_MAX - done);
		ssize_t got = getrandom(c->in[i].iov_base, want, 0);

		if (got > 0)
			done += got;
		if (got < (ssize_t)want)
			break; /* a signal; the bytes so far must lie together */
	}
	return done;
}

static void rng_kick(struct virtio_device *vdev, unsigned q)
{
	struct virtqueue *vq = &vdev->vq[q];
	struct iovec iov[RNG_QUEUE_SIZE];
	struct vq_chain c;
	int r;

	while ((r = vq_pop(vq, &c, iov, RNG_QUEUE_SIZE)) > 0)
		vq_push(vq, c.head, rng_fill(&c));
	virtio_complete(vdev, q);
	if (r < 0)
		virtio_queue_fault(vdev, q);
	else if (vq_rearm(vq))
		virtio_queue_again(vdev, q);
}

static const struct virtio_class rng_virtio = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.kick = rng_kick,
};

static int rng_create(struct platform *p, struct device_list *list, const char *id,
		      const void *config, struct device **dev)
{
	const struct rng_cfg *cfg = config;
	struct rng *rng = calloc(1, sizeof(*rng));
	struct loop *loop;
	int r;

	(void)list;
	if (!rng) {
		log_err("%s: out of memory", id);
		return -ENOMEM;
	}
	rng->p = p;
	rng->vdev.class = &rng_virtio;
	snprintf(rng->vdev.name, sizeof(rng->vdev.name), "%s", id);
	loop = p->iothread(p, id);
	if (!loop) {
		r = -errno;
		log_err("%s: cannot make an I/O thread: %s", id, strerror(errno));
		goto free;
	}
	r = virtio_device_init(&rng->vdev, p->mem, virtio_local_create(&loop, 1, 0), 1,
			       RNG_QUEUE_SIZE);
	if (r < 0) {
		log_err("%s: out of memory", id);
		goto free;
	}
	r = virtio_attach(&rng->vdev, p, cfg->transport);
	if (r < 0)
		goto fini;
	*dev = &rng->dev;
	return 0;

fini:
	virtio_device_fini(&rng->vdev);
free:
	free(rng);
	return r;
}

static void rng_destroy(struct device *dev)
{
	struct rng *rng = container_of(dev, struct rng, dev);

	virtio_detach(&rng->vdev, rng->p);
	virtio_device_fini(&rng->vdev);
	free(rng);
}

const struct device_class rng_class = {
	.name = "virtio-rng",
	.help = "source of random numbers",
	.opts = rng_opts,
	.cfg_size = sizeof(struct rng_cfg),
	.create = rng_create,
	.destroy = rng_destroy,
};
