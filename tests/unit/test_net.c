/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/run/net.h"

Suite *net_suite(void);

static struct stderr_text said;

/* --net, --publish, and what is wrong; NULL: nothing. */
static const struct {
	const char *net, *publish, *said;
} checked[] = {
	{ "none", NULL, NULL },
	{ NULL, NULL, NULL },
	{ "user", NULL, NULL },
	{ "user,mac=52:54:00:12:34:56", "80:80", NULL },
	{ "user", "8080:80", NULL },
	{ "tap=tap0", NULL, NULL },
	{ "", NULL, "--net : none, user or tap=NAME is wanted" },
	{ "users", NULL, "--net users: none, user or tap=NAME is wanted" },
	{ "use", NULL, "--net use: none, user or tap=NAME is wanted" },
	{ "user=1", NULL, "--net user=1: none, user or tap=NAME is wanted" },
	{ "tap", NULL, "--net tap: none, user or tap=NAME is wanted" },
	{ "none,mac=1", NULL, "--net none,mac=1: none, user or tap=NAME is wanted" },
	{ "none", "80:80", "--publish 80:80: needs --net user" },
	{ NULL, "80:80", "--publish 80:80: needs --net user" },
	{ "tap=tap0", "80:80", "--publish 80:80: needs --net user" },
	{ "bridge", "80:80", "--publish 80:80: needs --net user" },
};

START_TEST(options)
{
	const struct opt_list publish = { (const char *[]){ checked[_i].publish },
					  checked[_i].publish != NULL };
	char wanted[200] = "";

	if (checked[_i].said)
		snprintf(wanted, sizeof(wanted), "lunette: error: %s\n", checked[_i].said);
	stderr_begin(&said);
	ck_assert_int_eq(net_check(checked[_i].net, &publish), checked[_i].said ? -EUSAGE : 0);
	ck_assert_str_eq(stderr_end(&said), wanted);
}
END_TEST

/* Only passt gives the guest an address of its own choice. */
START_TEST(words)
{
	static const char user[] = " lunette.net=10.0.2.15/24,10.0.2.2,10.0.2.3";

	ck_assert_str_eq(net_words("user"), user);
	ck_assert_str_eq(net_words("user,mac=52:54:00:12:34:56"), user);
	ck_assert_str_eq(net_words("none"), "");
	ck_assert_str_eq(net_words(NULL), "");
	ck_assert_str_eq(net_words("tap=user"), "");
	ck_assert_str_eq(net_words("users"), "");
}
END_TEST

/* The device hears the words of both options: what it says of them, and that it is one. */
static const struct {
	const char *net, *publish[2], *said;
} made[] = {
	{ "none", { NULL }, "" },
	{ "user,speed=1", { NULL }, "virtio-net: unknown option 'speed'" },
	{ "user,mac=nonsense", { "80:80" }, "mac=nonsense" },
	{ "user", { "80:80", "nonsense" }, "publish=nonsense" },
	{ "tap=", { NULL }, "tap=" },
};

START_TEST(device)
{
	struct opt_list publish = { (const char **)made[_i].publish, 0 };
	static struct testbed tb;

	while (publish.count < 2 && made[_i].publish[publish.count])
		publish.count++;
	testbed_init(&tb);
	stderr_begin(&said);
	ck_assert_int_eq(net_add(&tb.p, &tb.devices, made[_i].net, &publish),
			 *made[_i].said ? -EUSAGE : 0);
	stderr_end(&said);
	ck_assert_msg(strstr(said.text, made[_i].said) != NULL, "%s", said.text);
	ck_assert(!!*said.text == !!*made[_i].said);
	ck_assert_ptr_null(tb.devices.last);
	testbed_fini(&tb);
}
END_TEST

Suite *net_suite(void)
{
	Suite *s = suite_create("net");
	TCase *tc = unit_case(s, "net");

	tcase_add_loop_test(tc, options, 0, ARRAY_SIZE(checked));
	tcase_add_test(tc, words);
	tcase_add_loop_test(tc, device, 0, ARRAY_SIZE(made));
	return s;
}

UNIT_MAIN(net_suite)
