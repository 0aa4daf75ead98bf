/* SPDX-License-Identifier: MIT */
#include "tests/unit/nameless_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/util.h"
#include "vmm/run/files/place.h"

Suite *place_suite(void);

static const struct timespec then = { 1000000000, 5 };
static char top[64];
static int folder;
static struct place *p;

static void run(const char *command)
{
	char line[500];

	snprintf(line, sizeof(line), "cd %s && { %s; }", top, command);
	ck_assert_msg(system(line) == 0, "%s", line);
}

/* top/in is put into; top/out is what must not be reached. */
static const struct timespec epoch;

static void set_up(void)
{
	char name[80];

	snprintf(top, sizeof(top), "/tmp/lunette-place-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	run("mkdir in out && echo safe >out/there");
	snprintf(name, sizeof(name), "%s/in", top);
	folder = open(name, O_RDONLY | O_DIRECTORY);
	p = place_create(folder);
	ck_assert_ptr_nonnull(p);
}

static void tear_down(void)
{
	place_destroy(p);
	p = NULL;
	run("[ $(ls out) = there ] && [ $(cat out/there) = safe ]");
	run("[ -z \"$(find . -name '.lunette-*')\" ]");
	run("rm -r $PWD");
	close(folder);
}

static int put(const char *path, const char *text)
{
	int r = place_begin(p, path, 0644);

	if (r < 0)
		return r;
	ck_assert_int_eq(place_write(p, text, strlen(text), 0), 0);
	return place_commit(p, strlen(text), &then);
}

START_TEST(what_it_is_for)
{
	ck_assert_int_eq(put("a/b/c", "text"), 0);
	ck_assert_uint_eq(place_folders(p), 2);
	ck_assert_int_eq(place_folder(p, "a/d", 0, &then), 0);
	ck_assert_uint_eq(place_folders(p), 3);
	ck_assert_int_eq(place_symlink(p, "a/l", "d", &then), 0);
	ck_assert_int_eq(place_link(p, "h", "a/b/c"), 0);
	place_destroy(p);
	p = NULL;
	run("[ $(cat in/h) = text ] && [ $(readlink in/a/l) = d ]");
	run("[ $(stat -c %Y in/h) = 1000000000 ] && [ $(stat -c %Y in/a/d) = 1000000000 ]");
	run("[ $(stat -c %Y in/a/l) = 1000000000 ] && [ $(stat -c %a in/a/d) = 700 ]");
}
END_TEST

START_TEST(rights) /* within the umask; the owner has all */
{
	umask(027);
	ck_assert_int_eq(place_begin(p, "f", 07777), 0);
	ck_assert_int_eq(place_commit(p, 0, &then), 0);
	ck_assert_int_eq(place_begin(p, "g", 0), 0);
	ck_assert_int_eq(place_commit(p, 0, &then), 0);
	ck_assert_int_eq(place_folder(p, "d", 07777, &then), 0);
	run("[ $(stat -c %a in/f in/g in/d | tr -d '\\n') = 750600750 ]");
}
END_TEST

START_TEST(dropped)
{
	run("echo old >in/f");
	ck_assert_int_eq(place_begin(p, "f", 0644), 0);
	ck_assert_int_eq(place_write(p, "new", 3, 0), 0);
	place_drop(p);
	ck_assert_int_eq(place_begin(p, "f", 0644), 0);
	place_destroy(p); /* as if nothing had been begun */
	p = NULL;
	run("[ $(cat in/f) = old ]");
}
END_TEST

/* The names of a file are whole at any time: one who looks has the old one or the new one. */
START_TEST(open_by_another)
{
	char text[8] = "";
	int fd;

	run("echo old >in/f && ln in/f in/other");
	fd = openat(folder, "f", O_RDONLY);
	ck_assert_int_eq(put("f", "new"), 0);
	ck_assert_int_eq(read(fd, text, sizeof(text) - 1), 4);
	ck_assert_str_eq(text, "old\n");
	close(fd);
	run("[ $(cat in/other) = old ] && [ $(cat in/f) = new ]");
}
END_TEST

/* Between two calls somebody exchanges what has just been made. */
static const struct {
	const char *change; /* in top */
	int r;
} changes[] = {
	{ "mv in/d in/e && ln -s ../out in/d", -ELOOP },
	{ "mv in/d in/e && ln -s e in/d", -ELOOP },
	{ "rm -r in/d && : >in/d", -ENOTDIR },
	{ "rm -r in/d && mkfifo in/d", -ENOTDIR },
	{ "rm -r in/d", 0 }, /* is made again */
};

START_TEST(exchanged)
{
	ck_assert_int_eq(put("d/f", "1"), 0);
	run(changes[_i].change);
	ck_assert_int_eq(put("d/there", "2"), changes[_i].r);
	ck_assert_int_eq(place_symlink(p, "d/l", "x", &then), changes[_i].r);
	ck_assert_int_eq(place_folder(p, "d/sub", 0755, &then), changes[_i].r);
	ck_assert_int_eq(place_link(p, "h", "d/f"), changes[_i].r ? changes[_i].r : -ENOENT);
}
END_TEST

START_TEST(moved_while_it_is_written) /* it goes where its folder went */
{
	ck_assert_int_eq(place_begin(p, "d/f", 0644), 0);
	run("mv in/d in/e && ln -s ../out in/d");
	ck_assert_int_eq(place_commit(p, 0, &then), 0);
	run("[ -f in/e/f ]");
}
END_TEST

START_TEST(files_with_names_from_the_first) /* and nothing of those is left; see tear_down() */
{
	forbid_nameless_files();
	run("echo old >in/f && ln in/f in/other");
	ck_assert_int_eq(put("f", "new"), 0);
	ck_assert_int_eq(place_link(p, "d/h", "f"), 0);
	run("[ $(cat in/other) = old ] && [ $(cat in/f in/d/h | tr -d '\\n') = newnew ]");
	run("mkdir in/e");
	ck_assert_int_eq(put("e", "x"), -EISDIR);
	ck_assert_int_eq(place_begin(p, "g", 0644), 0);
	run("[ ! -e in/g ] && [ -e in/.lunette-* ]");
	place_drop(p);
	ck_assert_int_eq(place_begin(p, "g", 0644), 0);
	place_destroy(p);
	p = NULL;
	run("[ ! -e in/g ]");
}
END_TEST

START_TEST(links_to_our_own_files)
{
	ck_assert_int_eq(put("f", "1"), 0);
	run("echo >in/theirs && ln -s f in/l && mkdir in/d && ln out/there in/linked");
	ck_assert_int_eq(place_link(p, "h", "f"), 0);
	ck_assert_int_eq(place_link(p, "h", "f"), 0);
	ck_assert_int_eq(place_link(p, "f", "h"), 0);
	ck_assert_int_eq(place_link(p, "h", "theirs"), -ENOENT);
	ck_assert_int_eq(place_link(p, "h", "linked"), -ENOENT);
	ck_assert_int_eq(place_link(p, "h", "l"), -ENOENT);
	ck_assert_int_eq(place_link(p, "h", "d"), -ENOENT);
	ck_assert_int_eq(place_link(p, "h", "none"), -ENOENT);
	ck_assert_int_eq(place_link(p, "h", "no/ne"), -ENOENT);
	ck_assert_int_eq(place_link(p, "h", "../out/there"), -EXDEV);
	run("echo 2 >in/new && mv in/new in/f"); /* another one of that name */
	ck_assert_int_eq(place_link(p, "h", "f"), -ENOENT);
	run("[ ! -e in/no ] && [ $(stat -c %h out/there) = 2 ]");
}
END_TEST

START_TEST(many_files) /* each of them is known */
{
	char name[16];
	unsigned i;

	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(put(name, "x"), 0);
	}
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ck_assert_int_eq(place_link(p, "h", name), 0);
	}
}
END_TEST

