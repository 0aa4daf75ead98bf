/* SPDX-License-Identifier: MIT */
/*
 * handover.c - the queues of a virtio-scsi device go from our own threads to the kernel's
 * vhost-scsi, to a vhost-user server, and back, while a driver keeps them busy. For a kernel that
 * has vhost_scsi, LIO and configfs; guest memory is ours, so there is no KVM in it.
 *
 *	usage: handover pci|mmio FILE
 *
 * What the driver does is in tests/lib/scsi_load.h.
 */
#include <fcntl.h>
#include <linux/virtio_scsi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/lio.h"
#include "devices/scsi/scsi.h"
#include "devices/scsi_control.h"
#include "devices/vhost_scsi.h"
#include "devices/virtio_scsi.h"
#include "tests/lib/scsi_load.h"
#include "tests/lib/user_server.h"
#include "virtio/vhost.h"
#include "virtio/wire_user.h"
#include "vmm/core/util.h"

#define HAND_OVERS 30 /* at least */
#define PATIENCE 60000
#define REQUESTS 6000
#define ROUNDS 40

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                               \
		}                                                              \
	} while (0)

static struct testbed tb;
static struct vdriver v;
static struct virtio_device *vdev;
enum who { OURS, KERNEL, USER, WHO };
static struct virtio_backend *backend[WHO];
static struct virtio_backend *rest; /* beside the kernel */
static struct device *served; /* by that server */
static struct scsi_lun *lun;
static struct user_server server;
static unsigned current, rounds[WHO][WHO]; /* from whom to whom */

static struct scsi_load load;

static void pass_to(enum who next)
{
	pthread_mutex_lock(&vdev->lock);
	CHECK(vdev->started);
	virtio_device_stop(vdev);
	rounds[current][next]++;
	current = next;
	vdev->backend = backend[current];
	vdev->rest = current == KERNEL ? rest : NULL;
	virtio_device_start(vdev);
	CHECK(vdev->started);
	pthread_mutex_unlock(&vdev->lock);
}

/* Six steps take the queues from each of the three to each other one. */
static void pass_on(void)
{
	static const enum who order[] = { KERNEL, USER, OURS, USER, KERNEL, OURS };
	static unsigned step;

	pass_to(order[step++ % ARRAY_SIZE(order)]);
}

struct passer {
	pthread_t thread;
	atomic_bool end;
	atomic_uint times;
	uint64_t ns; /* that they took */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void *pass_on_and_on(void *arg)
{
	struct passer *p = arg;

	while (!atomic_load(&p->end)) {
		uint64_t start = now_ns();

		pass_on();
		p->ns += now_ns() - start;
		atomic_fetch_add(&p->times, 1);
		nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
	}
	return NULL;
}

static void start_driver(uint64_t features)
{
	vdriver_fini(&v);
	testbed_release(&tb);
	CHECK(vdriver_probe(&v, &tb, 0));
	CHECK(vdriver_start(&v, features, SCSI_LOAD_QUEUE + 1, 64));
	scsi_load_init(&load, &v, 1);
}

/* Under load, with each way to use a ring. */
static void hand_over(const char *file)
{
	static const uint64_t features[] = { ~0ull, 0 };
	unsigned i, w;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		struct passer p = { 0 };

		start_driver(features[i]);
		for (w = 0; w < WHO; w++) { /* what a target has to say of a reset it says now */
			pass_to((current + 1) % WHO);
			scsi_driver_clear_attention(&v, 0);
		}
		pthread_create(&p.thread, NULL, pass_on_and_on, &p);
		do /* a slow machine needs more requests for as many hand-overs */
			scsi_load_run(&load, REQUESTS);
		while (atomic_load(&p.times) < HAND_OVERS);
		atomic_store(&p.end, true);
		pthread_join(p.thread, NULL);
		scsi_load_check_file(&load, 0, file);
		printf("%u hand-overs of %llu us each, in %u requests\n", atomic_load(&p.times),
		       (unsigned long long)p.ns / atomic_load(&p.times) / 1000, load.done);
	}
}

/* In the middle of requests, which are not answered then. The disk and the kernel stay whole. */
static void reset(const char *file)
{
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		start_driver(i % 2 ? ~0ull : 0);
		scsi_load_run(&load, SCSI_LOAD_DEPTH);
		scsi_load_send(&load, SCSI_LOAD_DEPTH);
		vdriver_reset(&v);
	}
	start_driver(~0ull);
	scsi_load_run(&load, 2 * SCSI_LOAD_DEPTH);
	scsi_load_check_file(&load, 0, file);
	printf("%d resets in the middle of requests\n", ROUNDS);
}

