/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

Suite *log_suite(void);

static struct stderr_text err;

static unsigned lines(const char *text)
{
	unsigned n = 0;

	while ((text = strchr(text, '\n'))) {
		n++;
		text++;
	}
	return n;
}

START_TEST(levels)
{
	static const char *const expected[] = {
		[LOG_ERR] = "lunette: error: a 1\n",
		[LOG_WARN] = "lunette: error: a 1\nlunette: warning: b\n",
		[LOG_NOTE] = "lunette: error: a 1\nlunette: warning: b\nlunette: n\n",
		[LOG_INFO] = "lunette: error: a 1\nlunette: warning: b\nlunette: n\n"
			     "lunette: info: c\n",
		[LOG_DEBUG] = "lunette: error: a 1\nlunette: warning: b\nlunette: n\n"
			      "lunette: info: c\nlunette: debug: d\n",
	};

	log_set_level(_i);
	stderr_begin(&err);
	log_err("a %d", 1);
	log_warn("b");
	log_note("n");
	log_info("c");
	log_debug("d");
	ck_assert_str_eq(stderr_end(&err), expected[_i]);
}
END_TEST

/* Of one thread, to another process, which need not read them. */
START_TEST(sent_away)
{
	char line[100] = "";
	int pair[2];
	unsigned i;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	stderr_begin(&err);
	log_send(pair[1]);
	for (i = 0; i < 10000; i++)
		log_warn("line %u", i);
	log_send(-1);
	log_warn("here again");
	ck_assert_str_eq(stderr_end(&err), "lunette: warning: here again\n");
	ck_assert_int_eq(recv(pair[0], line, sizeof(line), 0), strlen("line 0"));
	ck_assert_str_eq(line, "line 0");
	close(pair[0]);
	log_send(pair[1]); /* and nobody is there any more */
	log_warn("nobody");
	log_send(-1);
	close(pair[1]);
}
END_TEST

/* Long messages are cut, with their line end kept. */
START_TEST(long_lines)
{
	static char text[3000];
	size_t len;

	for (len = 900; len < 1100; len++) {
		memset(text, 'x', len);
		text[len] = 0;
		stderr_begin(&err);
		log_err("%s", text);
		stderr_end(&err);
		ck_assert_uint_eq(lines(err.text), 1);
		ck_assert_uint_eq(strlen(err.text),
				  min_u64(len + strlen("lunette: error: ") + 1, 1024));
	}
}
END_TEST

/* A name may be as long as it likes: what is wrong with it is said. */
START_TEST(long_names)
{
	static const size_t lengths[] = { 1000, 4096, 131072 };
	static char name[131073];
	char why[64];

	memset(name, _i % 2 ? '\n' : 'x', sizeof(name) - 1);
	name[lengths[_i / 2]] = 0;
	stderr_begin(&err);
	log_err("--disk %s: no such file; make one", name);
	stderr_end(&err);
	ck_assert_uint_eq(lines(err.text), 1);
	ck_assert_uint_le(strlen(err.text), 1024);
	ck_assert_ptr_nonnull(strstr(err.text, "lunette: error: --disk "));
	ck_assert_ptr_nonnull(strstr(err.text, ": no such file; make one\n"));

	log_hear(why, sizeof(why));
	log_err("--disk %s: no such file", name);
	log_hear(NULL, 0);
	ck_assert_ptr_nonnull(strstr(why, ": no such file"));
}
END_TEST

START_TEST(guest_cannot_flood)
{
	struct log_limit limit = { 0 };
	unsigned i;

	stderr_begin(&err);
	for (i = 0; i < 100000; i++)
		log_guest(&limit, "bad %u", i);
	stderr_end(&err);
	ck_assert_uint_eq(lines(err.text), LOG_LIMIT);
	ck_assert_ptr_nonnull(strstr(err.text, "bad 4 (no more of these until a reset)\n"));
	ck_assert_ptr_null(strstr(err.text, "bad 3 ("));
	log_limit_reset(&limit);
	stderr_begin(&err);
	log_guest(&limit, "again");
	ck_assert_str_eq(stderr_end(&err), "lunette: warning: again\n");
	log_set_level(LOG_ERR);
	stderr_begin(&err);
	log_guest(&limit, "quiet");
	ck_assert_str_eq(stderr_end(&err), "");
}
END_TEST

START_TEST(resets_do_not_help_a_flood)
{
	struct log_limit limit = { 0 };
	unsigned i;

	stderr_begin(&err);
	for (i = 0; i < 1000; i++) {
		log_guest(&limit, "bad %u", i);
		log_limit_reset(&limit);
	}
	stderr_end(&err);
	ck_assert_uint_eq(lines(err.text), LOG_TOTAL);
	ck_assert_ptr_nonnull(strstr(err.text, "bad 99 (no more of these)\n"));
}
END_TEST

START_TEST(one_line_whatever_is_in_it)
{
	stderr_begin(&err);
	log_err("a\nb\033[2Jc\177\xc3\xa9: no");
	ck_assert_str_eq(stderr_end(&err), "lunette: error: a\\nb\\x1b[2Jc\\x7f\xc3\xa9: no\n");
}
END_TEST

