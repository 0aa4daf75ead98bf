/*
 * handover.c - the queues of a virtio-scsi device go back and forth between our own threads and the
 * kernel's vhost-scsi while a driver keeps them busy. For a kernel that has vhost_scsi, LIO and
 * configfs; guest memory is ours, so there is no KVM in it.
 *
 *	usage: handover pci|mmio FILE
 *
 * Each of DEPTH requests has a block of FILE, and writes a new number to it and reads it back in
 * turn. A request that is lost ends by the time limit, one that is done twice, or on other blocks,
 * is seen: by the driver's ring, which knows what is in flight, or by a number that is wrong. In
 * the end the numbers are in FILE.
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
#include "devices/vhost_scsi.h"
#include "devices/virtio_scsi.h"
#include "tests/lib/scsi_driver.h"
#include "vmm/core/util.h"

#define QUEUE 2
#define DEPTH 16
#define BLOCKS 8
#define BYTES 4096
#define REQUESTS 6000
#define ROUNDS 40
#define TIMEOUT_MS 60000
#define RESPONSE sizeof(struct virtio_scsi_cmd_resp)

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
static struct virtio_backend *backend[2]; /* local, vhost */
static unsigned current;

/* A request that is used again and again. */
struct request {
	uint64_t cmd, data, response, table;
	uint64_t number;
	bool write;
	int head; /* -1: not in flight */
};

static struct request request[DEPTH];

static void pass_on(void)
{
	pthread_mutex_lock(&vdev->lock);
	CHECK(vdev->started);
	vdev->backend->ops->stop(vdev->backend, vdev);
	current = !current;
	vdev->backend = backend[current];
	CHECK(vdev->backend->ops->start(vdev->backend, vdev) == 0);
	pthread_mutex_unlock(&vdev->lock);
}

struct passer {
	pthread_t thread;
	atomic_bool end;
	unsigned times;
};

static void *pass_on_and_on(void *arg)
{
	struct passer *p = arg;

	while (!atomic_load(&p->end)) {
		pass_on();
		p->times++;
		nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);
	}
	return NULL;
}

static void set_up_requests(void)
{
	unsigned i;

	for (i = 0; i < DEPTH; i++)
		request[i] = (struct request){
			.cmd = testbed_alloc(&tb, sizeof(struct virtio_scsi_cmd_req), 64),
			.data = testbed_alloc(&tb, BYTES, BYTES),
			.response = testbed_alloc(&tb, RESPONSE, 64),
			.table = testbed_alloc(&tb, 3 * 16, 16),
			.number = i,
			.head = -1,
		};
}

static void send(unsigned i)
{
	struct request *r = &request[i];
	struct driver_buf buf[3] = { { r->cmd, sizeof(struct virtio_scsi_cmd_req), false } };
	bool indirect = v.accepted & VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	struct virtio_scsi_cmd_req req;
	uint8_t cdb[32], raw[8];

	r->write = !r->write;
	r->number += r->write ? DEPTH : 0;
	le64_put(raw, r->write ? r->number : 0);
	mem_write(&tb.mem, r->data + BYTES - 8, raw, 8);
	scsi_driver_rw(cdb, r->write, i * BLOCKS, BLOCKS);
	scsi_driver_header(&req, 0, r->number, cdb);
	mem_write(&tb.mem, r->cmd, &req, sizeof(req));
	buf[r->write ? 1 : 2] = (struct driver_buf){ r->data, BYTES, !r->write };
	buf[r->write ? 2 : 1] = (struct driver_buf){ r->response, RESPONSE, true };
	r->head = driver_add(&v.queue[QUEUE].ring, buf, 3, indirect ? r->table : 0);
	CHECK(r->head >= 0);
}

static void check_answer(uint16_t head)
{
	struct virtio_scsi_cmd_resp resp;
	struct request *r = request;
	uint8_t raw[8];

	while (r->head != head)
		CHECK(++r < request + DEPTH);
	mem_read(&tb.mem, r->response, &resp, sizeof(resp));
	if (resp.response || resp.status)
		printf("response %u, status %#x, sense %x/%02x/%02x, by %s\n", resp.response,
		       resp.status, resp.sense[2], resp.sense[12], resp.sense[13],
		       vdev->backend->ops->name);
	CHECK(resp.response == VIRTIO_SCSI_S_OK && resp.status == 0);
	mem_read(&tb.mem, r->data + BYTES - 8, raw, 8);
	CHECK(le64_get(raw) == r->number);
	r->head = -1;
}

