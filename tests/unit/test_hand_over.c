/* SPDX-License-Identifier: MIT */
/*
 * The queues of a virtio-scsi device go from its own thread to a vhost-user server, from that to
 * another one, and back, again and again, while a driver keeps them busy. Each of the three has a
 * way to the same disk. With the kernel's vhost-scsi among them tests/vm/handover.c does the same.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "devices/virtio_scsi.h"
#include "tests/lib/scsi_load.h"
#include "tests/lib/user_server.h"
#include "virtio/vhost.h"
#include "virtio/wire_user.h"
#include "vmm/core/util.h"

Suite *hand_over_suite(void);

#define SERVERS 2
#define WHO (1 + SERVERS)
#define TIMES (16 * WHO) /* at least */
#define REQUESTS 3000
#define PATIENCE 20000

static struct testbed tb;
static struct vdriver v;
static struct virtio_device *vdev;
static struct user_server server[SERVERS];
static struct virtio_backend *who[WHO]; /* its own thread, and the servers */
static unsigned current, busy;
static struct scsi_load load;
static char image[] = "/tmp/lunette-image-XXXXXX";

static struct virtio_device *controller(const char *id, const char *transport)
{
	char text[100];

	snprintf(text, sizeof(text), "virtio-scsi,id=%s,queues=1,queue-size=64,vhost=off,"
		 "transport=%s", id, transport);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	return virtio_scsi_vdev(tb.devices.last);
}

static struct virtio_backend *connect_to(const char *path)
{
	const struct vhost_user_spec spec = {
		.id = "u0", .path = path, .loop = tb.p.iothread(&tb.p, "u0"), .mem = &tb.mem,
		.patience = PATIENCE,
	};
	struct vhost_user *user = vhost_user_connect(vdev, &spec);

	ck_assert_ptr_nonnull(user);
	user->be = virtio_vhost_create(vdev, &user->wire, NULL, NULL, tb.main_loop);
	ck_assert_ptr_nonnull(user->be);
	return user->be;
}

static void set_up(const char *transport)
{
	struct virtio_device *served[SERVERS];
	char text[100];
	int fd = mkstemp(image);
	unsigned i;

	ck_assert(fd >= 0 && ftruncate(fd, MIB(1)) == 0);
	close(fd);
	testbed_init_shared(&tb);
	vdev = controller("s0", transport);
	served[0] = controller("s1", "pci");
	served[1] = controller("s2", "pci");
	snprintf(text, sizeof(text), "scsi-disk,%s,bus=s0+s1+s2", image);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	testbed_start(&tb);
	who[0] = vdev->backend;
	for (i = 0; i < SERVERS; i++) {
		user_server_start(&server[i], served[i]);
		who[1 + i] = connect_to(server[i].path);
		vdev->offered &= who[1 + i]->ops->features(who[1 + i]);
	}
	memset(&v, 0, sizeof(v));
	current = busy = 0;
}

static void tear_down(void)
{
	unsigned i;

	ck_assert_uint_eq(current, 0);
	vdriver_reset(&v);
	vdriver_fini(&v);
	for (i = 0; i < SERVERS; i++) {
		who[1 + i]->ops->destroy(who[1 + i]);
		user_server_end(&server[i]);
	}
	testbed_fini(&tb);
	unlink(image);
}

static void pass_on(void)
{
	pthread_mutex_lock(&vdev->lock);
	BUG_ON(!vdev->started);
	busy += vq_left(&vdev->vq[SCSI_LOAD_QUEUE]) > 0;
	virtio_device_stop(vdev);
	current = (current + 1) % WHO;
	vdev->backend = who[current];
	virtio_device_start(vdev);
	BUG_ON(!vdev->started);
	pthread_mutex_unlock(&vdev->lock);
}

/* What each of the three has to say of a reset it says now. */
static void start_driver(uint64_t features)
{
	unsigned i;

	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, features, SCSI_LOAD_QUEUE + 1, 64));
	for (i = 0; i < WHO; i++) {
		pass_on();
		scsi_driver_clear_attention(&v, 0);
	}
	scsi_load_init(&load, &v, 1);
}

struct passer {
	pthread_t thread;
	atomic_bool end;
	atomic_uint times;
};

static void *pass_on_and_on(void *arg)
{
	struct passer *p = arg;

	while (!atomic_load(&p->end)) {
		pass_on();
		atomic_fetch_add(&p->times, 1);
		nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
	}
	while (current)
		pass_on();
	return NULL;
}

static const struct {
	const char *transport;
	uint64_t features;
} ways[] = { { "pci", ~0ull }, { "pci", 0 }, { "mmio", ~0ull } };

/* No request is lost, none done twice, and what was written is there. */
START_TEST(under_load)
{
	struct passer p = { 0 };
	unsigned i;

	set_up(ways[_i].transport);
	start_driver(ways[_i].features);
	pthread_create(&p.thread, NULL, pass_on_and_on, &p);
	do /* a slow machine needs more requests for as many hand-overs */
		scsi_load_run(&load, REQUESTS);
	while (atomic_load(&p.times) < TIMES);
	atomic_store(&p.end, true);
	pthread_join(p.thread, NULL);
	ck_assert(!(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET));
	ck_assert_uint_ge(busy, TIMES / 4);
	scsi_load_check_file(&load, 0, image);
	for (i = 0; i < SERVERS; i++)
		ck_assert_uint_eq(atomic_load(&server[i].connections), 1);
	tear_down();
}
END_TEST

Suite *hand_over_suite(void)
{
	Suite *s = suite_create("hand_over");
	TCase *tc = unit_case(s, "three");

	tcase_add_loop_test(tc, under_load, 0, ARRAY_SIZE(ways));
	tcase_set_timeout(tc, 120);
	return s;
}

UNIT_MAIN(hand_over_suite)
