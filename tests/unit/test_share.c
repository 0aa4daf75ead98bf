/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/log.h"
#include "vmm/run/files/share.h"

Suite *share_suite(void);

static char top[64], src[80];
static struct stderr_text said;

static char *under(const char *name)
{
	static char path[4][300];
	static unsigned next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[0]), "%s/%s", top, name);
	return path[next];
}

static void run(const char *command)
{
	char line[400];

	snprintf(line, sizeof(line), "cd %s && %s", top, command);
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* top/bin/mkfs.erofs stands for the tool: it puts names and contents together. */
static void set_up(void)
{
	char path[200];
	FILE *tool;

	snprintf(top, sizeof(top), "/tmp/lunette-share-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(src, sizeof(src), "%s/src", top);
	run("mkdir bin src src/sub && echo one >src/file && ln -s file src/link");
	tool = fopen(under("bin/mkfs.erofs"), "w");
	ck_assert_ptr_nonnull(tool);
	fprintf(tool, "#!/bin/sh\n"
		      "echo \"$@\" >>%s/calls; ls -l /proc/self/fd >%s/fds\n"
		      "for arg; do [ \"$arg\" = . ] || image=$arg; done\n"
		      "[ ! -e %s/hook ] || . %s/hook\n"
		      "cat file sub/* >$image 2>/dev/null; :\n", top, top, top, top);
	fclose(tool);
	ck_assert_int_eq(chmod(under("bin/mkfs.erofs"), 0755), 0);
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", under("bin"));
	setenv("PATH", path, 1);
	setenv("XDG_CACHE_HOME", under("cache"), 1);
	log_set_level(LOG_INFO);
}

static void tear_down(void)
{
	char command[100];

	snprintf(command, sizeof(command), "/bin/rm -r %s", top);
	ck_assert_int_eq(system(command), 0);
}

static char *image(void)
{
	char *path;

	stderr_begin(&said);
	path = share_image("--share", src, false);
	stderr_end(&said);
	return path;
}

static unsigned calls(void)
{
	FILE *in = fopen(under("calls"), "r");
	unsigned n = 0;
	int c;

	while (in && (c = fgetc(in)) != EOF)
		n += c == '\n';
	if (in)
		fclose(in);
	return n;
}

static void has(const char *path, const char *wanted)
{
	char text[100] = "";
	FILE *in = fopen(path, "r");

	ck_assert_ptr_nonnull(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = 0;
	fclose(in);
	ck_assert_str_eq(text, wanted);
}

START_TEST(made_once)
{
	char *first = image(), *second;

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(strstr(said.text, "made in"));
	has(first, "one\n");
	second = image();
	ck_assert_str_eq(first, second);
	ck_assert_str_eq(said.text, "");
	ck_assert_uint_eq(calls(), 1);
	free(first);
	free(second);
}
END_TEST

/* What has to make another image, each in the same moment as the one before. */
static const char *const changes[] = {
	"echo two >src/file",
	"printf x >>src/file",
	"echo one >src/file", /* the same again; but who knows */
	"echo two >new && touch -r src/file new && cat new >src/file && touch -r new src/file",
	"chmod 600 src/file",
	"mv src/file src/other",
	"touch src/sub/new",
	"rm src/link",
	"ln -sf other src/link",
	"ln src/file src/hard",
	"cp -p src/file src/copy && mv src/copy src/file",
	"mkdir src/sub/sub",
};

START_TEST(every_change_counts)
{
	char *first = image(), *second;

	run(changes[_i]);
	second = image();
	ck_assert_ptr_nonnull(second);
	ck_assert_str_ne(first, second);
	ck_assert_uint_eq(calls(), 2);
	free(first);
	free(second);
}
END_TEST

START_TEST(reading_is_no_change)
{
	char *first = image(), *second;

	run("cat src/file src/link >/dev/null; ls -l src >/dev/null; touch -a src/file");
	second = image();
	ck_assert_ptr_nonnull(second);
	free(first);
	free(second);
}
END_TEST

static unsigned entries(const char *end)
{
	DIR *dir = opendir(under("cache/lunette/share"));
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		const char *at = strstr(e->d_name, end);

		n += at && !at[strlen(end)];
	}
	closedir(dir);
	return n;
}

START_TEST(changes_while_it_is_read)
{
	char *path;

	run("echo '[ -e ../once ] || date +%N >file; : >../once' >hook");
	path = image();
	ck_assert_ptr_nonnull(path); /* the second time */
	ck_assert_uint_eq(calls(), 2);
	free(path);
	run("echo 'date +%N >file' >hook; echo x >src/file");
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, "changes while it is read"));
	ck_assert_uint_eq(entries(".erofs"), 1);
	ck_assert_uint_eq(entries(".tmp"), 0);
}
END_TEST

START_TEST(tool_fails)
{
	run("echo 'echo first >&2; echo it is full >&2; exit 3' >hook");
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, ": it is full\n"));
	ck_assert_uint_eq(entries(".erofs") + entries(".tmp"), 0);
	setenv("PATH", "/nowhere", 1);
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, "'apt-get install erofs-utils'"));
}
END_TEST

