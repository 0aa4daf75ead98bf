/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/scsi_driver.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/control/command.h"

Suite *command_suite(void);

static struct testbed tb;
static struct vdriver v;
static struct command_host host;
static char dir[64];
static unsigned quits, left;

static void on_quit(void *arg)
{
	ck_assert_ptr_eq(arg, &tb);
	quits++;
}

static int pauses, pause_result;

static int on_pause(void *arg, bool paused)
{
	ck_assert_ptr_eq(arg, &tb);
	pauses += paused ? 1 : 10;
	return pause_result;
}

static char key, file[100];
static unsigned cpu;

static int on_sysrq(void *arg, char which)
{
	ck_assert_ptr_eq(arg, &tb);
	key = which;
	return 0;
}

static int on_nmi(void *arg, unsigned which)
{
	ck_assert_ptr_eq(arg, &tb);
	cpu = which;
	return which > 3 ? -EINVAL : 0;
}

static int may_exec;

static int on_exec(void *arg)
{
	ck_assert_ptr_eq(arg, &tb);
	if (may_exec < 0)
		log_err("exec: not now");
	return may_exec;
}

static int on_dump(void *arg, const char *name)
{
	ck_assert_ptr_eq(arg, &tb);
	snprintf(file, sizeof(file), "%s", name);
	return 0;
}

static void on_leave(void *arg, struct device *dev)
{
	ck_assert_ptr_eq(arg, &tb);
	ck_assert_str_eq(dev->class->name, "scsi-disk");
	left++;
}

static void make_file(const char *name, off_t size)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(ftruncate(fileno(f), size), 0);
	fclose(f);
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lunette-command-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	make_file("a.img", MIB(1));
	make_file("cd.iso", 2048 * 10);
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,id=s0"), 0);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "scsi-cd,id=cd"), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
	host = (struct command_host){ .platform = &tb.p, .devices = &tb.devices, .quit = on_quit,
				      .pause = on_pause, .sysrq = on_sysrq, .nmi = on_nmi,
				      .dump = on_dump, .exec = on_exec, .leaves = on_leave,
				      .arg = &tb };
	quits = left = 0;
}

