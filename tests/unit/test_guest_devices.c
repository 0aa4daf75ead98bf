/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/files/files.h"
#include "vmm/run/guest.h"
#include "vmm/run/guest_devices.h"
#include "vmm/run/job.h"

Suite *guest_devices_suite(void);

#define NULL_DISK "scsi-disk,store=null,size=1M"

static struct testbed tb;
static struct guest guest;
static struct guest_cfg cfg;
static struct report *report = (struct report *)&tb; /* nobody looks at it */
static struct stderr_text said;
static char dir[] = "/tmp/lunette-devices-XXXXXX";

/* The architecture has no devices here; and a job has none either. */

static int platform_error, job_error;
static unsigned jobs, devices_before_job;

static unsigned count(void)
{
	const struct device *dev;
	unsigned n = 0;

	for (dev = guest.machine.devices.last; dev; dev = dev->next)
		n++;
	return n;
}

int arch_platform_devices(struct platform *p, struct device_list *list)
{
	ck_assert_ptr_eq(p, &guest.machine.platform);
	ck_assert_ptr_eq(list, &guest.machine.devices);
	ck_assert_uint_eq(count(), 0); /* they come first */
	return platform_error;
}

/* Nobody serves a folder here who could end: tests/vm/live.sh has one. */
void machine_end(struct machine *m, enum cause cause)
{
	(void)m, (void)cause;
	ck_abort();
}

struct job *job_create(struct machine *m, struct report *r, const struct job_cfg *of)
{
	ck_assert_ptr_eq(m, &guest.machine);
	ck_assert_ptr_eq(r, report);
	ck_assert_ptr_eq(of, &cfg.job);
	jobs++;
	devices_before_job = count();
	errno = job_error;
	return job_error ? NULL : (struct job *)&jobs;
}

/* The machine's platform is the test bed's. */
static struct loop *iothread(struct platform *p, const char *name)
{
	(void)p;
	return tb.p.iothread(&tb.p, name);
}

/* A terminal. */

static unsigned attached;

static void attach(void *console, const struct console_user *user, void *dev)
{
	(void)console, (void)user, (void)dev;
	attached++;
}

static int room(void *console)
{
	(void)console;
	return STDERR_FILENO;
}

static const struct console_ops console_ops = { .room = room };

static void set_up(void)
{
	testbed_init(&tb);
	guest.cfg = &cfg;
	guest.machine.platform = tb.p;
	guest.machine.platform.iothread = iothread;
	guest.machine.platform.console_ops = &console_ops;
	guest.machine.platform.console_attach = attach;
	guest.machine.spec.memory = 64 << 20;
	guest.machine.spec.cpus = 1;
	cfg.report = report;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	stderr_begin(&said);
}

static void tear_down(void)
{
	device_destroy_all(&guest.machine.devices);
	free(cfg.devices.item);
	free(cfg.disks.item);
	free(cfg.cdroms.item);
	testbed_fini(&tb);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void add(struct opt_list *list, const char *value)
{
	ck_assert_int_eq(opt_list_add(list, value), 0);
}

/* In the order in which they were made; of LUNs also which. */
static void put(char *text, const struct device *dev)
{
	struct device_place place;

	if (!dev)
		return;
	put(text, dev->next);
	sprintf(text + strlen(text), "%s%s", *text ? " " : "", dev->class->name);
	if (!dev->class->lun)
		return;
	dev->class->lun->place(dev, &place);
	sprintf(text + strlen(text), ":%u", place.lun);
}

static const char *all(void)
{
	static char text[2048];

	*text = 0;
	put(text, guest.machine.devices.last);
	return text;
}

static void check(const char *wanted)
{
	int r = guest_devices(&guest);

	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_int_eq(r, 0);
	ck_assert_str_eq(all(), wanted);
}

START_TEST(nothing_asked_for)
{
	check("");
	ck_assert_uint_eq(jobs, 0);
	ck_assert_ptr_null(guest.job);
}
END_TEST

/* One controller, made for the first LUN. */
START_TEST(disks_get_a_controller)
{
	add(&cfg.disks, "store=null,size=1M");
	add(&cfg.disks, "store=null,size=2M");
	check("virtio-scsi scsi-disk:0 scsi-disk:1");
}
END_TEST

/* Those without SCSI need none. */
START_TEST(disks_without_a_controller)
{
	add(&cfg.disks, "store=null,size=1M,on=blk");
	add(&cfg.disks, "store=null,size=1M,on=scsi");
	check("virtio-blk virtio-scsi scsi-disk:0");
}
END_TEST

START_TEST(disk_on_nothing_known)
{
	add(&cfg.disks, "store=null,size=1M,on=ide");
	ck_assert_int_eq(guest_devices(&guest), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "on=ide: is none of: scsi, blk"));
}
END_TEST

START_TEST(vsock)
{
	cfg.vsock = "2,path=v";
	ck_assert_int_eq(guest_devices(&guest), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "cid=2: out of range, 3 to 4294967294"));
	cfg.vsock = NULL;
}
END_TEST

START_TEST(balloon)
{
	cfg.balloon = true;
	check("virtio-balloon");
	cfg.balloon = false;
}
END_TEST

START_TEST(cdrom_gets_a_controller)
{
	add(&cfg.cdroms, "");
	check("virtio-scsi scsi-cd:0");
}
END_TEST

START_TEST(users_controller_is_used)
{
	add(&cfg.devices, "virtio-scsi,queues=2,id=mine");
	add(&cfg.disks, "store=null,size=1M");
	check("virtio-scsi scsi-disk:0");
	ck_assert_ptr_nonnull(device_find(&guest.machine.devices, "virtio-scsi", "mine"));
}
END_TEST