/* Lines that nobody reads are lost, not waited for; who reads again hears of it. */
START_TEST(nobody_reads)
{
	static const char told[] = "lunette: nobody has read this for a while: 70 lines are lost\n"
				   "lunette: error: at last\n";
	int fds[2], saved = dup(STDERR_FILENO);
	char filler[4096] = "", text[sizeof(told)] = "";
	ssize_t filled = 0, n;
	unsigned i;

	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	while ((n = write(fds[1], filler, sizeof(filler))) > 0)
		filled += n;
	ck_assert_int_eq(fcntl(fds[1], F_SETFL, 0), 0);
	dup2(fds[1], STDERR_FILENO);
	for (i = 0; i < 35; i++) {
		log_err("%u", i);
		log_text("the guest's last words");
	}
	while (filled && (n = read(fds[0], filler, sizeof(filler))) > 0)
		filled -= n;
	log_err("at last");
	n = read(fds[0], text, sizeof(text) - 1);
	dup2(saved, STDERR_FILENO);
	ck_assert_int_eq(filled, 0);
	ck_assert_int_gt(n, 0);
	ck_assert_str_eq(text, told);
}
END_TEST

static void *writer(void *arg)
{
	unsigned i;

	for (i = 0; i < 50; i++)
		log_err("%s", (const char *)arg);
	return NULL;
}

START_TEST(lines_of_threads_do_not_mix)
{
	static const char a[] = "aaaaaaaaaaaaaaaa", b[] = "bbbbbbbbbbbbbbbb";
	pthread_t thread;
	const char *line;
	char *rest;

	stderr_begin(&err);
	pthread_create(&thread, NULL, writer, (void *)a);
	writer((void *)b);
	pthread_join(thread, NULL);
	stderr_end(&err);
	ck_assert_uint_eq(lines(err.text), 100);
	for (line = strtok_r(err.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		line += strlen("lunette: error: ");
		ck_assert(!strcmp(line, a) || !strcmp(line, b));
	}
}
END_TEST

START_TEST(errors_are_heard)
{
	char text[16];

	stderr_begin(&err);
	log_hear(text, sizeof(text));
	ck_assert_str_eq(text, "");
	log_err("first");
	log_warn("not an error");
	log_err("the second one is cut");
	ck_assert_str_eq(text, "the sec ... cut");
	log_hear(NULL, 0);
	log_err("as ever");
	ck_assert_str_eq(stderr_end(&err), "lunette: warning: not an error\n"
			 "lunette: error: as ever\n");
	ck_assert_str_eq(text, "the sec ... cut");
}
END_TEST

static void note_down(void *arg, enum log_level level, const char *text)
{
	char *to = arg;

	sprintf(to + strlen(to), "%d %s;", level, text);
}

START_TEST(lines_are_watched)
{
	char seen[256] = "", heard[64];
	struct log_limit limit = { 0 };

	stderr_begin(&err);
	log_watch(note_down, seen);
	log_err("one\ntwo");
	log_guest(&limit, "guest");
	log_debug("is not printed");
	log_hear(heard, sizeof(heard));
	log_err("is told to another");
	log_hear(NULL, 0);
	log_watch(NULL, NULL);
	log_err("nobody");
	stderr_end(&err);
	ck_assert_str_eq(seen, "0 one\\ntwo;1 guest;");
}
END_TEST

/* Through whom failures pass says what nobody has said, and nothing twice. */
START_TEST(silent_failures)
{
	unsigned before = log_errors();
	char heard[64];

	stderr_begin(&err);
	ck_assert_int_eq(log_if_silent(before, "disk", 0), 0);
	ck_assert_int_eq(log_if_silent(before, "disk", -ENOMEM), -ENOMEM);
	ck_assert_uint_eq(log_errors(), before + 1);
	ck_assert_int_eq(log_if_silent(before, "machine", -ENOMEM), -ENOMEM);
	before = log_errors();
	log_hear(heard, sizeof(heard));
	log_err("heard");
	log_hear(NULL, 0);
	log_warn("no error");
	ck_assert_int_eq(log_if_silent(before, "machine", -EIO), -EIO);
	ck_assert_str_eq(stderr_end(&err), "lunette: error: disk: Cannot allocate memory\n"
			 "lunette: warning: no error\n");
}
END_TEST

START_TEST(bug_aborts)
{
	stderr_begin(&err);
	BUG_ON(1 == 2);
	BUG_ON(1 == 1);
}
END_TEST

Suite *log_suite(void)
{
	Suite *s = suite_create("log");
	TCase *tc = unit_case(s, "log");

	tcase_add_test(tc, sent_away);
	tcase_add_loop_test(tc, levels, LOG_ERR, LOG_DEBUG + 1);
	tcase_add_test(tc, long_lines);
	tcase_add_loop_test(tc, long_names, 0, 6);
	tcase_add_test(tc, one_line_whatever_is_in_it);
	tcase_add_test(tc, guest_cannot_flood);
	tcase_add_test(tc, resets_do_not_help_a_flood);
	tcase_add_test(tc, lines_of_threads_do_not_mix);
	tcase_add_test(tc, nobody_reads);
	tcase_add_test(tc, errors_are_heard);
	tcase_add_test(tc, lines_are_watched);
	tcase_add_test(tc, silent_failures);
	tcase_add_test_raise_signal(tc, bug_aborts, SIGABRT);
	return s;
}

UNIT_MAIN(log_suite)