START_TEST(holes)
{
	struct stat st;

	ck_assert_int_eq(place_begin(p, "f", 0644), 0);
	ck_assert_int_eq(place_write(p, "x", 1, GIB(3)), 0);
	ck_assert_int_eq(place_commit(p, GIB(6), &then), 0);
	ck_assert_int_eq(fstatat(folder, "f", &st, 0), 0);
	ck_assert_uint_eq(st.st_size, GIB(6));
	ck_assert_int_le(st.st_blocks, 128);
}
END_TEST

START_TEST(no_room_for_it)
{
	run("mkdir in/d && echo kept >in/d/f");
	ck_assert_int_eq(put("d", "x"), -EISDIR);
	ck_assert_int_eq(place_symlink(p, "d", "x", &then), -EISDIR);
	ck_assert_int_eq(place_begin(p, "f", 0644), 0);
	ck_assert_int_lt(place_commit(p, UINT64_MAX, &then), 0); /* no file is as large */
	run("[ $(cat in/d/f) = kept ] && [ ! -e in/f ]");
}
END_TEST

static const struct {
	const char *path;
	int r;
} names[] = {
	{ "", -EINVAL }, { ".", -EINVAL }, { "././/", -EINVAL }, { "/", -EXDEV }, { "/x", -EXDEV },
	{ "..", -EXDEV }, { "../x", -EXDEV }, { "x/..", -EXDEV }, { "./../x", -EXDEV },
	{ "...", 0 }, { "..x", 0 }, { "x..", 0 }, { ".x", 0 }, { "x/", 0 }, { " ", 0 }, { "\n", 0 },
	{ "\\", 0 }, { "\377", 0 }, { "./x/./y//z", 0 },
};

