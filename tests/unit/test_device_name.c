/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *device_name_suite(void);

#define NULL_DISK ",store=null,size=1M"

static struct testbed tb;
static struct stderr_text said;

static void set_up(void)
{
	testbed_init(&tb);
	stderr_begin(&said);
}

static void tear_down(void)
{
	stderr_end(&said);
	testbed_fini(&tb);
}

static void add(const char *text)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
}

static void check_named(const char *name, const char *id)
{
	const struct device *dev = device_named(&tb.devices, name);

	ck_assert_msg(dev && !strcmp(dev->id, id), "%s is %s", name, dev ? dev->id : "nobody");
}

/* Of both kinds; and those of one do not count for the other. */
START_TEST(by_number)
{
	add("virtio-blk,id=first" NULL_DISK);
	add("virtio-scsi");
	add("scsi-disk" NULL_DISK);
	add("virtio-blk" NULL_DISK);
	add("scsi-disk,id=last,lun=7" NULL_DISK);
	add("virtio-rng");
	testbed_start(&tb);
	check_named("blk:0", "first");
	check_named("blk:1", "blk0");
	check_named("blk0", "blk0");
	check_named("lun:0", "scsi-disk0");
	check_named("lun:7", "last");
	check_named("last", "last");
	ck_assert_ptr_eq(device_blk(&tb.devices, "0"), device_by_id(&tb.devices, "first"));
	ck_assert_ptr_null(device_blk(&tb.devices, "2"));
	ck_assert_ptr_null(device_blk(&tb.devices, "00"));
	ck_assert_ptr_null(device_blk(&tb.devices, ""));
	ck_assert_ptr_null(device_blk(&tb.devices, "4294967296"));
	ck_assert_uint_eq(device_disk_rank(&tb.devices, device_by_id(&tb.devices, "last")), 1);
}
END_TEST

static const struct {
	const char *name, *line;
} nobody[] = {
	{ "blk:1",
	  "blk:1: there is no device of this name; lun:N is LUN N, blk:N a virtio disk\n" },
	{ "blk:", "blk:: there is no device of this name" },
	{ "blk1", "blk1: there is no device of this name" },
	{ "lun:1", "lun:1: the first controller has no such LUN at its target 0; it has 0\n" },
	{ "virtio-scsi0", "virtio-scsi0: is a virtio-scsi, which stays as it is while the guest" },
};

START_TEST(no_such_device)
{
	add("virtio-scsi");
	add("scsi-disk" NULL_DISK);
	add("virtio-blk" NULL_DISK);
	testbed_start(&tb);
	ck_assert_ptr_null(device_named(&tb.devices, nobody[_i].name));
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), nobody[_i].line));
}
END_TEST

/* Before they are made ready nobody knows of virtio devices what they are. */
START_TEST(too_early)
{
	add("virtio-blk" NULL_DISK);
	ck_assert_ptr_null(device_blk(&tb.devices, "0"));
}
END_TEST

static const struct {
	const char *text, *device; /* NULL: refused, */
	const char *line;          /* ... with this */
} asked[] = {
	{ "a.img", "scsi-disk,a.img", NULL },
	{ "a.img,on=scsi", "scsi-disk,a.img", NULL },
	{ "a.img,on=blk", "virtio-blk,a.img", NULL },
	{ "on=blk,file=a.img", "virtio-blk,file=a.img", NULL },
	{ "a.img,on=blk,serial=x", "virtio-blk,a.img,serial=x", NULL },
	{ "a,,on=blk", "scsi-disk,a,,on=blk", NULL }, /* a file with a comma in its name */
	{ "a.img,on=blk,serial=a,,on=scsi", "virtio-blk,a.img,serial=a,,on=scsi", NULL },
	{ "", "scsi-disk", NULL },
	{ "on=blk", "virtio-blk", NULL },
	{ "a.img,on=ide", NULL, "--disk a.img,on=ide: on=ide: is none of: scsi, blk\n" },
	{ "a.img,on=", NULL, "on=: is none of: scsi, blk\n" },
	{ "a.img,on=blk,on=blk", NULL, "on=blk: given twice; one of them has to go\n" },
	{ "a.img,on=a-very-long-word-that-is-none", NULL, "is none of: scsi, blk\n" },
};

START_TEST(disks_as_they_are_asked_for)
{
	char *device;
	int r = device_of_disk(asked[_i].text, &device);

	if (!asked[_i].device) {
		ck_assert_int_eq(r, -EUSAGE);
		ck_assert_ptr_nonnull(strstr(stderr_end(&said), asked[_i].line));
		return;
	}
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(device, asked[_i].device);
	free(device);
}
END_TEST

Suite *device_name_suite(void)
{
	Suite *s = suite_create("device_name");
	TCase *tc = unit_case(s, "names");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, by_number);
	tcase_add_loop_test(tc, no_such_device, 0, ARRAY_SIZE(nobody));
	tcase_add_test(tc, too_early);
	tcase_add_loop_test(tc, disks_as_they_are_asked_for, 0, ARRAY_SIZE(asked));
	return s;
}

UNIT_MAIN(device_name_suite)
