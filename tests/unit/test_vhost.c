/*
 * What needs no kernel with vhost: a device that answers nothing. The rest is in tests/vm: a driver
 * and the kernel's own in handover.c, guests in vhost.sh.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/echo.h"
#include "tests/lib/stderr.h"
#include "tests/lib/vdriver.h"
#include "virtio/vhost.h"

Suite *vhost_suite(void);

static struct testbed tb;
static struct echo echo;
static struct vdriver v;
static struct stderr_text said;
static struct virtio_backend *local, *vhost;
static unsigned attached, detached, destroyed;
static int fd;

static int attach(void *arg, struct virtio_device *vdev, int vhost_fd)
{
	(void)vdev;
	(void)vhost_fd;
	ck_assert_ptr_eq(arg, &echo);
	attached++;
	return 0;
}

static void detach(void *arg, int vhost_fd)
{
	(void)arg;
	(void)vhost_fd;
	detached++;
}

static void destroy(void *arg)
{
	ck_assert_ptr_eq(arg, &echo);
	destroyed++;
}

static const struct virtio_vhost_ops ops = { attach, detach, destroy };

static void set_up(enum virtio_transport transport)
{
	attached = detached = destroyed = 0;
	testbed_init(&tb);
	echo_init(&echo, &tb, "e0", transport);
	testbed_start(&tb);
	local = echo.vdev.backend;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	vhost = virtio_vhost_create(&echo.vdev, fd, 1, &ops, &echo, tb.main_loop);
	ck_assert_ptr_nonnull(vhost);
	log_set_level(LOG_WARN);
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
	vhost->ops->destroy(vhost);
	ck_assert_uint_eq(destroyed, 1);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	vdriver_fini(&v);
	echo_fini(&echo);
	testbed_fini(&tb);
}

START_TEST(offers_nothing)
{
	ck_assert_uint_eq(vhost->ops->features(vhost), 0);
}
END_TEST

START_TEST(no_workers)
{
	unsigned id;

	ck_assert_int_eq(virtio_vhost_new_worker(fd, &id), -ENOTTY);
	ck_assert_int_eq(virtio_vhost_own_empty(fd), -ENOTTY);
}
END_TEST

/* The guest and the user hear of it, and the next try may be better. */
START_TEST(start_fails)
{
	unsigned q;

	ck_assert(vdriver_probe(&v, &tb, 0));
	echo.vdev.backend = vhost;
	stderr_begin(&said);
	ck_assert(!vdriver_start(&v, ~0ull, ECHO_QUEUES, 16));
	ck_assert_str_eq(stderr_end(&said), "lunette: warning: e0: VHOST_SET_OWNER: "
			 "Inappropriate ioctl for device\n");
	ck_assert(virtio_is_broken(&echo.vdev));
	ck_assert_uint_eq(attached + detached, 0);
	for (q = 0; q < ECHO_QUEUES; q++)
		ck_assert_ptr_null(echo.vdev.vq[q].desc);
	vdriver_reset(&v);
	echo.vdev.backend = local;
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, ECHO_QUEUES, 16));
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_add_test(tc, offers_nothing);
	tcase_add_test(tc, no_workers);
	tcase_add_test(tc, start_fails);
}

Suite *vhost_suite(void)
{
	Suite *s = suite_create("vhost");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(vhost_suite)