/* One that comes later is no reason not to make one now. */
START_TEST(controller_for_a_device_before_the_users)
{
	add(&cfg.devices, NULL_DISK);
	add(&cfg.devices, "virtio-scsi,id=late");
	check("virtio-scsi scsi-disk:0 virtio-scsi");
}
END_TEST

/* Ports need the device, and nobody asked for a console on the terminal. */
START_TEST(port_gets_a_device)
{
	add(&cfg.devices, "console-port,name=a,out=/dev/null");
	add(&cfg.devices, "console-port,name=b,out=/dev/null");
	check("virtio-console console-port console-port");
	ck_assert_uint_eq(attached, 0);
}
END_TEST

START_TEST(console_on_hvc)
{
	cfg.console = CONSOLE_HVC;
	add(&cfg.devices, "console-port,name=a,out=/dev/null");
	check("virtio-console console-port");
	ck_assert_uint_eq(attached, 1);
}
END_TEST

/* What has a name that begins like one that needs something is not that. */
START_TEST(names_are_whole)
{
	add(&cfg.devices, "scsi-diskette");
	ck_assert_int_eq(guest_devices(&guest), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--device scsi-diskette: no such device"));
	ck_assert_str_eq(all(), "");
}
END_TEST

/* LUNs are counted: --device, --disk, --cdrom, whatever their order on the command line; then what
 * files need. The job is last. */
START_TEST(order_of_all)
{
	static char *const argv[] = { "true", NULL };
	struct files_cfg files_cfg = { .claims = tb.p.claims };
	struct files *files;

	add(&files_cfg.shares, dir);
	files = files_create(&files_cfg);
	ck_assert_ptr_nonnull(files);
	cfg.job.files = files;
	cfg.job.argv = argv;
	cfg.console = CONSOLE_HVC;
	cfg.net = "none";
	add(&cfg.cdroms, "");
	add(&cfg.disks, "store=null,size=1M");
	add(&cfg.devices, "virtio-rng");
	add(&cfg.devices, NULL_DISK);
	check("virtio-console virtio-rng virtio-scsi scsi-disk:0 scsi-disk:1 scsi-cd:2 "
	      "scsi-disk:3");
	ck_assert_uint_eq(jobs, 1);
	ck_assert_uint_eq(devices_before_job, 7);
	ck_assert_ptr_eq(guest.job, &jobs);
	device_destroy_all(&guest.machine.devices);
	files_destroy(files);
	free(files_cfg.shares.item);
}
END_TEST

/* What fails ends it: nothing is made after it. */

START_TEST(platform_fails)
{
	platform_error = -ENOSPC;
	cfg.console = CONSOLE_HVC;
	ck_assert_int_eq(guest_devices(&guest), -ENOSPC);
	ck_assert_str_eq(all(), "");
	stderr_end(&said);
}
END_TEST

START_TEST(first_disk_fails)
{
	static char *const argv[] = { "true", NULL };

	cfg.job.argv = argv;
	add(&cfg.disks, "/nowhere/disk.img");
	add(&cfg.disks, "store=null,size=1M");
	add(&cfg.cdroms, "");
	ck_assert_int_eq(guest_devices(&guest), -ENOENT);
	ck_assert_str_eq(all(), "virtio-scsi");
	ck_assert_uint_eq(jobs, 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "/nowhere/disk.img: "));
}
END_TEST

START_TEST(net_makes_no_sense)
{
	static char *const argv[] = { "true", NULL };

	cfg.job.argv = argv;
	cfg.net = "ethernet";
	ck_assert_int_eq(guest_devices(&guest), -EUSAGE);
	ck_assert_uint_eq(jobs, 0);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: --net ethernet: none, user or tap=NAME is wanted\n");
}
END_TEST

START_TEST(job_fails)
{
	static char *const argv[] = { "true", NULL };

	cfg.job.argv = argv;
	job_error = EMFILE;
	ck_assert_int_eq(guest_devices(&guest), -EMFILE);
	ck_assert_ptr_null(guest.job);
	stderr_end(&said);
}
END_TEST

/* A result of its own, as no disk's -ENOMEM is that. */
START_TEST(over_the_memory_limit)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = 1ull << 50;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	guest.machine.spec.memory = 1ull << 52;
	add(&cfg.disks, "store=null,size=1M");
	ck_assert_int_eq(guest_devices(&guest), -EOVERLIMIT);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "RLIMIT_AS"));
}
END_TEST

Suite *guest_devices_suite(void)
{
	Suite *s = suite_create("guest_devices");
	TCase *tc = unit_case(s, "made");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing_asked_for);
	tcase_add_test(tc, disks_get_a_controller);
	tcase_add_test(tc, disks_without_a_controller);
	tcase_add_test(tc, disk_on_nothing_known);
	tcase_add_test(tc, vsock);
	tcase_add_test(tc, balloon);
	tcase_add_test(tc, cdrom_gets_a_controller);
	tcase_add_test(tc, users_controller_is_used);
	tcase_add_test(tc, controller_for_a_device_before_the_users);
	tcase_add_test(tc, port_gets_a_device);
	tcase_add_test(tc, console_on_hvc);
	tcase_add_test(tc, names_are_whole);
	tcase_add_test(tc, order_of_all);

	tc = unit_case(s, "failures");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, platform_fails);
	tcase_add_test(tc, first_disk_fails);
	tcase_add_test(tc, net_makes_no_sense);
	tcase_add_test(tc, job_fails);
	tcase_add_test(tc, over_the_memory_limit);
	return s;
}

UNIT_MAIN(guest_devices_suite)
