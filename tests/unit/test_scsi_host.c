/* SPDX-License-Identifier: MIT */
#include "tests/unit/scsi_host_fixture.h"

#include "tests/lib/stderr.h"

Suite *scsi_host_suite(void);

static struct stderr_text said;

static const struct {
	uint64_t features;
	bool direct;
} modes[] = {
	{ ~0ull, false },
	{ ~0ull, true },
	{ 0, true },
	{ VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX), true },
	{ VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC), false },
};

START_TEST(end_to_end)
{
	unsigned q;

	start_with(modes[_i].features);
	v.direct = modes[_i].direct;
	scsi_driver_clear_attention(&v, 3);
	for (q = SCSI_HOST_REQUEST; q < QUEUES; q++)
		use_disk(q);
}
END_TEST

/* Sense data, residual and used length, each exact. */
START_TEST(answers_are_exact)
{
	uint8_t data[2048];
	struct scsi_driver_answer a;

	start_with(~0ull);
	a = scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0);
	check_sense(a, 6, 0x29, 0x00);
	ck_assert_int_eq(a.used, RESP_LEN);
	ck_assert_uint_eq(a.resid, 0);
	ck_assert_uint_eq(a.sense[18] | a.sense[95], 0); /* zeroes up to the end, not old bytes */

	/* Buffers larger than what comes. */
	a = scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x12, 0, 0, 0, 36), NULL, 0, data, 100);
	check_good(a, 36, 64);
	check_good(rw(2, false, 0, 1, data, 2048), 512, 1536);
	check_good(rw(2, true, 0, 1, data, 2048), 0, 1536);
	/* And smaller ones. */
	a = rw(2, false, 0, 3, data, 1024);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OVERRUN);
	ck_assert_int_eq(a.used, RESP_LEN + 1024 - a.resid);
	a = rw(2, true, 0, 3, data, 1024);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OVERRUN);
	ck_assert_int_eq(a.used, RESP_LEN);
	/* An error leaves all of it. */
	a = rw(2, false, BLOCKS, 1, data, 512);
	check_sense(a, 5, 0x21, 0x00);
	ck_assert_uint_eq(a.resid, 512);
	ck_assert_int_eq(a.used, RESP_LEN);
	/* A buffer in the wrong direction is one that holds nothing. */
	a = scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x12, 0, 0, 0, 36), data, 36, NULL, 0);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_OVERRUN);
	ck_assert_uint_eq(a.resid, 36);
}
END_TEST

START_TEST(store_errors)
{
	uint8_t data[512];

	start();
	ram->fail_at = 1;
	ram->fail_with = -EIO;
	check_sense(rw(2, false, 0, 1, data, 512), 3, 0x11, 0x00);
	ram->fail_at = 1;
	ram->fail_with = -ENOSPC;
	check_sense(rw(2, true, 0, 1, data, 512), 7, 0x27, 0x07);
	check_good(rw(2, true, 0, 1, data, 512), 0, 0);
}
END_TEST

/* Any cut of a request into descriptors gives the same answer. */
START_TEST(shatter)
{
	unsigned i;

	start();
	v.direct = _i;
	for (i = 1; i <= 150; i++) {
		v.shatter = i * 2654435761u;
		use_disk(SCSI_HOST_REQUEST + i % 4);
	}
	v.shatter = 99;
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_QUERY_TASK, 3, 5), VIRTIO_SCSI_S_OK);
}
END_TEST

