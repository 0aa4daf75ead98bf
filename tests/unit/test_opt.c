/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"

Suite *opt_suite(void);

struct settings {
	const char *file;
	uint32_t lun;
	uint64_t size;
	bool readonly;
	unsigned store;
	struct opt_list tag;
	uint32_t cache;
	uint64_t limit;
	const char *words, *about;
	bool alone;
};

static const char *const stores[] = { "file", "null", NULL };
static const char *const nevers[] = { "none", NULL };
static const char *const amounts[] = { "some", "all", NULL };

#define ROW(k, t, member) .key = k, .type = t, .offset = offsetof(struct settings, member)

static const struct opt table[] = {
	{ ROW("file", OPT_STR, file), .arg = "FILE", .help = "the image" },
	{ ROW("lun", OPT_U32, lun), .def = "1", .max = 255, .help = "number" },
	{ ROW("size", OPT_SIZE, size), .def = "64M", .min = MIB(1), .max = GIB(1),
	  .help = "bytes" },
	{ ROW("readonly", OPT_BOOL, readonly), .def = "off", .help = "no writes" },
	{ ROW("store", OPT_ENUM, store), .def = "null", .words = stores, .help = "kind" },
	{ ROW("tag", OPT_LIST, tag), .arg = "WORD", .help = "any number of them" },
	{ ROW("cache", OPT_U32, cache), .max = 9, .words = amounts, .help = "a number or a word" },
	{ ROW("limit", OPT_TIME, limit), .def = "60s", .min = 100, .max = 3600000 * 10,
	  .words = nevers, .arg = "TIME", .help = "how long" },
	{ ROW("words", OPT_STR, words), .arg = "WORDS", .help = "some", .may_be_empty = true },
	{ ROW("about", OPT_STR, about), .arg = "WORD", .help = "of the tags", .needs = "tag" },
	{ ROW("alone", OPT_BOOL, alone), .help = "no window", .letter = 'a', .needs = OPT_COMMAND },
	{ 0 },
};

static struct settings set;
static struct stderr_text err;
static char text[256];

static int parse(const char *t)
{
	int r;

	opt_free(table, &set);
	memset(&set, 0, sizeof(set));
	snprintf(text, sizeof(text), "%s", t);
	stderr_begin(&err);
	r = opt_parse(table, &set, "--disk", "file", text);
	stderr_end(&err);
	return r;
}

static void tear_down(void)
{
	opt_free(table, &set);
}

