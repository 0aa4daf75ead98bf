/* SPDX-License-Identifier: MIT */
#include "devices/user_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/vhost.h"
#include "vmm/core/fail.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define PATIENCE 10000 /* ms for a start or a stop as a whole: no vCPU waits longer */

const char *const user_device_auto[] = { "auto", NULL };

static struct user_device *user_of(struct virtio_device *vdev)
{
	return container_of(vdev, struct user_device, vdev);
}

static void reset(struct virtio_device *vdev)
{
	vhost_user_reset(user_of(vdev)->wire);
}

static void own_config(struct user_device *u)
{
	if (u->kind->config)
		u->kind->config(u, u->config);
}

static void take_config(void *arg, const uint8_t *config)
{
	struct user_device *u = arg;

	memcpy(u->config, config, u->kind->config_len);
	own_config(u);
}

/*
 * What it has become is the server's to say. What is not for drivers to write vanishes here: there
 * are servers that end when they hear of it.
 */
static void config_write(struct virtio_device *vdev, size_t off, const void *data, size_t len)
{
	struct user_device *u = user_of(vdev);
	uint8_t config[USER_DEVICE_CONFIG_MAX];

	if (off < u->kind->writable_at ||
	    !range_ok(off - u->kind->writable_at, len, u->kind->writable_len))
		return;
	if (vhost_user_config_set(u->wire, off, data, len, config) == 0)
		take_config(u, config);
}

/* Of a disk the size, for instance, which no server tells of a queue. */
static int choose_queues(struct user_device *u, const char *id, uint32_t wanted)
{
	const struct user_device_kind *kind = u->kind;
	unsigned most = kind->queues_told ? kind->queues_told(u->config) : 1;
	unsigned cpus = u->platform->cpus ? u->platform->cpus : 1;

	u->queues = kind->all_queues;
	if (u->queues)
		return 0;
	if (u->user->queues)
		most = u->user->queues > kind->other_queues ?
		       u->user->queues - kind->other_queues : 0;
	if (!most || (wanted != USER_DEVICE_AUTO && wanted > most)) {
		log_err("%s: queues=%u: the server at %s serves %u", id,
			wanted == USER_DEVICE_AUTO ? 1 : wanted, u->socket, most);
		return -ENOSPC;
	}
	u->queues = wanted != USER_DEVICE_AUTO ? wanted :
		    min_u64(min_u64(most, cpus), USER_DEVICE_AUTO - 1);
	return 0;
}

static int dial(void *arg)
{
	struct user_device *u = arg;

	return u->kind->dial(u);
}

static void gone(void *arg)
{
	struct user_device *u = arg;

	u->kind->gone(u);
}

static int connect_to(struct user_device *u, const char *id, const struct user_device_cfg *cfg)
{
	const struct vhost_user_spec spec = {
		.id = u->dev.id, .path = u->socket, .loop = u->loop, .watched = u->by,
		.mem = u->platform->mem,
		.config_len = u->kind->config_is_servers ? u->kind->config_len : 0,
		.patience = PATIENCE, .comeback = cfg->comeback * 1000,
		.config = take_config, .arg = u,
		.dial = u->kind->dial ? dial : NULL, .gone = u->kind->gone ? gone : NULL,
		.lost = u->kind->lost, .in_order = u->kind->in_order,
	};
	int r;

	snprintf(u->dev.id, sizeof(u->dev.id), "%s", id);
	u->user = vhost_user_connect(&u->vdev, &spec);
	if (!u->user)
		return -errno;
	u->wire = u->user;
	r = spec.config_len ? vhost_user_config_get(u->user, u->config) : 0;
	return r ? r : choose_queues(u, id, cfg->queues);
}