/* Header and data in one descriptor, on both sides; and each side cut in two at every byte. */
START_TEST(every_border)
{
	uint8_t out[REQ_LEN + 512], in[RESP_LEN + 512];
	struct iovec o[2], i[2];
	unsigned cut;

	start();
	for (cut = 0; cut <= sizeof(out); cut++) {
		uint8_t cdb[32];

		scsi_driver_rw(cdb, true, cut % 8, 1);
		scsi_driver_header((void *)out, 3, 1, cdb);
		memset(out + REQ_LEN, cut + 1, 512);
		o[0] = (struct iovec){ out, cut };
		o[1] = (struct iovec){ out + cut, sizeof(out) - cut };
		i[0] = (struct iovec){ in, RESP_LEN };
		ck_assert_int_eq(vdriver_request(&v, 2, o, 2, i, 1, 5000), RESP_LEN);
		ck_assert_uint_eq(in[offsetof(struct virtio_scsi_cmd_resp, response)], 0);

		scsi_driver_rw(cdb, false, cut % 8, 1);
		scsi_driver_header((void *)out, 3, 1, cdb);
		o[0] = (struct iovec){ out, REQ_LEN };
		i[0] = (struct iovec){ in, cut };
		i[1] = (struct iovec){ in + cut, sizeof(in) - cut };
		ck_assert_int_eq(vdriver_request(&v, 2, o, 1, i, 2, 5000), sizeof(in));
		ck_assert_uint_eq(in[offsetof(struct virtio_scsi_cmd_resp, response)], 0);
		ck_assert_uint_eq(in[RESP_LEN], (uint8_t)(cut + 1));
		ck_assert_uint_eq(in[RESP_LEN + 511], (uint8_t)(cut + 1));
	}
}
END_TEST

static const struct {
	uint8_t lun[8];
	uint8_t opcode, response, first; /* and the first byte of what comes */
} addresses[] = {
	{ { 1, 0, 0, 3 }, 0x12, VIRTIO_SCSI_S_OK, 0x00 },
	{ { 1, 0, 0x40, 3 }, 0x12, VIRTIO_SCSI_S_OK, 0x00 },
	{ { 1, 0, 0, 4 }, 0x12, VIRTIO_SCSI_S_OK, 0x7f },
	{ { 1, 0, 0x40, 3, 0, 1 }, 0x12, VIRTIO_SCSI_S_OK, 0x7f },
	{ { 1, 1, 0, 3 }, 0x12, VIRTIO_SCSI_S_BAD_TARGET, 0xee },
	{ { 1, 255, 0, 3 }, 0x12, VIRTIO_SCSI_S_BAD_TARGET, 0xee },
	{ { 0, 0, 0, 3 }, 0x12, VIRTIO_SCSI_S_BAD_TARGET, 0xee },
	{ { 2, 0, 0, 3 }, 0x12, VIRTIO_SCSI_S_BAD_TARGET, 0xee },
	{ { 0xc1, 0x01 }, 0xa0, VIRTIO_SCSI_S_OK, 0x00 },
	{ { 0xc1, 0x02 }, 0xa0, VIRTIO_SCSI_S_BAD_TARGET, 0xee },
};

START_TEST(addressing)
{
	struct virtio_scsi_cmd_req req;
	struct scsi_driver_answer a;
	uint8_t data[36] = { 0xee };
	uint8_t inquiry[32] = { 0x12, 0, 0, 0, 36 }, report_luns[32] = { 0xa0, [9] = 36 };

	start();
	scsi_driver_header(&req, 3, 1, addresses[_i].opcode == 0x12 ? inquiry : report_luns);
	memcpy(req.lun, addresses[_i].lun, 8);
	memset(data, 0xee, sizeof(data));
	a = scsi_driver_raw(&v, 2, &req, REQ_LEN, RESP_LEN, NULL, 0, data, sizeof(data));
	ck_assert_uint_eq(a.response, addresses[_i].response);
	if (a.response == VIRTIO_SCSI_S_OK) {
		ck_assert_uint_eq(data[0], addresses[_i].first);
	} else {
		ck_assert_int_eq(a.used, RESP_LEN);
		ck_assert_uint_eq(a.resid, sizeof(data));
	}
}
END_TEST

START_TEST(absent_lun)
{
	start();
	check_sense(scsi_driver_run(&v, 2, 9, SCSI_DRIVER_CDB(0x00), NULL, 0, NULL, 0), 5, 0x25,
		    0x00);
}
END_TEST

/* INOUT is not offered. */
START_TEST(both_directions)
{
	struct scsi_driver_answer a;
	uint8_t data[512];

	start();
	a = scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x12, 0, 0, 0, 36), data, 512, data, 36);
	ck_assert_uint_eq(a.response, VIRTIO_SCSI_S_FAILURE);
	ck_assert_int_eq(a.used, RESP_LEN);
	ck_assert_uint_eq(a.resid, 548);
}
END_TEST

