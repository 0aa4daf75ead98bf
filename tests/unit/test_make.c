/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/vdriver.h"
#include "virtio/virtio.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *make_suite(void);

static struct testbed tb;
static struct vdriver v;
static struct virtio_device vdev;
static const char *served_by[3]; /* each queue: the loop that did it last */
static unsigned resets;

static uint32_t reverse(struct virtio_device *dev, unsigned q, const struct vq_chain *c)
{
	const uint8_t *from = c->out[0].iov_base;
	size_t i, n = min_u64(c->out[0].iov_len, c->nin ? c->in[0].iov_len : 0);

	ck_assert_ptr_eq(dev, &vdev);
	ck_assert_uint_lt(q, ARRAY_SIZE(served_by));
	for (i = 0; i < n; i++)
		((uint8_t *)c->in[0].iov_base)[i] = from[n - 1 - i];
	return n;
}

static void kick(struct virtio_device *dev, unsigned q)
{
	virtio_answer_all(dev, q, reverse);
}

static int queue_start(struct virtio_device *dev, unsigned q, struct loop *loop)
{
	(void)dev;
	served_by[q] = loop_name(loop);
	return 0;
}

static void reset(struct virtio_device *dev)
{
	(void)dev;
	resets++;
}

#define FEATURE VIRTIO_BIT(5)

static const struct virtio_class class = {
	.name = "unit", .id = 42, .features = FEATURE | VIRTIO_BIT(6), .kick = kick,
	.queue_start = queue_start, .reset = reset,
};

/* Somebody else, who serves queue 1 and knows one feature. */
static unsigned starts, stops, destroyed;

static uint64_t some(struct virtio_backend *be)
{
	(void)be;
	ck_assert_str_eq(vdev.name, "m0");
	return FEATURE;
}

static bool second_only(const struct virtio_backend *be, unsigned q)
{
	(void)be;
	return q == 1;
}

static int server_start(struct virtio_backend *be, struct virtio_device *dev)
{
	ck_assert(virtio_serves(dev, be, 1));
	ck_assert(!virtio_serves(dev, be, 0));
	starts++;
	return 0;
}

static void server_stop(struct virtio_backend *be, struct virtio_device *dev)
{
	(void)be;
	(void)dev;
	stops++;
}

static void server_destroy(struct virtio_backend *be)
{
	(void)be;
	destroyed++;
}

static const struct virtio_backend_ops server_ops = {
	.name = "other", .features = some, .start = server_start, .serves = second_only,
	.stop = server_stop, .destroy = server_destroy,
};

static struct virtio_backend server = { &server_ops };
static uint8_t config[4];

static struct virtio_spec spec_of(int transport)
{
	return (struct virtio_spec){ .name = "m0", .class = &class, .nvq = 3, .queue_size = 16,
				     .config = config, .config_len = sizeof(config),
				     .transport = transport };
}

static void set_up(void)
{
	testbed_init(&tb);
	vdev = (struct virtio_device){ 0 };
	memset(served_by, 0, sizeof(served_by));
	starts = stops = destroyed = resets = 0;
	memcpy(config, "conf", 4);
}

static void tear_down(void)
{
	testbed_fini(&tb);
}

static void make(const struct virtio_spec *spec)
{
	ck_assert_int_eq(virtio_make(&vdev, &tb.p, spec), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 16));
}

static void unmake(void)
{
	vdriver_fini(&v);
	virtio_unmake(&vdev);
	ck_assert(!vdev.started);
}

static void ask(unsigned q)
{
	char answer[4] = "";
	struct iovec out = { (char[]){ "abc" }, 3 }, in = { answer, 3 };

	ck_assert_int_eq(vdriver_request(&v, q, &out, 1, &in, 1, 2000), 3);
	ck_assert_str_eq(answer, "cba");
}

START_TEST(has_what_was_asked_for)
{
	struct virtio_spec spec = spec_of(_i);
	unsigned q;

	make(&spec);
	ck_assert_uint_eq(v.device_id, 42);
	ck_assert_str_eq(vdev.name, "m0");
	ck_assert_str_eq(vdev.transport->name, virtio_transport_words[_i]);
	ck_assert_uint_eq(vdev.nvq, 3);
	ck_assert_uint_eq(vdev.vq[2].s.max_size, 16);
	ck_assert_ptr_eq(vdev.config, config);
	ck_assert_uint_eq(vdev.offered, class.features | VIRTIO_QUEUE_FEATURES);
	for (q = 0; q < 3; q++)
		ask(q);
	unmake();
	ck_assert_uint_ge(resets, 1);
}
END_TEST

