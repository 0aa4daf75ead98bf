/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/lock.h"

Suite *claim_suite(void);

static struct claims *l;
static struct stderr_text said;
static char dir[64], here[4096];

static void make(const char *name)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs("text", f);
	fclose(f);
}

static void set_up(void)
{
	ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
	snprintf(dir, sizeof(dir), "/tmp/lunette-claim-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	make("file");
	ck_assert_int_eq(symlink("file", "soft"), 0);
	ck_assert_int_eq(link("file", "hard"), 0);
	ck_assert_int_eq(symlink("none", "dangling"), 0);
	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	l = claims_create(false);
	ck_assert_ptr_nonnull(l);
}

static void tear_down(void)
{
	char command[100];

	claims_destroy(l);
	l = NULL;
	ck_assert_int_eq(chdir(here), 0);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void has(const char *file, const char *wanted)
{
	char text[200] = "";
	FILE *in = fopen(file, "r");

	ck_assert_ptr_nonnull(in);
	text[fread(text, 1, sizeof(text) - 1, in)] = 0;
	fclose(in);
	ck_assert_str_eq(text, wanted);
}

static int reads(const char *name)
{
	int fd = open(name, O_RDONLY), r;
	struct claim *c;

	ck_assert_int_ge(fd, 0);
	r = claim_read(l, name, fd, false, &c);
	close(fd);
	return r;
}

static int opens(const char *what, const char *name)
{
	struct claim *c;

	return claim_open(l, what, name, 0, &c);
}

static void refused(int r, const char *line)
{
	stderr_end(&said);
	ck_assert_int_eq(r, -EUSAGE);
	ck_assert_msg(strstr(said.text, line), "%s", said.text);
	ck_assert_ptr_eq(strchr(said.text, '\n'), strrchr(said.text, '\n'));
}

/* However it is called, and whoever comes first. */
static const char *const names[] = { "file", "./file", "soft", "hard" };

START_TEST(output_that_is_an_input)
{
	char line[200];

	ck_assert_int_eq(reads("file"), 0);
	stderr_begin(&said);
	snprintf(line, sizeof(line), "error: --log X: is the same file as file; ");
	refused(opens("--log X", names[_i]), line);
	has("file", "text");
}
END_TEST

START_TEST(input_that_is_an_output)
{
	ck_assert_int_ge(opens("--log X", "file"), 0);
	stderr_begin(&said);
	refused(reads(names[_i]), "error: --log X: is the same file as ");
	claims_destroy(l);
	l = NULL;
	has("file", "text");
}
END_TEST

START_TEST(two_outputs)
{
	ck_assert_int_ge(opens("--log X", "file"), 0);
	stderr_begin(&said);
	refused(opens("--trace Y", names[_i]), "error: --trace Y: is the same file as --log X; ");
}
END_TEST

/* That is made, then, and removed; the link stays. */
START_TEST(two_outputs_that_are_not_there)
{
	struct stat st;

	ck_assert_int_ge(opens("--log X", "none"), 0);
	stderr_begin(&said);
	refused(opens("--trace Y", "dangling"), "error: --trace Y: is the same file as --log X; ");
	claims_destroy(l);
	l = NULL;
	ck_assert_int_lt(access("none", F_OK), 0);
	ck_assert_int_eq(lstat("dangling", &st), 0);
}
END_TEST

START_TEST(what_may_be_shared)
{
	int null = open("/dev/null", O_RDWR), pair[2];
	struct claim *c;

	ck_assert_int_eq(reads("file"), 0);
	ck_assert_int_eq(reads("hard"), 0);
	ck_assert_int_eq(claim_read(l, "null", null, false, &c), 0);
	ck_assert_int_ge(opens("a", "/dev/null"), 0);
	ck_assert_int_ge(opens("b", "/dev/null"), 0);
	ck_assert_int_eq(pipe(pair), 0);
	ck_assert_int_eq(claim_given(l, "c", pair[1]), 0);
	ck_assert_int_eq(claim_given(l, "d", pair[1]), 0);
	close(null);
}
END_TEST

/* As by 2>&1: but not with what lunette opens. */
START_TEST(descriptors)
{
	int fd = open("file", O_RDWR | O_APPEND), again;
	char name[32];

	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	ck_assert_int_eq(claim_given(l, "stdout", fd), 0);
	ck_assert_int_eq(claim_given(l, "stderr", fd), 0);
	again = opens("--json /dev/fd/N", name);
	ck_assert_int_ge(again, 0);
	ck_assert_int_ne(again, fd);
	ck_assert_int_eq(claims_begin(l), 0);
	ck_assert_int_eq(write(again, "+", 1), 1);
	has("file", "text+");
	stderr_begin(&said);
	refused(opens("--log file", "file"), "error: --log file: is the same file as --json");
	stderr_begin(&said);
	refused(reads("hard"), "error: --json /dev/fd/N: is the same file as hard; ");
	close(fd);
}
END_TEST

START_TEST(descriptors_that_are_none)
{
	int own = open("file", O_RDWR | O_CLOEXEC), in = open("file", O_RDONLY);
	char name[32];

	stderr_begin(&said);
	snprintf(name, sizeof(name), "/dev/fd/%d", own);
	ck_assert_int_eq(opens("x", name), -EBADF);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", in);
	ck_assert_int_eq(opens("x", name), -EBADF);
	ck_assert_int_eq(opens("x", "/dev/fd/987"), -EBADF);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "error: x: Bad file descriptor\n"));
	close(own);
	close(in);
}
END_TEST

