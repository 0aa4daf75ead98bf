/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "devices/block/fault_rule.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *fault_rule_suite(void);

static struct fault_rules rules = { .block_size = 512 };
static struct stderr_text said;

static void parse(const char *text)
{
	ck_assert_int_eq(fault_rules_parse(&rules, "disk", text), 0);
}

/* The effect on a request of one block, or as many as @blocks. */
static struct fault_effect hit(enum block_io io, uint64_t lba, uint64_t blocks)
{
	struct block_req req = { .io = io, .off = lba * 512, .len = blocks * 512 };

	return fault_rules_match(&rules, &req);
}

START_TEST(words)
{
	struct fault_rule *r = rules.rule;

	parse("write:lba=8-15:after=3:times=2:error=ENOSPC:delay=20:torn=512+any:hang+flush:lost+"
	      "read:lba=7:cut");
	ck_assert_uint_eq(rules.count, 4);
	ck_assert_uint_eq(r[0].verbs, 1u << BLOCK_WRITE);
	ck_assert_uint_eq(r[0].first, 8);
	ck_assert_uint_eq(r[0].last, 15);
	ck_assert_uint_eq(r[0].after, 3);
	ck_assert_uint_eq(r[0].times, 2);
	ck_assert_int_eq(r[0].effect.err, -ENOSPC);
	ck_assert_uint_eq(r[0].effect.delay, 20);
	ck_assert(r[0].effect.torn && r[0].effect.torn_at == 512);
	ck_assert(r[1].effect.hang && r[1].verbs == 0x1f && r[1].last == UINT64_MAX);
	ck_assert(r[2].effect.lost && !r[2].effect.hang);
	ck_assert(r[3].effect.cut && r[3].first == 7 && r[3].last == 7);
	parse("");
	ck_assert_uint_eq(rules.count, 0);
	ck_assert_int_eq(hit(BLOCK_READ, 0, 1).err, 0);
}
END_TEST

START_TEST(sense)
{
	static const struct {
		const char *text;
		int err;
		bool done;
	} rule[] = {
		{ "any:sense=3/11/01", -0x1031101, false },
		{ "any:sense=B/4b/D", -0x10b4b0d, false },
		{ "any:sense=1/17/00", -0x1011700, true },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rule); i++) {
		parse(rule[i].text);
		ck_assert_int_eq(rules.rule[0].effect.err, rule[i].err);
		ck_assert(rules.rule[0].effect.done == rule[i].done);
	}
}
END_TEST

START_TEST(counting)
{
	static const int want[] = { 0, 0, -EIO, -EIO, -EIO, 0, 0 };
	unsigned i;

	parse("read:after=2:times=3:error=EIO");
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		ck_assert_int_eq(hit(BLOCK_WRITE, 0, 1).err, 0);
		ck_assert_int_eq(hit(BLOCK_READ, i, 1).err, want[i]);
	}
}
END_TEST

START_TEST(ranges)
{
	static const struct {
		uint64_t lba, blocks;
		bool hit;
	} at[] = {
		{ 0, 8, false }, { 0, 9, true }, { 8, 1, true }, { 15, 1, true }, { 16, 8, false },
		{ 0, 100, true }, { 8, 0, true }, { 7, 0, false },
	};
	unsigned i;

	parse("any:lba=8-15:error=EROFS");
	for (i = 0; i < ARRAY_SIZE(at); i++)
		ck_assert_int_eq(hit(BLOCK_ZERO, at[i].lba, at[i].blocks).err,
				 at[i].hit ? -EROFS : 0);
	ck_assert_int_eq(hit(BLOCK_FLUSH, 0, 0).err, -EROFS); /* which has no blocks */
}
END_TEST

START_TEST(first_match_counts)
{
	parse("write:times=1:error=EIO+any:error=ENXIO");
	ck_assert_int_eq(hit(BLOCK_WRITE, 0, 1).err, -EIO);
	ck_assert_int_eq(hit(BLOCK_WRITE, 0, 1).err, -ENXIO);
	ck_assert_int_eq(hit(BLOCK_READ, 0, 1).err, -ENXIO);
}
END_TEST

static const char *const bad[] = {
	"write", "write:after=1", "writes:hang", "write:hang=1", "read:error=EWHAT", "read:error",
	"any:lba=5-4:hang", "any:lba=x:hang", "any:lba=1-:hang", "any:delay=0", "any:delay=1s",
	"any:after=-1:hang", "any:times=99999999999999999999:hang", "any:foo:hang", ":hang",
	"any:hang++any:hang", "any:hang+write", "any:sense=3/11", "any:sense=0/00/00",
	"any:sense=3/11/00/", "any:sense=13/11/00", "any:sense=3/111/00", "any:sense= 3/11/00",
	"any:sense=3/-1/00", "any:sense=3/11/000", "any:sense=3/0x/00", "any:sense",
};

START_TEST(refused)
{
	stderr_begin(&said);
	ck_assert_int_eq(fault_rules_parse(&rules, "disk.img", bad[_i]), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "disk.img: fault="));
}
END_TEST

START_TEST(too_many)
{
	char text[(FAULT_RULES + 1) * 9 + 1] = "";
	unsigned i;

	for (i = 0; i < FAULT_RULES; i++)
		strcat(text, i ? "+any:hang" : "any:hang");
	parse(text);
	strcat(text, "+any:hang");
	stderr_begin(&said);
	ck_assert_int_eq(fault_rules_parse(&rules, "disk", text), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "at most 16 rules"));
}
END_TEST

Suite *fault_rule_suite(void)
{
	Suite *s = suite_create("fault_rule");
	TCase *tc = unit_case(s, "fault_rule");

	tcase_add_test(tc, words);
	tcase_add_test(tc, sense);
	tcase_add_test(tc, counting);
	tcase_add_test(tc, ranges);
	tcase_add_test(tc, first_match_counts);
	tcase_add_loop_test(tc, refused, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, too_many);
	return s;
}

UNIT_MAIN(fault_rule_suite)