/* The driver has other sizes for the two fields. */
START_TEST(other_format)
{
	struct virtio_scsi_cmd_req req;
	struct scsi_driver_answer a;
	uint8_t data[36];

	ck_assert(vdriver_probe(&v, &tb, 0));
	vdriver_config_write(&v, offsetof(struct virtio_scsi_config, cdb_size), 16, 4);
	vdriver_config_write(&v, offsetof(struct virtio_scsi_config, sense_size), 8, 4);
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	scsi_driver_header(&req, 3, 1, SCSI_DRIVER_CDB(0x00));
	a = scsi_driver_raw(&v, 2, &req, REQ_LEN - 16, RESP_LEN - 88, NULL, 0, NULL, 0);
	ck_assert_int_eq(a.used, RESP_LEN - 88);
	ck_assert_uint_eq(a.status, SCSI_CHECK_CONDITION);
	ck_assert_uint_eq(a.sense_len, 8);
	ck_assert_uint_eq(a.sense[2], 6);
	scsi_driver_header(&req, 3, 1, SCSI_DRIVER_CDB(0x12, 0, 0, 0, 36));
	a = scsi_driver_raw(&v, 2, &req, REQ_LEN - 16, RESP_LEN - 88, NULL, 0, data, 36);
	ck_assert_int_eq(a.used, RESP_LEN - 88 + 36);
	ck_assert_mem_eq(data + 8, "LUNETTE ", 8);
}
END_TEST

/* A request without room for its headers cannot be answered: the device breaks, and is revived. */
static const struct {
	unsigned q;
	size_t out, in;
} too_short[] = {
	{ 2, 0, RESP_LEN },
	{ 2, REQ_LEN - 1, RESP_LEN },
	{ 2, 8, RESP_LEN + 512 },
	{ 2, REQ_LEN, RESP_LEN - 1 },
	{ 5, REQ_LEN + 512, 0 },
	{ 0, 3, 64 },
	{ 0, sizeof(struct virtio_scsi_ctrl_tmf_req) - 1, 1 },
	{ 0, sizeof(struct virtio_scsi_ctrl_tmf_req), 0 },
};

START_TEST(headers_too_short)
{
	uint8_t out[1024] = { 0 }, in[1024];
	struct iovec o = { out, too_short[_i].out }, i = { in, too_short[_i].in };

	start();
	stderr_begin(&said);
	vdriver_request(&v, too_short[_i].q, &o, !!o.iov_len, &i, !!i.iov_len, 5000);
	testbed_settle(&tb);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "request shorter than its headers"));
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	start();
	use_disk(2);
}
END_TEST

START_TEST(control_requests)
{
	struct virtio_scsi_ctrl_an_req an = { 0 };
	struct virtio_scsi_ctrl_an_resp resp;
	struct iovec out = { &an, sizeof(an) }, in = { &resp, sizeof(resp) };
	uint32_t type;

	start();
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_ABORT_TASK, 3, 5), VIRTIO_SCSI_S_OK);
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_CLEAR_ACA, 3, 5),
			 VIRTIO_SCSI_S_FUNCTION_REJECTED);
	ck_assert_int_eq(scsi_driver_tmf(&v, 99, 3, 5), VIRTIO_SCSI_S_FUNCTION_REJECTED);
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 9, 5),
			 VIRTIO_SCSI_S_INCORRECT_LUN);

	for (type = VIRTIO_SCSI_T_AN_QUERY; type <= VIRTIO_SCSI_T_AN_SUBSCRIBE; type++) {
		le32_put(&an.type, type);
		scsi_driver_lun(an.lun, 0, 3);
		le32_put(&an.event_requested, 0x7e);
		memset(&resp, 0xcc, sizeof(resp));
		ck_assert_int_eq(vdriver_request(&v, 0, &out, 1, &in, 1, 5000), 5);
		ck_assert_uint_eq(le32_get(&resp.event_actual), 0);
		ck_assert_uint_eq(resp.response, VIRTIO_SCSI_S_OK);
		scsi_driver_lun(an.lun, 7, 3);
		ck_assert_int_eq(vdriver_request(&v, 0, &out, 1, &in, 1, 5000), 5);
		ck_assert_uint_eq(resp.response, VIRTIO_SCSI_S_BAD_TARGET);
	}
	le32_put(&an.type, 77);
	ck_assert_int_eq(vdriver_request(&v, 0, &out, 1, &in, 1, 5000), 1);
	ck_assert_uint_eq(*(uint8_t *)&resp, VIRTIO_SCSI_S_FAILURE);
}
END_TEST

