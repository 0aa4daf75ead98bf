/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "vmm/core/near.h"
#include "vmm/core/util.h"

Suite *near_suite(void);

static const char *const words[] = { "kernel", "initrd", "disk", "device", "memory", "cpus", "run",
				     "id", "console-log", "console", "timeout", "env" };

static const struct {
	const char *typed, *meant;
} rows[] = {
	{ "kernl", "kernel" }, { "kernle", "kernel" }, { "kkernel", "kernel" },
	{ "kermel", "kernel" }, { "KERNEL", "kernel" }, { "dsik", "disk" }, { "disks", "disk" },
	{ "mem", "memory" }, { "memroy", "memory" }, { "cpu", "cpus" }, { "rnu", "run" },
	{ "ru", "run" }, { "console_log", "console-log" }, { "consol", "console" },
	{ "time-out", "timeout" }, { "ie", "id" }, { "evn", "env" },
	{ "", NULL }, { "x", NULL }, { "ab", NULL }, { "xyz", NULL }, { "network", NULL },
	{ "kelvin-nil", NULL },
	{ "kernelkernelkernelkernelkernelkernel", NULL },
};

START_TEST(meant)
{
	char buf[NEAR_TEXT];
	struct near n;
	unsigned i;

	near_begin(&n, rows[_i].typed);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		near_try(&n, words[i]);
	if (rows[_i].meant) {
		ck_assert_ptr_nonnull(n.best);
		ck_assert_str_eq(n.best, rows[_i].meant);
		ck_assert_ptr_nonnull(strstr(near_text(&n, "--", buf), n.best));
		ck_assert_str_eq(strstr(buf, "--") + 2 + strlen(n.best), "?");
	} else {
		ck_assert_msg(!n.best, "%s", n.best);
		ck_assert_str_eq(near_text(&n, "--", buf), "");
	}
}
END_TEST

/* No word is so long that it does harm. */
START_TEST(long_words)
{
	char typed[3 * NEAR_MAX], word[3 * NEAR_MAX];
	struct near n;
	size_t a, b;

	for (a = 0; a < sizeof(typed); a++) {
		for (b = 0; b < sizeof(word); b++) {
			memset(typed, 'a', a);
			memset(word, 'a', b);
			typed[a] = word[b] = 0;
			near_begin(&n, typed);
			near_try(&n, word);
			ck_assert(!n.best || (a <= NEAR_MAX && b <= NEAR_MAX));
		}
	}
}
END_TEST

Suite *near_suite(void)
{
	Suite *s = suite_create("near");
	TCase *tc = unit_case(s, "near");

	tcase_add_loop_test(tc, meant, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, long_words);
	return s;
}

UNIT_MAIN(near_suite)
