/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/expect.h"
#include "vmm/run/report/report.h"

Suite *expect_suite(void);

static struct guest_cfg machine;
static struct expect_cfg cfg;
static struct report r;
static struct testbed tb;
static struct vdriver v;
static struct stderr_text said;
static const char *item[1];

static void set_up(void)
{
	uint8_t data[1024] = { 0 }, cdb[32];

	report_init(&r, &machine);
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices,
				       "scsi-disk,store=null,size=1M,lun=3,id=a.b"), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	scsi_driver_clear_attention(&v, 3);
	scsi_driver_rw(cdb, true, 0, 2);
	scsi_driver_run(&v, 2, 3, cdb, data, sizeof(data), NULL, 0);
	scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0);
}

static void tear_down(void)
{
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	report_fini(&r);
}

/* Both checks; 0, or -EUSAGE after what is in @said. */
static int check(const char *text)
{
	int err;

	item[0] = text;
	cfg = (struct expect_cfg){ .disks = { item, 1 } };
	stderr_begin(&said);
	err = expect_check(&cfg);
	if (!err)
		err = expect_check_devices(&cfg, &tb.devices);
	stderr_end(&said);
	ck_assert_msg(err || !*said.text, "%s", said.text);
	return err;
}

static bool met(const char *text)
{
	bool is;

	ck_assert_msg(check(text) == 0, "%s", said.text);
	stderr_begin(&said);
	is = expect_met(&cfg, &tb.devices, &r, true);
	stderr_end(&said);
	ck_assert_msg(is != !!*said.text, "%s", said.text);
	return is;
}

static void refused(const char *text, const char *why)
{
	ck_assert_msg(check(text) == -EUSAGE, "%s", text);
	ck_assert_msg(strstr(said.text, "lunette: error: --expect ") == said.text &&
		      strstr(said.text, text) && strstr(said.text, why), "%s", said.text);
}

START_TEST(operators)
{
	static const struct {
		const char *op;
		bool below, equal, above;
	} rows[] = {
		{ "==", false, true, false }, { "!=", true, false, true },
		{ "<", true, false, false }, { "<=", true, true, false },
		{ ">", false, false, true }, { ">=", false, true, true },
	};
	char text[64];
	unsigned i, n;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (n = 1023; n <= 1025; n++) {
			snprintf(text, sizeof(text), "lun3.written%s%u", rows[i].op, n);
			ck_assert_msg(met(text) == (n == 1023 ? rows[i].above :
						    n == 1024 ? rows[i].equal : rows[i].below),
				      "%s", text);
		}
	}
}
END_TEST

START_TEST(names_and_numbers)
{
	ck_assert(met("lun:3.flushes == 1"));
	ck_assert(met("a.b.flushes==1"));
	ck_assert(met("lun3.flush==1"));
	ck_assert(met("lun3.write==1K"));
	ck_assert(met("lun3.writes==1"));
	ck_assert(met("lun3.read==0"));
	ck_assert(met("lun3.unmap<=0x10"));
	ck_assert(met("lun3.commands<18446744073709551615"));
}
END_TEST

START_TEST(mistakes)
{
	static const char first[] = "a disk's counter is wanted first", op[] = "one of ==";

	refused("", first);
	refused("lun3", first);
	refused(">=1", first);
	refused(".flushes>=1", first);
	refused("lun3.>=1", first);
	refused("flushes>=1", first);
	refused("a-name-that-is-much-too-long-for-any-device.flushes>=1", first);
	refused("lun3.flushes", op);
	refused("lun3.flushes=1", op);
	refused("lun3.flushes!1", op);
	refused("lun3.flushes>=", "a number is wanted");
	refused("lun3.flushes>=-1", "a number is wanted");
	refused("lun3.flushes>=1x", "a number is wanted");
	refused("lun3.flushes>=99999999999999999999", "a number is wanted");
	refused("lun4.flushes>=1", "no such LUN");
	refused("lun.flushes>=1", "no device of this name");
	refused("b.flushes>=1", "no device of this name");
	refused("virtio-scsi0.flushes>=1", "stays as it is");
	refused("lun3.latency==0", "none of the counters: commands, errors, reads,");
	refused("lun3.sectors>=1", "'sectors' is none of the counters");
}
END_TEST

START_TEST(what_is_said)
{
	ck_assert(!met("lun3.flush>=2"));
	ck_assert_str_eq(said.text, "lunette: error: --expect lun3.flush>=2: not met: flushes of "
			 "lun:3 is 1\n");
	stderr_begin(&said);
	ck_assert(!expect_met(&cfg, &tb.devices, &r, false)); /* the command has failed anyway */
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_uint_eq(json_array_size(r.expect), 2);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(r.expect, 0), "text")),
			 "lun3.flush>=2");
	ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(r.expect, 0), "got")),
			 1);
	ck_assert(json_is_false(json_object_get(json_array_get(r.expect, 0), "met")));
}
END_TEST

/* What was promised of a disk that is gone has not been kept. */
START_TEST(unplugged)
{
	ck_assert(met("lun3.errors>=0"));
	ck_assert_int_eq(device_unplug(&tb.devices, device_named(&tb.devices, "lun:3")), 0);
	stderr_begin(&said);
	ck_assert(!expect_met(&cfg, &tb.devices, &r, true));
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "the disk is gone"));
	ck_assert(json_is_null(json_object_get(json_array_get(r.expect, 1), "got")));
}
END_TEST

START_TEST(boot_budget)
{
	cfg = (struct expect_cfg){ .boot_ms = 150 };
	stderr_begin(&said);
	ck_assert(!expect_met(&cfg, &tb.devices, &r, true));
	r.at[PHASE_START] = r.at[PHASE_BEGUN] + 150000000;
	ck_assert(expect_met(&cfg, &tb.devices, &r, true));
	r.at[PHASE_START]++;
	ck_assert(!expect_met(&cfg, &tb.devices, &r, true));
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: --boot-budget 150ms: not met: no command was started\n"
			 "lunette: error: --boot-budget 150ms: not met: it took 150.0 ms\n");
	ck_assert_uint_eq(json_array_size(r.expect), 3);
}
END_TEST

Suite *expect_suite(void)
{
	Suite *s = suite_create("expect");
	TCase *tc = unit_case(s, "expect");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, operators);
	tcase_add_test(tc, names_and_numbers);
	tcase_add_test(tc, mistakes);
	tcase_add_test(tc, what_is_said);
	tcase_add_test(tc, unplugged);
	tcase_add_test(tc, boot_budget);
	return s;
}

UNIT_MAIN(expect_suite)
