/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/machine/sandbox.h"

Suite *sandbox_suite(void);

static unsigned long long capabilities(const char *set)
{
	unsigned long long value = ~0ull;
	char line[200], wanted[32];
	FILE *file = fopen("/proc/thread-self/status", "r");

	ck_assert_ptr_nonnull(file);
	snprintf(wanted, sizeof(wanted), "%s:\t%%llx", set);
	while (fgets(line, sizeof(line), file) && sscanf(line, wanted, &value) != 1)
		;
	fclose(file);
	return value;
}

START_TEST(no_right_is_left)
{
	bool could = prctl(PR_CAPBSET_READ, 8) == 1 && capabilities("CapEff") & 1 << 8;
	struct stderr_text said;

	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	stderr_begin(&said);
	ck_assert_int_eq(sandbox_enter(), 0);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_uint_eq(capabilities("CapEff"), 0);
	ck_assert_uint_eq(capabilities("CapPrm"), 0);
	ck_assert_uint_eq(capabilities("CapInh"), 0);
	ck_assert_uint_eq(capabilities("CapAmb"), 0);
	if (could) /* CAP_SETPCAP, which emptying that one takes */
		ck_assert_uint_eq(capabilities("CapBnd"), 0);
	ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}
END_TEST

/* Neither here nor in a program that is started: what there was cannot be had again. */
START_TEST(no_right_comes_back)
{
	char got[64] = "";
	int fds[2], status;
	ssize_t n;
	pid_t child;

	ck_assert_int_eq(sandbox_enter(), 0);
	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execlp("sed", "sed", "-n", "s/^NoNewPrivs:.//p", "/proc/self/status", NULL);
		_exit(127);
	}
	close(fds[1]);
	n = read(fds[0], got, sizeof(got) - 1);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_gt(n, 0);
	ck_assert_str_eq(got, "1\n");
	ck_assert_int_lt(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	ck_assert_int_eq(sandbox_enter(), 0); /* once more is no failure */
}
END_TEST

Suite *sandbox_suite(void)
{
	Suite *s = suite_create("sandbox");
	TCase *tc = unit_case(s, "sandbox");

	tcase_add_test(tc, no_right_is_left);
	tcase_add_test(tc, no_right_comes_back);
	return s;
}

UNIT_MAIN(sandbox_suite)
