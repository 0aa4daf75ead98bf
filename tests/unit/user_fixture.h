/* SPDX-License-Identifier: MIT */
/*
 * user_fixture.h - a driver, a device without queues of its own, the wire to a
 * vhost-user server, and that server, with its echo device.
 */
#ifndef TESTS_USER_FIXTURE_H
#define TESTS_USER_FIXTURE_H

#include "tests/unit/user_machines.h"
#include "virtio/vhost.h"
#include "virtio/wire_user.h"

#define PATIENCE 20000
#define SHORT 200 /* where the server does not answer */
#define COMEBACK 10000

static struct virtio_device vdev;
static struct vhost_user *user;
static struct virtio_backend *be;
static struct loop *loop;
static uint8_t config[8];

static void on_reset(struct virtio_device *d)
{
	(void)d;
	vhost_user_reset(user);
}

static void on_config(void *arg, const uint8_t *now)
{
	ck_assert_ptr_eq(arg, &vdev);
	memcpy(config, now, sizeof(config));
}

static const struct virtio_class served_class = {
	.name = "served",
	.id = ECHO_ID,
	.features = ECHO_FEATURE,
	.reset = on_reset,
};

static struct vhost_user_spec spec = {
	.id = "u0",
	.config_len = sizeof(config),
	.patience = PATIENCE,
	.comeback = COMEBACK,
	.config = on_config,
	.arg = &vdev,
};

static void set_up_ends(void)
{
	set_up_machines();
	loop = tb.p.iothread(&tb.p, "u0");
	memset(&vdev, 0, sizeof(vdev));
	spec.path = server.path;
	spec.loop = loop;
	spec.mem = &tb.mem;
}

static bool make_device(void)
{
	const struct virtio_spec device = {
		.name = "u0", .class = &served_class, .config = config,
		.config_len = sizeof(config), .nvq = ECHO_QUEUES, .queue_size = SIZE,
		.loop = &loop, .nloops = 1, .server = be,
	};

	return virtio_make(&vdev, &tb.p, &device) == 0;
}

static bool connect_and_make(void)
{
	user = vhost_user_connect(&vdev, &spec);
	if (!user)
		return false;
	if (vhost_user_config_get(user, config) < 0) {
		user->wire.ops->close(&user->wire);
		return false;
	}
	be = virtio_vhost_create(&vdev, &user->wire, NULL, NULL, tb.main_loop);
	ck_assert_ptr_nonnull(be);
	user->be = be;
	return make_device();
}

static void set_up(void)
{
	set_up_ends();
	ck_assert(connect_and_make());
	testbed_start(&tb);
}

static void tear_down(void)
{
	virtio_unmake(&vdev);
	tear_down_machines();
}

static bool start_driver(void)
{
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	return vdriver_start(&v, ~0ull, ECHO_QUEUES, SIZE);
}

static bool needs_reset(void)
{
	return vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* Waits for it, some seconds at most. */
#define WAIT_FOR(what)                                             \
	do {                                                       \
		int tries_;                                        \
		for (tries_ = 0; !(what) && tries_ < 2000; tries_++) \
			usleep(5000);                              \
		ck_assert(what);                                   \
	} while (0)

#endif
