/* SPDX-License-Identifier: MIT */
#include "tests/unit/vdpa_fixture.h"

#include <pthread.h>
#include <time.h>

#include "tests/lib/stderr.h"
#include "virtio/wire_vdpa.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

Suite *wire_vdpa_suite(void);

static struct virtio_device vdev;
static struct virtqueue vq[2];
static uint16_t avail[2][4], used[2][4];
static struct vdpa_facts facts;
static struct vhost_wire *wire;
static struct stderr_text said;

static void make(bool in_order)
{
	const char *what;
	int fd = fcntl(fake.fd, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_eq(vdpa_ask(fd, &facts, &what), 0);
	wire = vhost_vdpa_create(&vdev, fd, &facts, in_order, 77);
	ck_assert_ptr_nonnull(wire);
}

static void set_up(void)
{
	unsigned q;

	fake_set_up();
	memset(avail, 0, sizeof(avail));
	memset(used, 0, sizeof(used));
	for (q = 0; q < 2; q++)
		vq[q] = (struct virtqueue){
			.desc = (void *)1, .driver = (void *)avail[q], .device = (void *)used[q],
			.s = { .desc = 0x1000, .driver = 0x2000, .device = 0x3000 } };
	vdev = (struct virtio_device){ .name = "v0", .nvq = 2, .vq = vq };
	make(false);
}

static void tear_down(void)
{
	wire->ops->close(wire);
	close(fake.fd);
}

START_TEST(what_it_is)
{
	ck_assert_uint_eq(facts.id, VIRTIO_ID_BLOCK);
	ck_assert_uint_eq(facts.queues, 2);
	ck_assert_uint_eq(facts.queue_size, 64);
	ck_assert_uint_eq(facts.config_len, FAKE_CONFIG);
	ck_assert(facts.suspends);
	ck_assert_uint_eq(wire->ops->features(wire), fake.features);
}
END_TEST

static const struct silent {
	unsigned long request;
	const char *what;
} silents[] = {
	{ VHOST_VDPA_GET_DEVICE_ID, "its device ID" },
	{ VHOST_GET_FEATURES, "its features" },
	{ VHOST_VDPA_GET_VQS_COUNT, "its queues (Linux 5.19 and later)" },
	{ VHOST_VDPA_GET_VRING_NUM, "their size" },
	{ VHOST_VDPA_GET_CONFIG_SIZE, "its config space" },
	{ VHOST_GET_BACKEND_FEATURES, "the form of messages about memory" },
};

START_TEST(does_not_say)
{
	const char *what;
	int r;

	fake.failing = silents[_i].request;
	fake.error = ENOTTY;
	r = vdpa_ask(fake.fd, &facts, &what);
	ck_assert_int_eq(r, _i == ARRAY_SIZE(silents) - 1 ? -EOPNOTSUPP : -ENOTTY);
	ck_assert_str_eq(what, silents[_i].what);
}
END_TEST

START_TEST(config_space)
{
	uint8_t bytes[4] = { 1, 2, 3, 4 };

	ck_assert_int_eq(vdpa_config(fake.fd, true, 8, bytes, 4), 0);
	ck_assert_uint_eq(fake.config[11], 4);
	fake.config[9] = 7;
	ck_assert_int_eq(vdpa_config(fake.fd, false, 8, bytes, 2), 0);
	ck_assert_uint_eq(bytes[1], 7);
	fake.failing = VHOST_VDPA_GET_CONFIG;
	fake.error = EIO;
	ck_assert_int_eq(vdpa_config(fake.fd, false, 8, bytes, 2), -EIO);
}
END_TEST

/* It is the driver, and so are we: the steps of §3.1.1, and what only we can promise. */
START_TEST(begins)
{
	ck_assert_int_eq(wire->ops->own(wire), 0);
	ck_assert_str_eq(fake_look(), "own backend=12 ");
	ck_assert_int_eq(wire->ops->set_features(wire, 0x100000200), 0);
	ck_assert_str_eq(fake_look(), "status=0 status=1 status=3 features=300000200 status=b ");
	ck_assert_int_eq(fake.changed, 77);
	ck_assert_int_eq(wire->ops->run(wire, true), 0);
	ck_assert_str_eq(fake_look(), "status=f ");
}
END_TEST

START_TEST(no_more_than_it_has)
{
	tear_down();
	fake_set_up();
	fake.features = VIRTIO_BIT(VIRTIO_F_VERSION_1);
	fake.backend = FAKE_MSG_V2;
	make(false);
	ck_assert_int_eq(wire->ops->own(wire), 0);
	ck_assert_int_eq(wire->ops->set_features(wire, 0x100000000), 0);
	ck_assert_str_eq(fake_look(), "own backend=2 status=0 status=1 status=3 features=100000000 "
			 "status=b ");
}
END_TEST

START_TEST(refuses_features)
{
	fake.refused = VIRTIO_CONFIG_S_FEATURES_OK;
	stderr_begin(&said);
	ck_assert_int_eq(wire->ops->set_features(wire, 0x100000000), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "v0: the device refuses a status: "));
}
END_TEST

