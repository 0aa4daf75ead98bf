/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/unit/virtiofsd_fixture.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/run/files/host_root.h"

Suite *host_root_suite(void);

static struct stderr_text said;
static char home[80];

static void set_up(void)
{
	char line[400];

	virtiofsd_fixture();
	snprintf(home, sizeof(home), "%s/home", fake_top);
	snprintf(line, sizeof(line), "cd %s && mkdir -p home/.ssh home/src home/.docker away && "
		 "echo key >home/.ssh/id && echo word >home/.docker/config.json && "
		 "echo more >home/.docker/other && echo cloud >away/token && "
		 "ln -s ../away home/.aws && echo text >home/src/text", fake_top);
	ck_assert_int_eq(system(line), 0);
	setenv("HOME", home, 1);
}

static const struct {
	const char *text;
	bool is_one;
	const char *says; /* NULL: it is fine */
} texts[] = {
	{ "host", true, NULL },
	{ "host,secrets=on", true, NULL },
	{ "host,secrets=off", true, NULL },
	{ "host,", true, "host, or host,secrets=on is wanted" },
	{ "host,secrets", true, "host, or host,secrets=on is wanted" },
	{ "hosts", false, NULL },
	{ "./host", false, NULL },
	{ NULL, false, NULL },
};

START_TEST(what_is_said)
{
	const char *text = texts[_i].text;

	ck_assert_int_eq(host_root_is_one(text), texts[_i].is_one);
	if (!texts[_i].is_one)
		return;
	stderr_begin(&said);
	ck_assert_int_eq(host_root_check(text, true), texts[_i].says ? -EUSAGE : 0);
	ck_assert_int_eq(host_root_check(text, false), -EUSAGE);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, texts[_i].says ? texts[_i].says :
				     "is for a command, given after --, or a shell"));
}
END_TEST

static bool hides(char **list, const char *path)
{
	for (; *list; list++) {
		ck_assert_int_eq(**list, '/');
		if (!strcmp(*list, path))
			return true;
	}
	return false;
}

/* By where it really is. */
START_TEST(what_is_hidden)
{
	char **list = host_root_hidden(_i), path[200], *real = realpath(fake_top, NULL);
	static const char *const secrets[] = { "home/.ssh", "home/.docker", "away" };
	unsigned i;

	ck_assert_ptr_nonnull(list);
	ck_assert(hides(list, "/proc"));
	ck_assert(hides(list, "/run"));
	for (i = 0; i < ARRAY_SIZE(secrets); i++) {
		snprintf(path, sizeof(path), "%s/%s", real, secrets[i]);
		ck_assert_int_eq(hides(list, path), !_i);
	}
	ck_assert(!hides(list, "/"));
	ck_assert_int_eq(hides(list, "/etc/shadow"), !_i && access("/etc/shadow", F_OK) == 0);
	host_root_free(list);
	host_root_free(NULL);
	free(real);
}
END_TEST

/* Which files it finds in the user's home, and in /proc; and then it serves. */
#define FINDS "(cd /sys/folder/$top && find home away ../../proc -type f | sort) | tr '\\n' ' ' " \
	">$top/sees; echo 'Waiting for vhost-user' >&2; exec sleep 1000"

/* False: there are no namespaces to be had. */
static bool begin(const char *text, struct live *live, struct oci *oci)
{
	int r;

	*live = LIVE_NONE;
	*oci = (struct oci){ .folder = -1 };
	stderr_begin(&said);
	r = host_root_open("--root host", text, live, oci);
	stderr_end(&said);
	ck_assert_msg(r == 0 || strstr(said.text, "user namespaces are wanted"), "%s", said.text);
	return r == 0;
}

START_TEST(as_it_is_here)
{
	char text[1000], wanted[5000], number[32];
	struct live live;
	struct oci oci;

	virtiofsd_fake(HELP_NEW, FINDS);
	ck_assert_int_eq(chdir(home), 0);
	setenv("PWD", home, 1);
	setenv("TERM", "lunette", 1);
	if (!begin("host", &live, &oci))
		return;
	ck_assert_str_eq(fake_text("sees", text, sizeof(text)),
			 "home/src/text ");
	ck_assert_ptr_nonnull(strstr(live.device, ",tag=lunette-root,by="));
	ck_assert_ptr_nonnull(strstr(live.device, ",, for / (to be read),, in namespaces of its "
				     "own where "));
	snprintf(wanted, sizeof(wanted), "PATH=%s", getenv("PATH"));
	ck_assert_str_eq(oci.env[0], wanted);
	snprintf(wanted, sizeof(wanted), "HOME=%s", home);
	ck_assert_str_eq(oci.env[1], wanted);
	ck_assert_str_eq(oci.env[2], "TERM=lunette");
	ck_assert_ptr_null(oci.env[3]);
	ck_assert_str_eq(oci.workdir, home);
	snprintf(number, sizeof(number), "%u", (unsigned)geteuid());
	if (geteuid())
		ck_assert_int_eq(strncmp(oci.user, number, strlen(number)), 0);
	else
		ck_assert_ptr_null(oci.user);
	live_close(&live);
	oci_close(&oci);
}
END_TEST

START_TEST(with_secrets)
{
	struct live live;
	struct oci oci;
	char text[1000];

	virtiofsd_fake(HELP_NEW, FINDS);
	if (!begin("host,secrets=on", &live, &oci))
		return;
	ck_assert_str_eq(fake_text("sees", text, sizeof(text)), "away/token "
			 "home/.docker/config.json home/.docker/other home/.ssh/id home/src/text ");
	live_close(&live);
	oci_close(&oci);
}
END_TEST

/* Root need not be told of. */
START_TEST(who_cannot_say_whose_files_are)
{
	struct live live = LIVE_NONE;
	struct oci oci = { .folder = -1 };
	int r;

	virtiofsd_fake(HELP_OLD, FAKE_SERVES);
	stderr_begin(&said);
	r = host_root_open("--root host", "host", &live, &oci);
	stderr_end(&said);
	if (geteuid()) {
		ck_assert_int_eq(r, -EOPNOTSUPP);
		ck_assert_ptr_nonnull(strstr(said.text, "lunette: error: --root host: "));
		ck_assert_ptr_nonnull(strstr(said.text, " cannot say whose files are, as virtiofsd "
					     "1.13 and newer can (Debian 13)\n"));
	} else {
		ck_assert_int_eq(r, 0);
	}
	live_close(&live);
	oci_close(&oci);
}
END_TEST

Suite *host_root_suite(void)
{
	Suite *s = suite_create("host_root");
	TCase *tc = unit_case(s, "host_root");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, set_up, virtiofsd_fixture_end);
	tcase_add_loop_test(tc, what_is_said, 0, ARRAY_SIZE(texts));
	tcase_add_loop_test(tc, what_is_hidden, 0, 2);
	tcase_add_test(tc, as_it_is_here);
	tcase_add_test(tc, with_secrets);
	tcase_add_test(tc, who_cannot_say_whose_files_are);
	return s;
}

UNIT_MAIN(host_root_suite)