/* There are no events, so its buffers rest, and nothing is broken by that. */
START_TEST(event_queue)
{
	uint64_t gpa;
	uint16_t head;
	uint32_t len;
	unsigned i;

	start();
	gpa = testbed_alloc(&tb, 8 * 16, 16);
	for (i = 0; i < 8; i++) {
		struct driver_buf buf = { gpa + 16 * i, 16, true };

		driver_add(&v.queue[SCSI_HOST_EVENT].ring, &buf, 1, 0);
	}
	vdriver_kick(&v, SCSI_HOST_EVENT);
	testbed_settle(&tb);
	ck_assert(!driver_used(&v.queue[SCSI_HOST_EVENT].ring, &head, &len));
	use_disk(2);
}
END_TEST

/* Nonsense of all kinds on all queues: answered, or the device is broken; never worse. */
START_TEST(hostile_requests)
{
	static uint8_t out[2048], in[4096];
	uint32_t seed = 4711 + _i;
	unsigned n, broken = 0, i;

	stderr_begin(&said);
	start();
	for (n = 0; n < 1500; n++) {
		unsigned q = driver_random(&seed) % QUEUES;
		struct iovec o = { out, driver_random(&seed) % 256 };
		struct iovec ii = { in, driver_random(&seed) % 256 };
		int64_t r;

		if (q == SCSI_HOST_EVENT)
			continue;
		if (driver_random(&seed) % 4)
			ii.iov_len += RESP_LEN;
		if (driver_random(&seed) % 4)
			o.iov_len += REQ_LEN;
		for (i = 0; i < o.iov_len; i++)
			out[i] = driver_random(&seed) % 3 ? 0 : driver_random(&seed);
		if (driver_random(&seed) % 8) {
			scsi_driver_lun(out + (q ? 0 : 8), 0, driver_random(&seed) % 5);
			out[19] = driver_random(&seed); /* opcode */
		}
		v.shatter = driver_random(&seed) % 2 ? seed : 0;
		r = vdriver_request(&v, q, &o, !!o.iov_len, &ii, 1, 5000);
		ck_assert_int_ne(r, -ETIMEDOUT);
		ck_assert_int_le(r, (int64_t)ii.iov_len);
		testbed_settle(&tb);
		if (vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET) {
			broken++;
			vdriver_reset(&v);
			testbed_release(&tb);
			start();
		}
	}
	stderr_end(&said);
	ck_assert_uint_gt(broken, 10);
	vdriver_reset(&v);
	testbed_release(&tb);
	start();
	use_disk(2);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, end_to_end, 0, ARRAY_SIZE(modes));
	tcase_add_test(tc, answers_are_exact);
	tcase_add_test(tc, store_errors);
	tcase_add_loop_test(tc, shatter, 0, 2);
	tcase_add_test(tc, every_border);
	tcase_add_loop_test(tc, addressing, 0, ARRAY_SIZE(addresses));
	tcase_add_test(tc, absent_lun);
	tcase_add_test(tc, both_directions);
	tcase_add_test(tc, other_format);
	tcase_add_loop_test(tc, headers_too_short, 0, ARRAY_SIZE(too_short));
	tcase_add_test(tc, control_requests);
	tcase_add_test(tc, event_queue);
	tcase_add_loop_test(tc, hostile_requests, 0, unit_rows(4));
}

Suite *scsi_host_suite(void)
{
	Suite *s = suite_create("scsi_host");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(scsi_host_suite)