/* What mkfs.erofs of Debian 12 has to say, with which status, and what that becomes. */
static const struct {
	const char *hook, *says; /* NULL: it is a success */
} complaints[] = {
	{ "echo '<E> erofs: 	Could not format the device : [Error 28] No space left on "
	  "device' >&2; exit 1", ".erofs.tmp: No space left on device\n" },
	{ "echo '<E> erofs_io: Failed to write data into device - x:[1, 2].' >&2",
	  ".erofs.tmp: <E> erofs_io: Failed to write" },
	{ "echo '<W> erofs: odd' >&2", NULL },
	{ "kill -9 $$", "mkfs.erofs cannot make " },
};

START_TEST(tool_complains)
{
	char *path;
	FILE *hook = fopen(under("hook"), "w");

	fprintf(hook, "%s\n", complaints[_i].hook);
	fclose(hook);
	path = image();
	ck_assert_msg(!path == !!complaints[_i].says, "%s", said.text);
	if (complaints[_i].says)
		ck_assert_msg(strstr(said.text, complaints[_i].says), "%s", said.text);
	free(path);
}
END_TEST

/* Holes that are worth it have all compressed; no other file has. */
static const struct {
	const char *change;
	bool compressed;
} sizes[] = {
	{ "truncate -s 6G src/hole", true },
	{ "truncate -s 2M src/sub/hole", true },
	{ "echo x >src/sub/f; truncate -s 3M src/sub/f", true },
	{ "truncate -s 100K src/hole", false },
	{ "head -c 3000000 /dev/zero >src/zeroes; sync src/zeroes", false },
	{ "head -c 3000000 /dev/urandom >src/data; sync src/data", false },
};

START_TEST(holes)
{
	run(sizes[_i].change);
	free(image());
	ck_assert_uint_eq(calls(), 1);
	run(sizes[_i].compressed ? "grep -q -e ' -zlz4 -C65536 ' calls" :
				   "! grep -q -e ' -z' calls");
}
END_TEST

START_TEST(file_that_cannot_be_read)
{
	run("chmod 777 . && echo x >src/sub/secret && chmod 0 src/sub/secret");
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, "/src/sub/secret: Permission denied\n"));
	ck_assert_int_eq(seteuid(getuid()), 0);
	ck_assert_uint_eq(calls(), 0);
}
END_TEST

START_TEST(tool_inherits_nothing)
{
	char text[2000] = "";
	int fd = open("/dev/zero", O_RDONLY);
	FILE *in;

	free(image());
	close(fd);
	in = fopen(under("fds"), "r");
	ck_assert_ptr_nonnull(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = 0;
	fclose(in);
	ck_assert_ptr_nonnull(strstr(text, "0 -> /dev/null"));
	ck_assert_ptr_null(strstr(text, "/dev/zero"));
}
END_TEST

static void set_used(const char *name, time_t ago)
{
	struct timespec used = { .tv_sec = time(NULL) - ago }, times[2] = { used, used };

	ck_assert_int_eq(utimensat(AT_FDCWD, under(name), times, 0), 0);
}

START_TEST(old_ones_go)
{
	free(image());
	run("cd cache/lunette/share && : >old.erofs && : >young.erofs && : >left.erofs.tmp");
	set_used("cache/lunette/share/old.erofs", 31 * 86400);
	set_used("cache/lunette/share/young.erofs", 29 * 86400);
	run("echo two >src/file");
	free(image());
	ck_assert_int_ne(access(under("cache/lunette/share/old.erofs"), F_OK), 0);
	ck_assert_int_eq(access(under("cache/lunette/share/young.erofs"), F_OK), 0);
	ck_assert_uint_eq(entries(".tmp"), 0);
	ck_assert_uint_eq(entries(".erofs"), 3);
}
END_TEST

/* The cache may be in the folder, as it is in some CI systems. */
START_TEST(cache_inside)
{
	char *first, *second;

	setenv("XDG_CACHE_HOME", under("src/cache"), 1);
	free(image()); /* makes folders, which is a change */
	first = image();
	second = image();
	ck_assert_str_eq(first, second);
	ck_assert_ptr_nonnull(strstr(first, "/src/cache/lunette/share/"));
	run("grep -q -- --exclude-path=cache/lunette/share calls");
	free(first);
	free(second);
}
END_TEST

START_TEST(what_is_no_folder)
{
	run("rm -r src && echo >src");
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, "Not a directory"));
	run("rm src");
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, "No such file"));
	setenv("XDG_CACHE_HOME", "/dev/null/none", 1);
	run("mkdir src");
	ck_assert_ptr_null(image());
	ck_assert_ptr_nonnull(strstr(said.text, "Not a directory"));
}
END_TEST

Suite *share_suite(void)
{
	Suite *s = suite_create("share");
	TCase *tc = unit_case(s, "share");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, made_once);
	tcase_add_loop_test(tc, every_change_counts, 0, sizeof(changes) / sizeof(changes[0]));
	tcase_add_test(tc, reading_is_no_change);
	tcase_add_test(tc, changes_while_it_is_read);
	tcase_add_test(tc, tool_fails);
	tcase_add_loop_test(tc, tool_complains, 0, sizeof(complaints) / sizeof(complaints[0]));
	tcase_add_loop_test(tc, holes, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tc, file_that_cannot_be_read);
	tcase_add_test(tc, tool_inherits_nothing);
	tcase_add_test(tc, old_ones_go);
	tcase_add_test(tc, cache_inside);
	tcase_add_test(tc, what_is_no_folder);
	return s;
}

UNIT_MAIN(share_suite)
