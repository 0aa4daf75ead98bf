/* SPDX-License-Identifier: MIT */
/* With a server of requests that does nothing but remember what it was asked. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "devices/scsi/scsi.h"
#include "devices/scsi_control.h"
#include "tests/lib/scsi_driver.h"
#include "vmm/core/util.h"

Suite *scsi_control_suite(void);

static struct testbed tb;
static struct vdriver v;
static struct virtio_device vdev;
static struct scsi_control control;
static struct loop *loop;
static struct scsi_tmf_request asked;
static unsigned times;
static int answer;

static bool has_target(void *arg, uint8_t target)
{
	ck_assert_ptr_eq(arg, &asked);
	return target == 0;
}

static int tmf(void *arg, const struct scsi_tmf_request *request)
{
	ck_assert_ptr_eq(arg, &asked);
	asked = *request;
	times++;
	return answer;
}

static const struct scsi_control_ops ops = { .has_target = has_target, .tmf = tmf };

static void kick(struct virtio_device *dev, unsigned q)
{
	ck_assert_ptr_eq(dev, &vdev);
	if (q == SCSI_HOST_CONTROL)
		scsi_control_kick(&control);
}

static const struct virtio_class class = { .name = "control", .id = VIRTIO_ID_SCSI, .kick = kick };

static void set_up(enum virtio_transport transport)
{
	struct virtio_spec spec = { .name = "c0", .class = &class, .nvq = 3, .queue_size = 64,
				    .transport = transport, .loop = &loop, .nloops = 1,
				    .first_request_queue = 2 };

	log_set_level(LOG_ERR);
	testbed_init(&tb);
	loop = tb.p.iothread(&tb.p, "control");
	vdev = (struct virtio_device){ 0 };
	ck_assert_int_eq(virtio_make(&vdev, &tb.p, &spec), 0);
	control = (struct scsi_control){ .vdev = &vdev, .ops = &ops, .arg = &asked };
	times = answer = 0;
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
}

static void set_up_pci(void)
{
	set_up(VIRTIO_ON_PCI);
}

static void set_up_mmio(void)
{
	set_up(VIRTIO_ON_MMIO);
}

static void tear_down(void)
{
	vdriver_fini(&v);
	virtio_unmake(&vdev);
	testbed_fini(&tb);
}

static const struct {
	int answer;
	uint8_t response;
} answers[] = {
	{ SCSI_TMF_COMPLETE, VIRTIO_SCSI_S_OK },
	{ SCSI_TMF_SUCCEEDED, VIRTIO_SCSI_S_FUNCTION_SUCCEEDED },
	{ SCSI_TMF_REJECTED, VIRTIO_SCSI_S_FUNCTION_REJECTED },
	{ SCSI_TMF_INCORRECT_LUN, VIRTIO_SCSI_S_INCORRECT_LUN },
	{ SCSI_TMF_BAD_TARGET, VIRTIO_SCSI_S_BAD_TARGET },
	{ -EIO, VIRTIO_SCSI_S_FAILURE },
};

START_TEST(functions)
{
	answer = answers[_i].answer;
	ck_assert_int_eq(scsi_driver_tmf(&v, VIRTIO_SCSI_T_TMF_ABORT_TASK, 300, 0x123456789ull),
			 answers[_i].response);
	ck_assert_uint_eq(times, 1);
	ck_assert_int_eq(asked.what, SCSI_ABORT_TASK);
	ck_assert_uint_eq(asked.target, 0);
	ck_assert_uint_eq(be16_get(asked.lun_field), 0x4000 | 300);
	ck_assert_uint_eq(asked.tag, 0x123456789ull);
}
END_TEST

/* Returns the used length. */
static int64_t request(uint32_t type, const uint8_t lun[8], size_t out_len, size_t in_len,
		       uint8_t *response)
{
	uint8_t out[64] = { 0 }, in[64];
	struct iovec o = { out, out_len }, i = { in, in_len };
	int64_t used;

	memset(in, 0xcc, sizeof(in));
	le32_put(out, type);
	memcpy(out + (type == VIRTIO_SCSI_T_TMF ? 8 : 4), lun, 8);
	used = vdriver_request(&v, SCSI_HOST_CONTROL, &o, 1, &i, 1, 5000);
	*response = in_len ? in[in_len - 1] : 0;
	return used;
}

static const uint8_t first[8] = { 1, 0, 0, 1 }, nobody[8] = { 1, 3, 0, 1 }, odd[8] = { 0x55 },
		     wlun[8] = { 0xc1, 0x01 };

START_TEST(addresses)
{
	uint8_t response;

	ck_assert_int_eq(request(VIRTIO_SCSI_T_TMF, odd, 24, 1, &response), 1);
	ck_assert_uint_eq(response, VIRTIO_SCSI_S_BAD_TARGET);
	ck_assert_uint_eq(times, 0);
	ck_assert_int_eq(request(VIRTIO_SCSI_T_TMF, wlun, 24, 1, &response), 1);
	ck_assert_uint_eq(times, 1);
	ck_assert_int_eq(memcmp(asked.lun_field, wlun, 8), 0);
}
END_TEST

/* Asynchronous notification: there are no events that could be asked for. */
START_TEST(notifications)
{
	uint32_t type;
	uint8_t response;

	for (type = VIRTIO_SCSI_T_AN_QUERY; type <= VIRTIO_SCSI_T_AN_SUBSCRIBE; type++) {
		ck_assert_int_eq(request(type, first, 20, 5, &response), 5);
		ck_assert_uint_eq(response, VIRTIO_SCSI_S_OK);
		ck_assert_int_eq(request(type, nobody, 20, 5, &response), 5);
		ck_assert_uint_eq(response, VIRTIO_SCSI_S_BAD_TARGET);
	}
	ck_assert_int_eq(request(77, first, 20, 1, &response), 1);
	ck_assert_uint_eq(response, VIRTIO_SCSI_S_FAILURE);
	ck_assert_uint_eq(times, 0);
}
END_TEST

static const struct {
	size_t out, in;
} lengths[] = { { 3, 1 }, { 23, 1 }, { 24, 0 } };

START_TEST(too_short)
{
	uint8_t response;
	int r = request(VIRTIO_SCSI_T_TMF, first, lengths[_i].out, lengths[_i].in, &response);

	/* Who sees the answer sees the status; who looks earlier sees the status alone. */
	ck_assert(r == 0 || r == -EIO);
	ck_assert(virtio_is_broken(&vdev));
	testbed_settle(&tb);
	ck_assert_uint_eq(times, 0);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_add_loop_test(tc, functions, 0, ARRAY_SIZE(answers));
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, notifications);
	tcase_add_loop_test(tc, too_short, 0, ARRAY_SIZE(lengths));
}

Suite *scsi_control_suite(void)
{
	Suite *s = suite_create("scsi_control");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(scsi_control_suite)