START_TEST(defaults)
{
	ck_assert_int_eq(parse("x.img"), 0);
	ck_assert_str_eq(set.file, "x.img");
	ck_assert_uint_eq(set.lun, 1);
	ck_assert_uint_eq(set.size, MIB(64));
	ck_assert(!set.readonly);
	ck_assert_uint_eq(set.store, 1);
	ck_assert_uint_eq(set.tag.count, 0);
	ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(every_type)
{
	ck_assert_int_eq(parse("file=a,lun=0xff,size=2m,readonly,store=file,tag=x,tag=y"), 0);
	ck_assert_str_eq(set.file, "a");
	ck_assert_uint_eq(set.lun, 255);
	ck_assert_int_eq(parse("file=a,lun=010,size=2m,readonly,store=file,tag=x,tag=y"), 0);
	ck_assert_uint_eq(set.lun, 10);
	ck_assert_uint_eq(set.size, MIB(2));
	ck_assert(set.readonly);
	ck_assert_uint_eq(set.store, 0);
	ck_assert_uint_eq(set.tag.count, 2);
	ck_assert_str_eq(set.tag.item[1], "y");
	ck_assert_int_eq(parse("a,readonly=on,size=1048576"), 0);
	ck_assert(set.readonly);
	ck_assert_uint_eq(set.size, MIB(1));
	ck_assert_int_eq(parse("a,cache=9"), 0);
	ck_assert_uint_eq(set.cache, 9);
	ck_assert_int_eq(parse("a,cache=all"), 0);
	ck_assert_uint_eq(set.cache, 11);
}
END_TEST

static const struct {
	const char *text;
	uint64_t ms;
} limits[] = {
	{ "a", 60000 }, { "a,limit=100ms", 100 }, { "a,limit=1500ms", 1500 },
	{ "a,limit=90s", 90000 },
	{ "a,limit=5m", 300000 }, { "a,limit=2h", 7200000 }, { "a,limit=010s", 10000 },
	{ "a,limit=10h", 36000000 }, { "a,limit=none", 36000001 },
};

START_TEST(limit_is_a_time)
{
	ck_assert_int_eq(parse(limits[_i].text), 0);
	ck_assert_uint_eq(set.limit, limits[_i].ms);
}
END_TEST

static const struct {
	uint64_t ms;
	const char *text;
} durations[] = {
	{ 0, "0ms" }, { 999, "999ms" }, { 1000, "1s" }, { 1500, "1500ms" }, { 90000, "90s" },
	{ 300000, "5m" }, { 7200000, "2h" }, { UINT64_MAX, "18446744073709551615ms" },
};

START_TEST(time_text)
{
	char buf[24];

	ck_assert_str_eq(opt_time_text(durations[_i].ms, buf), durations[_i].text);
}
END_TEST

/* A leading value may hold what looks like syntax. */
static const struct leading {
	const char *text, *file;
	unsigned lun;
} leadings[] = {
	{ "a.img", "a.img", 1 },
	{ "/dir/k=v.img,lun=2", "/dir/k=v.img", 2 },
	{ "a.b=c,lun=3", "a.b=c", 3 },
	{ "one,,two.img,lun=4", "one,two.img", 4 },
	{ "end,,", "end,", 1 },
	{ "file=k=v,lun=5", "k=v", 5 },
	{ "lun=6,file=z", "z", 6 },
	{ "words=,lun=7", NULL, 7 },
};

START_TEST(leading_value)
{
	ck_assert_int_eq(parse(leadings[_i].text), 0);
	ck_assert_pstr_eq(set.file, leadings[_i].file);
	ck_assert_uint_eq(set.lun, leadings[_i].lun);
}
END_TEST

static const struct bad {
	const char *text, *says;
} bads[] = {
	{ "a,nope=1", "--disk: unknown option 'nope'" },
	{ "a,b", "--disk: unknown option 'b'" },
	{ "a,", "--disk: nothing is behind a comma" },
	{ "a,,,lun=1,", "--disk: nothing is behind a comma" },
	{ "a,lun", "--disk: lun needs a value" },
	{ "a,lun=", "--disk: lun=: not a number" },
	{ "a,lun=-1", "--disk: lun=-1: not a number" },
	{ "a,lun= 1", "not a number" },
	{ "a,lun=1x", "--disk: lun=1x: not a number" },
	{ "a,lun=1K", "not a number" },
	{ "a,lun=256", "--disk: lun=256: out of range, 0 to 255" },
	{ "a,lun=99999999999999999999", "not a number" },
	{ "a,size=512K", "--disk: size=512K: out of range, 1M to 1G" },
	{ "a,size=1.5G", "--disk: size=1.5G: not a size" },
	{ "a,size=16777216T", "not a size" },
	{ "a,size=18014398509481985K", "not a size" },
	{ "a,size=1MB", "not a size" },
	{ "a,size=1 M", "not a size" },
	{ "a,readonly=yes", "--disk: readonly=yes: on or off is wanted" },
	{ "a,cache=10", "out of range, 0 to 9" },
	{ "a,limit=90", "--disk: limit=90: not a time (a number with ms, s, m or h)" },
	{ "a,limit=", "not a time" },
	{ "a,limit=s", "not a time" },
	{ "a,limit=1.5s", "not a time" },
	{ "a,limit=-1s", "not a time" },
	{ "a,limit=1sec", "not a time" },
	{ "a,limit=1 s", "not a time" },
	{ "a,limit=0x1s", "not a time" },
	{ "a,limit=9999999999999999h", "not a time" },
	{ "a,limit=99999999999999999999999999s", "not a time" },
	{ "a,limit=99ms", "--disk: limit=99ms: out of range, 100ms to 10h" },
	{ "a,limit=36001s", "out of range, 100ms to 10h" },
	{ "a,limit=nones", "not a time" },
	{ "a,cache=none", "--disk: cache=none: not a number" },
	{ "a,cache=none", "--disk: cache=none: not a number, and none of: some, all" },
	{ "a,limit=soon", "not a time (a number with ms, s, m or h), and none of: none" },
	{ "a,size=512", "out of range, 1M to 1G; without K, M, G or T these are bytes" },
	{ "a,size=0", "--disk: size=0: out of range, 1M to 1G\n" },
	{ "a,size=2147483648", "out of range, 1M to 1G\n" },
	{ "a,store=tape", "--disk: store=tape: is none of: file, null" },
	{ "a,store=", "--disk: store=: is none of: file, null" },
	{ "", "--disk: file=: is empty; FILE is wanted" },
	{ "a,tag=", "--disk: tag=: is empty; WORD is wanted" },
	{ "a,lnu=1", "--disk: unknown option 'lnu'; did you mean lun?\n" },
	{ "a,READONLY", "did you mean readonly?\n" },
	{ "a,lun=1,lun=1", "--disk: lun=1: given twice; one of them has to go" },
	{ "a,file=b", "--disk: file=b: given twice" },
	{ "a,readonly=on,readonly=off", "--disk: readonly=off: given twice" },
	{ "a,readonly,readonly", "--disk: readonly=on: given twice" },
	{ "a,about=x", "--disk: about: is about tag, which is not given" },
};

START_TEST(mistakes)
{
	ck_assert_int_eq(parse(bads[_i].text), -EUSAGE);
	ck_assert_msg(strstr(err.text, bads[_i].says) != NULL, "said: %s", err.text);
	ck_assert_ptr_eq(strchr(err.text, '\n'), err.text + strlen(err.text) - 1); /* one line */
}
END_TEST

/* What a command line's words lead to: how many are taken, or the line that refuses them. */
static const struct {
	const char *word[3];
	int taken;
	const char *says;
} lines[] = {
	{ { "--lun", "7" }, 2, "" },
	{ { "--lun=7", "8" }, 1, "" },
	{ { "--readonly", "7" }, 1, "" },
	{ { "--readonly=off" }, 1, "" },
	{ { "--file=a=b" }, 1, "" },
	{ { "--file", "-" }, 2, "" },
	{ { "--file", "-x" }, 2, "" },
	{ { "--file=--lun" }, 1, "" },
	{ { "--file", "--words-" }, 2, "" },
	{ { "--words", "" }, 2, "" },
	{ { "--words=" }, 1, "" },
	{ { "-a", "7" }, 1, "" },
	{ { "x" }, 0, "" },
	{ { "-" }, 0, "" },
	{ { "" }, 0, "" },
	{ { "--lun" }, -EUSAGE, "--lun needs a value: number\n" },
	{ { "--file", "--lun", "7" }, -EUSAGE, "--file needs a value: the image; '--lun' is" },
	{ { "--file", "--lun=7" }, -EUSAGE, "'--lun=7' is another option" },
	{ { "--words", "--", "x" }, -EUSAGE, "'--' is another option" },
	{ { "--file=" }, -EUSAGE, "--file '': is empty; FILE is wanted" },
	{ { "--lun=" }, -EUSAGE, "--lun '': not a number" },
	{ { "--nothing", "7" }, -EUSAGE, "unknown option --nothing; --help lists them\n" },
	{ { "--szie=1" }, -EUSAGE, "unknown option --szie; did you mean --size?\n" },
	{ { "-lun", "1" }, -EUSAGE, "unknown option -lun; did you mean --lun?\n" },
	{ { "-b" }, -EUSAGE, "unknown option -b; --help lists them\n" },
	{ { "-ab" }, -EUSAGE, "unknown option -ab;" },
	{ { "--=x" }, -EUSAGE, "unknown option --;" },
};

START_TEST(words_of_a_command_line)
{
	struct opt_reader r = { table, &set, "--", 0 };
	char word[3][20], *argv[4];
	unsigned n;

	for (n = 0; n < 3 && lines[_i].word[n]; n++)
		argv[n] = strcpy(word[n], lines[_i].word[n]);
	argv[n] = NULL;
	stderr_begin(&err);
	ck_assert_int_eq(opt_word(&r, argv), lines[_i].taken);
	stderr_end(&err);
	ck_assert_msg(strstr(err.text, lines[_i].says), "said: %s", err.text);
	ck_assert((lines[_i].taken < 0) == !!*err.text);
}
END_TEST

/* Each of these is read; the last one leads to the line, or the end does. */
static const struct {
	const char *word[5], *says;
	bool command;
} several[] = {
	{ { "--lun=1", "--file=a", "--readonly" }, "", false },
	{ { "--tag=1", "--tag=1" }, "", false },
	{ { "--tag=1", "--about=x" }, "", false },
	{ { "--about=x", "--tag=1" }, "", false },
	{ { "-a" }, "", true },
	{ { "--lun=1", "--lun=2" }, "--lun 2: given twice; one of them has to go", false },
	{ { "--readonly", "--readonly=off" }, "--readonly off: given twice", false },
	{ { "-a", "--alone" }, "--alone on: given twice", true },
	{ { "--about=x" }, "--about: is about --tag, which is not given", false },
	{ { "-a" }, "--alone: is about a command, and there is none; it comes last, after --",
	  false },
};

START_TEST(words_together)
{
	struct opt_reader r = { table, &set, "--", 0 };
	char word[5][20], *argv[2] = { 0 };
	unsigned n;
	int taken = 1;

	stderr_begin(&err);
	for (n = 0; taken == 1 && n < 5 && several[_i].word[n]; n++) {
		argv[0] = strcpy(word[n], several[_i].word[n]);
		taken = opt_word(&r, argv);
	}
	if (taken == 1)
		taken = opt_end(&r, several[_i].command);
	stderr_end(&err);
	ck_assert_msg(strstr(err.text, several[_i].says), "said: %s", err.text);
	ck_assert_int_eq(taken, *several[_i].says ? -EUSAGE : 0);
}
END_TEST

START_TEST(help_tells_all)
{
	char *out;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	opt_help(table, "", f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(out, "  file=FILE "));
	ck_assert_ptr_nonnull(strstr(out, "number, 0 to 255 (default 1)\n"));
	ck_assert_ptr_nonnull(strstr(out, "bytes, 1M to 1G (default 64M)\n"));
	ck_assert_ptr_nonnull(strstr(out, "how long, 100ms to 10h (default 60s)\n"));
	ck_assert_ptr_nonnull(strstr(out, "  readonly=on|off "));
	ck_assert_ptr_nonnull(strstr(out, "  store=file|null "));
	ck_assert_ptr_nonnull(strstr(out, "kind (default null)\n"));
	free(out);
	f = open_memstream(&out, &len);
	opt_help(table, "--", f);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(out, "  --file FILE "));
	ck_assert_ptr_nonnull(strstr(out, "  --readonly "));
	ck_assert_ptr_nonnull(strstr(out, "  --store file|null "));
	ck_assert_ptr_nonnull(strstr(out, "  -a, --alone "));
	free(out);
}
END_TEST

Suite *opt_suite(void)
{
	Suite *s = suite_create("opt");
	TCase *tc = unit_case(s, "opt");

	tcase_add_checked_fixture(tc, NULL, tear_down);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, every_type);
	tcase_add_loop_test(tc, leading_value, 0, ARRAY_SIZE(leadings));
	tcase_add_loop_test(tc, limit_is_a_time, 0, ARRAY_SIZE(limits));
	tcase_add_loop_test(tc, time_text, 0, ARRAY_SIZE(durations));
	tcase_add_loop_test(tc, mistakes, 0, ARRAY_SIZE(bads));
	tcase_add_loop_test(tc, words_of_a_command_line, 0, ARRAY_SIZE(lines));
	tcase_add_loop_test(tc, words_together, 0, ARRAY_SIZE(several));
	tcase_add_test(tc, help_tells_all);
	return s;
}

UNIT_MAIN(opt_suite)
