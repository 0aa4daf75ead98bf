/* SPDX-License-Identifier: MIT */
/*
 * scsi_host_fixture.h - a controller with four request queues on two threads; LUN 3 is in memory.
 */
#ifndef TESTS_SCSI_HOST_FIXTURE_H
#define TESTS_SCSI_HOST_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "devices/scsi/scsi.h"
#include "devices/scsi_host.h"
#include "devices/virtio_scsi.h"
#include "tests/lib/ramstore.h"
#include "tests/lib/scsi_driver.h"
#include "virtio/virtio.h"
#include "vmm/core/util.h"

#define REQ_LEN sizeof(struct virtio_scsi_cmd_req)
#define RESP_LEN sizeof(struct virtio_scsi_cmd_resp)
#define BLOCKS 2048u
#define QUEUES (SCSI_HOST_REQUEST + 4)

static struct testbed tb;
static struct vdriver v;
static struct ramstore *ram;
static struct scsi_lun lun;

/* Four request queues on two threads; LUN 3 is in memory. */
static inline void set_up(const char *text)
{
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	ram = ramstore_open(BLOCKS * 512);
	scsi_lun_init(&lun, &ram->block, 3, "ram");
	ck_assert_int_eq(scsi_port_add(virtio_scsi_port(tb.devices.last), &lun), 0);
	testbed_start(&tb);
}

static inline void set_up_pci(void)
{
	set_up("virtio-scsi,queues=4,iothreads=2,queue-size=64");
}

static inline void set_up_mmio(void)
{
	set_up("virtio-scsi,queues=4,iothreads=2,queue-size=64,transport=mmio");
}

static inline void tear_down(void)
{
	vdriver_fini(&v);
	virtio_scsi_stop(tb.devices.last);
	device_destroy_all(&tb.devices);
	scsi_lun_fini(&lun);
	ramstore_close(ram);
	testbed_fini(&tb);
}

static inline void start_with(uint64_t features)
{
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, features, QUEUES, 64));
}

static inline void start(void)
{
	start_with(~0ull);
	scsi_driver_clear_attention(&v, 3);
}

static inline void check_good(struct scsi_driver_answer a, size_t in_len, uint32_t resid)
{
	ck_assert_int_eq(a.used, RESP_LEN + in_len);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OK);
	ck_assert_uint_eq(a.status, SCSI_GOOD);
	ck_assert_uint_eq(a.sense_len, 0);
	ck_assert_uint_eq(a.resid, resid);
}

static inline void check_sense(struct scsi_driver_answer a, uint8_t key, uint8_t asc, uint8_t ascq)
{
	ck_assert_int_ge(a.used, RESP_LEN);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OK);
	ck_assert_uint_eq(a.status, SCSI_CHECK_CONDITION);
	ck_assert_uint_eq(a.sense_len, 18);
	ck_assert_uint_eq(a.sense[0] & 0x7f, 0x70);
	ck_assert_uint_eq(a.sense[2], key);
	ck_assert_uint_eq(a.sense[12], asc);
	ck_assert_uint_eq(a.sense[13], ascq);
}

static inline struct scsi_driver_answer rw(unsigned q, bool write, uint64_t lba, uint32_t blocks,
				    void *data, size_t len)
{
	uint8_t cdb[32];

	scsi_driver_rw(cdb, write, lba, blocks);
	return scsi_driver_run(&v, q, 3, cdb, write ? data : NULL, write ? len : 0,
			       write ? NULL : data, write ? 0 : len);
}

/* INQUIRY, READ CAPACITY, WRITE, SYNCHRONIZE CACHE, READ, by each way of talking to a ring. */
static inline void use_disk(unsigned q)
{
	static uint8_t out[5 * 512], in[5 * 512];
	uint8_t data[96];
	unsigned i;

	check_good(scsi_driver_run(&v, q, 3, SCSI_DRIVER_CDB(0x12, 0, 0, 0, 36), NULL, 0, data, 36),
		   36, 0);
	ck_assert_mem_eq(data + 8, "LUNETTE ", 8);
	check_good(scsi_driver_run(&v, q, 3, SCSI_DRIVER_CDB(0x9e, 0x10, [13] = 32), NULL, 0, data,
				   32), 32, 0);
	ck_assert_uint_eq(be64_get(data), BLOCKS - 1);
	ck_assert_uint_eq(be32_get(data + 8), 512);
	for (i = 0; i < sizeof(out); i++)
		out[i] = i * 13 + i / 512 + q;
	check_good(rw(q, true, 7 * q, 5, out, sizeof(out)), 0, 0);
	check_good(scsi_driver_run(&v, q, 3, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0), 0, 0);
	ck_assert_mem_eq(ram->bytes + 7 * q * 512, out, sizeof(out));
	check_good(rw(q, false, 7 * q, 5, in, sizeof(in)), sizeof(in), 0);
	ck_assert_mem_eq(in, out, sizeof(out));
}

/* Requests that are left in flight. */
struct flight {
	unsigned q;
	uint64_t resp;
	uint16_t head;
};

/* Adds a request, without a kick. */
static inline struct flight prepare(unsigned q, uint64_t tag, bool write, uint64_t lba)
{
	uint64_t gpa = testbed_alloc(&tb, 1024 + RESP_LEN, 16);
	struct flight f = { .q = q, .resp = gpa + 1024 };
	struct virtio_scsi_cmd_req req;
	struct driver_buf buf[] = {
		{ gpa, REQ_LEN, false }, { gpa + 512, 512, false }, { f.resp, RESP_LEN, true },
	};
	uint8_t cdb[32];
	int head;

	scsi_driver_rw(cdb, write, lba, 1);
	scsi_driver_header(&req, 3, tag, cdb);
	mem_write(&tb.mem, gpa, &req, sizeof(req));
	if (!write) {
		buf[1] = buf[2];
		buf[2] = (struct driver_buf){ gpa + 512, 512, true };
	}
	head = driver_add(&v.queue[q].ring, buf, 3, testbed_alloc(&tb, 48, 16));
	ck_assert_int_ge(head, 0);
	f.head = head;
	return f;
}

static inline struct flight launch(unsigned q, uint64_t tag, bool write, uint64_t lba)
{
	struct flight f = prepare(q, tag, write, lba);

	vdriver_kick(&v, q);
	return f;
}

/* True: it has come back; with its response. */
static inline bool landed(const struct flight *f, uint8_t *response)
{
	struct virtio_scsi_cmd_resp resp;
	uint16_t head;
	uint32_t len;

	if (!driver_used(&v.queue[f->q].ring, &head, &len))
		return false;
	ck_assert_uint_eq(head, f->head);
	ck_assert_uint_ge(len, RESP_LEN);
	mem_read(&tb.mem, f->resp, &resp, sizeof(resp));
	*response = resp.response;
	return true;
}

#endif
