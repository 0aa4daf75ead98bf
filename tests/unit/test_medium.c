/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/fault.h"
#include "devices/medium.h"
#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *medium_suite(void);


static struct testbed tb;
static struct stderr_text said;
static char dir[64], image[80];
static struct medium m;
static struct medium_cfg cfg;

static void set_up(void)
{
	int fd;

	snprintf(dir, sizeof(dir), "/tmp/lunette-medium-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/a.img", dir);
	fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, MIB(1)), 0);
	close(fd);
	testbed_init(&tb);
	cfg = (struct medium_cfg){ .file = image, .store = "file", .overlay = OVERLAY_OFF,
				   .on_enospc = FULL_AS_RUN };
	stderr_begin(&said);
}

static void tear_down(void)
{
	char command[100];

	medium_fini(&m);
	testbed_fini(&tb);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static int init(uint32_t block_size, bool may_be_empty)
{
	return medium_init(&m, &tb.p, "d0", &cfg, block_size, "--disk", may_be_empty);
}

START_TEST(holds_what_the_settings_say)
{
	cfg.readonly = true;
	ck_assert_int_eq(init(512, false), 0);
	ck_assert_uint_eq(m.block->size, MIB(1));
	ck_assert(m.block->readonly);
	ck_assert(!medium_changes_vanish(&m));
	ck_assert_int_eq(medium_finish(&m), 0);
	stderr_end(&said);
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(may_be_empty)
{
	cfg.file = NULL;
	ck_assert_int_eq(init(2048, true), 0);
	ck_assert_ptr_null(m.block);
	ck_assert_int_eq(medium_finish(&m), 0);
	ck_assert_int_eq(init(512, false), -EUSAGE);
	ck_assert_ptr_null(m.block);
	stderr_end(&said);
	ck_assert_str_eq(said.text, "lunette: error: d0: file= is missing: which image?\n");
}
END_TEST

START_TEST(size_is_a_multiple_of_the_block_size)
{
	char wanted[300];

	ck_assert_int_eq(truncate(image, 5000), 0);
	ck_assert_int_eq(init(4096, false), -EDOM);
	ck_assert_ptr_null(m.block);
	stderr_end(&said);
	snprintf(wanted, sizeof(wanted), "lunette: error: %s: its size, 5000 bytes, is not a "
		 "multiple of the block size, 4096; 8192 would be: 'truncate -s 8192 FILE'\n",
		 image);
	ck_assert_str_eq(said.text, wanted);
}
END_TEST

/* What a disk does not say, the run says; what it says counts. */
static const struct {
	unsigned overlay;
	bool run, commit, readonly;
	const char *store;
	enum block_overlay got;
} overlays[] = {
	{ OVERLAY_AUTO, false, false, false, "file", BLOCK_OVERLAY_NONE },
	{ OVERLAY_AUTO, true, false, false, "file", BLOCK_OVERLAY_DROP },
	{ OVERLAY_AUTO, true, true, false, "file", BLOCK_OVERLAY_COMMIT },
	{ OVERLAY_AUTO, true, false, true, "file", BLOCK_OVERLAY_NONE },
	{ OVERLAY_AUTO, true, false, false, "null", BLOCK_OVERLAY_NONE },
	{ OVERLAY_OFF, true, true, false, "file", BLOCK_OVERLAY_NONE },
	{ OVERLAY_ON, false, false, false, "file", BLOCK_OVERLAY_DROP },
	{ OVERLAY_ON, false, true, false, "file", BLOCK_OVERLAY_COMMIT },
	{ OVERLAY_COMMIT, false, false, false, "file", BLOCK_OVERLAY_COMMIT },
};

START_TEST(overlay_of_the_disk_or_the_run)
{
	cfg.overlay = overlays[_i].overlay;
	cfg.readonly = overlays[_i].readonly;
	cfg.store = overlays[_i].store;
	if (strcmp(cfg.store, "file"))
		cfg.size = MIB(1), cfg.file = NULL;
	tb.p.overlay = overlays[_i].run;
	tb.p.commit = overlays[_i].commit;
	ck_assert_int_eq(init(512, false), 0);
	ck_assert_int_eq(m.how.overlay, overlays[_i].got);
	ck_assert_uint_eq(tb.p.overlays, overlays[_i].got != BLOCK_OVERLAY_NONE);
	ck_assert(medium_changes_vanish(&m) == (overlays[_i].got != BLOCK_OVERLAY_NONE));
	stderr_end(&said);
}
END_TEST

static unsigned heard;

static void hear(struct platform *p)
{
	heard += p == &tb.p;
}

/* Also of a medium that comes later. */
START_TEST(full_or_hanging_disk_of_the_host)
{
	struct block *other;

	tb.p.on_enospc = FULL_STOP;
	tb.p.disk_full = tb.p.disk_hangs = hear;
	ck_assert_int_eq(init(512, false), 0);
	ck_assert_int_eq(m.block->full, FULL_STOP);
	m.block->on_full(m.block->on_full_arg);
	m.block->on_hang(m.block->on_hang_arg);
	ck_assert_uint_eq(heard, 2);
	medium_fini(&m);
	cfg.on_enospc = FULL_REPORT;
	ck_assert_int_eq(init(512, false), 0);
	ck_assert_int_eq(m.block->full, FULL_REPORT);
	medium_fini(&m);
	ck_assert_int_eq(medium_open(&m, image, &other), 0);
	ck_assert_int_eq(other->full, FULL_REPORT);
	block_close(other);
	stderr_end(&said);
}
END_TEST

/* The first rules put another store around the one that is there; without rules it stays. */
START_TEST(fault_comes_when_there_are_rules)
{
	struct block *before;

	ck_assert_int_eq(init(512, false), 0);
	before = m.block;
	ck_assert_int_eq(medium_fault(&m, ""), 0);
	ck_assert_ptr_eq(m.block, before);
	ck_assert_int_eq(medium_fault(&m, "no sense"), -EUSAGE);
	ck_assert_ptr_eq(m.block, before);
	ck_assert_int_eq(medium_fault(&m, "read:error=EIO"), 0);
	ck_assert_ptr_ne(m.block, before);
	ck_assert_ptr_eq(m.block->ops, &block_fault);
	before = m.block;
	ck_assert_int_eq(medium_fault(&m, ""), 0);
	ck_assert_ptr_eq(m.block, before);
	stderr_end(&said);
}
END_TEST

START_TEST(is_kept_in_a_folder)
{
	char path[200];
	struct stat st;
	int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cfg.overlay = OVERLAY_ON;
	tb.p.keep = dir;
	ck_assert_int_eq(init(512, false), 0);
	ck_assert_int_eq(claims_begin(tb.p.claims), 0);
	ck_assert_int_eq(medium_keep(&m, "d0", folder), 0);
	close(folder);
	snprintf(path, sizeof(path), "%s/d0.img", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, MIB(1));
	stderr_end(&said);
	snprintf(path, sizeof(path), "lunette: warning: --keep-on-fail: %s, as the guest has left "
		 "it, is d0.img\n", image);
	ck_assert_str_eq(said.text, path);
}
END_TEST

Suite *medium_suite(void)
{
	Suite *s = suite_create("medium");
	TCase *tc = unit_case(s, "medium");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, holds_what_the_settings_say);
	tcase_add_test(tc, may_be_empty);
	tcase_add_test(tc, size_is_a_multiple_of_the_block_size);
	tcase_add_loop_test(tc, overlay_of_the_disk_or_the_run, 0, ARRAY_SIZE(overlays));
	tcase_add_test(tc, full_or_hanging_disk_of_the_host);
	tcase_add_test(tc, fault_comes_when_there_are_rules);
	tcase_add_test(tc, is_kept_in_a_folder);
	return s;
}

UNIT_MAIN(medium_suite)