static const struct {
	const char *path;
	int fd;
} descriptor_names[] = {
	{ "/dev/stdin", 0 }, { "/dev/stdout", 1 }, { "/dev/stderr", 2 }, { "/dev/fd/37", 37 },
	{ "/proc/self/fd/4", 4 }, { "/dev/fd/", -1 }, { "/dev/fd/3x", -1 }, { "/dev/fd/-1", -1 },
	{ "/dev/fd/123456789", -1 }, { "/dev/fd/3/", -1 }, { "fd/3", -1 }, { "/dev/stdoutx", -1 },
};

START_TEST(names_of_descriptors)
{
	ck_assert_int_eq(claim_descriptor(descriptor_names[_i].path), descriptor_names[_i].fd);
}
END_TEST

START_TEST(nothing_happens_before_the_run)
{
	ck_assert_int_ge(opens("a", "file"), 0);
	ck_assert_int_ge(opens("b", "new"), 0);
	ck_assert_int_eq(claim_folder(l, "--out", "folder"), 0);
	ck_assert_int_eq(claim_folder(l, "--out", "."), 0);
	ck_assert_int_ge(opens("c", "folder/new"), 0);
	has("file", "text");
	claims_destroy(l);
	l = NULL;
	has("file", "text");
	ck_assert_int_lt(access("new", F_OK), 0);
	ck_assert_int_lt(access("folder", F_OK), 0);
}
END_TEST

START_TEST(the_run_begins)
{
	struct claim *kept, *replaced;
	int fd = opens("a", "file");

	ck_assert_int_ge(opens("b", "new"), 0);
	make("other");
	make("third");
	ck_assert_int_ge(claim_replace(l, "c", "other", &replaced), 0);
	ck_assert(!claims_have_begun(l));
	ck_assert_int_eq(claims_begin(l), 0);
	ck_assert(claims_have_begun(l));
	has("file", "");
	has("other", "text");
	ck_assert_int_eq(write(fd, "new", 3), 3);
	ck_assert_int_ge(claim_open(l, "d", "third", CLAIM_REGULAR, &kept), 0);
	has("third", "");
	claims_destroy(l);
	l = NULL;
	has("file", "new");
	has("new", "");
}
END_TEST

START_TEST(what_is_kept_of_a_run_that_did_not_begin)
{
	struct claim *c;

	ck_assert_int_ge(claim_replace(l, "--json", "new", &c), 0);
	ck_assert(claim_made(c));
	ck_assert_int_eq(rename("file", "new"), 0);
	claim_renew(c, -1);
	claim_keep(c);
	claims_destroy(l);
	l = NULL;
	has("new", "text");
}
END_TEST

/* A disk by one name, a report by another, and the report comes first. */
START_TEST(both_hear_of_it)
{
	struct claim *c;

	ck_assert_int_ge(claim_replace(l, "--json", "soft", &c), 0);
	ck_assert(!claim_refused(c));
	stderr_begin(&said);
	refused(reads("hard"), "--json: is the same file as hard");
	ck_assert(claim_refused(c));
	ck_assert_str_eq(claim_path(c) + strlen(claim_path(c)) - 5, "/file");
}
END_TEST

/* A disk that is plugged later and named wrongly does not cost the report. */
START_TEST(refused_in_the_run)
{
	struct claim *c;

	ck_assert_int_ge(claim_replace(l, "--json", "file", &c), 0);
	ck_assert_int_eq(claims_begin(l), 0);
	stderr_begin(&said);
	refused(reads("hard"), "--json: is the same file as hard");
	ck_assert(!claim_refused(c));
}
END_TEST

START_TEST(words)
{
	int fd = open("hard", O_PATH);
	struct claim *c;

	ck_assert_int_eq(claim_spare(l, "word", fd), 0);
	ck_assert_int_ge(claim_replace(l, "--json", "file", &c), 0);
	stderr_begin(&said);
	refused(claim_spare(l, "word", fd), "--json: is the same file as word");
	ck_assert(claim_refused(c));
	close(fd);
}
END_TEST

/* A file may be let go, and have other uses then. */
START_TEST(dropped_and_renewed)
{
	struct claim *c;
	int fd = open("file", O_RDONLY);

	ck_assert_int_eq(claim_read(l, "x", fd, false, &c), 0);
	claim_drop(c);
	ck_assert_int_ge(claim_open(l, "y", "file", 0, &c), 0);
	make("other");
	claim_renew(c, open("other", O_WRONLY));
	ck_assert_int_eq(reads("hard"), 0);
	stderr_begin(&said);
	refused(reads("other"), "y: is the same file as other");
	claim_drop(NULL);
	close(fd);
}
END_TEST

