#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/files/extract.h"

Suite *extract_suite(void);

#define LIMIT 100000

static char top[64];
static int archive, folder;
static uint64_t size;
static struct stderr_text said;

static char *under(const char *name)
{
	static char path[4][300];
	static unsigned next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[0]), "%s/%s", top, name);
	return path[next];
}

/* top/in is unpacked into; top/out is what must not be reached. */
static void set_up(void)
{
	snprintf(top, sizeof(top), "/tmp/lunette-extract-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(mkdir(under("in"), 0755), 0);
	ck_assert_int_eq(mkdir(under("out"), 0755), 0);
	folder = open(under("in"), O_RDONLY | O_DIRECTORY);
	archive = memfd_create("archive", 0);
	ck_assert_int_ge(archive, 0);
	size = 0;
}

static void tear_down(void)
{
	char command[100];

	close(folder);
	close(archive);
	snprintf(command, sizeof(command), "rm -r %s", top);
	ck_assert_int_eq(system(command), 0);
}

struct entry {
	char type;
	const char *name, *link, *data;
	unsigned mode;
	uint64_t claim; /* its size, if not that of the data */
};

/* As tar(5) has it; nothing is made safe here. */
static void put(const struct entry *e)
{
	size_t len = e->data ? strlen(e->data) : 0;
	char h[512] = { 0 }, body[1024] = { 0 };
	unsigned sum = 0, i;

	snprintf(h, 100, "%s", e->name);
	snprintf(h + 100, 8, "%07o", (e->mode ? e->mode : 0644) & 07777);
	snprintf(h + 108, 8, "%07o", 4711);
	snprintf(h + 116, 8, "%07o", 4711);
	snprintf(h + 124, 12, "%011llo", (unsigned long long)(e->claim ? e->claim : len));
	snprintf(h + 136, 12, "%011o", 1000000000);
	memset(h + 148, ' ', 8);
	h[156] = e->type;
	snprintf(h + 157, 100, "%s", e->link ? e->link : "");
	memcpy(h + 257, "ustar\00000", 8);
	for (i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 7, "%06o", sum);
	memcpy(body, e->data ? e->data : "", len);
	ck_assert_int_eq(pwrite(archive, h, 512, size), 512);
	size += 512;
	ck_assert_int_eq(pwrite(archive, body, align_up(len, 512), size), align_up(len, 512));
	size += align_up(len, 512);
}

static void put_end(void)
{
	char zeroes[1024] = { 0 };

	ck_assert_int_eq(pwrite(archive, zeroes, sizeof(zeroes), size), sizeof(zeroes));
	size += sizeof(zeroes);
}

static int extract(void)
{
	int r;

	stderr_begin(&said);
	r = extract_tar("--out", archive, size, folder, LIMIT);
	stderr_end(&said);
	return r;
}

static bool says(const char *text)
{
	return strstr(said.text, text);
}

static void has(const char *name, const char *wanted)
{
	char text[100] = "";
	FILE *in = fopen(under(name), "r");

	ck_assert_msg(in, "%s is not there; %s", name, said.text);
	text[fread(text, 1, sizeof(text) - 1, in)] = 0;
	fclose(in);
	ck_assert_str_eq(text, wanted);
}

static bool exists(const char *name)
{
	struct stat st;

	return lstat(under(name), &st) == 0;
}

/* As busybox writes it: the folder first, hard links, long times ago. */
START_TEST(good)
{
	static const struct entry list[] = {
		{ .type = '5', .name = "./", .mode = 0700 },
		{ .type = '5', .name = "./sub/", .mode = 0555 },
		{ .type = '0', .name = "./sub/file", .data = "text", .mode = 06755 },
		{ .type = '0', .name = "./empty", .mode = 0040 },
		{ .type = '1', .name = "./hard", .link = "./sub/file" },
		{ .type = '2', .name = "./sub/link", .link = "../empty" },
		{ .type = '2', .name = "./other", .link = "sub/file" },
		{ .type = '2', .name = "./dangling", .link = "no/where" },
	};
	struct stat st;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(list); i++)
		put(&list[i]);
	put_end();
	ck_assert_msg(extract() == 0, "%s", said.text);
	ck_assert_str_eq(said.text, "");
	has("in/sub/file", "text");
	has("in/hard", "text");
	has("in/other", "text");
	has("in/sub/link", "");
	ck_assert(exists("in/dangling"));
	ck_assert_int_eq(stat(under("in/sub/file"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0755);
	ck_assert_int_eq(st.st_uid, getuid());
	ck_assert_int_eq(st.st_mtime, 1000000000);
	ck_assert_int_eq(st.st_nlink, 2);
	ck_assert_int_eq(stat(under("in/empty"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(stat(under("in/sub"), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0755);
	ck_assert_int_eq(stat(under("in"), &st), 0); /* the user's own */
	ck_assert_int_eq(st.st_mode & 07777, 0755);
}
END_TEST

START_TEST(replaces)
{
	static const struct entry e = { .type = '0', .name = "file", .data = "new" };
	int fd = open(under("in/file"), O_WRONLY | O_CREAT, 0644);

	ck_assert_int_eq(write(fd, "older", 5), 5);
	close(fd);
	ck_assert_int_eq(link(under("in/file"), under("out/file")), 0);
	put(&e);
	put_end();
	ck_assert_int_eq(extract(), 0);
	has("in/file", "new");
	has("out/file", "older"); /* another file now */
}
END_TEST

#define F(n) { .type = '0', .name = (n), .data = "x" }
#define D(n) { .type = '5', .name = (n) }
#define S(n, to) { .type = '2', .name = (n), .link = (to) }
#define H(n, to) { .type = '1', .name = (n), .link = (to) }
#define T(t, n) { .type = (t), .name = (n) }
#define HUGE(n, size) { .type = '0', .name = (n), .claim = (size) }
#define LEFT_OUT .says = "1 entry is left out"

/* What must not be done; a good file comes before and after. */
static const struct {
	struct entry e[3];
	int r;
	const char *says;
	bool way; /* in/way is a link to out, from before */
} bad[] = {
	{ { F("/tmp/lunette-extract-abs") }, .r = -EIO, .says = "absolute" },
	{ { F("../out/file") }, .r = -EIO, .says = "'..'" },
	{ { F("a/../../out/file") }, .r = -EIO, .says = "'..'" },
	{ { F("way/file") }, .r = -EIO, .says = "symlink", .way = true },
	{ { D("way/"), F("way/file") }, .way = true },
	{ { F("way") }, .way = true },
	{ { S("l", "../out"), F("l/file") }, LEFT_OUT },
	{ { S("l", "/") }, LEFT_OUT },
	{ { S("a/l", "../../out") }, LEFT_OUT },
	{ { S("a/l", "../b/../../../out") }, LEFT_OUT },
	{ { S("l", "") }, LEFT_OUT },
	{ { S("sub", "."), S("l", "sub/../../out") }, LEFT_OUT },
	{ { S("a/b/l", "../.."), H("l", "a/b/l") }, LEFT_OUT },
	{ { S("l", "sub"), F("l/file") }, .r = -EIO, .says = "symlink" },
	{ { H("h", "/etc/passwd") }, LEFT_OUT },
	{ { H("h", "nowhere") }, LEFT_OUT },
	{ { H("h", "../out/there") }, .r = -EIO, .says = "'..'" },
	{ { H("h", "way/there") }, .r = -EIO, .says = "symlink", .way = true },
	{ { T('3', "null") }, LEFT_OUT },
	{ { T('4', "block"), T('6', "pipe") }, .says = "2 entries are left out" },
	{ { HUGE("huge", LIMIT) }, .r = -EIO, .says = "--out-limit" },
	{ { HUGE("huge", 077777777777ull) }, .r = -EIO, .says = "--out-limit" },
	{ { HUGE("\033[2J", LIMIT) }, .r = -EIO, .says = "?[2J" },
	{ { F("a"), F("a/b") }, .r = -EIO },
};

START_TEST(hostile)
{
	static const struct entry before = { .type = '0', .name = "before", .data = "b" };
	static const struct entry after = { .type = '0', .name = "after", .data = "a" };
	int fd = open(under("out/there"), O_WRONLY | O_CREAT, 0644), r;
	struct stat st;
	unsigned i;

	ck_assert_int_eq(write(fd, "safe", 4), 4);
	close(fd);
	if (bad[_i].way)
		ck_assert_int_eq(symlink("../out", under("in/way")), 0);
	put(&before);
	for (i = 0; i < 3 && bad[_i].e[i].name; i++)
		put(&bad[_i].e[i]);
	if (!bad[_i].e[0].claim)
		put(&after);
	put_end();
	r = extract();
	ck_assert_msg(r == bad[_i].r, "%d: %d: %s", _i, r, said.text);
	ck_assert_msg(!bad[_i].says || says(bad[_i].says), "%d: %s", _i, said.text);
	ck_assert(!strchr(said.text, '\033'));
	has("in/before", "b");
	if (!bad[_i].e[0].claim)
		has("in/after", "a");
	has("out/there", "safe");
	ck_assert(!exists("out/file") && !exists("file"));
	ck_assert_int_ne(access("/tmp/lunette-extract-abs", F_OK), 0);
	ck_assert_int_eq(stat(under("out/there"), &st), 0);
	ck_assert_int_eq(st.st_nlink, 1);
}
END_TEST

/* Of each length that is shorter, in steps: an error, and no file in part. */
START_TEST(truncated)
{
	static const struct entry one = { .type = '0', .name = "one", .data = "1" };
	static const struct entry two = { .type = '0', .name = "two", .data = "2" };
	uint64_t whole;

	put(&one);
	put(&two);
	put_end();
	whole = size;
	for (size = 0; size < whole; size += 256) {
		ck_assert_msg(extract() == -EIO, "%llu", (unsigned long long)size);
		ck_assert(says("missing; the first is"));
		if (size >= 1024)
			has("in/one", "1");
		ck_assert(exists("in/one") == (size >= 1024));
		ck_assert(exists("in/two") == (size >= 2048));
	}
	ck_assert_int_eq(extract(), 0);
}
END_TEST

START_TEST(garbage)
{
	char data[4096];

	memset(data, 0xa5, sizeof(data));
	size = sizeof(data);
	ck_assert_int_eq(pwrite(archive, data, size, 0), size);
	ck_assert_int_eq(extract(), -EIO);
	ck_assert(says("missing"));
}
END_TEST

/* Each file alone would do. */
START_TEST(sum_of_sizes)
{
	static char data[1000];
	struct entry e = { .type = '0', .name = "x", .data = data };
	char name[16];
	unsigned i;

	memset(data, 'x', sizeof(data) - 1);
	for (i = 0; i < LIMIT / 999 + 5; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		e.name = name;
		put(&e);
	}
	put_end();
	ck_assert_int_eq(extract(), -EIO);
	ck_assert(says("5 or more entries are missing; the first is file100: "));
	ck_assert(exists("in/file99") && !exists("in/file100"));
}
END_TEST

START_TEST(stays_where_it_was)
{
	char before[4096], after[4096];

	put_end();
	ck_assert_ptr_nonnull(getcwd(before, sizeof(before)));
	ck_assert_int_eq(extract(), 0);
	ck_assert_ptr_nonnull(getcwd(after, sizeof(after)));
	ck_assert_str_eq(before, after);
}
END_TEST

Suite *extract_suite(void)
{
	Suite *s = suite_create("extract");
	TCase *tc = unit_case(s, "extract");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, good);
	tcase_add_test(tc, replaces);
	tcase_add_loop_test(tc, hostile, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, sum_of_sizes);
	tcase_add_test(tc, stays_where_it_was);
	return s;
}

UNIT_MAIN(extract_suite)
