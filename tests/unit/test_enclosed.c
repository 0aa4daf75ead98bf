/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/child.h"
#include "vmm/core/util.h"
#include "vmm/run/files/enclosed.h"

Suite *enclosed_suite(void);

#define LONG 60000

static char top[64], text[4096];
static struct enclosed e;

static void set_up(void)
{
	char line[300];

	strcpy(top, "/tmp/lunette-enclosed-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(line, sizeof(line), "cd %s && mkdir -p a/deep a/secret b && echo text >a/file && "
		 "echo key >a/secret/key && echo word >a/deep/password && ln -s file a/link", top);
	ck_assert_int_eq(system(line), 0);
	strcat(top, "/a");
	e = (struct enclosed){ .dir = top, .readonly = true };
}

static void tear_down(void)
{
	char line[100];

	*strrchr(top, '/') = 0;
	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

static int start(struct child *child, const char *script, int out)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct child_spec spec = { .argv = argv, .out = out, .sig = SIGKILL,
					 .prepare = enclosed_enter, .arg = &e };

	*child = CHILD_NONE;
	enclosed_init(&e);
	return child_start(child, &spec);
}

/* What @script prints there. NULL: there are no such namespaces here, and that is said. */
static const char *output(const char *script)
{
	int out = memfd_create("out", MFD_CLOEXEC), r;
	struct child child;
	ssize_t n;

	r = start(&child, script, out);
	if (r < 0) {
		ck_assert_msg(r == -EPERM || r == -EACCES || r == -ENOSPC, "%s: %d", e.failed, r);
		ck_assert_ptr_nonnull(e.failed);
		close(out);
		return NULL;
	}
	ck_assert_ptr_null(e.failed);
	ck_assert(child_await(&child, -1, LONG));
	child_end(&child, 0, LONG);
	n = pread(out, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(n, 0);
	text[n] = 0;
	close(out);
	return text;
}

static void check(const char *script, const char *wanted)
{
	const char *got = output(script);

	if (got)
		ck_assert_str_eq(got, wanted);
}

/* Also who owns the mount, as nobody else does, cannot write there. */
START_TEST(what_is_there)
{
	e.readonly = _i;
	check("cat /sys/folder/link; ls /sys; cd /sys/folder && { echo >new; } 2>/dev/null || "
	      "echo refused; rm -f file 2>/dev/null; cat file 2>/dev/null; id -u; "
	      "ls /sys/class/net 2>/dev/null; grep -c lo: /proc/net/dev",
	      _i ? "text\nfolder\nnothing\nrefused\ntext\n0\n1\n" :
		   "text\nfolder\nnothing\n0\n1\n");
	ck_assert_int_ne(access(ENCLOSED_AT, F_OK), 0); /* here there is no such thing */
}
END_TEST

START_TEST(some_is_covered)
{
	static const char *names[] = { "secret", "deep/password", "none", "file/none" };
	char *path[ARRAY_SIZE(names)];
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_int_gt(asprintf(&path[i], "%s/%s", top, names[i]), 0);
	e.covered = (const char *const *)path;
	e.ncovered = ARRAY_SIZE(names);
	ck_assert_int_eq(setenv("top", top, 1), 0);
	check("cd /sys/folder && find . | sort; cat deep/password file; ls $top/secret; "
	      "cat $top/deep/password",
	      ".\n./deep\n./deep/password\n./file\n./link\n./secret\ntext\n");
	for (i = 0; i < ARRAY_SIZE(names); i++)
		free(path[i]);
}
END_TEST

/* Of the whole system; and what it does not need itself is covered where the program is, too. */
START_TEST(all_of_it)
{
	char real[PATH_MAX]; /* as /tmp may be a link */
	const char *const covered[] = { "/proc", "/sys", real };

	ck_assert_ptr_nonnull(realpath(top, real));
	ck_assert_int_eq(setenv("top", real, 1), 0);
	e.dir = "/";
	e.covered = covered;
	e.ncovered = ARRAY_SIZE(covered);
	check("cd /sys/folder && ls proc sys; find .$top $top -type f; "
	      "[ -e bin/sh ] && [ -e /proc/self ] && echo well; "
	      "{ echo >tmp/lunette-new; } 2>/dev/null || echo refused",
	      "proc:\n\nsys:\nwell\nrefused\n");
}
END_TEST

START_TEST(failures)
{
	struct child child;
	const char *const link[] = { top };
	int r;

	e.dir = "/nowhere/at/all";
	r = start(&child, "true", -1);
	ck_assert_int_lt(r, 0);
	ck_assert_ptr_nonnull(e.failed);
	if (r == -ENOENT)
		ck_assert_str_eq(e.failed, "a mount of the folder");
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	/* What would be covered is somewhere else. */
	strcat(top, "/link");
	e.dir = "/";
	e.covered = link;
	e.ncovered = 1;
	r = start(&child, "true", -1);
	*strrchr(top, '/') = 0;
	ck_assert_int_lt(r, 0);
	if (r == -ELOOP)
		ck_assert_ptr_eq(e.failed, top);
}
END_TEST

/* New rights do not cost it the signal: it ends when we do. */
START_TEST(ends_with_us)
{
	struct pollfd ended = { .events = POLLIN };
	struct child child;
	int pipe_[2];
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe2(pipe_, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		if (start(&child, "echo; exec sleep 1000", pipe_[1]) < 0)
			_exit(1);
		pause();
	}
	close(pipe_[1]);
	if (read(pipe_[0], &byte, 1) == 1) {
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ended.fd = pipe_[0];
		ck_assert_int_eq(poll(&ended, 1, LONG), 1);
		ck_assert_int_eq(read(pipe_[0], &byte, 1), 0);
	} else {
		ck_assert_ptr_null(output("true"));
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(pipe_[0]);
}
END_TEST

Suite *enclosed_suite(void)
{
	Suite *s = suite_create("enclosed");
	TCase *tc = unit_case(s, "enclosed");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, what_is_there, 0, 2);
	tcase_add_test(tc, some_is_covered);
	tcase_add_test(tc, all_of_it);
	tcase_add_test(tc, failures);
	tcase_add_test(tc, ends_with_us);
	return s;
}

UNIT_MAIN(enclosed_suite)
