/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/virtiofsd_fixture.h"
#include "vmm/core/util.h"

Suite *virtiofsd_suite(void);

static struct virtiofsd v;
static char why[600];

static const struct {
	const char *help;
	bool known, old, readonly, submounts, translates;
} helps[] = {
	{ HELP_NEW, true, false, true, true, true },
	{ "--shared-dir <DIR>", true, false, false, false, false },
	{ "--shared-dir <DIR> --readonly", true, false, true, false, false },
	{ HELP_OLD, true, true, false, false, false },
	{ "usage", false, false, false, false, false },
	{ "", false, false, false, false, false },
};

START_TEST(which_program)
{
	struct virtiofsd_program p;
	char wanted[200];

	virtiofsd_fake(helps[_i].help, "exit 1");
	ck_assert_int_eq(virtiofsd_find(&p, why, sizeof(why)), helps[_i].known ? 0 : -EPROTO);
	snprintf(wanted, sizeof(wanted), "%s/path/virtiofsd", fake_top);
	ck_assert_str_eq(p.path, wanted);
	if (!helps[_i].known) {
		strcat(wanted, " is no virtiofsd that serves here; as root: apt-get install");
		ck_assert_msg(!strncmp(why, wanted, strlen(wanted)), "%s", why);
		return;
	}
	ck_assert_int_eq(p.old, helps[_i].old);
	ck_assert_int_eq(p.readonly, helps[_i].readonly);
	ck_assert_int_eq(p.submounts, helps[_i].submounts);
	ck_assert_int_eq(p.translates, helps[_i].translates);
}
END_TEST

/* Where distributions have it, which may be so here, or nowhere. */
START_TEST(not_in_path)
{
	struct virtiofsd_program p;
	int r;

	setenv("PATH", "/nowhere", 1);
	r = virtiofsd_find(&p, why, sizeof(why));
	if (r == 0)
		ck_assert_int_eq(strncmp(p.path, "/usr/lib", 8), 0);
	else if (r == -ENOENT)
		ck_assert_ptr_nonnull(strstr(why, "there is no virtiofsd; as root: apt-get "));
	else
		ck_assert_int_eq(r, -EPROTO);
}
END_TEST

static const struct {
	const char *help;
	bool readonly, owners;
	const char *args; /* NULL: of the user's own number, see there */
} calls[] = {
	{ HELP_NEW, true, false, "--fd=3 --sandbox=chroot --shared-dir=/sys/folder --readonly "
	  "--no-announce-submounts " },
	{ HELP_NEW, false, true, "--fd=3 --sandbox=chroot --shared-dir=/sys/folder "
	  "--no-announce-submounts " },
	{ "--shared-dir", true, false, "--fd=3 --sandbox=chroot --shared-dir=/sys/folder " },
	{ HELP_OLD, true, true, "--fd=3 -f -osandbox=chroot,source=/sys/folder " },
};

/* Whose files are is said to the newer one alone, and where we are not root. */
START_TEST(how_it_is_called)
{
	struct virtiofsd_cfg cfg = { .dir = fake_dir, .readonly = calls[_i].readonly,
				     .owners = calls[_i].owners };
	char args[600], wanted[600];

	virtiofsd_fake(calls[_i].help, FAKE_SERVES);
	if (!virtiofsd_begins(&v, &cfg, why, sizeof(why)))
		return;
	snprintf(wanted, sizeof(wanted), "%s", calls[_i].args);
	if (geteuid() && strstr(calls[_i].help, "translate"))
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted),
			 calls[_i].owners ? "--translate-uid=host:0:%1$u:1 "
			 "--translate-uid=squash-host:65534:0:1 --translate-gid=host:0:%2$u:1 "
			 "--translate-gid=squash-host:65534:0:1 " :
			 "--translate-uid=squash-guest:0:0:4294967295 "
			 "--translate-gid=squash-guest:0:0:4294967295 ", geteuid(), getegid());
	ck_assert_str_eq(fake_text("args", args, sizeof(args)), wanted);
	ck_assert_str_eq(fake_text("sees", args, sizeof(args)), "note ");
	virtiofsd_end(&v);
	ck_assert_int_eq(v.at, -1);
	ck_assert_int_eq(v.child.pid, 0);
	virtiofsd_end(&v); /* once more is nothing */
}
END_TEST

START_TEST(does_not_begin)
{
	const struct virtiofsd_cfg cfg = { .dir = fake_dir };

	virtiofsd_fake(HELP_NEW, "echo '[2026-01-01 ERROR virtiofsd] no such thing' >&2; exit 1");
	v = VIRTIOFSD_NONE;
	ck_assert_int_lt(virtiofsd_start(&v, &cfg, why, sizeof(why)), 0);
	if (!strstr(why, "cannot be shut in"))
		ck_assert_ptr_nonnull(strstr(why, "/path/virtiofsd does not begin: no such thing"));
	ck_assert_int_eq(v.child.pid, 0);
	ck_assert_int_eq(v.at, -1);
}
END_TEST

START_TEST(folder_is_gone)
{
	const struct virtiofsd_cfg cfg = { .dir = "/nowhere/at/all" };

	virtiofsd_fake(HELP_NEW, FAKE_SERVES);
	v = VIRTIOFSD_NONE;
	ck_assert_int_lt(virtiofsd_start(&v, &cfg, why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(why, "virtiofsd cannot be shut in, as there is to be "));
	ck_assert_int_eq(v.at, -1);
}
END_TEST

/* A socket is needed, and a folder for it. */
START_TEST(no_socket)
{
	const struct virtiofsd_cfg cfg = { .dir = fake_dir };

	virtiofsd_fake(HELP_NEW, FAKE_SERVES);
	setenv("TMPDIR", "/nowhere", 1);
	v = VIRTIOFSD_NONE;
	ck_assert_int_eq(virtiofsd_start(&v, &cfg, why, sizeof(why)), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "no socket can be made in /nowhere: "));
	unsetenv("TMPDIR");
}
END_TEST

Suite *virtiofsd_suite(void)
{
	Suite *s = suite_create("virtiofsd");
	TCase *tc = unit_case(s, "virtiofsd");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, virtiofsd_fixture, virtiofsd_fixture_end);
	tcase_add_loop_test(tc, which_program, 0, ARRAY_SIZE(helps));
	tcase_add_test(tc, not_in_path);
	tcase_add_loop_test(tc, how_it_is_called, 0, ARRAY_SIZE(calls));
	tcase_add_test(tc, does_not_begin);
	tcase_add_test(tc, folder_is_gone);
	tcase_add_test(tc, no_socket);
	return s;
}

UNIT_MAIN(virtiofsd_suite)
