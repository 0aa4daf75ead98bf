/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"
#include "vmm/run/files/files.h"

Suite *files_suite(void);

static char top[64];
static struct stderr_text said;
static const char *shares[40];
static struct files_cfg cfg;
static struct files *f;
static int by_signal;

/* A tool that makes an empty image. */
static void set_up(void)
{
	char line[300];

	snprintf(top, sizeof(top), "/tmp/lunette-files-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	snprintf(line, sizeof(line),
		 "mkdir bin a 'a:b' c && "
		 "printf '#!/bin/sh\\nfor a; do [ $a = . ] || i=$a; done; : >$i\\n' "
		 ">bin/mkfs.erofs && chmod 755 bin/*");
	ck_assert_int_eq(system(line), 0);
	snprintf(line, sizeof(line), "%s/bin:/usr/bin:/bin", top);
	setenv("PATH", line, 1);
	setenv("PWD", top, 1);
	snprintf(line, sizeof(line), "%s/ca,che", top);
	setenv("XDG_CACHE_HOME", line, 1);
	claims_destroy(cfg.claims);
	cfg = (struct files_cfg){ .shares = { shares, 0 }, .out_limit = MIB(1),
				  .claims = claims_create(false) };
}

static void tear_down(void)
{
	char command[100];

	files_destroy(f);
	f = NULL;
	snprintf(command, sizeof(command), "rm -r %s", top);
	ck_assert_int_eq(system(command), 0);
}

static int create(void)
{
	stderr_begin(&said);
	f = files_create(&cfg);
	stderr_end(&said);
	return f ? 0 : -errno;
}

static void share(const char *text)
{
	shares[cfg.shares.count++] = text;
}

START_TEST(nothing)
{
	ck_assert_int_eq(create(), 0);
	ck_assert_ptr_null(files_disk(f, 0));
	ck_assert_ptr_null(files_record(f, 0));
	ck_assert_ptr_null(files_cwd(f));
	files_heard_out(f, 1);
	ck_assert_int_eq(files_collect(f, 0, &by_signal), 0);
	ck_assert_ptr_null(files_record(NULL, 0)); /* no files at all */
	ck_assert_ptr_null(files_disk(NULL, 0));
	ck_assert_ptr_null(files_cwd(NULL));
	ck_assert_int_eq(files_collect(NULL, 0, &by_signal), 0);
}
END_TEST

/* A disk of its own, of which there is no record; those of --share are what they are without it. */
START_TEST(root)
{
	cfg.root = "a";
	share("c:/c");
	ck_assert_msg(create() == 0, "%s", said.text);
	ck_assert_ptr_nonnull(strstr(files_root_disk(f), "/ca,,che/lunette/share/root-"));
	ck_assert_ptr_nonnull(strstr(files_root_disk(f), ".erofs,serial=lunette-root,readonly=on"));
	ck_assert_ptr_null(files_oci(f));
	ck_assert_ptr_nonnull(strstr(files_disk(f, 0), "serial=lunette-share0"));
	ck_assert_ptr_null(files_disk(f, 1));
	files_destroy(f);
	cfg.root = "lun:0"; /* a disk of the user's */
	ck_assert_int_eq(create(), 0);
	ck_assert_ptr_null(files_root_disk(f));
	ck_assert_ptr_null(files_root_disk(NULL));
	ck_assert_ptr_null(files_oci(NULL));
	files_destroy(f);
	cfg.root = "oci:none";
	ck_assert_int_eq(create(), -EIO);
	ck_assert_str_eq(said.text, "lunette: error: --root oci:none: none: No such file or "
			 "directory\n");
}
END_TEST

/* What is said, and where that is in the guest; %: the folder of the test. */
static const struct {
	const char *text, *path;
} places[] = {
	{ "a:/there", "/there" },
	{ "a:b:/there", "/there" },
	{ "a:b", "%/a:b" },
	{ ".", "%" },
	{ "a", "%/a" },
	{ "a/", "%/a" },
	{ "a/../c", "%/c" },
};

