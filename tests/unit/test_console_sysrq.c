/* SPDX-License-Identifier: MIT */
/* A SysRq key goes to the guest's console, whoever has what is typed. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/machine/console.h"

Suite *console_sysrq_suite(void);

static struct testbed tb;
static struct console *con;
static struct stderr_text said;
static char key;

static void on_printed(void *arg, const void *data, size_t len)
{
	(void)arg, (void)data, (void)len;
}

static void on_quit(void *arg)
{
	(void)arg;
}

static size_t input(void *dev, const void *data, size_t len)
{
	(void)dev, (void)data;
	return len;
}

static bool sysrq(void *dev, char which)
{
	ck_assert_ptr_eq(dev, &key);
	key = which;
	return which != 'x';
}

static void set_up(void)
{
	static const struct console_host host = { on_printed, on_quit, NULL };

	testbed_init(&tb);
	con = console_create(&host, &tb.p, tb.main_loop);
	ck_assert_ptr_nonnull(con);
	stderr_begin(&said);
}

static void tear_down(void)
{
	console_destroy(con);
	testbed_fini(&tb);
}

START_TEST(keys)
{
	static const struct console_user device = { input, NULL, sysrq };
	static const struct console_user another = { input, NULL, NULL };

	ck_assert_int_eq(console_sysrq(con, 'h'), -EAGAIN);
	tb.p.console_attach(con, &device, &key);
	tb.p.console_attach(con, &another, NULL);
	ck_assert_int_eq(console_sysrq(con, 'h'), 0);
	ck_assert_int_eq(key, 'h');
	ck_assert_int_eq(console_sysrq(con, 'x'), -EAGAIN);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "lunette: error: sysrq: the guest's"));
}
END_TEST

Suite *console_sysrq_suite(void)
{
	Suite *s = suite_create("console_sysrq");
	TCase *tc = unit_case(s, "sysrq");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, keys);
	return s;
}

UNIT_MAIN(console_sysrq_suite)