START_TEST(one_thread_of_its_own)
{
	struct virtio_spec spec = spec_of(_i);
	unsigned q;

	make(&spec);
	ck_assert_uint_eq(tb.niothreads, 1);
	for (q = 0; q < 3; q++)
		ck_assert_str_eq(served_by[q], "m0");
	unmake();
}
END_TEST

START_TEST(threads_that_are_given)
{
	struct virtio_spec spec = spec_of(_i);
	struct loop *loop[2] = { tb.p.iothread(&tb.p, "a"), tb.p.iothread(&tb.p, "b") };

	spec.loop = loop;
	spec.nloops = 2;
	spec.first_request_queue = 1;
	make(&spec);
	ck_assert_uint_eq(tb.niothreads, 2);
	ck_assert_str_eq(served_by[0], "a");
	ck_assert_str_eq(served_by[1], "a");
	ck_assert_str_eq(served_by[2], "b");
	unmake();
}
END_TEST

/* It says what is offered, and the loops serve what it leaves out. */
START_TEST(somebody_else_serves)
{
	struct virtio_spec spec = spec_of(_i);

	spec.server = &server;
	make(&spec);
	ck_assert_uint_eq(vdev.offered, FEATURE | VIRTIO_BIT(VIRTIO_F_VERSION_1));
	ck_assert_uint_eq(starts, 1);
	ck_assert_ptr_nonnull(served_by[0]);
	ck_assert_ptr_null(served_by[1]);
	ck_assert_ptr_nonnull(served_by[2]);
	ask(0);
	ask(2);
	unmake();
	ck_assert_uint_eq(stops, starts);
	ck_assert_uint_eq(destroyed, 1);
}
END_TEST

static struct loop *no_thread(struct platform *p, const char *name)
{
	(void)p;
	ck_assert_str_eq(name, "m0");
	errno = EMFILE;
	return NULL;
}

START_TEST(no_thread_for_it)
{
	struct virtio_spec spec = spec_of(_i);
	struct stderr_text err;

	spec.server = &server;
	tb.p.iothread = no_thread;
	stderr_begin(&err);
	ck_assert_int_eq(virtio_make(&vdev, &tb.p, &spec), -EMFILE);
	ck_assert_str_eq(stderr_end(&err), "lunette: error: m0: cannot make an I/O thread: Too "
					   "many open files\n");
	ck_assert_uint_eq(destroyed, 1);
	virtio_unmake(&vdev);
	ck_assert_uint_eq(destroyed, 1);
}
END_TEST

/* The bus has no room, or there is none; the server goes, too, and the one line says it. */
START_TEST(no_place_for_it)
{
	struct virtio_spec spec = spec_of(_i);
	struct stderr_text err;
	const char *text;

	spec.server = &server;
	tb.p.mmio_end = tb.p.mmio_next;
	tb.p.pci = NULL;
	stderr_begin(&err);
	ck_assert_int_lt(virtio_make(&vdev, &tb.p, &spec), 0);
	text = stderr_end(&err);
	ck_assert_ptr_eq(strstr(text, "lunette: error: m0: "), text);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	ck_assert_uint_eq(destroyed, 1);
	virtio_unmake(&vdev);
	ck_assert_uint_eq(destroyed, 1);
}
END_TEST

/* Where there can be no PCI, nobody is asked. */
START_TEST(host_without_pci)
{
	struct virtio_spec spec = spec_of(VIRTIO_ON_PCI);

	spec.server = &server;
	tb.p.no_pci = "of a test";
	ck_assert_int_eq(virtio_make(&vdev, &tb.p, &spec), 0);
	ck_assert_str_eq(vdev.transport->name, "mmio");
	virtio_unmake(&vdev);
}
END_TEST

START_TEST(never_made)
{
	virtio_unmake(&vdev);
	ck_assert_ptr_null(vdev.transport);
}
END_TEST

Suite *make_suite(void)
{
	Suite *s = suite_create("make");
	TCase *tc = unit_case(s, "make");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, has_what_was_asked_for, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, one_thread_of_its_own, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, threads_that_are_given, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, somebody_else_serves, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, no_thread_for_it, 0, VIRTIO_TRANSPORTS);
	tcase_add_loop_test(tc, no_place_for_it, 0, VIRTIO_TRANSPORTS);
	tcase_add_test(tc, host_without_pci);
	tcase_add_test(tc, never_made);
	return s;
}

UNIT_MAIN(make_suite)
