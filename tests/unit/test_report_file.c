/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/run/report/report_file.h"

Suite *report_file_suite(void);

static char dir[64], path[100];
static struct report_file f;
static struct claims *claims;
static struct stderr_text said;

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lunette-report-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/out", dir);
	claims = claims_create(false);
}

static void tear_down(void)
{
	char command[100];

	report_file_close(&f);
	claims_destroy(claims);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void has(const char *file, const char *wanted)
{
	char text[200] = "";
	FILE *in = fopen(file, "r");

	ck_assert_ptr_nonnull(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = 0;
	fclose(in);
	ck_assert_str_eq(text, wanted);
}

static void put(const char *text)
{
	ck_assert_int_eq(report_file_write(&f, text, strlen(text)), 0);
}

/* Nobody who has the old file open sees it change; and nothing else is in the folder. */
START_TEST(is_replaced)
{
	char old[10] = "";
	int fd;

	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	ck_assert(report_file_is_replaced(&f));
	put("a longer first one");
	fd = open(path, O_RDONLY);
	put("second");
	has(path, "second");
	ck_assert_int_eq(read(fd, old, 8), 8);
	ck_assert_str_eq(old, "a longer");
	close(fd);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
}
END_TEST

START_TEST(a_link_stays_one)
{
	char link[100];
	struct stat st;

	snprintf(link, sizeof(link), "%s/link", dir);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	ck_assert_int_eq(symlink("out", link), 0);
	ck_assert_int_eq(report_file_open(&f, claims, "--json", link), 0);
	put("text");
	ck_assert_int_eq(lstat(link, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	has(path, "text");
}
END_TEST

static void make(const char *name)
{
	char file[200];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	fclose(fopen(file, "w"));
}

static bool is_there(const char *name)
{
	char file[200];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	return access(file, F_OK) == 0;
}

/* A process has no number as high as that. */
START_TEST(rests_of_the_dead_are_removed)
{
	static const char *const others[] = {
		"out.2000000000.partly", "out.2000000000", "out..part", "out.-2.part",
		"out2.2000000000.part", "out.x.part",
	};
	char own[50];
	unsigned i;

	snprintf(own, sizeof(own), "out.%d.part", getppid());
	make(own);
	make("out.2000000000.part");
	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
		make(others[i]);
	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	ck_assert(!is_there("out.2000000000.part"));
	ck_assert(is_there(own));
	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
		ck_assert_msg(is_there(others[i]), "%s", others[i]);
}
END_TEST

START_TEST(fifo)
{
	char text[10] = "";
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	ck_assert(!report_file_is_replaced(&f));
	put("text");
	ck_assert_int_eq(read(fd, text, 9), 4);
	ck_assert_str_eq(text, "text");
	close(fd);
	stderr_begin(&said);
	ck_assert_int_eq(report_file_write(&f, "x", 1), -EPIPE); /* and no signal */
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--json /tmp"));
}
END_TEST

/* What was written by others, by the same descriptor, stays. */
START_TEST(descriptor)
{
	static const char *const names[] = { "/dev/fd/%d", "/proc/self/fd/%d" };
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	unsigned i;
	char name[40];

	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(write(fd, "-", 1), 1);
		snprintf(name, sizeof(name), names[i], fd);
		ck_assert_int_eq(report_file_open(&f, claims, "--json", name), 0);
		ck_assert(!report_file_is_replaced(&f));
		put("text");
		report_file_close(&f);
	}
	has(path, "-text-text");
	close(fd);
}
END_TEST

static void refused(const char *name, int err, const char *why)
{
	stderr_begin(&said);
	ck_assert_int_eq(report_file_open(&f, claims, "--junit", name), err);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, "--junit "), "%s", said.text);
	ck_assert_msg(strstr(said.text, why), "%s", said.text);
}

START_TEST(what_cannot_be_written)
{
	char name[200];

	refused(dir, -EISDIR, "Is a directory");
	refused("/dev/fd/987", -EBADF, "Bad file descriptor");
	snprintf(name, sizeof(name), "%s/none/out", dir);
	refused(name, -ENOENT, "No such file or directory");
}
END_TEST

/* Until it is written it is as it was; if it was not there, it can tell nobody anything wrong. */
START_TEST(is_left_alone)
{
	make("out");
	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	ck_assert(!report_file_is_new(&f));
	report_file_close(&f);
	has(path, "");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	ck_assert(report_file_is_new(&f));
	report_file_close(&f);
	ck_assert(!is_there("out"));
	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	put("kept");
	report_file_close(&f);
	has(path, "kept");
}
END_TEST

/* A disk that is found to be the same one later. */
START_TEST(other_file_of_the_run)
{
	struct claim *claim;
	int fd;

	make("out");
	ck_assert_int_eq(report_file_open(&f, claims, "--json", path), 0);
	fd = open(path, O_RDONLY);
	stderr_begin(&said);
	ck_assert_int_eq(claim_read(claims, "--disk out", fd, false, &claim), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "is the same file as --disk out"));
	put("text");
	has(path, "");
	close(fd);
}
END_TEST

Suite *report_file_suite(void)
{
	Suite *s = suite_create("report_file");
	TCase *tc = unit_case(s, "report_file");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, is_replaced);
	tcase_add_test(tc, a_link_stays_one);
	tcase_add_test(tc, rests_of_the_dead_are_removed);
	tcase_add_test(tc, fifo);
	tcase_add_test(tc, descriptor);
	tcase_add_test(tc, what_cannot_be_written);
	tcase_add_test(tc, is_left_alone);
	tcase_add_test(tc, other_file_of_the_run);
	return s;
}

UNIT_MAIN(report_file_suite)
