/* SPDX-License-Identifier: MIT */
/* Commands by time, and by what a guest prints. */
#include "tests/unit/unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"
#include "vmm/run/control/command.h"
#include "vmm/run/control/script.h"

Suite *script_suite(void);

static struct testbed tb;
static struct stderr_text said;
static struct opt_list at;
static struct script *script;
static char done[100]; /* keys, in the order in which they came */

static int on_sysrq(void *arg, char key)
{
	ck_assert_ptr_eq(arg, &tb);
	ck_assert(loop_is_current(tb.main_loop));
	strncat(done, &key, 1);
	return 0;
}

static const struct command_host *host(void)
{
	static struct command_host h;

	h = (struct command_host){ .platform = &tb.p, .devices = &tb.devices, .sysrq = on_sysrq,
				   .arg = &tb };
	return &h;
}

static void set_up(void)
{
	testbed_init(&tb);
	stderr_begin(&said);
}

static void tear_down(void)
{
	script_destroy(script);
	free(at.item);
	testbed_fini(&tb);
	stderr_end(&said);
}

static void add(const char *text)
{
	ck_assert_int_eq(opt_list_add(&at, text), 0);
}

static void make(void)
{
	ck_assert_int_eq(script_check(&at), 0);
	script = script_create(&at, tb.main_loop, host());
	ck_assert_ptr_nonnull(script);
}

static void print(const char *text)
{
	script_printed(script, text, strlen(text));
	loop_round(tb.main_loop);
}

static const struct {
	const char *text, *says;
} wrong[] = {
	{ " ", "'WHEN COMMAND' is wanted" },
	{ "5s", "a command is wanted behind that" },
	{ "5 quit", "when: time=5: not a time" },
	{ "2000h quit", "out of range" },
	{ "soon quit", "not a time" },
	{ "5s fly", "fly: is no command" },
	{ "5s exec", "exec needs somebody who hears it" },
	{ "5s shell", "shell needs somebody who hears it" },
	{ "5s plug", "command plug: FILE[,KEY=VALUE...] is missing" },
	{ "5s quit now", "command quit: 'now' is one word too many" },
	{ "5s resize lun:0 2X", "size=2X: not a size" },
	{ "5s nmi x", "cpu=x" },
	{ "5s plug \xff", "is not UTF-8" },
	{ "console: quit", "a text of 1 to 250 bytes" },
	{ "console:'login quit", "with its quotes closed" },
	{ "5s quit\n6s quit", "on one line" },
};

START_TEST(what_makes_no_sense)
{
	char begin[100];

	add("0s quit");
	add(wrong[_i].text);
	ck_assert_int_eq(script_check(&at), -EUSAGE);
	snprintf(begin, sizeof(begin), "lunette: error: --at ");
	stderr_end(&said);
	ck_assert_msg(!strncmp(said.text, begin, strlen(begin)), "%s", said.text);
	ck_assert_msg(strstr(said.text, wrong[_i].says), "%s", said.text);
}
END_TEST

START_TEST(text_that_is_too_long)
{
	char text[SCRIPT_TEXT_MAX + 30];

	memset(text, 'x', sizeof(text));
	memcpy(text, "console:", 8);
	strcpy(text + 8 + SCRIPT_TEXT_MAX, " quit");
	add(text);
	ck_assert_int_eq(script_check(&at), 0);
	strcpy(text + 9 + SCRIPT_TEXT_MAX - 1, "x quit");
	ck_assert_int_eq(script_check(&at), -EUSAGE);
}
END_TEST

/* Once each, whoever prints it, in however many pieces. */
START_TEST(by_the_console)
{
	add("console:'login: ' sysrq a");
	add("console:aabaa sysrq b");
	add("console:never sysrq c");
	make();
	script_start(script);
	print("a login:");
	ck_assert_str_eq(done, "");
	print(" \n");
	ck_assert_str_eq(done, "a");
	print("login: login: aab");
	ck_assert_str_eq(done, "a");
	print("aabaa");
	ck_assert_str_eq(done, "ab");
	print("aabaabaa neve r");
	ck_assert_str_eq(done, "ab");
}
END_TEST

/* One line brings both: in their order. A text may begin in the middle of another try. */
START_TEST(at_once)
{
	add("console:xxy sysrq b");
	add("console:x sysrq a");
	make();
	script_start(script);
	print("xxxy");
	ck_assert_str_eq(done, "ba");
}
END_TEST

START_TEST(by_time)
{
	unsigned tries = 0;

	add("30ms sysrq b");
	add("0ms sysrq a");
	add("1000h sysrq c");
	make();
	loop_round(tb.main_loop);
	ck_assert_str_eq(done, ""); /* the guest has not begun */
	script_start(script);
	while (strlen(done) < 2 && tries++ < 5000) {
		usleep(1000);
		loop_round(tb.main_loop);
	}
	ck_assert_str_eq(done, "ab");
}
END_TEST

START_TEST(reported)
{
	const char *when, *error;
	json_int_t ms = -1;
	json_t *list;
	int ok = -1;

	add("console:x devices");
	add("console:y eject \xe2\x82\xac");
	add("console:z quit");
	make();
	script_start(script);
	print("xy");
	list = script_report(script);
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert_int_eq(json_unpack(json_array_get(list, 0), "{s:s,s:I,s:{s:b}}", "at", &when,
				     "ms", &ms, "answer", "ok", &ok), 0);
	ck_assert_str_eq(when, "console:x devices");
	ck_assert_int_ge(ms, 0);
	ck_assert_int_eq(ok, 1);
	ck_assert_int_eq(json_unpack(json_array_get(list, 1), "{s:{s:b,s:s}}", "answer", "ok", &ok,
				     "error", &error), 0);
	ck_assert_int_eq(ok, 0);
	ck_assert(json_is_null(json_object_get(json_array_get(list, 2), "ms")));
	ck_assert(json_is_null(json_object_get(json_array_get(list, 2), "answer")));
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "lunette: error: --at console:y eject "));
	json_decref(list);
}
END_TEST

START_TEST(none)
{
	script_start(NULL);
	script_printed(NULL, "x", 1);
	ck_assert_ptr_null(script_report(NULL));
	ck_assert_int_eq(script_check(&at), 0);
}
END_TEST

Suite *script_suite(void)
{
	Suite *s = suite_create("script");
	TCase *tc = unit_case(s, "script");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, what_makes_no_sense, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, text_that_is_too_long);
	tcase_add_test(tc, by_the_console);
	tcase_add_test(tc, at_once);
	tcase_add_test(tc, by_time);
	tcase_add_test(tc, reported);
	tcase_add_test(tc, none);
	return s;
}

UNIT_MAIN(script_suite)