/* What was read is known to the end, but no longer in the way. */
START_TEST(dropped_in_the_run)
{
	int fd = open("file", O_RDONLY), folder = open(".", O_RDONLY);
	struct claim *c;

	ck_assert_int_eq(claim_read(l, "x", fd, false, &c), 0);
	ck_assert_int_eq(claims_begin(l), 0);
	claim_drop(c);
	ck_assert(claims_have(l, folder, "hard"));
	ck_assert(!claims_have(l, folder, "soft"));
	ck_assert(!claims_have(l, folder, "none"));
	ck_assert(!claims_have(l, folder, "fifo"));
	ck_assert_int_ge(opens("y", "soft"), 0);
	close(fd);
	close(folder);
}
END_TEST

START_TEST(name_that_may_be_there)
{
	struct claim *c;

	ck_assert_int_eq(claim_name(l, "--keep: none", "none", &c), 0);
	ck_assert_int_lt(access("none", F_OK), 0);
	claim_drop(c);
	ck_assert_int_eq(reads("file"), 0);
	stderr_begin(&said);
	refused(claim_name(l, "--keep: hard", "hard", &c), "--keep: hard: is the same file as");
}
END_TEST

START_TEST(what_cannot_be_opened)
{
	struct claim *c;

	stderr_begin(&said);
	ck_assert_int_eq(opens("a", "."), -EISDIR);
	ck_assert_int_eq(opens("b", "no/file"), -ENOENT);
	ck_assert_int_eq(claim_open(l, "c", "fifo", CLAIM_REGULAR, &c), -ENOTSUP);
	ck_assert_int_eq(claim_open(l, "d", "soft", CLAIM_HERE, &c), -ELOOP);
	ck_assert_int_eq(claim_folder(l, "--out", "no/folder"), -ENOENT);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "b: No such file"));
	ck_assert_ptr_nonnull(strstr(said.text, "c: a regular file is wanted"));
	ck_assert_ptr_nonnull(strstr(said.text, "--out no/folder: No such file"));
}
END_TEST

/* Nothing will run, and nobody comes to read. */
START_TEST(fifo_is_not_waited_for)
{
	claims_destroy(l);
	l = claims_create(true);
	alarm(10);
	ck_assert_int_ge(opens("a", "fifo"), 0);
}
END_TEST

/* Another run reads it, or writes it, as a disk or an output. */
START_TEST(another_run_has_it)
{
	int fd = open("file", O_RDWR), ready[2], given = open("hard", O_RDWR);
	char byte;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		fd = open("file", O_RDWR);
		if (!lock_image(fd, "file", _i))
			(void)!write(ready[1], "y", 1);
		pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	stderr_begin(&said);
	ck_assert_int_eq(opens("--log soft", "soft"), -EBUSY);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "--log soft: the file is in use by process"));
	stderr_begin(&said);
	ck_assert_int_eq(claim_given(l, "stdout", given), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "stdout: the file is in use by process"));
	has("file", "text");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
}
END_TEST

START_TEST(others_cannot_have_it)
{
	int fd = open("hard", O_RDWR);

	ck_assert_int_ge(opens("--log", "file"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(lock_image(fd, "hard", false), -EBUSY);
	stderr_end(&said);
	claims_destroy(l);
	l = NULL;
	ck_assert_int_eq(lock_image(fd, "hard", false), 0);
	close(fd);
}
END_TEST

Suite *claim_suite(void)
{
	Suite *s = suite_create("claim");
	TCase *tc = unit_case(s, "claim");
	int n = sizeof(names) / sizeof(*names);

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, output_that_is_an_input, 0, n);
	tcase_add_loop_test(tc, input_that_is_an_output, 0, n);
	tcase_add_loop_test(tc, two_outputs, 0, n);
	tcase_add_test(tc, two_outputs_that_are_not_there);
	tcase_add_test(tc, what_may_be_shared);
	tcase_add_test(tc, descriptors);
	tcase_add_test(tc, descriptors_that_are_none);
	tcase_add_loop_test(tc, names_of_descriptors, 0,
			    sizeof(descriptor_names) / sizeof(*descriptor_names));
	tcase_add_test(tc, nothing_happens_before_the_run);
	tcase_add_test(tc, the_run_begins);
	tcase_add_test(tc, what_is_kept_of_a_run_that_did_not_begin);
	tcase_add_test(tc, both_hear_of_it);
	tcase_add_test(tc, refused_in_the_run);
	tcase_add_test(tc, words);
	tcase_add_test(tc, dropped_and_renewed);
	tcase_add_test(tc, dropped_in_the_run);
	tcase_add_test(tc, name_that_may_be_there);
	tcase_add_test(tc, what_cannot_be_opened);
	tcase_add_test(tc, fifo_is_not_waited_for);
	tcase_add_loop_test(tc, another_run_has_it, 0, 2);
	tcase_add_test(tc, others_cannot_have_it);
	return s;
}

UNIT_MAIN(claim_suite)