static int check(const struct platform *p, const char *id, const struct user_device_cfg *cfg)
{
	if (!cfg->socket || !*cfg->socket) {
		log_err("%s: socket=PATH is wanted, where the program that serves it listens", id);
		return -EUSAGE;
	}
	if (!p->mem->shared) {
		log_err("%s: the guest's memory is not shared with other programs, as nothing of "
			"the kind was there when it started", id);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int begin(struct user_device *u, struct platform *p, const char *id,
		 const struct user_device_cfg *cfg)
{
	const struct user_device_kind *kind = u->kind;
	int r;

	BUG_ON(kind->config_len > sizeof(u->config));
	u->platform = p;
	u->transport = cfg->transport;
	if (!u->socket)
		u->socket = cfg->socket;
	u->by = cfg->by;
	u->class = *kind->class;
	u->class.reset = reset;
	u->class.config_write = kind->writable_len ? config_write : NULL;
	u->loop = p->iothread(p, id);
	if (!u->loop) {
		r = -errno;
		log_err("%s: cannot make an I/O thread: %s", id, strerror(-r));
		return r;
	}
	r = connect_to(u, id, cfg);
	if (r < 0 && u->user)
		u->user->wire.ops->close(&u->user->wire);
	else if (!r)
		own_config(u);
	return r;
}

static void finish(struct user_device *u)
{
	if (u->kind->end)
		u->kind->end(u);
	free(u);
}

int user_device_create(struct platform *p, const char *id, const struct user_device_cfg *cfg,
		       const struct user_device_kind *kind, struct device **dev)
{
	struct user_device *u;
	int r = check(p, id, cfg);

	if (r < 0)
		return r;
	u = calloc(1, kind->size);
	if (!u) {
		log_err("%s: out of memory", id);
		return -ENOMEM;
	}
	u->kind = kind;
	if (kind->take)
		kind->take(u, cfg);
	r = begin(u, p, id, cfg);
	if (r < 0)
		finish(u);
	else
		*dev = &u->dev;
	return r;
}

int user_device_ready(struct device *dev)
{
	struct user_device *u = container_of(dev, struct user_device, dev);
	struct virtio_spec spec = {
		.name = dev->id,
		.class = &u->class,
		.config = u->config,
		.config_len = u->kind->config_len,
		.nvq = u->kind->other_queues + u->queues,
		.queue_size = u->kind->queue_size,
		.transport = u->transport,
		.loop = &u->loop,
		.nloops = 1,
	};
	struct vhost_user *user = u->user;

	u->user = NULL;
	spec.server = virtio_vhost_create(&u->vdev, &user->wire, NULL, NULL,
					  u->platform->main_loop);
	if (!spec.server) {
		log_err("%s: %s", dev->id, strerror(errno));
		return -errno;
	}
	user->be = spec.server;
	return virtio_make(&u->vdev, u->platform, &spec);
}

struct virtio_device *user_device_vdev(struct device *dev)
{
	return &container_of(dev, struct user_device, dev)->vdev;
}

void user_device_explain(const struct device *dev, FILE *out)
{
	const struct user_device *u = container_of(dev, struct user_device, dev);
	bool kept = user_has(u->wire, USER_P_INFLIGHT) || u->kind->in_order;

	fprintf(out, "  transport: %s, %s\n", u->vdev.transport->name, u->vdev.transport->help);
	fprintf(out, "  queues: %u%s\n", u->queues, u->kind->all_queues ? "" : " of requests");
	fprintf(out, "  served by: %s%s (vhost-user), which maps the guest's memory\n",
		u->by ? "" : "the program that listens at ", u->by ? u->by : u->socket);
	fprintf(out, "  if that ends: %s\n", u->by ? "the run ends, too" : u->kind->once ?
		"the guest has to reset the device, as what it has open there is lost" :
		kept && u->wire->spec.comeback ?
		"requests wait for it, or another, to be there again" :
		kept ? "the guest has to reset the device (comeback=0)" :
		"the guest has to reset the device, as it does not keep what it has begun");
}

void user_device_destroy(struct device *dev)
{
	struct user_device *u = container_of(dev, struct user_device, dev);

	virtio_unmake(&u->vdev);
	if (u->user)
		u->user->wire.ops->close(&u->user->wire);
	finish(u);
}
