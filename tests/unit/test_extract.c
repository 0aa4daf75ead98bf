/* SPDX-License-Identifier: MIT */
#include "tests/unit/extract_fixture.h"

Suite *extract_suite(void);

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
	{ { F("way/file") }, .r = -EIO, .says = "symbolic link is in its way", .way = true },
	{ { D("way/"), F("way/file") }, .way = true },
	{ { F("way") }, .way = true },
	{ { S("l", "../out"), F("l/file") }, LEFT_OUT },
	{ { S("l", "/") }, LEFT_OUT },
	{ { S("a/l", "../../out") }, LEFT_OUT },
	{ { S("a/l", "../b/../../../out") }, LEFT_OUT },
	{ { S("l", "") }, LEFT_OUT },
	{ { S("sub", "."), S("l", "sub/../../out") }, LEFT_OUT },
	{ { S("a/b/l", "../.."), H("l", "a/b/l") }, LEFT_OUT },
	{ { S("l", "sub"), F("l/file") }, .r = -EIO, .says = "symbolic link is in its way" },
	{ { H("h", "/etc/passwd") }, LEFT_OUT },
	{ { H("h", "nowhere") }, LEFT_OUT },
	{ { H("h", "../out/there") }, .r = -EIO, .says = "'..'" },
	{ { H("h", "way/there") }, .r = -EIO, .says = "symbolic link is in its way", .way = true },
	{ { T('3', "null") }, LEFT_OUT },
	{ { T('4', "block"), T('6', "pipe") }, .says = "2 entries are left out" },
	{ { HUGE("huge", LIMIT) }, .r = -EIO, .says = "cut short" },
	{ { HUGE("huge", 077777777777ull) }, .r = -EIO, .says = "cut short" },
	{ { HUGE("\033[2J", LIMIT) }, .r = -EIO, .says = "?[2J" },
	{ { F("a"), F("a/b") }, .r = -EIO, .says = "a/b: a file is in its way" },
	{ { T('0', "") }, .r = -EIO, .says = "no name" },
	{ { T('0', "./.") }, .r = -EIO, .says = "no name" },
	{ { D("..") }, .r = -EIO, .says = "'..'" },
	{ { D("a/..") }, .r = -EIO, .says = "'..'" },
	{ { S("../out/l", "x") }, .r = -EIO, .says = "'..'" },
	{ { H("../out/h", "before") }, .r = -EIO, .says = "'..'" },
	{ { H("way/h", "before") }, .r = -EIO, .says = "symbolic link", .way = true },
	{ { S("way/s", "before") }, .r = -EIO, .says = "symbolic link", .way = true },
	{ { D("way/d") }, .r = -EIO, .says = "symbolic link", .way = true },
	{ { H("way", "before") }, .way = true },
	{ { S("way", "before") }, .way = true },
	/* What out/there is called in the folder, from before. */
	{ { F("old") }, .r = 0 },
	{ { S("old", "before") }, .r = 0 },
	{ { H("old", "before") }, .r = 0 },
	{ { D("old"), F("old/file") }, .r = 0 },
	{ { HD("old", "before") }, .r = -EIO },
	{ { HD("old", "old") }, .r = -EIO },
	{ { X("comment=x"), HD("old", "before") }, .r = -EIO,
	  .says = "old: it is a hard link, but has data" },
	{ { X("comment=x"), HD("old", "old") }, .r = -EIO, .says = "has data" },
	{ { H("h", "old") }, LEFT_OUT },
	{ { H("h", "old"), F("h") }, LEFT_OUT },
	{ { F("new"), H("new", "old"), F("new") }, LEFT_OUT },
	{ { D("d"), H("h", "d") }, LEFT_OUT },
	{ { X("GNU.sparse.name=../out/file"), F("f") }, .r = -EIO, .says = "'..'" },
	{ { X("path=../out/file"), F("f") }, .r = -EIO, .says = "'..'" },
	{ { X("linkpath=old"), H("h", "before") }, LEFT_OUT },
	{ { X("linkpath=../out"), S("h", "before") }, LEFT_OUT },
	{ { X("size=99999"), H("h", "before") }, .r = -EIO },
	{ { X("size=20000000000000"), T('0', "h") }, .r = -EIO, .says = "16 TiB" },
	{ { { .type = 'L', .name = "x", .data = "../out/file" }, F("f") }, .r = -EIO,
	  .says = "'..'" },
	{ { { .type = 'K', .name = "x", .data = "old" }, H("h", "before") }, LEFT_OUT },
};

static bool is_cut_short(int i)
{
	return bad[i].e[0].claim || (bad[i].e[0].data && strstr(bad[i].e[0].data, "size="));
}

