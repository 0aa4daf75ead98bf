/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/run/run.h"

Suite *run_words_suite(void);

static struct claims *l;
static struct stderr_text said;
static char dir[64];
static int folder;

static void make(const char *name)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lunette-words-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	folder = open(dir, O_RDONLY | O_DIRECTORY);
	make("disk");
	make("a=b,c:d");
	make("key");
	l = claims_create(false);
}

static void tear_down(void)
{
	char command[100];

	claims_destroy(l);
	close(folder);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static const struct {
	const char *output, *word[4];
	int result;
} words[] = {
	{ "disk", { "--disk", "disk" }, -EUSAGE },
	{ "disk", { "--disk=disk" }, -EUSAGE },
	{ "disk", { "--nonsense", "disk,readonly=on" }, -EUSAGE },
	{ "disk", { "--device", "scsi-disk,,,file=disk" }, -EUSAGE },
	{ "disk", { "--device=scsi-disk,id=x,file=disk,lun=3" }, -EUSAGE },
	{ "disk", { "--share", "disk:/x" }, -EUSAGE },
	{ "disk", { "./disk" }, -EUSAGE },
	{ "disk", { "disk,,disk" }, -EUSAGE },
	{ "a=b,c:d", { "--disk", "a=b,c:d" }, -EUSAGE },
	{ "a=b,c:d", { "--disk=a=b,c:d,readonly=on" }, -EUSAGE },
	{ "key", { "--disk", "x,key=1" }, 0 },
	{ "disk", { "--disk", "disks" }, 0 },
	{ "disk", { "", ",", "=,:,=" }, 0 },
	{ "disk", { "--", "disk" }, 0 },
	{ "disk", { "--json", "disk" }, 0 },
	{ "disk", { "--json=disk", "--junit=disk" }, 0 },
	{ "disk", { "--junit", "disk", "disk" }, -EUSAGE },
	{ "disk", { "--junit" }, 0 },
};

START_TEST(files_of_words)
{
	char path[100];
	struct claim *c;

	snprintf(path, sizeof(path), "%s/%s", dir, words[_i].output);
	ck_assert_int_ge(claim_replace(l, "--json x", path, &c), 0);
	stderr_begin(&said);
	ck_assert_int_eq(run_spare_words(l, folder, (char *const *)words[_i].word),
			 words[_i].result);
	ck_assert_int_eq(!!*stderr_end(&said), !!words[_i].result);
	ck_assert_int_eq(claim_refused(c), !!words[_i].result);
}
END_TEST

/* Both reports hear of it. */
START_TEST(all_words)
{
	char *argv[] = { "disk", "key", NULL }, path[100];
	struct claim *c[2];

	snprintf(path, sizeof(path), "%s/disk", dir);
	ck_assert_int_ge(claim_replace(l, "--json x", path, &c[0]), 0);
	snprintf(path, sizeof(path), "%s/key", dir);
	ck_assert_int_ge(claim_replace(l, "--junit x", path, &c[1]), 0);
	stderr_begin(&said);
	ck_assert_int_eq(run_spare_words(l, folder, argv), -EUSAGE);
	stderr_end(&said);
	ck_assert(claim_refused(c[0]) && claim_refused(c[1]));
}
END_TEST

START_TEST(copied)
{
	char *argv[] = { "run", "--disk=a,b", "", NULL };
	char **copy = run_copy_words(3, argv);
	unsigned i;

	for (i = 0; i < 3; i++) {
		ck_assert_str_eq(copy[i], argv[i]);
		ck_assert_ptr_ne(copy[i], argv[i]);
	}
	ck_assert_ptr_null(copy[3]);
	copy[1][0] = 0;
	ck_assert_str_eq(argv[1], "--disk=a,b");
	run_free_words(copy);
	run_free_words(NULL);
}
END_TEST

Suite *run_words_suite(void)
{
	Suite *s = suite_create("run_words");
	TCase *tc = unit_case(s, "run_words");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, files_of_words, 0, sizeof(words) / sizeof(*words));
	tcase_add_test(tc, all_words);
	tcase_add_test(tc, copied);
	return s;
}

UNIT_MAIN(run_words_suite)
