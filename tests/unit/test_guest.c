/* SPDX-License-Identifier: MIT */
/* A run of a guest: how it is made, and what of it is whose fault. */
#include "tests/unit/guest_fixture.h"

Suite *guest_suite(void);

START_TEST(order)
{
	ck_assert_int_eq(create(), CAUSE_POWEROFF);
	ck_assert_str_eq(calls, "init build devices load ");
	ck_assert_int_ge(report_time(&report, PHASE_BUILT), 0);
	*calls = 0;
	ck_assert_int_eq(guest_run(&g), CAUSE_POWEROFF);
	ck_assert_str_eq(calls, "run drain picture ");
	ck_assert_int_ge(report_time(&report, PHASE_ENTERED), 0);
	*calls = 0;
	guest_destroy(&g);
	is_there = false;
	ck_assert_str_eq(calls, "close fini ");
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* Where all are right but one, whatever there is on the host: status 200. */
static struct {
	const char **text, *value, *again;
	struct opt_list *list;
	const char *says;
} const wrong[] = {
	{ .list = &cfg.devices, .value = "floppy", .says = "no such device" },
	{ .list = &cfg.devices, .value = "virtio-scsi,queues=0", .says = "out of range" },
	{ .list = &cfg.devices, .value = "virtio-scsi,queue-size=12", .says = "power of two" },
	{ .list = &cfg.devices, .value = "virtio-scsi,vhost=x", .says = "is none of" },
	{ .list = &cfg.devices, .value = "virtio-net,tap=sixteen-letters-", .says = "characters" },
	{ .list = &cfg.devices, .value = "console-port,a/b", .says = "name=a/b" },
	{ .list = &cfg.disks, .value = "a.img,size=1M", .says = "size= is for store=null" },
	{ .list = &cfg.disks, .value = "store=null", .says = "needs a size" },
	{ .list = &cfg.disks, .value = "store=tape", .says = "is none of" },
	{ .list = &cfg.disks, .value = "a.img,serial=", .says = "is empty" },
	{ .list = &cfg.disks, .value = "a.img,fault=x", .says = "is no rule" },
	{ .list = &cfg.disks, .value = "a.img,readonly=on,overlay=on", .says = "overlay=on" },
	{ .list = &cfg.disks, .value = "a.img,bus=s9", .says = "no virtio-scsi of this name" },
	{ .list = &cfg.disks, .value = "a.img,serial=x", .again = "store=null,size=1M,serial=x",
	  .says = "is in use by scsi-disk0" },
	{ .list = &cfg.disks, .value = "a.img,lun=5", .again = "store=null,size=1M,lun=5",
	  .says = "lun=5: is in use by" },
	{ .list = &cfg.devices, .value = "virtio-rng,id=x", .again = "virtio-rng,id=x",
	  .says = "another device has this name" },
	{ .list = &cfg.devices, .value = "console-port,x", .again = "console-port,x",
	  .says = "another port has this name" },
	{ .list = &cfg.expect.disks, .value = "lun0.flush>=1", .says = "no such LUN" },
	{ .text = &cfg.net, .value = "user,mtu=1", .says = "mtu=1" },
	{ .text = &cfg.trace, .value = "x", .says = "scsi=FILE is wanted" },
	{ .text = &cfg.trace, .value = "scsi=t", .says = "there is no disk" },
	{ .text = &cfg.trace, .value = "scsi=kernel", .says = "is the same file" },
	{ .text = &cfg.root, .value = "sda", .says = "lun:N is wanted" },
	{ .text = &cfg.root, .value = "lun:7", .says = "no such LUN" },
	{ .text = &cfg.machine.keep, .value = "k", .says = "no disk has them" },
};

START_TEST(the_user_is_wrong)
{
	enum cause cause;

	if (wrong[_i].list)
		add(wrong[_i].list, wrong[_i].value);
	if (wrong[_i].again)
		add(wrong[_i].list, wrong[_i].again);
	if (wrong[_i].text)
		*wrong[_i].text = wrong[_i].value;
	cause = create();
	ck_assert_msg(strstr(stderr_end(&said), wrong[_i].says), "%s", said.text);
	ck_assert_uint_eq(lines(said.text), 1);
	ck_assert_int_eq(cause, CAUSE_USAGE);
	ck_assert_int_eq(causes[cause].status, 200);
	ck_assert_ptr_nonnull(strstr(calls, "close fini "));
}
END_TEST

/* The same way, and it is the host that refuses with EINVAL: status 201. */
static const struct {
	const char *call, *file;
} invalid[] = {
	{ "init", NULL }, { "build", NULL }, { "devices", NULL }, { "job", NULL }, { "load", NULL },
	{ NULL, "kernel" }, { NULL, "initrd" }, { NULL, "a.img" }, { NULL, "t" }, { NULL, "k" },
};

START_TEST(the_host_refuses)
{
	static char *argv[] = { "true", NULL };
	enum cause cause;

	tree_put(&tree, "/initrd", "an initrd");
	add(&cfg.initrds, "initrd");
	add(&cfg.disks, "a.img,overlay=on");
	cfg.trace = "scsi=t";
	cfg.machine.keep = "k";
	cfg.job.argv = argv;
	failing = invalid[_i].call;
	failure = -EINVAL;
	refused = invalid[_i].file;
	host_error = EINVAL;
	cause = create();
	ck_assert_uint_eq(lines(stderr_end(&said)), 1);
	ck_assert_int_eq(cause, CAUSE_SETUP);
	ck_assert_int_eq(causes[cause].status, 201);
	ck_assert_ptr_nonnull(strstr(calls, "close fini "));
}
END_TEST

START_TEST(nobody_refuses)
{
	static char *argv[] = { "true", NULL };

	tree_put(&tree, "/initrd", "an initrd");
	add(&cfg.initrds, "initrd");
	add(&cfg.disks, "a.img,overlay=on");
	cfg.trace = "scsi=t";
	cfg.machine.keep = "k";
	cfg.job.argv = argv;
	make();
	ck_assert_ptr_nonnull(g.job);
	ck_assert_ptr_nonnull(g.machine.platform.scsi_trace);
}
END_TEST

START_TEST(other_reasons)
{
	failing = "build";
	failure = _i ? -EOVERLIMIT : -ENOKVM;
	ck_assert_int_eq(create(), _i ? CAUSE_MEMORY : CAUSE_NO_KVM);
}
END_TEST

/* A typing mistake does not hide behind a missing KVM. */
START_TEST(files_before_kvm)
{
	if (_i)
		add(&cfg.initrds, "none");
	else
		cfg.kernel = "none";
	ck_assert_int_eq(create(), CAUSE_SETUP);
	ck_assert_str_eq(calls, "init close fini ");
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "none: No such file"));
}
END_TEST

