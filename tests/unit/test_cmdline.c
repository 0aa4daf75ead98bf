/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/run/cmdline.h"
#include "vmm/run/files/files.h"
#include "vmm/run/guest.h"

Suite *cmdline_suite(void);

/* The words of an architecture, here of none. */
const char arch_cmdline[] = "quiet panic=-1 words of an architecture";
const char arch_serial_words[] = "console=ttyS0";
const char arch_hvc_words[] = "console=hvc0 earlycon=port";

/* What each guest is told. */
#define ALL "quiet panic=-1 words of an architecture scsi_mod.dev_flags=LUNETTE:DISK:0x2000 "
#define SERIAL ALL "console=ttyS0"

#define DISK "scsi-disk,store=null,size=1M"

static struct testbed tb;
static struct guest guest;
static struct guest_cfg cfg;
static struct stderr_text said;
static char line[CMDLINE_MAX + 1];

static void set_up(void)
{
	testbed_init(&tb);
	guest.cfg = &cfg;
	memset(line, '#', sizeof(line));
	stderr_begin(&said);
}

static void tear_down(void)
{
	ck_assert_int_eq(line[CMDLINE_MAX], '#');
	device_destroy_all(&guest.machine.devices);
	free(cfg.append.item);
	testbed_fini(&tb);
}

static void add(const char *device)
{
	ck_assert_int_eq(device_create(&tb.p, &guest.machine.devices, device), 0);
}

static void append(const char *words)
{
	ck_assert_int_eq(opt_list_add(&cfg.append, words), 0);
}

/* The line is @wanted, and @note is all that is said. */
static void check_said(const char *wanted, const char *note)
{
	ck_assert_int_eq(cmdline_put(&guest, line), 0);
	ck_assert_str_eq(stderr_end(&said), note);
	ck_assert_str_eq(line, wanted);
}

static void check(const char *wanted)
{
	check_said(wanted, "");
}

static void check_error(const char *wanted)
{
	ck_assert_int_eq(cmdline_put(&guest, line), -EUSAGE);
	ck_assert_str_eq(stderr_end(&said), wanted);
}

START_TEST(no_options)
{
	check(SERIAL);
}
END_TEST

START_TEST(console_hvc)
{
	cfg.console = CONSOLE_HVC;
	check(ALL "console=hvc0 earlycon=port");
}
END_TEST

START_TEST(a_command)
{
	guest.job = (void *)&guest;
	check(SERIAL " lunette.job");
}
END_TEST

