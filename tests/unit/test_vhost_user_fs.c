/* SPDX-License-Identifier: MIT */
/* A file system device, by what its driver finds and how it is asked for. */
#include "tests/unit/user_machines.h"

#include <linux/virtio_fs.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/core/fail.h"

Suite *vhost_user_fs_suite(void);

#define LONGEST "123456789012345678901234567890123456"

static char text[200];

static int make(const char *more)
{
	snprintf(text, sizeof(text), "vhost-user-fs,id=f0,socket=%s%s", server.path, more);
	return device_create(&tb.p, &tb.devices, text);
}

START_TEST(what_a_driver_finds)
{
	uint8_t config[sizeof(struct virtio_fs_config)];
	const char *tag = _i ? LONGEST : "work";
	char more[64];

	tb.p.cpus = 2;
	snprintf(more, sizeof(more), ",tag=%s", tag);
	ck_assert_int_eq(make(more), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_FS);
	vdriver_config_read(&v, 0, config, sizeof(config));
	ck_assert_int_eq(strncmp((const char *)config, tag, 36), 0);
	ck_assert_uint_eq(le32_get(config + 36), 2);
	ck_assert_uint_gt(vdriver_queue_max(&v, 2), 0);
	ck_assert_uint_eq(vdriver_queue_max(&v, 3), 0);
	ck_assert(vdriver_start(&v, ~0ull, 3, SIZE));
	check_echo(0);
	check_echo(2);
}
END_TEST

START_TEST(a_tag_is_wanted)
{
	stderr_begin(&said);
	ck_assert_int_eq(make(_i ? ",tag=" LONGEST "7" : ""), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: f0: tag=NAME is wanted, of 1 to 36 "
			 "bytes, by which the guest mounts it\n");
	ck_assert_uint_eq(atomic_load(&server.connections), 0);
}
END_TEST

START_TEST(memory_is_not_shared)
{
	tb.mem.shared = false;
	stderr_begin(&said);
	ck_assert_int_eq(make(",tag=work"), -EOPNOTSUPP);
	tb.mem.shared = true;
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "f0: the guest's memory is not shared"));
}
END_TEST

/* The device explains itself by @wanted, and its server ends while it is at work. */
static const char *what_is_said_at_the_end(const char *wanted)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	device_explain_all(&tb.devices, f);
	fclose(f);
	ck_assert_msg(strstr(out, wanted), "%s", out);
	free(out);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 2, SIZE));
	check_echo(1);
	stderr_begin(&said);
	user_server_die(&server);
	for (len = 0; !(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET) && len < 2000; len++)
		usleep(5000);
	ck_assert(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	user_server_live(&server);
	return stderr_end(&said);
}

/* Nobody else knows which files are open. */
START_TEST(there_is_no_coming_back)
{
	const char *heard;

	stderr_begin(&said);
	ck_assert_int_eq(make(",tag=work,comeback=5"), -EUSAGE);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "comeback"));
	ck_assert_int_eq(make(",tag=work"), 0);
	testbed_start(&tb);
	heard = what_is_said_at_the_end("  if that ends: the guest has to reset the device, as "
					"what it has open there is lost\n");
	ck_assert_ptr_nonnull(strstr(heard, "has gone away"));
}
END_TEST

/* Who looks after the program says so himself when it ends. */
START_TEST(somebody_looks_after_it)
{
	const char *heard;

	ck_assert_int_eq(make(",tag=work,by=a program,, of ours"), 0);
	testbed_start(&tb);
	heard = what_is_said_at_the_end("  served by: a program, of ours (vhost-user), which maps "
					"the guest's memory\n  if that ends: the run ends, too\n");
	ck_assert_str_eq(heard, "");
}
END_TEST

Suite *vhost_user_fs_suite(void)
{
	Suite *s = suite_create("vhost_user_fs");
	TCase *tc = unit_case(s, "folder");

	tcase_add_checked_fixture(tc, set_up_machines, tear_down_machines);
	tcase_add_loop_test(tc, what_a_driver_finds, 0, 2);
	tcase_add_loop_test(tc, a_tag_is_wanted, 0, 2);
	tcase_add_test(tc, memory_is_not_shared);
	tcase_add_test(tc, there_is_no_coming_back);
	tcase_add_test(tc, somebody_looks_after_it);
	return s;
}

UNIT_MAIN(vhost_user_fs_suite)