/* Sends @count, and waits for all. */
static void load(unsigned count)
{
	unsigned sent = 0, done = 0, i;
	uint16_t head;
	uint32_t len;

	while (done < count) {
		for (i = 0; i < DEPTH && sent < count; i++) {
			if (request[i].head < 0) {
				send(i);
				sent++;
			}
		}
		vdriver_kick(&v, QUEUE);
		CHECK(vdriver_wait_used(&v, QUEUE, &head, &len, TIMEOUT_MS) == 0);
		do {
			check_answer(head);
			done++;
		} while (driver_used(&v.queue[QUEUE].ring, &head, &len));
	}
	CHECK(done == count && sent == count);
}

static void check_file(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	uint8_t raw[8];
	unsigned i;

	CHECK(fd >= 0);
	for (i = 0; i < DEPTH; i++) {
		CHECK(pread(fd, raw, 8, (i + 1) * BYTES - 8) == 8);
		CHECK(le64_get(raw) == request[i].number);
	}
	close(fd);
}

static void start_driver(uint64_t features)
{
	vdriver_fini(&v);
	testbed_release(&tb);
	CHECK(vdriver_probe(&v, &tb, 0));
	CHECK(vdriver_start(&v, features, QUEUE + 1, 64));
	set_up_requests();
	scsi_driver_clear_attention(&v, 0);
}

/* Under load, with each way to use a ring. */
static void hand_over(const char *file)
{
	static const uint64_t features[] = { ~0ull, 0 };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		struct passer p = { 0 };

		start_driver(features[i]);
		pass_on(); /* what the other target has to say of a reset it says now */
		scsi_driver_clear_attention(&v, 0);
		pthread_create(&p.thread, NULL, pass_on_and_on, &p);
		load(REQUESTS);
		atomic_store(&p.end, true);
		pthread_join(p.thread, NULL);
		check_file(file);
		printf("%u hand-overs in %u requests\n", p.times, REQUESTS);
		CHECK(p.times >= 20);
	}
}

/* In the middle of requests, which are not answered then. The disk and the kernel stay whole. */
static void reset(const char *file)
{
	unsigned i, k;

	for (i = 0; i < ROUNDS; i++) {
		start_driver(i % 2 ? ~0ull : 0);
		load(DEPTH);
		for (k = 0; k < DEPTH; k++)
			send(k);
		vdriver_kick(&v, QUEUE);
		vdriver_reset(&v);
	}
	start_driver(~0ull);
	load(2 * DEPTH);
	check_file(file);
	printf("%u resets in the middle of requests\n", ROUNDS);
}

/* A ring that breaks the rules: the kernel says so, and a reset revives the device. */
static void bad_ring(void)
{
	struct driver_buf nowhere = { 1ull << 50, 4096, false };
	unsigned tries = 100;

	start_driver(0);
	CHECK(driver_add(&v.queue[QUEUE].ring, &nowhere, 1, 0) >= 0);
	vdriver_kick(&v, QUEUE);
	while (!(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET) && --tries)
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	CHECK(tries);
	start_driver(0);
	load(2 * DEPTH);
	printf("a bad ring\n");
}

static struct lio *set_up(const char *transport, const char *file)
{
	char controller[100], disk[300];
	struct device *dev;
	struct lio *lio;
	struct why why;
	int fd;

	snprintf(controller, sizeof(controller), "virtio-scsi,queue-size=64,vhost=off,transport=%s",
		 transport);
	snprintf(disk, sizeof(disk), "scsi-disk,%s", file);
	testbed_init(&tb);
	CHECK(device_create(&tb.p, &tb.devices, controller) == 0);
	dev = tb.devices.last;
	CHECK(device_create(&tb.p, &tb.devices, disk) == 0);
	testbed_start(&tb);
	vdev = virtio_scsi_vdev(dev);
	backend[0] = vdev->backend;
	fd = vhost_scsi_open(&why);
	if (fd < 0 ||
	    lio_create(&lio_configfs, "handover", virtio_scsi_port(dev), &lio, &why) < 0) {
		printf("%s\n", why.text);
		exit(1);
	}
	backend[1] = vhost_scsi_create(vdev, fd, lio_wwn(lio), tb.main_loop);
	CHECK(backend[1]);
	vdev->offered &= backend[1]->ops->features(backend[1]); /* what both can do */
	return lio;
}

int main(int argc, char **argv)
{
	struct lio *lio;

	if (argc != 3)
		return 2;
	lio = set_up(argv[1], argv[2]);
	hand_over(argv[2]);
	reset(argv[2]);
	pass_on();
	reset(argv[2]);
	if (current == 0)
		pass_on();
	bad_ring();
	/* The device goes with the one, and takes the other along. */
	if (current == 1)
		pass_on();
	backend[1]->ops->destroy(backend[1]);
	lio_destroy(lio);
	vdriver_fini(&v);
	testbed_fini(&tb);
	return 0;
}
