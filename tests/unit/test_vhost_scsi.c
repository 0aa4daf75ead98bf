/* SPDX-License-Identifier: MIT */
/* What can be known of any kernel; see test_vhost.c. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "devices/vhost_scsi.h"
#include "tests/lib/echo.h"

Suite *vhost_scsi_suite(void);

/* It is there or not; if not, the reason is told. */
START_TEST(node)
{
	struct why why = { "" };
	int fd = vhost_scsi_open(&why);

	if (fd >= 0) {
		close(fd);
		return;
	}
	ck_assert_ptr_eq(strstr(why.text, VHOST_SCSI_NODE ": "), why.text);
	ck_assert_ptr_nonnull(strstr(why.text, "; "));
	if (fd == -ENOENT)
		ck_assert_ptr_nonnull(strstr(why.text, "; modprobe vhost_scsi"));
}
END_TEST

START_TEST(no_such_target)
{
	struct why why = { "" };
	bool workers = true;

	ck_assert_int_lt(vhost_scsi_try("naa.nobody-has-this-name", &workers, &why), 0);
	ck_assert_str_ne(why.text, "");
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
	be = vhost_scsi_create(&echo.vdev, fd, "naa.1", &tb.p);
	ck_assert_ptr_nonnull(be);
	ck_assert_str_eq(be->ops->name, "vhost");
	be->ops->destroy(be);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	echo_fini(&echo);
	testbed_fini(&tb);
}
END_TEST

Suite *vhost_scsi_suite(void)
{
	Suite *s = suite_create("vhost_scsi");
	TCase *tc = unit_case(s, "vhost_scsi");

	tcase_add_test(tc, node);
	tcase_add_test(tc, no_such_target);
	tcase_add_test(tc, takes_the_file_over);
	return s;
}

UNIT_MAIN(vhost_scsi_suite)