START_TEST(net_words_by_kind)
{
	static const struct {
		const char *net, *wanted;
	} examples[] = {
		{ "none", SERIAL },
		{ "tap=tap0", SERIAL },
		{ "user", SERIAL " lunette.net=10.0.2.15/24,10.0.2.2,10.0.2.3" },
		{ "user,mac=52:54:00:12:34:56",
		  SERIAL " lunette.net=10.0.2.15/24,10.0.2.2,10.0.2.3" },
		{ "users", SERIAL },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(examples); i++) {
		cfg.net = examples[i].net;
		ck_assert_int_eq(cmdline_put(&guest, line), 0);
		ck_assert_str_eq(line, examples[i].wanted);
	}
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* Behind our words, so that the user's count where a word is there twice. */
START_TEST(appended_words)
{
	append("console=tty0 debug");
	append("");
	append("root=/dev/sdb");
	check(SERIAL " console=tty0 debug root=/dev/sdb");
}
END_TEST

START_TEST(nothing_appended)
{
	append("");
	check(SERIAL);
}
END_TEST

START_TEST(all_together)
{
	add("virtio-scsi");
	add(DISK);
	cfg.root = "lun:0";
	cfg.net = "user";
	cfg.console = CONSOLE_HVC;
	guest.job = (void *)&guest;
	append("panic=5");
	check(ALL "console=hvc0 earlycon=port root=/dev/sda lunette.root=lun:0 "
	      "lunette.job lunette.net=10.0.2.15/24,10.0.2.2,10.0.2.3 panic=5");
}
END_TEST

/* The last byte of the room is a 0; one more character than fits is an error. */
START_TEST(room_for_words)
{
	static char words[CMDLINE_MAX];
	size_t room = CMDLINE_MAX - 1 - strlen(SERIAL) - 1;
	char wanted[200];

	append(words);
	memset(words, 'w', room);
	ck_assert_int_eq(cmdline_put(&guest, line), 0);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_uint_eq(strlen(line), CMDLINE_MAX - 1);
	ck_assert_str_eq(line + strlen(SERIAL) + 1, words);
	stderr_begin(&said);
	words[room] = 'w';
	snprintf(wanted, sizeof(wanted), "lunette: error: --append: has %zu characters; there is "
		 "room for %zu, behind lunette's own words\n", room + 1, room);
	check_error(wanted);
}
END_TEST

START_TEST(far_too_many_words)
{
	static char words[3 * CMDLINE_MAX];
	char wanted[200];

	memset(words, 'w', sizeof(words) - 1);
	append(words);
	append("one");
	append(words);
	snprintf(wanted, sizeof(wanted), "lunette: error: --append: has %zu characters; there is "
		 "room for %zu, behind lunette's own words\n", 2 * strlen(words) + 5,
		 CMDLINE_MAX - 1 - strlen(SERIAL) - 1);
	check_error(wanted);
}
END_TEST

/* --root */

#define NOTE(n, letters)                                                                      \
	"lunette: --root lun:" n ": is /dev/sd" letters " if the guest finds its disks in "   \
	"order; with an initrd it need not\n"

START_TEST(root_on_the_only_disk)
{
	add("virtio-scsi");
	add(DISK ",lun=7");
	cfg.root = "lun:7";
	check(SERIAL " root=/dev/sda lunette.root=lun:7");
}
END_TEST

START_TEST(root_on_one_of_several)
{
	add("virtio-scsi");
	add(DISK);
	add("scsi-cd");
	add(DISK); /* a CD-ROM is no sd */
	cfg.root = "lun:2";
	check_said(SERIAL " root=/dev/sdb lunette.root=lun:2", NOTE("2", "b"));
}
END_TEST

START_TEST(root_with_an_initrd)
{
	add("virtio-scsi");
	add(DISK);
	add(DISK);
	cfg.root = "lun:1";
	cfg.initrds.count = 1;
	check(SERIAL " root=/dev/sdb lunette.root=lun:1");
}
END_TEST

/* Virtio disks have letters of their own. */
START_TEST(root_without_scsi)
{
	add("virtio-scsi");
	add(DISK);
	add("virtio-blk,store=null,size=1M");
	add("virtio-blk,store=null,size=1M,id=root");
	ck_assert_int_eq(device_ready_all(&guest.machine.devices), 0);
	cfg.root = "blk:1";
	check(SERIAL " root=/dev/vdb lunette.root=blk:1");
	stderr_begin(&said);
	cfg.root = "blk:2";
	check_error("lunette: error: --root blk:2: there is no such virtio disk; the first is "
		    "blk:0\n");
}
END_TEST

START_TEST(letters_of_disks)
{
	static const struct {
		unsigned lun;
		const char *wanted;
	} examples[] = {
		{ 0, "sda " }, { 25, "sdz " }, { 26, "sdaa " }, { 51, "sdaz " }, { 52, "sdba " },
	};
	char root[16];
	unsigned i;

	add("virtio-scsi");
	for (i = 0; i <= 52; i++)
		add(DISK);
	for (i = 0; i < ARRAY_SIZE(examples); i++) {
		snprintf(root, sizeof(root), "lun:%u", examples[i].lun);
		cfg.root = root;
		ck_assert_int_eq(cmdline_put(&guest, line), 0);
		ck_assert_ptr_nonnull(strstr(line, " root=/dev/"));
		ck_assert_int_eq(strncmp(strstr(line, " root=/dev/") + 11, examples[i].wanted,
					 strlen(examples[i].wanted)), 0);
	}
	stderr_end(&said);
}
END_TEST

/* The image of an archive: init finds it by its serial number. */
START_TEST(root_of_files)
{
	char top[] = "/tmp/lunette-cmdline-XXXXXX", text[100];
	struct files_cfg files = { .root = text };

	ck_assert_ptr_nonnull(mkdtemp(top));
	setenv("XDG_CACHE_HOME", top, 1);
	snprintf(text, sizeof(text), ": >%s/tar", top);
	ck_assert_int_eq(system(text), 0);
	snprintf(text, sizeof(text), "%s/tar", top);
	cfg.root = text;
	cfg.job.files = files_create(&files);
	ck_assert_ptr_nonnull(cfg.job.files);
	check(SERIAL " lunette.root=serial:lunette-root lunette.overlay");
	files_destroy(cfg.job.files);
	snprintf(text, sizeof(text), "rm -r %s", top);
	ck_assert_int_eq(system(text), 0);
}
END_TEST

#define WANTED(root)                                                                          \
	"lunette: error: --root " root ": lun:N is wanted, with the number of a LUN, or blk:N\n"

static const struct {
	const char *root, *said;
} bad_roots[] = {
	{ "", WANTED("") },
	{ "lun:", WANTED("lun:") },
	{ "lun:0x0", WANTED("lun:0x0") },
	{ "lun:-1", WANTED("lun:-1") },
	{ "blk:", WANTED("blk:") },
	{ "blk:a", WANTED("blk:a") },
	{ "/dev/sda", WANTED("/dev/sda") },
	{ "disk", WANTED("disk") },
	{ "lun:1", "lunette: error: --root lun:1: cd is no disk\n" },
	{ "lun:5", "lunette: error: --root lun:5: the first controller has no such LUN at its "
		   "target 0; it has 1, 0\n" },
	{ "lun:99999999999999999999",
	  "lunette: error: --root lun:99999999999999999999: the first controller has no such LUN "
	  "at its target 0; it has 1, 0\n" },
	{ "blk:0", "lunette: error: --root blk:0: there is no such virtio disk; the first is "
		   "blk:0\n" },
};

START_TEST(root_that_makes_no_sense)
{
	add("virtio-scsi");
	add(DISK ",id=disk");
	add("scsi-cd,id=cd");
	cfg.root = bad_roots[_i].root;
	check_error(bad_roots[_i].said);
}
END_TEST

Suite *cmdline_suite(void)
{
	Suite *s = suite_create("cmdline");
	TCase *tc = unit_case(s, "words");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, no_options);
	tcase_add_test(tc, console_hvc);
	tcase_add_test(tc, a_command);
	tcase_add_test(tc, net_words_by_kind);
	tcase_add_test(tc, appended_words);
	tcase_add_test(tc, nothing_appended);
	tcase_add_test(tc, all_together);
	tcase_add_test(tc, room_for_words);
	tcase_add_test(tc, far_too_many_words);

	tc = unit_case(s, "root");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, root_on_the_only_disk);
	tcase_add_test(tc, root_on_one_of_several);
	tcase_add_test(tc, root_with_an_initrd);
	tcase_add_test(tc, root_without_scsi);
	tcase_add_test(tc, letters_of_disks);
	tcase_add_test(tc, root_of_files);
	tcase_add_loop_test(tc, root_that_makes_no_sense, 0, ARRAY_SIZE(bad_roots));
	return s;
}

UNIT_MAIN(cmdline_suite)