START_TEST(place)
{
	char wanted[200];

	share(places[_i].text);
	ck_assert_msg(create() == 0, "%s", said.text);
	snprintf(wanted, sizeof(wanted), "%s%s", places[_i].path[0] == '%' ? top : "",
		 places[_i].path + (places[_i].path[0] == '%'));
	ck_assert_str_eq(files_cwd(f), wanted);
	ck_assert_ptr_nonnull(strstr(files_record(f, 0), "mount=lunette-share0:"));
	ck_assert_str_eq(strchr(files_record(f, 0), ':') + 1, wanted);
	ck_assert_ptr_nonnull(strstr(files_disk(f, 0), "/ca,,che/lunette/share/"));
	ck_assert_ptr_nonnull(strstr(files_disk(f, 0), ",serial=lunette-share0,readonly=on"));
}
END_TEST

START_TEST(several_have_no_place_to_be)
{
	share("a:/x");
	share("c:/y");
	ck_assert_int_eq(create(), 0);
	ck_assert_ptr_null(files_cwd(f));
	ck_assert_str_eq(files_record(f, 1), "mount=lunette-share1:/y");
	ck_assert_ptr_null(files_record(f, 2));
}
END_TEST

START_TEST(mistakes)
{
	unsigned i;

	share("none");
	ck_assert_int_eq(create(), -ENOENT);
	ck_assert_ptr_nonnull(strstr(said.text, "--share none: No such file"));
	shares[0] = "a:/";
	ck_assert_int_eq(create(), -EUSAGE);
	cfg.shares.count = 0;
	cfg.out = "a:/";
	ck_assert_int_eq(create(), -EUSAGE);
	cfg.out = "bin/mkfs.erofs/none";
	ck_assert_int_eq(create(), -ENOTDIR);
	ck_assert_ptr_nonnull(strstr(said.text, "--out bin/mkfs.erofs/none: "));
	cfg.out = NULL;
	for (i = 0; i < FILES_SHARES_MAX + 1; i++)
		share("a:/x");
	ck_assert_int_eq(create(), -EUSAGE);
}
END_TEST

/* Two folders, and results: which places they may have. */
static const struct {
	const char *one, *two, *out, *says; /* NULL: none; it is fine */
} both[] = {
	{ "a:/x", "c:/y", NULL, NULL },
	{ "a:/x", "a:/y", NULL, NULL },
	{ "a:/x", "c:/x/y", NULL, NULL },
	{ "a:/x/y", "c:/x", NULL, NULL },
	{ "a:/x", "c:/xy", "new", NULL },
	{ "a:/x", NULL, "new:/x/out", NULL },
	{ "a:/x", "c:/x", NULL, "--share c:/x: /x: another folder is there" },
	{ "a:/x", "c://x/.", NULL, "another folder is there" },
	{ "a", "a", NULL, "another folder is there" },
	{ "a:/out", NULL, "new", "--out new: /out: another folder is there" },
	{ "a:/x", "c:/out/c", "new", "--share c:/out/c: /out/c: what is in --out's folder" },
	{ "a:/x", NULL, "new:/", "--out new:/: /: the guest has files of its own there" },
	{ "a:/proc/x", NULL, "new", "--share a:/proc/x: /proc/x: the guest has files of its own" },
	{ "a:/x", "c:/x/../../usr", NULL, "'..'" },
	{ "/usr/bin", NULL, NULL, "; another PATH: --share DIR:PATH" },
	{ "", NULL, NULL, "DIR is missing" },
	{ ":/x", NULL, NULL, "DIR is missing" },
	{ "a:/x", NULL, "", "--out : DIR is missing" },
	{ "a:/x", NULL, ":/out", "--out :/out: DIR is missing" },
};

