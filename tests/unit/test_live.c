/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/unit/virtiofsd_fixture.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/run/files/live.h"

Suite *live_suite(void);

static struct stderr_text said;
static struct live live;
static struct loop *loop;
static char why[600];

static const struct {
	const char *text, *left; /* NULL: refused */
	bool live, rw;
	const char *says;
} options[] = {
	{ "dir", "dir", false, false, NULL },
	{ "dir:/x,live=on", "dir:/x", true, false, NULL },
	{ "dir,live=on,rw=on", "dir", true, true, NULL },
	{ "dir,rw=on,live=on", "dir", true, true, NULL },
	{ "dir,live=on,rw=off", "dir", true, false, NULL },
	{ "dir,live=off", "dir", false, false, NULL },
	{ "a,b,c:/x,y", "a,b,c:/x,y", false, false, NULL },
	{ "a,live=on:/x", NULL, false, false, "live=on:/x: on or off is wanted" },
	{ ",live=on", "", true, false, NULL },
	{ "dir,rw=on", NULL, false, false, "--share dir: rw=on is for live=on; of a copy nothing" },
	{ "dir,live=off,rw=on", NULL, false, false, "rw=on is for live=on" },
	{ "dir,live=yes", NULL, false, false, "--share dir,live=yes: live=yes: on or off" },
	{ "dir,live=on,rw=", NULL, false, false, "rw=: on or off is wanted" },
};

START_TEST(what_is_said)
{
	struct live_options to;
	char text[64];
	int r;

	snprintf(text, sizeof(text), "%s", options[_i].text);
	stderr_begin(&said);
	r = live_options("--share", text, &to);
	stderr_end(&said);
	ck_assert_int_eq(r, options[_i].left ? 0 : -EUSAGE);
	if (!options[_i].left) {
		ck_assert_msg(strstr(said.text, options[_i].says), "%s", said.text);
		return;
	}
	ck_assert_str_eq(text, options[_i].left);
	ck_assert_int_eq(to.live, options[_i].live);
	ck_assert_int_eq(to.rw, options[_i].rw);
}
END_TEST

/* False: no namespaces are to be had here. */
static bool begin(bool readonly)
{
	const struct virtiofsd_cfg cfg = { .dir = fake_dir, .readonly = readonly };
	int r;

	live = LIVE_NONE;
	r = live_open(&live, "--share x", "tag7", &cfg, why, sizeof(why));
	ck_assert_msg(r == 0 || strstr(why, "user namespaces are wanted"), "%s", why);
	return r == 0;
}

START_TEST(device)
{
	char wanted[400];

	virtiofsd_fake(HELP_NEW, FAKE_SERVES);
	if (!begin(_i))
		return;
	snprintf(wanted, sizeof(wanted), "vhost-user-fs,socket=/proc/self/fd/%d,tag=tag7,by="
		 "%s/path/virtiofsd,, for %s (to be read%s),, in namespaces of its own",
		 live.server.at, fake_top, fake_dir, _i ? "" : " and written");
	ck_assert_str_eq(live.device, wanted);
	live_close(&live);
	ck_assert_ptr_null(live.device);
	live_close(&live);
}
END_TEST

START_TEST(cannot_be_had)
{
	const struct virtiofsd_cfg cfg = { .dir = fake_dir };

	virtiofsd_fake("nothing", FAKE_SERVES);
	live = LIVE_NONE;
	ck_assert_int_eq(live_open(&live, "--share x", "t", &cfg, why, sizeof(why)), -EPROTO);
	ck_assert_ptr_nonnull(strstr(why, "is no virtiofsd that serves here"));
	ck_assert_ptr_null(live.device);
}
END_TEST

static void gone(void *arg)
{
	++*(int *)arg;
	loop_stop(loop);
}

/* Once, with its last words; and who does not watch any more hears nothing. */
START_TEST(it_ends)
{
	int calls = 0;

	loop = loop_create("test");
	ck_assert_ptr_nonnull(loop);
	virtiofsd_fake(HELP_NEW, "echo 'Waiting for vhost-user' >&2; exec sleep 1000");
	if (begin(true)) {
		ck_assert_int_eq(live_watch(&live, loop, gone, &calls), 0);
		loop_round(loop);
		ck_assert_int_eq(calls, 0);
		stderr_begin(&said);
		kill(live.server.child.pid, SIGKILL);
		loop_run(loop);
		loop_round(loop);
		ck_assert_str_eq(stderr_end(&said), "lunette: error: --share x: virtiofsd has "
				 "ended, and the run ends here, as nobody else knows what the "
				 "guest has open there\n");
		ck_assert_int_eq(calls, 1);
		live_unwatch(&live);
		live_close(&live);
	}
	if (begin(true)) {
		ck_assert_int_eq(live_watch(&live, loop, gone, &calls), 0);
		live_close(&live);
		loop_round(loop);
		ck_assert_int_eq(calls, 1);
	}
	loop_destroy(loop);
}
END_TEST

Suite *live_suite(void)
{
	Suite *s = suite_create("live");
	TCase *tc = unit_case(s, "live");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, virtiofsd_fixture, virtiofsd_fixture_end);
	tcase_add_loop_test(tc, what_is_said, 0, ARRAY_SIZE(options));
	tcase_add_loop_test(tc, device, 0, 2);
	tcase_add_test(tc, cannot_be_had);
	tcase_add_test(tc, it_ends);
	return s;
}

UNIT_MAIN(live_suite)
