/* SPDX-License-Identifier: MIT */
/*
 * A run of a guest, whose machine is a stand-in: it has the test bed's platform, and does as told.
 * Devices, files, control socket and report are real. The host is open() and mkdir(), which fail
 * as they are told to.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "tests/lib/tree.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/console.h"
#include "vmm/machine/dump.h"
#include "vmm/machine/image.h"
#include "vmm/machine/picture.h"
#include "vmm/run/guest.h"
#include "vmm/run/job.h"
#include "vmm/run/report/report.h"
#include "vmm/run/report/tap.h"

Suite *guest_suite(void);

static struct testbed tb;
static struct tree tree;
static struct guest g;
static struct guest_cfg cfg;
static struct report report;
static struct stderr_text said;
static bool is_there; /* is there a guest? */

static char calls[512]; /* of the machine, in order */
static const char *failing;
static int failure; /* what that call gives */
static enum cause ends, drained;
static bool begins; /* does it get to its first instruction? */

/* The machine */

static int call(const char *name)
{
	strcat(strcat(calls, name), " ");
	return failing && !strcmp(failing, name) ? failure : 0;
}

int machine_init(struct machine *m, const struct machine_spec *spec,
		 const struct machine_user *user, void *arg)
{
	*m = (struct machine){ .spec = *spec, .user = user, .user_arg = arg,
			       .main_loop = tb.main_loop };
	return call("init");
}

static struct loop *iothread(struct platform *p, const char *name)
{
	(void)p;
	return tb.p.iothread(&tb.p, name);
}

int machine_build(struct machine *m)
{
	m->platform = tb.p;
	m->platform.iothread = iothread;
	m->platform.claims = m->spec.claims;
	m->platform.overlay = m->spec.overlay;
	m->platform.commit = m->spec.commit;
	m->platform.keep = m->spec.keep;
	return call("build");
}

int machine_load(struct machine *m, const struct image *kernel, const struct image_list *initrds,
		 const char *cmdline)
{
	ck_assert_ptr_eq(m, &g.machine);
	ck_assert_str_eq(kernel->path, cfg.kernel);
	ck_assert_uint_eq(initrds->count, cfg.initrds.count);
	ck_assert_ptr_nonnull(strstr(cmdline, "panic=-1"));
	return call("load");
}

enum cause machine_run(struct machine *m)
{
	call("run");
	if (begins) {
		m->user->entered(m->user_arg);
		m->user->printed(m->user_arg, "ok 1 works\n1..1\n", 16);
	}
	atomic_store(&m->ended, begins);
	return ends;
}

enum cause machine_drain(struct machine *m, enum cause cause)
{
	(void)m;
	call("drain");
	return drained == CAUSE_COUNT ? cause : drained;
}

void machine_close(struct machine *m)
{
	call("close");
	device_destroy_all(&m->devices);
}

void machine_fini(struct machine *m)
{
	(void)m;
	call("fini");
}

void machine_end(struct machine *m, enum cause cause)
{
	(void)m;
	call(causes[cause].name);
}

int machine_pause(struct machine *m)
{
	(void)m;
	return call("pause");
}

void machine_resume(struct machine *m)
{
	(void)m;
	call("resume");
}

void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what)
{
	ck_assert_ptr_eq(vcpu, &g.machine.vcpu[1]);
	ck_assert_int_eq(what, VCPU_NMI);
	call("nmi");
}

int console_sysrq(struct console *con, char key)
{
	(void)con;
	ck_assert_int_eq(key, 'h');
	return call("sysrq");
}

static const char *dumped; /* to which file */

int dump_guest(struct machine *m, int folder, const char *name)
{
	ck_assert_ptr_eq(m, &g.machine);
	ck_assert_int_eq(folder, AT_FDCWD);
	dumped = name;
	return call("dump");
}

void dump_failed(struct machine *m, int folder, const char *path)
{
	struct stat st;

	ck_assert_ptr_eq(m, &g.machine);
	ck_assert_int_eq(fstat(folder, &st), 0);
	ck_assert(S_ISDIR(st.st_mode));
	dumped = path;
	call("dumped");
}

struct console_log *console_get_log(const struct console *con)
{
	(void)con;
	return NULL;
}

void picture_end(struct machine *m, void (*vcpu)(void *arg, const char *line), void *arg)
{
	(void)m, (void)vcpu, (void)arg;
	call("picture");
}

int arch_platform_devices(struct platform *p, struct device_list *list)
{
	(void)p, (void)list;
	return call("devices");
}

struct job *job_create(struct machine *m, struct report *r, const struct job_cfg *of)
{
	(void)m, (void)r, (void)of;
	errno = -call("job");
	return errno ? NULL : (struct job *)&cfg;
}

void job_destroy(struct job *job)
{
	(void)job;
}

enum cause job_cause(struct job *job, enum cause cause)
{
	(void)job;
	return cause == CAUSE_POWEROFF && report.exit >= 0 ? CAUSE_EXIT : cause;
}

/* The host */

static const char *refused; /* the file, or folder, which is */
static int host_error;

