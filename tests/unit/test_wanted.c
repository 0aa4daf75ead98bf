/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/run/wanted.h"

Suite *wanted_suite(void);

static struct stderr_text said;
static struct testbed tb;
static char *text;

static void set_up(void)
{
	testbed_init(&tb);
	stderr_begin(&said);
}

static void tear_down(void)
{
	free(text);
	text = NULL;
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
}

static void make(const char *device)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, device), 0);
}

/* The records, with a blank after each in place of the NUL. */
static const char *wanted(void)
{
	size_t len, i;
	FILE *spec = open_memstream(&text, &len);

	ck_assert_int_eq(wanted_put(&tb.devices, spec), 0);
	fclose(spec);
	for (i = 0; i < len; i++) {
		if (!text[i])
			text[i] = ' ';
	}
	stderr_end(&said);
	return text;
}

START_TEST(nothing)
{
	make("pvpanic");
	make("virtio-scsi");
	make("virtio-console");
	ck_assert_str_eq(wanted(), "");
}
END_TEST

START_TEST(adjacent_luns)
{
	unsigned i;

	make("virtio-scsi");
	for (i = 0; i < 40; i++)
		make("scsi-disk,store=null,size=1M");
	make("scsi-cd");
	ck_assert_str_eq(wanted(), "lun=0 0 40 ");
}
END_TEST

START_TEST(luns_apart)
{
	make("virtio-scsi");
	make("scsi-disk,store=null,size=1M,lun=7");
	make("scsi-disk,store=null,size=1M,target=3,lun=300");
	make("scsi-disk,store=null,size=1M,lun=6");
	make("scsi-disk,store=null,size=1M,lun=4");
	ck_assert_str_eq(wanted(), "lun=0 4 4 lun=0 6 7 lun=3 300 300 ");
}
END_TEST

/* Each has its own, and a disk on two is looked for on both. */
START_TEST(two_controllers)
{
	make("virtio-scsi,id=s0");
	make("virtio-scsi,id=s1");
	make("scsi-disk,store=null,size=1M,bus=s0+s1");
	make("scsi-disk,store=null,size=1M,bus=s0+s1");
	make("scsi-disk,store=null,size=1M,bus=s0");
	ck_assert_str_eq(wanted(), "lun=0 0 2 lun=0 0 1 ");
}
END_TEST

START_TEST(ports_and_interfaces)
{
	make("virtio-console,terminal=off");
	make("console-port,name=one,out-fd=2");
	make("console-port,name=two,out-fd=2");
	make("virtio-rng");
	make("virtio-rng");
	make("virtio-balloon");
	make("virtio-blk,store=null,size=1M");
	ck_assert_str_eq(wanted(), "port=two port=one virtio=2 1 virtio=4 2 virtio=5 1 ");
}
END_TEST

Suite *wanted_suite(void)
{
	Suite *s = suite_create("wanted");
	TCase *tc = unit_case(s, "wanted");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing);
	tcase_add_test(tc, adjacent_luns);
	tcase_add_test(tc, luns_apart);
	tcase_add_test(tc, two_controllers);
	tcase_add_test(tc, ports_and_interfaces);
	return s;
}

UNIT_MAIN(wanted_suite)