START_TEST(places_of_both)
{
	share(both[_i].one);
	if (both[_i].two)
		share(both[_i].two);
	cfg.out = both[_i].out;
	ck_assert_msg(create() == (both[_i].says ? -EUSAGE : 0), "%s", said.text);
	ck_assert_msg(!both[_i].says || strstr(said.text, both[_i].says), "%s", said.text);
	if (both[_i].says) { /* before anything is made */
		ck_assert_ptr_null(strchr(strchr(said.text, '\n') + 1, '\n'));
		ck_assert_int_ne(access("ca,che", F_OK), 0);
		ck_assert_int_ne(access("new", F_OK), 0);
	}
}
END_TEST

START_TEST(outer_first)
{
	share("a:/x/y/z");
	share("c:/x");
	share("bin:/x/y");
	cfg.out = "new:/o";
	ck_assert_msg(create() == 0, "%s", said.text);
	ck_assert_str_eq(files_record(f, 0), "mount=lunette-share1:/x");
	ck_assert_str_eq(files_record(f, 1), "mount=lunette-share2:/x/y");
	ck_assert_str_eq(files_record(f, 2), "mount=lunette-share0:/x/y/z");
	ck_assert_str_eq(files_record(f, 3), "out=lunette-out:/o");
	ck_assert_ptr_nonnull(strstr(files_disk(f, 0), "lunette-share0"));
	ck_assert_ptr_nonnull(strstr(files_disk(f, 2), "lunette-share2"));
}
END_TEST

/* In place of virtiofsd, which serves folders that are live. */
static void serve(const char *says)
{
	char line[400];

	snprintf(line, sizeof(line), "printf '#!/bin/sh\\n%s\\n%s\\n' >bin/virtiofsd && "
		 "chmod 755 bin/virtiofsd", says,
		 "[ \"$1\" = --help ] || echo Waiting for vhost-user >&2; "
		 "[ \"$1\" = --help ] || exec sleep 1000");
	ck_assert_int_eq(system(line), 0);
}

static void nobody_ends(void *arg)
{
	(void)arg;
	ck_abort();
}

/* A device of its own, and no disk; what is a copy stays one. */
START_TEST(live)
{
	struct loop *loop = loop_create("test");

	serve("echo --shared-dir");
	share("a:/x/y,live=on");
	share("c:/x,live=on,rw=on");
	share("bin:/z");
	ck_assert_ptr_null(files_device(NULL, 0));
	if (create() < 0) {
		ck_assert_msg(strstr(said.text, "user namespaces are wanted"), "%s", said.text);
		loop_destroy(loop);
		return;
	}
	ck_assert_str_eq(said.text, "");
	ck_assert_str_eq(files_record(f, 0), "live=lunette-share1:/x");
	ck_assert_str_eq(files_record(f, 1), "mount=lunette-share2:/z");
	ck_assert_str_eq(files_record(f, 2), "seen=lunette-share0:/x/y");
	ck_assert_ptr_nonnull(strstr(files_disk(f, 0), "serial=lunette-share2"));
	ck_assert_ptr_null(files_disk(f, 1));
	ck_assert_ptr_nonnull(strstr(files_device(f, 0), ",tag=lunette-share0,by="));
	ck_assert_ptr_nonnull(strstr(files_device(f, 0), "/a (to be read),, in"));
	ck_assert_ptr_nonnull(strstr(files_device(f, 1), ",tag=lunette-share1,by="));
	ck_assert_ptr_null(files_device(f, 2));
	ck_assert_int_eq(files_watch(f, loop, nobody_ends, NULL), 0);
	loop_round(loop);
	files_unwatch(f);
	loop_destroy(loop);
}
END_TEST

