/* SPDX-License-Identifier: MIT */
/* Which runs the lines of a file make; what a line may be is matrix_file's. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/run/matrix/matrix_file.h"

Suite *matrix_product_suite(void);

static struct matrix m;
static struct stderr_text said;

/* A line for each run: its name, a colon, its words. */
static void check(const char *text, const char *wanted)
{
	char got[2048] = "";
	unsigned i, n;

	ck_assert_int_eq(matrix_parse(&m, "m", text), 0);
	for (i = 0; i < m.runs; i++) {
		sprintf(got + strlen(got), "%s:", m.run[i].name);
		for (n = 0; n < m.run[i].argc; n++)
			sprintf(got + strlen(got), " %s", m.run[i].argv[n]);
		ck_assert(!m.run[i].argc || !m.run[i].argv[n]);
		strcat(got, "\n");
	}
	matrix_free(&m);
	ck_assert_str_eq(got, wanted);
}

static void refused(const char *text, const char *line)
{
	stderr_begin(&said);
	ck_assert_int_eq(matrix_parse(&m, "m", text), -EUSAGE);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, line), "%s", said.text);
	ck_assert_ptr_null(m.run);
}

START_TEST(product)
{
	check("a x --cpus 1\n", "x: --cpus 1\n");
	check("a x -1\nb p -3\na y -2\nb q",
	      "x,p: -1 -3\nx,q: -1\ny,p: -2 -3\ny,q: -2\n");
	check("a x\nb p\nc s\nc t\n", "x,p,s:\nx,p,t:\n");
}
END_TEST

START_TEST(commands_come_last)
{
	check("run -v off -- true\na x --cpus 1\nrun -w", "x: -v off -w --cpus 1 -- true\n");
	check("do one -- a b\ndo two -t -- c --\ncpus n -n\n",
	      "one,n: -n -- a b\ntwo,n: -t -n -- c --\n");
	refused("run -- a\na x\na y -- b\n", "m:3: y has a command already, of line 1");
}
END_TEST

START_TEST(names_of_runs_are_filled_in)
{
	check("a x\nb p\nb q\nrun --out {run}/{run},x -- {run}",
	      "x,p: --out x,p/x,p,x -- x,p\nx,q: --out x,q/x,q,x -- x,q\n");
}
END_TEST

/* Where commas stand between options, one in a name is written twice. */
START_TEST(names_in_lists)
{
	check("a x\nb p\nrun --disk {run}.img --device=serial,file={run} --out {run} --cdrom {run} "
	      "-- --disk {run}",
	      "x,p: --disk x,,p.img --device=serial,file=x,,p --out x,p --cdrom x,,p -- --disk "
	      "x,p\n");
}
END_TEST

START_TEST(values_of_runs)
{
	ck_assert_int_eq(matrix_parse(&m, "m", "a x\nb p\nexclude a=x b=p\ninclude b=q -1\n"), 0);
	ck_assert_uint_eq(m.axes, 2);
	ck_assert_uint_eq(m.runs, 1);
	ck_assert_str_eq(m.axis[1], "b");
	ck_assert_ptr_null(m.run[0].value[0]); /* it has none of the first axis */
	ck_assert_str_eq(m.run[0].value[1], "q");
	matrix_free(&m);
}
END_TEST

static const char two_by_two[] = "a x -x\na y -y\nb p -p\nb q -q\n";

static void check_rule(const char *rule, const char *wanted)
{
	char text[512];

	snprintf(text, sizeof(text), "%s\n%s", rule, two_by_two); /* before what it is about */
	check(text, wanted);
	snprintf(text, sizeof(text), "%s%s", two_by_two, rule);
	check(text, wanted);
}

START_TEST(exclusions)
{
	check_rule("exclude a=x b=q", "x,p: -x -p\ny,p: -y -p\ny,q: -y -q\n");
	check_rule("exclude b=p", "x,q: -x -q\ny,q: -y -q\n");
	check_rule("exclude a=x\nexclude b=q", "y,p: -y -p\n");
	refused("a x\nexclude a=x", "m: no runs: all are excluded");
}
END_TEST

START_TEST(inclusions_add_options)
{
	check_rule("include a=x -1 -2",
		   "x,p: -x -p -1 -2\nx,q: -x -q -1 -2\ny,p: -y -p\ny,q: -y -q\n");
	check_rule("exclude a=x\ninclude b=p -1\ninclude a=y -2",
		   "y,p: -y -p -1 -2\ny,q: -y -q -2\n");
}
END_TEST

START_TEST(inclusions_add_runs)
{
	/* Of what was excluded, */
	check_rule("exclude a=x\ninclude a=x b=q",
		   "y,p: -y -p\ny,q: -y -q\nx,q: -x -q\n");
	/* of a value that the product has not, */
	check_rule("exclude a=x\nexclude b=q\ninclude b=r a=y -r",
		   "y,p: -y -p\ny,r: -y -r\n");
	/* of some axes. */
	check_rule("exclude a=x\nexclude b=q\ninclude a=z -z\ninclude b=q -1",
		   "y,p: -y -p\nz: -z\nq: -q -1\n");
	/* A value that an inclusion has made is the same to the next one; runs are not extended. */
	refused("a x\ninclude a=z -1\ninclude a=z -2", "m: two runs are z");
}
END_TEST

START_TEST(bounds)
{
	char text[8192] = "", name[60];
	unsigned axis, i;

	for (axis = 0; axis < 5; axis++) {
		for (i = 0; i < 10; i++)
			sprintf(text + strlen(text), "a%u v%u\n", axis, i);
	}
	refused(text, "m: more than 10000 runs");
	for (axis = 0; axis < 40; axis++) { /* as many as would overflow any integer */
		for (i = 0; i < 10; i++)
			sprintf(text + strlen(text), "b%u v%u\n", axis, i);
	}
	refused(text, "m: more than 10000 runs");
	memset(name, 'x', sizeof(name));
	for (axis = 0, *text = 0; axis < 4; axis++)
		sprintf(text + strlen(text), "a%u %.*s\n", axis, (int)sizeof(name), name);
	refused(text, "is longer than 200 bytes");
}
END_TEST

Suite *matrix_product_suite(void)
{
	Suite *s = suite_create("matrix_product");
	TCase *tc = unit_case(s, "product");

	tcase_add_test(tc, product);
	tcase_add_test(tc, commands_come_last);
	tcase_add_test(tc, names_of_runs_are_filled_in);
	tcase_add_test(tc, names_in_lists);
	tcase_add_test(tc, values_of_runs);
	tcase_add_test(tc, exclusions);
	tcase_add_test(tc, inclusions_add_options);
	tcase_add_test(tc, inclusions_add_runs);
	tcase_add_test(tc, bounds);
	return s;
}

UNIT_MAIN(matrix_product_suite)