static void tear_down(void)
{
	char command[100];

	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static bool over; /* the last answer's socket is another one's */

/* The answer to @request, in which ' stands for " and % for the folder. */
static json_t *ask(const char *request)
{
	char text[512], *line;
	size_t n = 0;
	json_t *answer;

	for (; *request; request++) {
		if (*request == '%')
			n += snprintf(text + n, sizeof(text) - n, "%s", dir);
		else
			text[n++] = *request == '\'' ? '"' : *request;
	}
	line = command_run(&host, text, n, &over);
	ck_assert_ptr_nonnull(line);
	ck_assert_ptr_null(strchr(line, '\n'));
	answer = json_loads(line, 0, NULL);
	ck_assert_msg(answer, "%s", line);
	free(line);
	return answer;
}

static void ok(const char *request)
{
	json_t *answer = ask(request);

	ck_assert_msg(json_is_true(json_object_get(answer, "ok")), "%s: %s", request,
		      json_string_value(json_object_get(answer, "error")));
	json_decref(answer);
}

static void fails(const char *request, const char *why)
{
	json_t *answer = ask(request);
	const char *error = json_string_value(json_object_get(answer, "error"));

	ck_assert(json_is_false(json_object_get(answer, "ok")));
	ck_assert_uint_eq(json_object_size(answer), 2);
	ck_assert_ptr_nonnull(error);
	ck_assert_msg(strstr(error, why), "\"%s\" is not in: %s", why, error);
	json_decref(answer);
}

START_TEST(what_is_no_command)
{
	fails("", "not JSON");
	fails("{", "not JSON");
	fails("{'do':'quit'} x", "not JSON");
	fails("{'do':'quit','do':'quit'}", "not JSON: duplicate");
	fails("{'do':'q\\u0000'}", "not JSON");
	fails("[1]", "a JSON object is wanted");
	fails("{'do':1}", "a JSON object is wanted");
	fails("{'do':'reboot'}", "reboot: is no command");
	fails("{'do':'quit','id':'x'}", "quit: 'id': it has no such argument");
	fails("{'do':'plug'}", "plug: \"text\" is missing");
	fails("{'do':'resize','id':'cd'}", "resize: \"size\" is missing");
	fails("{'do':'resize','id':7,'size':7}", "resize: id: a string is wanted");
	fails("{'do':'resize','id':'cd','size':-512}", "resize: size=-512");
	fails("{'do':'resize','id':'cd','size':1.5}", "resize: size: a string is wanted");
	ck_assert_uint_eq(quits, 0);
}
END_TEST

/* A row that its own help, or the check of its arguments, could not use. */
START_TEST(table_is_complete)
{
	const struct command *c;
	unsigned n;

	for (c = commands; c->name; c++) {
		ck_assert(c->run && c->help && c->args);
		for (n = 0; c->args[n].key; n++)
			ck_assert(c->args[n].help && c->args[n].arg);
		ck_assert_uint_le(c->required, n);
		ck_assert_ptr_eq(command_find(c->name), c);
	}
}
END_TEST

START_TEST(plug_and_unplug)
{
	json_t *answer = ask("{'do':'plug','text':'%/a.img,lun=3,id=new'}");

	ck_assert_str_eq(json_string_value(json_object_get(answer, "id")), "new");
	ck_assert_str_eq(json_string_value(json_object_get(answer, "bus")), "s0");
	ck_assert_str_eq(json_string_value(json_object_get(answer, "served")), "process");
	ck_assert_int_eq(json_integer_value(json_object_get(answer, "lun")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(answer, "size")), MIB(1));
	json_decref(answer);
	scsi_driver_clear_attention(&v, 3);
	ck_assert_uint_eq(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0), NULL, 0, NULL, 0).status,
			  0);

	fails("{'do':'plug','text':'%/a.img'}", "is attached twice");
	fails("{'do':'plug','text':'%/none.img'}", "there is no such file");
	fails("{'do':'plug','text':'store=null,size=1M,lun=3'}", "lun=3: is in use by a.img");
	fails("{'do':'plug','text':'store=null,size=1M,bus=s9'}", "bus=s9");
	ok("{'do':'unplug','id':'lun:3'}");
	ck_assert_uint_eq(left, 1);
	fails("{'do':'unplug','id':'lun:3'}", "no such LUN");
	fails("{'do':'unplug','id':'new'}", "there is no device of this name");
	fails("{'do':'unplug','id':'s0'}", "stays as it is");
	ok("{'do':'plug','text':'%/a.img'}"); /* nobody holds its lock any more */
}
END_TEST

/* It is there from the start, on no controller. */
START_TEST(virtio_disk)
{
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-blk,store=null,size=1M"), 0);
	ck_assert_int_eq(tb.devices.last->class->ready(tb.devices.last), 0);
	fails("{'do':'plug','text':'%/a.img,on=blk'}",
	      "virtio-blk: cannot come while the guest runs; a SCSI disk can: leave on=blk out");
	fails("{'do':'plug','text':'%/a.img,on=x'}", "on=x: is none of: scsi, blk");
	fails("{'do':'unplug','id':'blk:0'}",
	      "blk0: is a virtio-blk; plug and unplug are for SCSI disks");
	fails("{'do':'path','id':'blk0','bus':'s0','state':'standby'}",
	      "blk0: is a virtio-blk; paths are for SCSI disks");
	fails("{'do':'eject','id':'blk0'}", "has a medium that stays in it");
	fails("{'do':'resize','id':'blk0','size':1000}", "a multiple of the block size, 512");
	ok("{'do':'resize','id':'blk0','size':'3M'}");
	ok("{'do':'fault','id':'blk:0','rules':'read:error=EIO'}");
	ok("{'do':'counters','id':'blk:0'}");
	ck_assert_uint_eq(left, 0);
}
END_TEST

static struct device *of_class(const char *name)
{
	return device_find(&tb.devices, name, NULL);
}

static json_int_t fact(const char *request, const char *what)
{
	json_t *answer = ask(request);
	json_int_t value = json_integer_value(json_object_get(answer, what));

	json_decref(answer);
	return value;
}

