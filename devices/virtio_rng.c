/* SPDX-License-Identifier: MIT */
/* Entropy device (virtio 1.3 §5.4): fills the driver's buffers with random bytes. */
#include <sys/random.h>

#include "devices/virtio_plain.h"
#include "vmm/core/util.h"

/* A buffer need not be filled whole (§5.4.6.1), and nobody needs more at a time. */
#define RNG_BYTES_MAX 4096

static uint32_t rng_fill(struct virtio_device *vdev, unsigned q, const struct vq_chain *c)
{
	uint32_t done = 0;
	unsigned i;

	(void)vdev;
	(void)q;
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
	virtio_answer_all(vdev, q, rng_fill);
}

static const struct virtio_class rng_virtio = {
	.name = "rng",
	.id = VIRTIO_ID_RNG,
	.kick = rng_kick,
};

static int rng_create(struct platform *p, struct device_list *list, const char *id,
		      const void *config, struct device **dev)
{
	const struct virtio_spec spec = { .class = &rng_virtio, .nvq = 1, .queue_size = 64 };

	(void)list;
	return virtio_plain_create(p, id, config, &spec, dev);
}

const struct device_class rng_class = {
	.name = "virtio-rng",
	.help = "source of random numbers",
	.opts = virtio_plain_opts,
	.cfg_size = sizeof(struct virtio_plain_cfg),
	.create = rng_create,
	.ready = virtio_plain_ready,
	.virtio_id = VIRTIO_ID_RNG,
	.virtio = virtio_plain_vdev,
	.destroy = virtio_plain_destroy,
};