START_TEST(live_that_cannot_be)
{
	serve("echo something else");
	share("a:/x,live=on");
	ck_assert_int_eq(create(), 0);
	ck_assert_ptr_nonnull(strstr(said.text, "lunette: warning: --share a: the guest gets a "
				     "copy, and not the folder itself: "));
	ck_assert_ptr_nonnull(strstr(said.text, "/bin/virtiofsd is no virtiofsd that serves"));
	ck_assert_str_eq(files_record(f, 0), "mount=lunette-share0:/x");
	ck_assert_ptr_null(files_device(f, 0));
	files_destroy(f);
	shares[0] = "a:/x,live=on,rw=on";
	ck_assert_int_eq(create(), -EPROTO);
	ck_assert_ptr_nonnull(strstr(said.text, "lunette: error: --share a: rw=on: "));
	shares[0] = "none,live=on";
	ck_assert_int_eq(create(), -ENOENT);
	ck_assert_str_eq(said.text, "lunette: error: --share none,live=on: No such file or "
			 "directory\n");
}
END_TEST

static void write_archive(const char *command)
{
	char line[300];

	/* The disk is a file of this process. */
	snprintf(line, sizeof(line), "%s | dd of=$(echo '%s' | sed 's/,.*//;s/self/%d/') "
		 "conv=notrunc 2>/dev/null", command, files_disk(f, 0), (int)getpid());
	ck_assert_int_eq(system(line), 0);
}

START_TEST(results)
{
	char text[16] = "";
	struct stat st;
	FILE *in;

	cfg.out = "new:/var/out";
	ck_assert_msg(create() == 0, "%s", said.text);
	ck_assert_str_eq(files_record(f, 0), "out=lunette-out:/var/out");
	ck_assert_int_eq(stat("new", &st), 0);
	write_archive("cd a && echo result >file && tar -b 1 -cf - .");
	stderr_begin(&said);
	files_heard_out(f, 5); /* ., file, its data, the end */
	ck_assert_int_eq(files_collect(f, 0, &by_signal), 0);
	ck_assert_str_eq(stderr_end(&said), "");
	in = fopen("new/file", "r");
	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), in));
	fclose(in);
	ck_assert_str_eq(text, "result\n");
}
END_TEST

START_TEST(results_that_come_too_late)
{
	cfg.out = "new";
	ck_assert_int_eq(create(), 0);
	write_archive("cd a && echo result >file && tar -b 1 -cf - .");
	stderr_begin(&said);
	files_heard_out(f, 5);
	ck_assert_int_eq(files_collect(f, 1, &by_signal), -ETIMEDOUT); /* ms since the boot */
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--out new: its time is over"));
}
END_TEST

START_TEST(results_that_do_not_come)
{
	cfg.out = "new";
	ck_assert_int_eq(create(), 0);
	stderr_begin(&said);
	ck_assert_int_eq(files_collect(f, 0, &by_signal), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "--out new: nothing: "));
	files_heard_lost(f);
	stderr_begin(&said);
	ck_assert_int_eq(files_collect(f, 0, &by_signal), -EIO);
	stderr_end(&said);
	files_heard_out(f, ~0u); /* more than there can be */
	stderr_begin(&said);
	ck_assert_int_eq(files_collect(f, 0, &by_signal), -EIO);
	stderr_end(&said);
}
END_TEST

Suite *files_suite(void)
{
	Suite *s = suite_create("files");
	TCase *tc = unit_case(s, "files");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, nothing);
	tcase_add_test(tc, root);
	tcase_add_loop_test(tc, place, 0, ARRAY_SIZE(places));
	tcase_add_test(tc, several_have_no_place_to_be);
	tcase_add_test(tc, mistakes);
	tcase_add_loop_test(tc, places_of_both, 0, ARRAY_SIZE(both));
	tcase_add_test(tc, outer_first);
	tcase_add_test(tc, live);
	tcase_add_test(tc, live_that_cannot_be);
	tcase_add_test(tc, results);
	tcase_add_test(tc, results_that_come_too_late);
	tcase_add_test(tc, results_that_do_not_come);
	return s;
}

UNIT_MAIN(files_suite)