START_TEST(memory)
{
	struct mem mem = { .nregions = 2, .region = {
		{ .gpa = 0, .size = 0x1000, .hva = (void *)0x70000 },
		{ .gpa = 0x100000000, .size = 0x2000, .hva = (void *)0x90000 } } };
	int r;

	ck_assert_int_eq(wire->ops->set_mem(wire, &mem), 0);
	ck_assert_str_eq(fake_memory(), "-0+1000 0+1000 -100000000+2000 100000000+2000 ");
	wire->ops->close(wire);
	wire = vhost_vdpa_create(&vdev, open("/dev/full", O_RDWR | O_CLOEXEC), &facts, false, 77);
	stderr_begin(&said);
	r = wire->ops->set_mem(wire, &mem);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "v0: guest memory cannot be mapped: "));
	ck_assert_int_eq(r, -ENOSPC);
}
END_TEST

/* Where the guest has it. */
START_TEST(ring)
{
	ck_assert_int_eq(wire->ops->ring_size(wire, 1, 32), 0);
	ck_assert_int_eq(wire->ops->ring_set_base(wire, 1, 65535), 0);
	ck_assert_int_eq(wire->ops->ring_addr(wire, 1, &vq[1]), 0);
	ck_assert_int_eq(wire->ops->ring_fd(wire, 1, VHOST_FD_CALL, fake.fd), 0);
	ck_assert_int_eq(wire->ops->ring_enable(wire, 1, true), 0);
	ck_assert_str_eq(fake_look(), "num1=32 base1=65535 addr1(1000,2000,3000) call1=1 "
			 "enable1=1 ");
	wire->ops->ring_close(wire, 1);
	ck_assert_str_eq(fake_look(), "kick1=0 call1=0 err1=0 ");
}
END_TEST

START_TEST(suspended)
{
	uint32_t base = 0;

	ck_assert_int_eq(wire->ops->ring_enable(wire, 0, false), 0);
	ck_assert_int_eq(wire->ops->run(wire, false), 0);
	ck_assert_int_eq(wire->ops->ring_get_base(wire, 0, &base), 0);
	ck_assert_str_eq(fake_look(), "kick0=0 suspend base0? ");
	ck_assert_uint_eq(base, 7);
}
END_TEST

/* One that says it can, and fails, is stopped like one that cannot. */
START_TEST(reset_instead)
{
	uint32_t base;

	fake.failing = VHOST_VDPA_SUSPEND;
	fake.error = EIO;
	stderr_begin(&said);
	ck_assert_int_eq(wire->ops->run(wire, false), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "v0: VHOST_VDPA_SUSPEND: "));
	ck_assert_str_eq(fake_look(), "status=0 ");
	ck_assert_int_eq(wire->ops->ring_get_base(wire, 0, &base), -EIO);
	tear_down();
	fake_set_up();
	fake.backend = FAKE_MSG_V2;
	avail[1][1] = 1; /* a ring of received packets is never empty */
	make(true);
	ck_assert_int_eq(wire->ops->run(wire, false), 0);
	ck_assert_str_eq(fake_look(), "status=0 ");
	ck_assert_int_eq(wire->ops->ring_get_base(wire, 0, &base), -EPIPE);
}
END_TEST

static void *answer_late(void *arg)
{
	(void)arg;
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	ck_assert_str_eq(fake.heard, "");
	__atomic_store_n(&used[1][1], 3, __ATOMIC_RELEASE);
	return NULL;
}

/* What it has begun is waited for, as nobody knows which of it is done. */
START_TEST(drained)
{
	pthread_t t;

	tear_down();
	fake_set_up();
	fake.backend = FAKE_MSG_V2;
	make(false);
	__atomic_store_n(&avail[1][1], 3, __ATOMIC_RELEASE);
	ck_assert_int_eq(pthread_create(&t, NULL, answer_late, NULL), 0);
	ck_assert_int_eq(wire->ops->run(wire, false), 0);
	ck_assert_uint_eq(__atomic_load_n(&used[1][1], __ATOMIC_ACQUIRE), 3);
	ck_assert_str_eq(fake_look(), "status=0 ");
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	avail[0][1] = 1; /* and not for ever */
	ck_assert_int_eq(wire->ops->run(wire, false), 0);
	ck_assert_str_eq(fake_look(), "status=0 ");
}
END_TEST

START_TEST(gives_up)
{
	ck_assert(!vdpa_needs_reset(fake.fd));
	fake.status = VIRTIO_CONFIG_S_NEEDS_RESET;
	ck_assert(vdpa_needs_reset(fake.fd));
}
END_TEST

Suite *wire_vdpa_suite(void)
{
	Suite *s = suite_create("wire_vdpa");
	TCase *tc = unit_case(s, "wire_vdpa");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_it_is);
	tcase_add_loop_test(tc, does_not_say, 0, ARRAY_SIZE(silents));
	tcase_add_test(tc, config_space);
	tcase_add_test(tc, begins);
	tcase_add_test(tc, no_more_than_it_has);
	tcase_add_test(tc, refuses_features);
	tcase_add_test(tc, memory);
	tcase_add_test(tc, ring);
	tcase_add_test(tc, suspended);
	tcase_add_test(tc, reset_instead);
	tcase_add_test(tc, drained);
	tcase_add_test(tc, gives_up);
	return s;
}

UNIT_MAIN(wire_vdpa_suite)
