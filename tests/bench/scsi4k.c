/* SPDX-License-Identifier: MIT */
/*
 * scsi4k.c - reads or writes of 4 KiB through everything but KVM and a disk: the fake driver, the
 * virtio-scsi device on its I/O thread, the SCSI target, a store.
 *
 *	usage: scsi4k read|write DEPTH COUNT [THREADS [DISK]]
 *
 * COUNT READ(10) or WRITE(10) commands of 8 blocks, DEPTH at a time: the driver makes them
 * available with one kick and asks for one interrupt, at the last. So the work per request does not
 * depend on how the two threads happen to meet, and instructions can be compared between builds.
 * With THREADS I/O threads there are as many queues, and DEPTH is that of each. Prints nanoseconds
 * per request; a wrong answer is fatal. DISK is what --disk takes; without it, the null store.
 */
#include <linux/virtio_scsi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/scsi_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define QUEUE 2 /* the first request queue */
#define QUEUE_SIZE 128
#define THREADS_MAX 8
#define BLOCKS 8
#define BYTES 4096
#define RESPONSE sizeof(struct virtio_scsi_cmd_resp)
#define PIECES 3 /* request, response, data */
#define TIMEOUT_MS 60000

static struct testbed tb;
static struct vdriver v;

static bool writes;

/* A request that is used again and again: what the driver adds to the ring for it. */
struct request {
	struct driver_buf buf[PIECES];
	uint64_t table;
};

static void request_init(struct request *r, unsigned number)
{
	uint32_t lba = number * BLOCKS;
	const uint8_t *cdb = SCSI_DRIVER_CDB(writes ? 0x2a : 0x28, 0, lba >> 24, lba >> 16,
					     lba >> 8, lba, 0, 0, BLOCKS);
	struct virtio_scsi_cmd_req req;

	scsi_driver_header(&req, 0, number, cdb);
	r->table = testbed_alloc(&tb, PIECES * 16, 16);
	r->buf[0] = (struct driver_buf){ testbed_alloc(&tb, sizeof(req), 64), sizeof(req), false };
	r->buf[writes ? 2 : 1] =
		(struct driver_buf){ testbed_alloc(&tb, RESPONSE, 64), RESPONSE, true };
	r->buf[writes ? 1 : 2] =
		(struct driver_buf){ testbed_alloc(&tb, BYTES, BYTES), BYTES, !writes };
	BUG_ON(mem_write(&tb.mem, r->buf[0].gpa, &req, sizeof(req)) < 0);
}

static void set_up(struct request *requests, unsigned depth, unsigned threads, const char *disk)
{
	char text[512];
	unsigned i;

	testbed_init(&tb);
	snprintf(text, sizeof(text), "virtio-scsi,queues=%u,iothreads=%u", threads, threads);
	BUG_ON(device_create(&tb.p, &tb.devices, text) < 0);
	snprintf(text, sizeof(text), "scsi-disk,%s", disk);
	BUG_ON(device_create(&tb.p, &tb.devices, text) < 0);
	testbed_start(&tb);
	BUG_ON(!vdriver_probe(&v, &tb, 0) ||
	       !vdriver_start(&v, ~0ull, QUEUE + threads, QUEUE_SIZE));
	scsi_driver_clear_attention(&v, 0);
	/* Its interrupt is not to be taken for one of the first round. */
	testbed_settle(&tb);
	vdriver_wait(&v, 0);
	for (i = 0; i < depth * threads; i++)
		request_init(&requests[i], i);
}

static void launch(unsigned q, const struct request *requests, unsigned depth)
{
	struct driver *ring = &v.queue[q].ring;
	unsigned i;

	for (i = 0; i < depth; i++)
		BUG_ON(driver_add(ring, requests[i].buf, PIECES, requests[i].table) < 0);
	driver_rearm_after(ring, depth);
	vdriver_kick(&v, q);
}

/* How many have come back. */
static unsigned land(unsigned q)
{
	unsigned done = 0;
	uint16_t head;
	uint32_t len;

	for (; driver_used(&v.queue[q].ring, &head, &len); done++)
		BUG_ON(len != RESPONSE + (writes ? 0 : BYTES));
	return done;
}

static void round_trip(const struct request *requests, unsigned depth, unsigned threads)
{
	unsigned q, done = 0;

	for (q = 0; q < threads; q++)
		launch(QUEUE + q, requests + q * depth, depth);
	while (done < depth * threads) {
		BUG_ON(!vdriver_wait(&v, TIMEOUT_MS));
		for (q = 0; q < threads; q++)
			done += land(QUEUE + q);
	}
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned depth = argc > 3 ? atoi(argv[2]) : 0, i;
	unsigned count = argc > 3 ? atoi(argv[3]) : 0;
	unsigned threads = argc > 4 ? atoi(argv[4]) : 1;
	static struct request requests[QUEUE_SIZE * THREADS_MAX];
	uint64_t start;

	if (!depth || depth > QUEUE_SIZE || !threads || threads > THREADS_MAX || !count ||
	    count % (depth * threads) || argc > 6) {
		fprintf(stderr, "usage: scsi4k read|write DEPTH COUNT [THREADS [DISK]], DEPTH up "
			"to %d, THREADS up to %d, COUNT a multiple of both together\n",
			QUEUE_SIZE, THREADS_MAX);
		return 2;
	}
	writes = !strcmp(argv[1], "write");
	set_up(requests, depth, threads, argc == 6 ? argv[5] : "store=null,size=1G");
	start = now_ns();
	for (i = 0; i < count; i += depth * threads)
		round_trip(requests, depth, threads);
	printf("%llu\n", (unsigned long long)(now_ns() - start) / count);
	vdriver_fini(&v);
	testbed_fini(&tb);
	return 0;
}