START_TEST(one_name)
{
	ck_assert_msg(put(names[_i].path, "x") == names[_i].r, "%s", names[_i].path);
}
END_TEST

START_TEST(long_names)
{
	char name[5000];
	unsigned i;

	memset(name, 'x', sizeof(name));
	name[255] = 0;
	ck_assert_int_eq(put(name, "x"), 0);
	name[255] = 'x';
	name[256] = 0;
	ck_assert_int_eq(put(name, "x"), -ENAMETOOLONG);
	for (i = 0; i < sizeof(name); i++)
		name[i] = i % 100 == 99 ? '/' : 'y';
	name[PLACE_PATH_MAX + 1] = 0;
	ck_assert_int_eq(put(name, "x"), -ENAMETOOLONG);
	ck_assert_uint_eq(place_folders(p), 0);
	name[PLACE_PATH_MAX] = 0;
	ck_assert_int_eq(put(name, "x"), 0);
	ck_assert_uint_eq(place_folders(p), 40);
}
END_TEST

/* A disk that lies in the folder, by whatever name: no file, link or folder takes its place. */
START_TEST(files_of_the_run)
{
	struct claims *l = claims_create(false);
	struct claim *claim;
	int fd;

	run("echo disk >in/disk && mkdir in/a && ln in/disk in/a/hard && ln -s disk in/soft");
	fd = openat(folder, "disk", O_RDONLY);
	ck_assert_int_eq(claim_read(l, "--disk", fd, false, &claim), 0);
	close(fd);
	ck_assert_int_eq(claims_begin(l), 0);
	claim_drop(claim); /* as the machine is gone by now */
	place_spare(p, l);
	ck_assert_int_eq(put("disk", "x"), -EBUSY);
	ck_assert_int_eq(put("a/hard", "x"), -EBUSY);
	ck_assert_int_eq(place_folder(p, "disk", 0755, &epoch), -EBUSY);
	ck_assert_int_eq(place_symlink(p, "disk", "a", &epoch), -EBUSY);
	ck_assert_str_eq(place_why(-EBUSY), "in its place is a disk, or another file of this run");
	ck_assert_int_eq(put("soft", "x"), 0); /* it is a name of its own */
	ck_assert_int_eq(put("b", "x"), 0);
	run("[ $(cat in/disk in/a/hard | tr -d '\\n') = diskdisk ] && [ -f in/soft ]");
	claims_destroy(l);
}
END_TEST

Suite *place_suite(void)
{
	Suite *s = suite_create("place");
	TCase *tc = unit_case(s, "place");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_it_is_for);
	tcase_add_test(tc, rights);
	tcase_add_test(tc, dropped);
	tcase_add_test(tc, open_by_another);
	tcase_add_loop_test(tc, exchanged, 0, ARRAY_SIZE(changes));
	tcase_add_test(tc, moved_while_it_is_written);
	tcase_add_test(tc, files_with_names_from_the_first);
	tcase_add_test(tc, links_to_our_own_files);
	tcase_add_test(tc, many_files);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, no_room_for_it);
	tcase_add_loop_test(tc, one_name, 0, ARRAY_SIZE(names));
	tcase_add_test(tc, long_names);
	tcase_add_test(tc, files_of_the_run);
	return s;
}

UNIT_MAIN(place_suite)