START_TEST(memory_balloon)
{
	uint64_t all = mem_size(&tb.mem);
	struct vdriver b;

	fails("{'do':'balloon'}",
	      "balloon: the guest has none; lunette run --balloon gives it one");
	fails("{'do':'balloon','size':'1G'}", "the guest has none");
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-balloon,transport=mmio"), 0);
	ck_assert_int_eq(of_class("virtio-balloon")->class->ready(of_class("virtio-balloon")), 0);
	fails("{'do':'balloon','size':'16M'}", "balloon0: the guest has no driver for it, or not");
	fails("{'do':'balloon'}", "balloon0: the guest has no driver for it, or not yet");
	ck_assert(vdriver_probe(&b, &tb, 0));
	ck_assert(vdriver_start(&b, ~0ull, 3, 16));
	ck_assert_int_eq(fact("{'do':'balloon','size':'16M'}", "target"), MIB(16));
	ck_assert_int_eq(fact("{'do':'balloon'}", "memory"), all);
	vdriver_config_write(&b, 4, (all - MIB(20)) / 4096, 4);
	ck_assert_int_eq(fact("{'do':'balloon'}", "memory"), MIB(20));
	fails("{'do':'balloon','size':'1G'}", "the guest has 80M of memory");
	fails("{'do':'balloon','size':'0'}", "size=0: out of range");
	ok("{'do':'counters','id':'balloon0'}");
	vdriver_fini(&b);
}
END_TEST

START_TEST(size)
{
	struct stat st;
	char path[100];

	snprintf(path, sizeof(path), "%s/a.img", dir);
	ok("{'do':'plug','text':'%/a.img,id=d'}");
	ok("{'do':'resize','id':'d','size':'3M'}");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, MIB(3));
	ok("{'do':'resize','id':'d','size':1024}");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 1024);
	fails("{'do':'resize','id':'d','size':1000}", "a multiple of the block size, 512");
	fails("{'do':'resize','id':'cd','size':1024}", "is a CD-ROM drive");
}
END_TEST

START_TEST(media)
{
	fails("{'do':'eject','id':'cd'}", "there is no medium");
	fails("{'do':'insert','id':'cd'}", "is empty; insert which file?");
	ok("{'do':'insert','id':'cd','file':'%/cd.iso'}");
	fails("{'do':'insert','id':'cd','file':'%/a.img'}", "eject that first");
	ok("{'do':'eject','id':'cd'}");
	ok("{'do':'plug-cdrom'}");
	ok("{'do':'plug-cdrom','text':'%/cd.iso'}");
	fails("{'do':'fault','id':'cd','rules':'any:error=EIO'}", "there is no medium");
}
END_TEST

/* A disk on two buses; the guest has found one of them. */
START_TEST(paths)
{
	static const char *const words[] = { "optimized", "non-optimized", "standby",
					     "unavailable", "fails" };
	char request[100];
	unsigned i;

	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,id=s1"), 0);
	ok("{'do':'plug','text':'%/a.img,bus=s0+s1,lun=3,id=d'}");
	scsi_driver_clear_attention(&v, 3);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(request, sizeof(request),
			 "{'do':'path','id':'d','bus':'s0','state':'%s'}", words[i]);
		ok(request);
	}
	ck_assert_int_eq(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0), NULL, 0, NULL, 0).response,
			 VIRTIO_SCSI_S_TRANSPORT_FAILURE);
	ok("{'do':'path','id':'d','bus':'s1','state':'standby'}");
	fails("{'do':'path','id':'d','bus':'s0','state':'broken'}",
	      "broken: is no state of a path; there are optimized, non-optimized, standby, ");
	fails("{'do':'path','id':'d','bus':'s2','state':'standby'}", "s2: is no bus of it");
	fails("{'do':'path','id':'cd','bus':'s0','state':'standby'}", "is on one bus");
	fails("{'do':'path','id':'d','bus':'s0'}", "state");
	ok("{'do':'path','id':'d','bus':'s0','state':'optimized'}");
	scsi_driver_clear_attention(&v, 3);
	ck_assert_uint_eq(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0), NULL, 0, NULL, 0).status,
			  0);
}
END_TEST

START_TEST(faults)
{
	ok("{'do':'plug','text':'%/a.img,lun=3,id=d'}");
	scsi_driver_clear_attention(&v, 3);
	ok("{'do':'fault','id':'d','rules':'clear'}");
	fails("{'do':'fault','id':'d','rules':'flush:cut'}", "start the disk with fault=");
	ok("{'do':'fault','id':'d','rules':'flush:error=EIO'}");
	ck_assert_uint_eq(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0).status,
			  2);
	fails("{'do':'fault','id':'d','rules':'flush'}", "flush");
	ok("{'do':'fault','id':'d','rules':'clear'}");
	ck_assert_uint_eq(scsi_driver_run(&v, 2, 3, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0).status,
			  0);
}
END_TEST