/* A ring that breaks the rules: the kernel says so, and a reset revives the device. */
static void bad_ring(void)
{
	struct driver_buf nowhere = { 1ull << 50, 4096, false };
	unsigned tries = 100;

	start_driver(0);
	CHECK(driver_add(&v.queue[SCSI_LOAD_QUEUE].ring, &nowhere, 1, 0) >= 0);
	vdriver_kick(&v, SCSI_LOAD_QUEUE);
	while (!(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET) && --tries)
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	CHECK(tries);
	start_driver(0);
	scsi_load_run(&load, 2 * SCSI_LOAD_DEPTH);
	printf("a bad ring\n");
}

/* The disk gets a second path, once the kernel's target has it, which refuses such disks. */
static struct virtio_backend *connect_user(void)
{
	struct vhost_user_spec spec = { .id = "u0", .mem = &tb.mem, .patience = PATIENCE };
	struct vhost_user *user;
	struct why why;

	CHECK(virtio_scsi_add(served, lun, &why) == 0);
	user_server_start(&server, virtio_scsi_vdev(served));
	spec.path = server.path;
	spec.loop = tb.p.iothread(&tb.p, "u0");
	user = vhost_user_connect(vdev, &spec);
	CHECK(user);
	user->be = virtio_vhost_create(vdev, &user->wire, NULL, NULL, tb.main_loop);
	CHECK(user->be);
	return user->be;
}

static struct lio *set_up(const char *transport, const char *file)
{
	char controller[100], disk[300];
	struct device *dev;
	struct lio *lio;
	struct why why;
	int fd;

	snprintf(controller, sizeof(controller),
		 "virtio-scsi,id=scsi0,queues=1,queue-size=64,vhost=off,transport=%s",
		 transport);
	snprintf(disk, sizeof(disk), "scsi-disk,%s,bus=scsi0", file);
	testbed_init_shared(&tb);
	CHECK(device_create(&tb.p, &tb.devices, controller) == 0);
	dev = tb.devices.last;
	CHECK(device_create(&tb.p, &tb.devices,
			    "virtio-scsi,id=served,queues=1,queue-size=64,vhost=off") == 0);
	served = tb.devices.last;
	CHECK(device_create(&tb.p, &tb.devices, disk) == 0);
	testbed_start(&tb);
	lun = virtio_scsi_port(dev)->nexus[0]->lun;
	vdev = virtio_scsi_vdev(dev);
	backend[OURS] = vdev->backend;
	fd = vhost_scsi_open(&why);
	if (fd < 0 ||
	    lio_create(&lio_configfs, "handover", virtio_scsi_port(dev), &lio, &why) < 0) {
		printf("%s\n", why.text);
		exit(1);
	}
	backend[KERNEL] = vhost_scsi_create(vdev, fd, lio_wwn(lio), &tb.p);
	rest = virtio_local_create(tb.iothread, 1, SCSI_HOST_REQUEST);
	CHECK(backend[KERNEL] && rest);
	backend[USER] = connect_user();
	/* What all can do. */
	vdev->offered &= backend[KERNEL]->ops->features(backend[KERNEL]) &
			 backend[USER]->ops->features(backend[USER]);
	return lio;
}

int main(int argc, char **argv)
{
	struct lio *lio;
	unsigned from, to;

	if (argc != 3)
		return 2;
	lio = set_up(argv[1], argv[2]);
	hand_over(argv[2]);
	for (from = 0; from < WHO; from++) {
		for (to = 0; to < WHO; to++) {
			CHECK(from == to || rounds[from][to] >= HAND_OVERS / 6);
		}
	}
	for (to = 0; to < WHO; to++) {
		pass_to(to);
		reset(argv[2]);
	}
	pass_to(KERNEL);
	bad_ring();
	/* The device goes with the one, and takes the other along. */
	pass_to(OURS);
	backend[KERNEL]->ops->destroy(backend[KERNEL]);
	backend[USER]->ops->destroy(backend[USER]);
	user_server_end(&server);
	virtio_scsi_remove(served, lun);
	rest->ops->destroy(rest);
	lio_destroy(lio);
	vdriver_fini(&v);
	testbed_fini(&tb);
	return 0;
}