START_TEST(hostile)
{
	static const struct entry before = { .type = '0', .name = "before", .data = "b" };
	static const struct entry after = { .type = '0', .name = "after", .data = "a" };
	int fd = open(under("out/there"), O_WRONLY | O_CREAT, 0444), r;
	struct stat st;
	unsigned i;

	ck_assert_int_eq(write(fd, "safe", 4), 4);
	close(fd);
	ck_assert_int_eq(link(under("out/there"), under("in/old")), 0);
	if (bad[_i].way)
		ck_assert_int_eq(symlink("../out", under("in/way")), 0);
	put(&before);
	for (i = 0; i < 3 && bad[_i].e[i].name; i++)
		put(&bad[_i].e[i]);
	if (!is_cut_short(_i))
		put(&after);
	put_end();
	r = extract();
	ck_assert_msg(r == bad[_i].r, "%d: %d: %s", _i, r, said.text);
	ck_assert_msg(!bad[_i].says || says(bad[_i].says), "%d: %s", _i, said.text);
	ck_assert(!strchr(said.text, '\033'));
	has("in/before", "b");
	if (!is_cut_short(_i))
		has("in/after", "a");
	has("out/there", "safe");
	ck_assert(!exists("out/file") && !exists("file"));
	ck_assert_int_ne(access("/tmp/lunette-extract-abs", F_OK), 0);
	ck_assert_int_eq(stat(under("out/there"), &st), 0);
	ck_assert_uint_le(st.st_nlink, 2); /* and no other new one */
	ck_assert_int_eq(st.st_mode & 07777, 0444);
	ck_assert_int_ne(st.st_mtime, 1000000000);
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

/* What is in the folder, of each kind, and an entry of the same name. */
static const struct {
	const char *before; /* a command, in the folder */
	struct entry e;
	const char *after;  /* a command that is a success then */
	const char *says;   /* NULL: it comes */
} known[] = {
	{ "mkfifo x", F("x"), "[ \"$(cat x)\" = x ]", NULL },
	{ "mkfifo x", D("x"), "[ -d x ]", NULL },
	{ "echo old >x; chmod 444 x", F("x"), "[ \"$(cat x)\" = x ]", NULL },
	{ "ln -s nowhere x", F("x"), "[ ! -h x ] && [ -f x ] && [ ! -e nowhere ]", NULL },
	{ "ln -s . x", D("x"), "[ ! -h x ] && [ -d x ]", NULL },
	{ "ln -s a b; ln -s b a", F("a"), "[ -f a ]", NULL },
	{ "ln -s a b; ln -s b a", F("a/c"), "[ -h a ]", "a/c: a symbolic link is in its way" },
	{ "mkdir x; echo kept >x/y", F("x"), "[ $(cat x/y) = kept ]", "a folder is in its way" },
	{ "mkdir x", F("x"), "[ -d x ]", "a folder is in its way" },
	{ "mkdir x", S("x", "y"), "[ -d x ]", "a folder is in its way" },
	{ "mkdir x; echo kept >x/y", D("x"), "[ $(cat x/y) = kept ]", NULL },
	{ "mkdir -m 750 x", { .type = '5', .name = "x", .mode = 0777 },
	  "[ $(stat -c %a x) = 750 ]", NULL }, /* its rights are the user's */
	{ "mkdir x; echo kept >x/y", F("x/z"), "[ $(cat x/y) = kept ] && [ -f x/z ]", NULL },
	{ ":", F("a//./b"), "[ -f a/b ]", NULL },
	{ ":", F("a\nb"), "[ -f \"$(printf 'a\nb')\" ]", NULL },
	{ ":", F("\303\251\377"), "[ -f \"$(printf '\303\251\377')\" ]", NULL },
	{ ":", F("..."), "[ -f ... ]", NULL },
	{ ":", F("-rf"), "[ -f ./-rf ]", NULL },
};

START_TEST(what_is_there)
{
	char line[400];

	snprintf(line, sizeof(line), "cd %s/in && { %s; }", top, known[_i].before);
	ck_assert_int_eq(system(line), 0);
	put(&known[_i].e);
	put_end();
	ck_assert_msg(extract() == (known[_i].says ? -EIO : 0), "%d: %s", _i, said.text);
	ck_assert_msg(!known[_i].says || says(known[_i].says), "%d: %s", _i, said.text);
	snprintf(line, sizeof(line), "cd %s/in && %s && [ ! -e .lunette-* ]", top,
		 known[_i].after);
	ck_assert_msg(system(line) == 0, "%d: %s: %s", _i, line, said.text);
}
END_TEST

START_TEST(twice)
{
	static const struct entry list[] = {
		{ .type = '0', .name = "a", .data = "1" }, H("b", "a"), H("b", "a"), H("b", "b"),
		{ .type = '0', .name = "a", .data = "2" }, D("d/"), D("d"), S("l", "a"),
		S("l", "b"),
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(list); i++)
		put(&list[i]);
	put_end();
	ck_assert_msg(extract() == 0, "%s", said.text);
	has("in/a", "2");
	has("in/b", "1");
	has("in/l", "1");
}
END_TEST

Suite *extract_suite(void)
{
	Suite *s = suite_create("extract");
	TCase *tc = unit_case(s, "extract");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, good);
	tcase_add_test(tc, replaces);
	tcase_add_loop_test(tc, hostile, 0, ARRAY_SIZE(bad));
	tcase_add_loop_test(tc, what_is_there, 0, ARRAY_SIZE(known));
	tcase_add_test(tc, twice);
	tcase_add_test(tc, stays_where_it_was);
	return s;
}

UNIT_MAIN(extract_suite)
