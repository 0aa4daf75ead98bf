/* SPDX-License-Identifier: MIT */
/* The script is one of ours; tests/cli/kernel.sh has the real one. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/run/kernel/kernel_find.h"
#include "vmm/run/kernel_fetch.h"

Suite *kernel_fetch_suite(void);

static char top[64], script[80];
static struct kernel_found found;

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-fetch-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chmod(top, 0755), 0);
	ck_assert_int_eq(chdir(top), 0);
	setenv("XDG_CACHE_HOME", top, 1);
	snprintf(script, sizeof(script), "%s/fetch", top);
}

static void tear_down(void)
{
	char line[100];

	kernel_found_free(&found);
	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

static void write_script(const char *text)
{
	FILE *f = fopen(script, "w");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	ck_assert_int_eq(fchmod(fileno(f), 0755), 0);
	fclose(f);
}

static const struct {
	const char *text;
	bool is;
} words[] = {
	{ "6.12", true }, { "6", true }, { "6.1.0-32-amd64", true },
	{ "6.12.117+deb12-cloud-amd64", true }, { "7.0~rc1", true },
	{ "", false }, { "micro", false }, { "v6.12", false }, { "6.12/vmlinuz", false },
	{ "6.12 ", false }, { "../6.12", false }, { "6.12\n", false },
};

START_TEST(versions)
{
	ck_assert_int_eq(kernel_is_version(words[_i].text), words[_i].is);
}
END_TEST

static void check_found(const char *release)
{
	char path[200];

	ck_assert_str_eq(found.release, release);
	snprintf(path, sizeof(path), "%s/lunette/kernels/%s/vmlinuz", top, release);
	ck_assert_str_eq(found.image, path);
	kernel_found_free(&found);
}

/* What was said is a link from then on, so nothing is fetched for it again. */
START_TEST(fetched)
{
	char *folder = kernel_fetch_folder("--kernel");

	write_script("cd \"$2\" && mkdir 6.2-x && touch 6.2-x/vmlinuz && ln -s 6.2-x \"$1\"");
	ck_assert_int_eq(kernel_fetched(folder, "6.2", &found), -ENOENT);
	ck_assert_int_eq(kernel_fetch("--kernel", "6.2", script, &found), 0);
	check_found("6.2-x");
	ck_assert_int_eq(kernel_fetched(folder, "6.2", &found), 0);
	check_found("6.2-x");
	ck_assert_int_eq(kernel_fetched(folder, "6.2-x", &found), 0);
	check_found("6.2-x");
	free(folder);
}
END_TEST

static const struct {
	const char *script, *line;
} failures[] = {
	{ "echo 'half a line'; echo 'apt has no such kernel' >&2; exit 1",
	  "--kernel 6.2: apt has no such kernel\n" },
	{ "kill -9 $$", "--kernel 6.2: it was to be in " },
	{ "mkdir \"$2/6.2\"", "--kernel 6.2: it was to be in " }, /* with no kernel in it */
};

START_TEST(not_fetched)
{
	struct stderr_text said;

	write_script(failures[_i].script);
	stderr_begin(&said);
	ck_assert_int_eq(kernel_fetch("--kernel", "6.2", script, &found), -ENOENT);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, failures[_i].line));
	ck_assert_ptr_eq(strchr(said.text, '\n') + 1, said.text + strlen(said.text));
}
END_TEST

START_TEST(no_script)
{
	struct stderr_text said;

	stderr_begin(&said);
	ck_assert_int_eq(kernel_fetch("--kernel", "6.2", NULL, &found), -ENOENT);
	ck_assert_int_eq(kernel_fetch("--kernel", "6.2", script, &found), -ENOENT);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "fetch.sh, has not been installed with lunette\n"));
	ck_assert_ptr_nonnull(strstr(said.text, "/fetch cannot be run: No such file"));
}
END_TEST

/* A cache that can be read only still has what is in it. */
START_TEST(cache_that_cannot_be_written_to)
{
	struct stderr_text said;
	char *folder = kernel_fetch_folder("--kernel");

	free(folder);
	write_script("exit 0");
	ck_assert_int_eq(chmod("lunette", 0755), 0);
	ck_assert_int_eq(chmod("lunette/kernels", 0555), 0);
	if (geteuid() == 0)
		ck_assert_int_eq(setresuid(65534, 65534, 65534), 0);
	folder = kernel_fetch_folder("--kernel");
	ck_assert_ptr_nonnull(folder);
	free(folder);
	stderr_begin(&said);
	ck_assert_int_eq(kernel_fetch("--kernel", "6.2", script, &found), -EACCES);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "/lunette/kernels: Permission denied"));
}
END_TEST

START_TEST(no_cache)
{
	struct stderr_text said;
	char wanted[300];

	setenv("XDG_CACHE_HOME", script, 1);
	write_script("exit 0");
	stderr_begin(&said);
	ck_assert_ptr_null(kernel_fetch_folder("--kernel"));
	snprintf(wanted, sizeof(wanted), "lunette: error: --kernel: %s/lunette/kernels: Not a "
		 "directory; XDG_CACHE_HOME names another folder for kernels\n", script);
	ck_assert_str_eq(stderr_end(&said), wanted);
}
END_TEST

Suite *kernel_fetch_suite(void)
{
	Suite *s = suite_create("kernel_fetch");
	TCase *tc = unit_case(s, "kernel_fetch");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, versions, 0, sizeof(words) / sizeof(*words));
	tcase_add_test(tc, fetched);
	tcase_add_loop_test(tc, not_fetched, 0, sizeof(failures) / sizeof(*failures));
	tcase_add_test(tc, no_script);
	tcase_add_test(tc, no_cache);
	tc = unit_case(s, "other user");
	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, cache_that_cannot_be_written_to);
	return s;
}

UNIT_MAIN(kernel_fetch_suite)
