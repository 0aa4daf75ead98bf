/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"

Suite *cause_suite(void);

/* Scripts compare them: none of these ever changes. */
static const struct {
	enum cause cause;
	int status;
	const char *name;
} known[] = {
	{ CAUSE_POWEROFF, 0, "poweroff" },
	{ CAUSE_USAGE, 200, "usage" },
	{ CAUSE_SETUP, 201, "setup" },
	{ CAUSE_NO_KVM, 202, "no-kvm" },
	{ CAUSE_SLOW_KVM, 203, "slow-kvm" },
	{ CAUSE_REBOOT, 204, "reboot" },
	{ CAUSE_PANIC, 205, "panic" },
	{ CAUSE_TRIPLE_FAULT, 206, "triple-fault" },
	{ CAUSE_KVM_ERROR, 207, "kvm-error" },
	{ CAUSE_QUIT, 208, "quit" },
	{ CAUSE_NO_RESULT, 209, "no-result" },
	{ CAUSE_HOST_IO, 211, "host-io" },
	{ CAUSE_TIMEOUT, 212, "timeout" },
	{ CAUSE_BOOT, 213, "boot" },
	{ CAUSE_OOM, 214, "oom" },
	{ CAUSE_MEMORY, 215, "memory" },
	{ CAUSE_EXPECT, 216, "expect" },
	{ CAUSE_BUG, 217, "bug" },
	{ CAUSE_HALTED, 218, "halted" },
	{ CAUSE_EXIT, 0, "exit" },
	{ CAUSE_SIGNAL, 128, "signal" },
};

START_TEST(statuses_and_names)
{
	unsigned i;

	ck_assert_uint_eq(ARRAY_SIZE(known), CAUSE_COUNT);
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		const struct cause_row *row = &causes[known[i].cause];

		ck_assert_int_eq(row->status, known[i].status);
		ck_assert_str_eq(row->name, known[i].name);
	}
}
END_TEST

/* A status of lunette's own has one meaning, which is said, and none that shells use. */
START_TEST(each_has_its_own)
{
	unsigned i, k;

	for (i = 0; i < CAUSE_COUNT; i++) {
		ck_assert_uint_gt(strlen(causes[i].text), 10);
		ck_assert(causes[i].status == 0 || causes[i].status == 128 ||
			  (causes[i].status >= 200 && causes[i].status < 255));
		for (k = 0; k < i; k++) {
			ck_assert_str_ne(causes[k].name, causes[i].name);
			ck_assert(!causes[i].status || causes[k].status != causes[i].status);
		}
	}
}
END_TEST

START_TEST(help)
{
	char *text, *line;
	unsigned lines = 0;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cause_help(out);
	fclose(out);
	for (line = text; *line; line = strchr(line, '\n') + 1, lines++)
		ck_assert_uint_le(strcspn(line, "\n"), 80);
	ck_assert_uint_eq(lines, CAUSE_COUNT);
	ck_assert_ptr_nonnull(strstr(text, "  212   timeout       the time limit is over "
				     "(--timeout)\n"));
	ck_assert_ptr_nonnull(strstr(text, "128+n signal "));
	ck_assert_ptr_nonnull(strstr(text, "n   exit "));
	free(text);
}
END_TEST

/* The user is wrong; this host does not do it. Linux's last errno value is 4095. */
static const struct {
	int err;
	enum cause cause;
} failures[] = {
	{ 0, CAUSE_POWEROFF },
	{ -EUSAGE, CAUSE_USAGE },
	{ -EOVERLIMIT, CAUSE_MEMORY },
	{ -ENOKVM, CAUSE_NO_KVM },
	{ -EINVAL, CAUSE_SETUP },
	{ -ENOMEM, CAUSE_SETUP },
	{ -ENOENT, CAUSE_SETUP },
	{ -4095, CAUSE_SETUP },
};

START_TEST(of_failures)
{
	ck_assert_int_eq(cause_of_err(failures[_i].err), failures[_i].cause);
}
END_TEST

Suite *cause_suite(void)
{
	Suite *s = suite_create("cause");
	TCase *tc = unit_case(s, "cause");

	tcase_add_test(tc, statuses_and_names);
	tcase_add_test(tc, each_has_its_own);
	tcase_add_test(tc, help);
	tcase_add_loop_test(tc, of_failures, 0, ARRAY_SIZE(failures));
	return s;
}

UNIT_MAIN(cause_suite)