START_TEST(lists)
{
	json_t *answer, *list;

	ok("{'do':'plug','text':'%/a.img,lun=3,id=d'}");
	scsi_driver_clear_attention(&v, 3);
	answer = ask("{'do':'devices'}");
	list = json_object_get(answer, "devices");
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "id")), "s0");
	ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 2), "id")), "d");
	json_decref(answer);

	answer = ask("{'do':'counters','id':'d'}");
	list = json_object_get(answer, "counters");
	ck_assert_uint_eq(json_array_size(list), 1);
	ck_assert_int_ge(json_integer_value(json_object_get(json_array_get(list, 0), "errors")), 1);
	json_decref(answer);

	answer = ask("{'do':'counters'}");
	ck_assert_uint_eq(json_array_size(json_object_get(answer, "counters")), 2);
	json_decref(answer);
	fails("{'do':'counters','id':'x'}", "there is no device of this name");
}
END_TEST

/* What is no UTF-8 in a file's name is shown all the same. */
START_TEST(strange_names)
{
	json_t *answer;
	char text[200];

	make_file("\xff.img", MIB(1));
	snprintf(text, sizeof(text), "scsi-disk,%s/\xff.img,serial=x,id=odd", dir);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	answer = ask("{'do':'unplug','id':'odd'}");
	json_decref(answer);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, text), 0);
	answer = ask("{'do':'devices'}");
	ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(json_array_get(
		json_object_get(answer, "devices"), 2), "file")), "/\xef\xbf\xbd.img"));
	json_decref(answer);
}
END_TEST

START_TEST(pause_and_resume)
{
	ok("{'do':'pause'}");
	ck_assert_int_eq(pauses, 1);
	ok("{'do':'resume'}");
	ck_assert_int_eq(pauses, 11);
	pause_result = -EBUSY;
	fails("{'do':'pause'}", "busy");
}
END_TEST

START_TEST(for_its_kernel)
{
	ok("{'do':'sysrq','key':'h'}");
	ck_assert_int_eq(key, 'h');
	fails("{'do':'sysrq'}", "\"key\" is missing");
	fails("{'do':'sysrq','key':'hh'}", "one key is wanted");
	fails("{'do':'sysrq','key':' '}", "one key is wanted");
	ok("{'do':'nmi','cpu':'2'}");
	ck_assert_uint_eq(cpu, 2);
	ok("{'do':'nmi','cpu':3}");
	ck_assert_uint_eq(cpu, 3);
	ok("{'do':'nmi'}");
	ck_assert_uint_eq(cpu, 0);
	fails("{'do':'nmi','cpu':64}", "out of range");
	fails("{'do':'nmi','cpu':4}", "Invalid argument");
	ok("{'do':'dump','file':'x.core'}");
	ck_assert_str_eq(file, "x.core");
	fails("{'do':'dump'}", "\"file\" is missing");
}
END_TEST

START_TEST(quit)
{
	ok("{'do':'quit'}");
	ck_assert_uint_eq(quits, 1);
}
END_TEST

/* The rest of what is said is not a command's. */
START_TEST(for_somebody_else)
{
	ok("{'do':'exec'}");
	ck_assert(over);
	ok("{'do':'devices'}");
	ck_assert(!over);
	fails("{'do':'exec','id':'x'}", "it has no such argument");
	ck_assert(!over);
	may_exec = -EBUSY;
	fails("{'do':'exec'}", "exec: not now");
	ck_assert(!over);
}
END_TEST

Suite *command_suite(void)
{
	Suite *s = suite_create("command");
	TCase *tc = unit_case(s, "command");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_is_no_command);
	tcase_add_test(tc, table_is_complete);
	tcase_add_test(tc, plug_and_unplug);
	tcase_add_test(tc, virtio_disk);
	tcase_add_test(tc, memory_balloon);
	tcase_add_test(tc, size);
	tcase_add_test(tc, media);
	tcase_add_test(tc, paths);
	tcase_add_test(tc, faults);
	tcase_add_test(tc, lists);
	tcase_add_test(tc, strange_names);
	tcase_add_test(tc, pause_and_resume);
	tcase_add_test(tc, for_its_kernel);
	tcase_add_test(tc, quit);
	tcase_add_test(tc, for_somebody_else);
	return s;
}

UNIT_MAIN(command_suite)