static bool refuses(const char *path)
{
	errno = host_error;
	return refused && !strcmp(path, refused);
}

int fake_open(const char *path, int flags, ...) __asm__("open");

int fake_open(const char *path, int flags, ...)
{
	unsigned mode;
	va_list list;

	va_start(list, flags);
	mode = flags & O_CREAT ? va_arg(list, unsigned) : 0;
	va_end(list);
	return refuses(path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* What open() without a mode is, where string functions are checked. */
int fake_open_2(const char *path, int flags) __asm__("__open_2");

int fake_open_2(const char *path, int flags)
{
	return fake_open(path, flags);
}

int mkdir(const char *path, mode_t mode)
{
	return refuses(path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* Runs */

static void set_up(void)
{
	testbed_init(&tb);
	tree_create(&tree);
	tree_put(&tree, "/kernel", "a kernel");
	tree_put(&tree, "/a.img", "");
	ck_assert_int_eq(chdir(tree.root), 0);
	ck_assert_int_eq(truncate("a.img", 1 << 20), 0);
	setenv("TMPDIR", tree.root, 1);
	cfg.kernel = "kernel";
	cfg.report = &report;
	cfg.net = "none";
	cfg.machine.memory = 64 << 20;
	cfg.machine.cpus = 1;
	cfg.machine.vhost = VHOST_OFF;
	cfg.machine.claims = claims_create(false);
	cfg.overlay = OVERLAY_OFF;
	ends = CAUSE_POWEROFF;
	drained = CAUSE_COUNT;
	begins = true;
	report_init(&report, &cfg);
	stderr_begin(&said);
}

static void tear_down(void)
{
	stderr_end(&said);
	if (is_there)
		guest_destroy(&g);
	report_fini(&report);
	claims_destroy(cfg.machine.claims);
	free(cfg.disks.item);
	free(cfg.devices.item);
	free(cfg.initrds.item);
	free(cfg.expect.disks.item);
	tree_remove(&tree);
	testbed_fini(&tb);
}

static void add(struct opt_list *list, const char *value)
{
	ck_assert_int_eq(opt_list_add(list, value), 0);
}

static enum cause create(void)
{
	enum cause cause = guest_create(&g, &cfg);

	is_there = cause == CAUSE_POWEROFF;
	return cause;
}

static void make(void)
{
	enum cause cause = create();

	ck_assert_msg(cause == CAUSE_POWEROFF, "%s", stderr_end(&said));
	ck_assert_int_eq(claims_begin(cfg.machine.claims), 0);
	*calls = 0;
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

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

/* What commands ask for gets to the machine. */
START_TEST(commands_to_the_machine)
{
	cfg.control = "socket";
	make();
	g.machine.ncpus = 2;
	ck_assert_int_eq(g.host.sysrq(g.host.arg, 'h'), 0);
	ck_assert_int_eq(g.host.nmi(g.host.arg, 1), 0);
	ck_assert_int_eq(g.host.nmi(g.host.arg, 2), -EINVAL);
	ck_assert_int_eq(g.host.dump(g.host.arg, "core"), 0);
	ck_assert_str_eq(dumped, "core");
	g.machine.paused = true;
	ck_assert_int_eq(g.host.dump(g.host.arg, "core"), 0);
	ck_assert_str_eq(calls, "sysrq nmi pause dump resume pause dump ");
	failing = "pause";
	failure = -EBUSY;
	ck_assert_int_eq(g.host.dump(g.host.arg, "core"), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "nmi 2: the guest's vCPUs are 0 to 1"));
}
END_TEST

/* A guest that is no success leaves its memory, one that is none. */
START_TEST(dump_on_fail)
{
	cfg.dump = "dumps";
	make();
	ends = _i ? CAUSE_PANIC : CAUSE_POWEROFF;
	ck_assert_int_eq(guest_run(&g), ends);
	if (_i)
		ck_assert_str_eq(dumped, "dumps");
	else
		ck_assert_ptr_null(dumped);
}
END_TEST

/* What has become of commands is in the report. */
START_TEST(commands_by_themselves)
{
	add(&cfg.at, "console:works quit");
	make();
	ck_assert_int_eq(guest_run(&g), CAUSE_POWEROFF);
	ck_assert_uint_eq(json_array_size(report.script), 1);
	free(cfg.at.item);
	guest_destroy(&g);
	is_there = false;
}
END_TEST

/* It resets itself, and gets the same kernel and the same words. */
START_TEST(boots_again)
{
	make();
	ck_assert_int_eq(g.machine.user->reload(g.machine.user_arg), 0);
	ck_assert_str_eq(calls, "load ");
	ck_assert_uint_eq(report.reboots, 1);
	failing = "load";
	failure = -EIO;
	ck_assert_int_eq(g.machine.user->reload(g.machine.user_arg), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "begins anew (1)"));
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("guest");
	TCase *tc = unit_case(s, "guest");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, commands_to_the_machine);
	tcase_add_loop_test(tc, dump_on_fail, 0, 2);
	tcase_add_test(tc, boots_again);
	tcase_add_test(tc, commands_by_themselves);
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
