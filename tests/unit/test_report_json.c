/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/core/version.h"
#include "vmm/machine/console_log.h"
#include "vmm/run/guest.h"
#include "vmm/run/report/report.h"

Suite *report_json_suite(void);

static struct guest_cfg cfg = { .kernel = "vml\xff", .machine = { .cpus = 2, .memory = GIB(3) } };
static struct report r;
static json_t *all;
static struct stderr_text said;

static void set_up(void)
{
	report_init(&r, &cfg);
}

static void tear_down(void)
{
	json_decref(all);
	report_fini(&r);
}

static void load(bool finished)
{
	char *text = report_json(&r, finished);

	ck_assert_ptr_nonnull(text);
	json_decref(all);
	all = json_loads(text, 0, NULL);
	ck_assert_msg(all, "%s", text);
	free(text);
}

/* By keys with a dot between them. */
static json_t *at(const char *path)
{
	char copy[64], *key, *rest;
	json_t *value = all;

	snprintf(copy, sizeof(copy), "%s", path);
	for (key = strtok_r(copy, ".", &rest); key; key = strtok_r(NULL, ".", &rest))
		value = json_is_array(value) ? json_array_get(value, atoi(key)) :
					       json_object_get(value, key);
	ck_assert_msg(value, "%s", path);
	return value;
}

static void is_text(const char *path, const char *wanted)
{
	ck_assert_msg(json_is_string(at(path)), "%s", path);
	ck_assert_str_eq(json_string_value(at(path)), wanted);
}

static void is_number(const char *path, json_int_t wanted)
{
	ck_assert_msg(json_is_integer(at(path)), "%s", path);
	ck_assert_int_eq(json_integer_value(at(path)), wanted);
}

START_TEST(unfinished)
{
	load(false);
	ck_assert(json_is_false(at("finished")));
	is_text("cause", "unfinished");
	ck_assert(json_is_null(at("status")));
	ck_assert(json_is_null(at("command")));
	ck_assert(json_is_null(at("phases.built")));
	is_text("machine.kernel", "vml\xef\xbf\xbd");
	is_number("machine.cpus", 2);
	is_number("machine.memory", GIB(3));
	is_text("lunette", lunette_version);
}
END_TEST

START_TEST(a_command)
{
	char *const argv[] = { "sh", "-c", "exit 3", NULL };

	r.argv = argv;
	r.cause = CAUSE_EXIT;
	r.cmdline = strdup("quiet");
	report_command(&r, 3, 0);
	r.at[PHASE_START] = r.at[PHASE_BEGUN] + 12345678;
	load(true);
	ck_assert(json_is_true(at("finished")));
	is_text("cause", "exit");
	is_number("status", 3);
	is_number("command.exit", 3);
	ck_assert(json_is_null(at("command.signal")));
	is_text("command.argv.2", "exit 3");
	is_text("machine.cmdline", "quiet");
	ck_assert(json_is_null(at("error")));
	ck_assert_double_eq_tol(json_real_value(at("phases.start")), 12.345678, 1e-6);

	report_command(&r, 0, 11);
	load(true);
	is_number("status", 139);
	ck_assert(json_is_null(at("command.exit")));
	is_number("command.signal", 11);
}
END_TEST

START_TEST(ends)
{
	r.cause = CAUSE_SIGNAL;
	r.by_signal = 15;
	load(true);
	is_number("status", 143);
	is_number("signal", 15);

	r.by_signal = 0;
	r.cause = CAUSE_SETUP;
	stderr_begin(&said);
	log_warn("it is odd");
	log_err("disk \xfe: no");
	stderr_end(&said);
	load(true);
	is_number("status", 201);
	ck_assert(json_is_null(at("signal")));
	is_text("error", "disk \\xfe: no");
	is_text("messages.0.level", "warning");
	is_text("messages.0.text", "it is odd");
	is_number("messages_lost", 0);
}
END_TEST

START_TEST(console)
{
	struct console_log *log = console_log_create();

	console_log_write(log, "one\r\ntwo\xff\x1b[0m", 12);
	report_console(&r, log);
	report_vcpu(&r, "vCPU 0: rip=0");
	console_log_destroy(log);
	load(true);
	ck_assert_uint_eq(json_array_size(at("console")), 2);
	is_text("console.0", "one");
	is_text("vcpus.0", "vCPU 0: rip=0");
}
END_TEST

START_TEST(disks)
{
	uint8_t data[1024] = { 0 }, cdb[32];
	struct testbed tb;
	struct vdriver v;

	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,id=s0"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices,
				       "scsi-disk,store=null,size=1M,lun=3,serial=abc"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "scsi-cd"), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	scsi_driver_clear_attention(&v, 3);
	scsi_driver_rw(cdb, true, 0, 2);
	scsi_driver_run(&v, 2, 3, cdb, data, sizeof(data), NULL, 0);
	scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0);

	ck_assert_int_eq(device_create(&tb.p, &tb.devices,
				       "scsi-disk,store=null,size=1M,lun=5,id=new"), 0);
	report_leaves(&r, device_named(&tb.devices, "new"));
	ck_assert_int_eq(device_unplug(&tb.devices, device_named(&tb.devices, "new")), 0);
	report_disks(&r, &tb.devices);
	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	load(true);
	ck_assert_uint_eq(json_array_size(at("disks")), 3);
	is_text("disks.0.id", "new");
	ck_assert(json_is_true(at("disks.0.unplugged")));
	json_array_remove(at("disks"), 0);
	is_text("disks.0.id", "scsi-disk0");
	is_text("disks.0.bus", "s0");
	is_number("disks.0.lun", 3);
	is_text("disks.0.serial", "abc");
	is_text("disks.0.served", "process");
	is_number("disks.0.counters.writes", 1);
	is_number("disks.0.counters.written", 1024);
	is_number("disks.0.counters.flushes", 1);
	is_text("disks.1.medium", "none");
	is_number("disks.1.counters.commands", 0);
}
END_TEST

START_TEST(tests)
{
	report_feed(&r, STREAM_STDOUT, "1..1\nok 1\n", 10); /* nobody asks */
	ck_assert_int_eq(report_listen(&r), 0);
	report_feed(&r, STREAM_STDOUT, "1..1\nok 1\n", 10);
	report_feed(&r, STREAM_CONSOLE, "1..2\nnot ok 1\n", 14);
	report_end_streams(&r);
	load(true);
	is_number("tests.ok", 1);
	is_number("tests.not_ok", 1);
	is_number("tests.skip", 0);
	is_text("tests.problems.0", "1 of 2 planned tests came");
}
END_TEST

Suite *report_json_suite(void)
{
	Suite *s = suite_create("report_json");
	TCase *tc = unit_case(s, "report_json");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, unfinished);
	tcase_add_test(tc, a_command);
	tcase_add_test(tc, ends);
	tcase_add_test(tc, console);
	tcase_add_test(tc, disks);
	tcase_add_test(tc, tests);
	return s;
}

UNIT_MAIN(report_json_suite)
