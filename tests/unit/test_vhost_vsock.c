/* SPDX-License-Identifier: MIT */
/* What can be known of any kernel; tests/vm/vsock.sh has the rest. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "devices/vhost_vsock.h"
#include "tests/lib/echo.h"
#include "vmm/core/log.h"

Suite *vhost_vsock_suite(void);

/* It is there, and gives two guests two numbers, or the reason is told. */
START_TEST(node)
{
	uint32_t first = 0, second = 0;
	char said[512] = "";
	int a, b;

	log_hear(said, sizeof(said));
	a = vhost_vsock_open("vsock0", &first);
	log_hear(NULL, 0);
	if (a < 0) {
		ck_assert_ptr_nonnull(strstr(said, "vsock0: " VHOST_VSOCK_NODE ": "));
		ck_assert_ptr_nonnull(strstr(said, "; "));
		return;
	}
	b = vhost_vsock_open("vsock1", &second);
	ck_assert_int_ge(b, 0);
	ck_assert_uint_ge(first, VHOST_VSOCK_CID_MIN);
	ck_assert_uint_ne(first, second);
	log_hear(said, sizeof(said));
	ck_assert_int_lt(vhost_vsock_open("vsock2", &second), 0);
	log_hear(NULL, 0);
	ck_assert_ptr_nonnull(strstr(said, "another guest has it; give another one, or auto"));
	close(a);
	close(b);
}
END_TEST

START_TEST(takes_the_file_over)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct virtio_backend *be;
	struct testbed tb;
	struct echo echo;

	testbed_init(&tb);
	echo_init(&echo, &tb, "e0", VIRTIO_ON_MMIO);
	be = vhost_vsock_create(&echo.vdev, fd, &tb.p);
	ck_assert_ptr_nonnull(be);
	ck_assert(be->ops->serves(be, 0));
	ck_assert(be->ops->serves(be, 1));
	ck_assert(!be->ops->serves(be, 2));
	be->ops->destroy(be);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	echo_fini(&echo);
	testbed_fini(&tb);
}
END_TEST

Suite *vhost_vsock_suite(void)
{
	Suite *s = suite_create("vhost_vsock");
	TCase *tc = unit_case(s, "vhost_vsock");

	tcase_add_test(tc, node);
	tcase_add_test(tc, takes_the_file_over);
	return s;
}

UNIT_MAIN(vhost_vsock_suite)