/* Commands may bring a disk later. */
START_TEST(a_disk_may_come_later)
{
	struct stat st;

	cfg.control = "socket";
	cfg.trace = "scsi=t";
	cfg.machine.keep = "k";
	make();
	ck_assert_int_eq(stat("socket", &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	guest_destroy(&g);
	is_there = false;
	ck_assert_int_lt(stat("socket", &st), 0);
}
END_TEST

/* What is left open: overlays with a command, and no vhost where disks' counters are expected. */
static const struct {
	unsigned overlay;
	bool command, expect, overlays;
	unsigned vhost;
} choices[] = {
	{ OVERLAY_AUTO, false, false, false, VHOST_AUTO },
	{ OVERLAY_AUTO, true, false, true, VHOST_AUTO },
	{ OVERLAY_ON, false, false, true, VHOST_AUTO },
	{ OVERLAY_OFF, true, true, false, VHOST_OFF },
};

START_TEST(choices_of_the_run)
{
	static char *argv[] = { "true", NULL };

	cfg.overlay = choices[_i].overlay;
	cfg.machine.vhost = VHOST_AUTO;
	cfg.job.argv = choices[_i].command ? argv : NULL;
	if (choices[_i].expect)
		add(&cfg.expect.disks, "lun0.flush>=1");
	create();
	ck_assert_int_eq(g.machine.spec.overlay, choices[_i].overlays);
	ck_assert_uint_eq(g.machine.spec.vhost, choices[_i].vhost);
	stderr_end(&said);
}
END_TEST

/* Ends */

static const struct {
	enum cause ends;
	int exit; /* of the command; -1: there is none */
	enum cause cause;
	bool success;
} endings[] = {
	{ CAUSE_POWEROFF, -1, CAUSE_POWEROFF, true },
	{ CAUSE_POWEROFF, 0, CAUSE_EXIT, true },
	{ CAUSE_POWEROFF, 3, CAUSE_EXIT, false },
	{ CAUSE_PANIC, -1, CAUSE_PANIC, false },
	{ CAUSE_PANIC, 0, CAUSE_PANIC, false },
};

static void end(unsigned i)
{
	static char *argv[] = { "true", NULL };

	cfg.job.argv = endings[i].exit < 0 ? NULL : argv;
	ends = endings[i].ends;
	make();
	if (endings[i].exit >= 0)
		report_command(&report, endings[i].exit, 0);
	ck_assert_int_eq(guest_run(&g), endings[i].cause);
}

START_TEST(kept_if_it_fails)
{
	struct stat st;

	add(&cfg.disks, "a.img,overlay=on");
	cfg.machine.keep = "k";
	end(_i);
	ck_assert_int_eq(stat("k/scsi-disk0.img", &st), endings[_i].success ? -1 : 0);
	ck_assert_ptr_nonnull(report.disks);
}
END_TEST

/* What the guest has said is lost, so the run is no success. */
START_TEST(end_that_loses_output)
{
	struct stat st;

	add(&cfg.disks, "a.img,overlay=on");
	cfg.machine.keep = "k";
	make();
	drained = CAUSE_HOST_IO;
	ck_assert_int_eq(guest_run(&g), CAUSE_HOST_IO);
	ck_assert_int_eq(stat("k/scsi-disk0.img", &st), 0);
}
END_TEST

START_TEST(never_begun)
{
	begins = false;
	ends = CAUSE_SETUP;
	make();
	ck_assert_int_eq(guest_run(&g), CAUSE_SETUP);
	ck_assert_str_eq(calls, "run ");
	ck_assert_ptr_null(report.disks);
}
END_TEST

START_TEST(results_on_the_console)
{
	ck_assert_int_eq(report_listen(&report), 0);
	make();
	guest_run(&g);
	report_end_streams(&report);
	ck_assert_uint_eq(tap_count(report.tap[STREAM_CONSOLE], TAP_OK), 1);
}
END_TEST

static unsigned abandoned;

static void abandon(void *arg)
{
	ck_assert_ptr_eq(arg, &abandoned);
	abandoned++;
}

START_TEST(given_up)
{
	cfg.abandon = abandon;
	cfg.abandon_arg = &abandoned;
	make();
	g.machine.user->abandon(g.machine.user_arg);
	ck_assert_uint_eq(abandoned, 1);
}
END_TEST

START_TEST(told_by_commands)
{
	cfg.control = "socket";
	make();
	failing = "pause";
	failure = -EBUSY;
	ck_assert_int_eq(g.host.pause(g.host.arg, true), -EBUSY);
	failing = NULL;
	ck_assert_int_eq(g.host.pause(g.host.arg, false), 0);
	g.host.quit(g.host.arg);
	ck_assert_str_eq(calls, "pause resume quit ");
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("guest");
	TCase *tc = unit_case(s, "guest");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, order);
	tcase_add_loop_test(tc, the_user_is_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(tc, the_host_refuses, 0, ARRAY_SIZE(invalid));
	tcase_add_test(tc, nobody_refuses);
	tcase_add_loop_test(tc, other_reasons, 0, 2);
	tcase_add_loop_test(tc, files_before_kvm, 0, 2);
	tcase_add_test(tc, a_disk_may_come_later);
	tcase_add_loop_test(tc, choices_of_the_run, 0, ARRAY_SIZE(choices));
	tcase_add_loop_test(tc, kept_if_it_fails, 0, ARRAY_SIZE(endings));
	tcase_add_test(tc, end_that_loses_output);
	tcase_add_test(tc, never_begun);
	tcase_add_test(tc, results_on_the_console);
	tcase_add_test(tc, given_up);
	tcase_add_test(tc, told_by_commands);
	return s;
}

UNIT_MAIN(guest_suite)
