/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/opt.h"
#include "vmm/core/util.h"
#include "vmm/run/inherited.h"

Suite *inherited_suite(void);

#define FIRST 200 /* descriptors that nobody has */
#define COUNT 12

static const struct {
	const char *argv[5];
	const char *open; /* whether each of FIRST to FIRST + COUNT - 1 is afterwards */
} words[] = {
	{ { NULL }, "............" },
	{ { "--cpus", "201" }, "............" },
	{ { "--device", "console-port,in-fd=203,out-fd=201" }, ".x.x........" },
	{ { "--device=virtio-net,fd=200", "--json", "/dev/fd/211" }, "x..........x" },
	{ { "--disk", "/proc/self/fd/204,overlay=on", "--append", "fd/205" }, "....xx......" },
	{ { "--json", "/dev/fd/202", "--", "/dev/fd/203" }, "..x........." },
	{ { "--junit=/dev/fd/", "fd=x", "fd", "fd=20" }, "............" },
	{ { "in-fd=18446744073709551616,out-fd=4294967295" }, "............" },
};

/* In a process of its own, as check has descriptors, too. */
static int closed_by(char *const *argv, const char *open)
{
	int fd;

	for (fd = FIRST; fd < FIRST + COUNT; fd++)
		dup2(STDERR_FILENO, fd);
	inherited_close(argv);
	for (fd = FIRST; fd < FIRST + COUNT; fd++) {
		if ((fcntl(fd, F_GETFD) >= 0) != (open[fd - FIRST] == 'x'))
			return fd;
	}
	for (fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			return 100 + fd;
	}
	return 0;
}

START_TEST(descriptors)
{
	char *argv[ARRAY_SIZE(words[0].argv)];
	int status;
	pid_t pid;

	memcpy(argv, words[_i].argv, sizeof(argv));
	pid = fork();
	if (pid == 0)
		_exit(closed_by(argv, words[_i].open));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "%s: %d is not as it should be", words[_i].argv[0],
		      WEXITSTATUS(status));
}
END_TEST

START_TEST(environment)
{
	char secret[] = "SECRET=of the build", path[] = "PATH=/bin", named[] = "TOKEN=x=y",
	     longer[] = "TOKENS=more", other[] = "VALUED=here", empty[] = "EMPTY=", odd[] = "odd";
	char *strings[] = { secret, path, named, longer, other, empty, odd, NULL }, **before;
	const char *names[] = { "TOKEN", "VALUED=there", "EMPTY", "MISSING" };
	struct opt_list list = { names, ARRAY_SIZE(names) };
	unsigned i;

	before = environ;
	environ = strings;
	ck_assert_int_eq(inherited_env(&list), 0);
	ck_assert_str_eq(environ[0], "PATH=/bin");
	ck_assert_str_eq(environ[1], "TOKEN=x=y");
	ck_assert_str_eq(environ[2], "EMPTY=");
	ck_assert_ptr_null(environ[3]);
	ck_assert_str_eq(getenv("TOKEN"), "x=y");
	for (i = 0; i < sizeof(secret); i++)
		ck_assert_int_eq(secret[i], 0);
	ck_assert_int_eq(*path + *named + *longer + *other + *empty + *odd, 0);
	for (i = 0; i < 3; i++)
		free(environ[i]);
	free(environ);
	environ = before;
}
END_TEST

Suite *inherited_suite(void)
{
	Suite *s = suite_create("inherited");
	TCase *tc = unit_case(s, "inherited");

	tcase_add_loop_test(tc, descriptors, 0, ARRAY_SIZE(words));
	tcase_add_test(tc, environment);
	return s;
}

UNIT_MAIN(inherited_suite)
