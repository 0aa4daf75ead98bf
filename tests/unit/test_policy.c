/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/core/policy.h"
#include "vmm/core/util.h"

Suite *policy_suite(void);

/* What users type, and which choice it is. */
static const struct {
	const char *const *words;
	unsigned choice;
	const char *word; /* NULL: the list ends there */
} known[] = {
	{ vhost_words, VHOST_AUTO, "auto" },
	{ vhost_words, VHOST_ON, "on" },
	{ vhost_words, VHOST_OFF, "off" },
	{ vhost_words, VHOST_OFF + 1, NULL },
	{ full_words, FULL_REPORT, "report" },
	{ full_words, FULL_STOP, "stop" },
	{ full_words, FULL_FAIL, "fail" },
	{ full_words, FULL_AS_RUN, NULL }, /* there is nothing above the run */
	{ full_words_of_disks, FULL_REPORT, "report" },
	{ full_words_of_disks, FULL_STOP, "stop" },
	{ full_words_of_disks, FULL_FAIL, "fail" },
	{ full_words_of_disks, FULL_AS_RUN, "as-run" },
	{ full_words_of_disks, FULL_AS_RUN + 1, NULL },
	{ overlay_words, OVERLAY_AUTO, "auto" },
	{ overlay_words, OVERLAY_ON, "on" },
	{ overlay_words, OVERLAY_OFF, "off" },
	{ overlay_words, OVERLAY_COMMIT, NULL }, /* a run has --commit for that */
	{ overlay_words_of_disks, OVERLAY_AUTO, "as-run" },
	{ overlay_words_of_disks, OVERLAY_ON, "on" },
	{ overlay_words_of_disks, OVERLAY_OFF, "off" },
	{ overlay_words_of_disks, OVERLAY_COMMIT, "commit" },
	{ overlay_words_of_disks, OVERLAY_COMMIT + 1, NULL },
};

START_TEST(words)
{
	const char *word = known[_i].words[known[_i].choice];

	if (known[_i].word)
		ck_assert_str_eq(word, known[_i].word);
	else
		ck_assert_ptr_null(word);
}
END_TEST

START_TEST(words_in_help)
{
	char all[64] = "";
	unsigned i;

	for (i = 0; vhost_words[i]; i++)
		strcat(strcat(all, i ? "|" : ""), vhost_words[i]);
	ck_assert_str_eq(VHOST_WORDS, all);
}
END_TEST

Suite *policy_suite(void)
{
	Suite *s = suite_create("policy");
	TCase *tc = unit_case(s, "words");

	tcase_add_loop_test(tc, words, 0, ARRAY_SIZE(known));
	tcase_add_test(tc, words_in_help);
	return s;
}

UNIT_MAIN(policy_suite)
