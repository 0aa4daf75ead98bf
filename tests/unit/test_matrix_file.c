/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/run/matrix/matrix_file.h"

Suite *matrix_file_suite(void);

static struct matrix m;
static struct stderr_text said;

static void refused(const char *text, const char *line)
{
	stderr_begin(&said);
	ck_assert_int_eq(matrix_parse(&m, "m", text), -EUSAGE);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, line), "%s", said.text);
	ck_assert_ptr_null(m.run);
}

START_TEST(what_makes_no_sense)
{
	refused("", "m: no runs: there is no axis");
	refused("run --cpus 1 -- true", "m: no runs: there is no axis");
	refused("a", "m:1: 'a': an axis and a value's name are wanted");
	refused("\na b=c", "m:2: 'a b=c': an axis");
	refused("a ../b", "'a ../b': an axis");
	refused("a --cpus", "'a --cpus': an axis");
	refused("exlude a=x", "'exlude a=x': an axis");
	refused("a x y", "m:1: 'y' is no option");
	refused("a x\na x", "m:2: a has a value 'x' already");
	refused("run true", "m:1: run: options");
	refused("run", "m:1: run: options");
	refused("a x\nexclude", "m:2: exclude: AXIS=NAME is wanted");
	refused("a x\nexclude a", "m:2: exclude: 'a' is not AXIS=NAME");
	refused("a x\nexclude b=x", "m:2: exclude: 'b=x': there is no such axis");
	refused("a x\nexclude a=y", "m:2: exclude: 'a=y': a has no such value");
	refused("a x\nexclude a=x -1", "m:2: exclude: it takes no options, as '-1'");
	refused("a x\ninclude a=y", "a has no such value, and no options say what it is");
	refused("a x\ninclude a=/ -1", "m:2: include: 'a=/': names are");
	refused("a x\ninclude a=x a=x", "m:2: include: a is named twice");
	refused("a x\nb 'y", "m:2: a quote is not closed");
}
END_TEST

START_TEST(files)
{
	char path[] = "/tmp/matrix-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, "a x -1", 6), 6);
	ck_assert_int_eq(matrix_read(&m, path), 0);
	ck_assert_str_eq(m.run[0].argv[0], "-1");
	ck_assert_str_eq(m.axis[0], "a");
	ck_assert_str_eq(m.run[0].value[0], "x");
	matrix_free(&m);
	stderr_begin(&said);
	ck_assert_int_eq(write(fd, "\0", 1), 1);
	ck_assert_int_eq(matrix_read(&m, path), -EUSAGE);
	ck_assert_int_eq(ftruncate(fd, 2 << 20), 0);
	ck_assert_int_eq(matrix_read(&m, path), -EUSAGE);
	unlink(path);
	close(fd);
	ck_assert_int_eq(matrix_read(&m, path), -EUSAGE);
	ck_assert_int_eq(matrix_read(&m, "/"), -EUSAGE);
	stderr_end(&said);
}
END_TEST

Suite *matrix_file_suite(void)
{
	Suite *s = suite_create("matrix_file");
	TCase *tc = unit_case(s, "matrix_file");

	tcase_add_test(tc, what_makes_no_sense);
	tcase_add_test(tc, files);
	return s;
}

UNIT_MAIN(matrix_file_suite)
