/* SPDX-License-Identifier: MIT */
/* "lunette ctl" and a socket whose other end, a thread, answers as it is told to. */
#include "tests/unit/ctl_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/util.h"

Suite *ctl_suite(void);

#define WORDS_MAX 8

/* The other end */

static const char *const *answers; /* one after the other; NULL: it hangs up */
static char asked[2048];           /* all lines */
static pthread_t thread;

static void *serve(void *arg)
{
	int fd = accept(listening, NULL, NULL);
	FILE *from = fdopen(fd, "r"), *to = fdopen(dup(fd), "w");
	char line[512];

	(void)arg;
	while (fgets(line, sizeof(line), from)) {
		strcat(asked, line);
		if (!*answers)
			break;
		fprintf(to, "%s\n", *answers++);
		fflush(to);
	}
	fclose(from);
	fclose(to);
	return NULL;
}

/* The same with an other end that gives these answers. */
static int ask(const char *const *words, const char *const *with)
{
	int status;

	answers = with;
	*asked = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
	status = run(words);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return status;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const struct {
	const char *words[WORDS_MAX], *line;
} requests[] = {
	{ { "s", "quit" }, "{\"do\":\"quit\"}\n" },
	{ { "s", "devices" }, "{\"do\":\"devices\"}\n" },
	{ { "s", "resize", "lun:0", "1G" },
	  "{\"do\":\"resize\",\"id\":\"lun:0\",\"size\":\"1G\"}\n" },
	{ { "s", "eject", "\"d\\" }, "{\"do\":\"eject\",\"id\":\"\\\"d\\\\\"}\n" },
	{ { "s", "insert", "d", "gr\xc3\xbcn.img" },
	  "{\"do\":\"insert\",\"id\":\"d\",\"file\":\"gr\xc3\xbcn.img\"}\n" },
	{ { "s", "insert", "d" }, "{\"do\":\"insert\",\"id\":\"d\"}\n" },
};

START_TEST(words_become_a_line)
{
	ck_assert_int_eq(ask(requests[_i].words, WORDS("{\"ok\":true}")), 0);
	ck_assert_str_eq(asked, requests[_i].line);
	ck_assert_str_eq(out.text, "");
	ck_assert_str_eq(err.text, "");
}
END_TEST

/* Nobody is asked then. */
static const struct {
	const char *words[WORDS_MAX], *line;
} wrong[] = {
	{ { NULL }, "a socket and a command are wanted" },
	{ { "s" }, "a socket and a command are wanted" },
	{ { "--json", "s" }, "a socket and a command are wanted" },
	{ { "--jsn", "s", "devices" }, "unknown option --jsn" },
	{ { "s", "plgu" }, "plgu: is no command; did you mean plug?" },
	{ { "s", "resize", "d" }, "ctl resize: SIZE is missing" },
	{ { "s", "quit", "now" }, "ctl quit: 'now' is one word too many" },
	{ { "s", "eject", "\xff" }, "is not UTF-8" },
	{ { "--wait", "s", "quit" }, "--wait is about what is plugged" },
};

START_TEST(words_that_make_no_sense)
{
	ck_assert_int_eq(run(wrong[_i].words), 200);
	ck_assert_msg(strstr(err.text, wrong[_i].line), "%s", err.text);
	ck_assert_str_eq(out.text, "");
}
END_TEST

static const struct {
	const char *answer, *plain;
} facts[] = {
	{ "{\"ok\":true,\"id\":\"d0\",\"lun\":3,\"file\":\"a.img\"}", "d0 lun=3 file=a.img\n" },
	{ "{\"ok\":true,\"devices\":[{\"id\":\"a\",\"size\":1},{\"id\":\"b\"}]}",
	  "a size=1\nb\n" },
	{ "{\"ok\":true,\"id\":\"d0\",\"bus\":[\"s0\",\"s1\"]}", "d0 bus=s0,s1\n" },
	{ "{\"ok\":true,\"id\":\"d0\",\"file\":\"\\u001b[2J\"}", "d0 file=\\x1b[2J\n" },
	{ "{\"ok\":true,\"devices\":[]}", "" },
	{ "{\"ok\":true,\"devices\":[3,\"x\",{\"lun\":1}]}", "" }, /* there is no name */
};

START_TEST(answers_for_people)
{
	ck_assert_int_eq(ask(WORDS("s", "devices"), WORDS(facts[_i].answer)), 0);
	ck_assert_str_eq(out.text, facts[_i].plain);
	ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(answers_for_programs)
{
	static const char *const answer[] = { "{\"ok\":true,\"id\":\"d0\",\"lun\":3}",
					      "{\"ok\":false,\"error\":\"no\"}" };
	char line[64];

	snprintf(line, sizeof(line), "%s\n", answer[_i]);
	ck_assert_int_eq(ask(WORDS("--json", "s", "devices"), WORDS(answer[_i])), _i);
	ck_assert_str_eq(out.text, line);
	ck_assert_str_eq(err.text, "");
}
END_TEST

static const struct {
	const char *answer, *line; /* NULL: the other end hangs up */
} failures[] = {
	{ "{\"ok\":false,\"error\":\"d0: is busy\"}", "lunette: error: d0: is busy\n" },
	{ "{\"ok\":false}", "lunette: error: it gives no reason\n" },
	{ "[]", "lunette: error: it gives no reason\n" },
	{ "hello", "lunette: error: ctl: s: does not answer as a control socket does\n" },
	{ NULL, "lunette: error: ctl: s: the run has ended\n" },
};

START_TEST(what_cannot_be_done)
{
	ck_assert_int_eq(ask(WORDS("s", "devices"), WORDS(failures[_i].answer)), 1);
	ck_assert_str_eq(err.text, failures[_i].line);
	ck_assert_str_eq(out.text, "");
}
END_TEST

START_TEST(no_such_socket)
{
	char path[200];

	ck_assert_int_eq(run(WORDS("none", "devices")), 1);
	ck_assert_str_eq(err.text, "lunette: error: ctl: none: No such file or directory; lunette "
				   "run --control makes it\n");
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = 0;
	ck_assert_int_eq(run(WORDS(path, "devices")), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "File name too long"));
}
END_TEST

/* The device is asked for until the guest has sent it a command. */
START_TEST(wait_for_the_guest)
{
	ck_assert_int_eq(ask(WORDS("--wait", "s", "plug", "scsi-disk,a.img"),
			     WORDS("{\"ok\":true,\"id\":\"d7\"}",
				   "{\"ok\":true,\"counters\":[{\"commands\":0}]}",
				   "{\"ok\":true,\"counters\":[{\"commands\":0}]}",
				   "{\"ok\":true,\"counters\":[{\"commands\":2}]}")), 0);
	ck_assert_str_eq(asked, "{\"do\":\"plug\",\"text\":\"scsi-disk,a.img\"}\n"
				"{\"do\":\"counters\",\"id\":\"d7\"}\n"
				"{\"do\":\"counters\",\"id\":\"d7\"}\n"
				"{\"do\":\"counters\",\"id\":\"d7\"}\n");
	ck_assert_str_eq(out.text, "d7\n");
}
END_TEST

START_TEST(wait_in_vain)
{
	ck_assert_int_eq(ask(WORDS("--wait", "s", "plug", "x"),
			     WORDS("{\"ok\":true,\"id\":\"d7\"}", NULL)), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "the run has ended"));
}
END_TEST

START_TEST(nothing_plugged_nothing_to_wait_for)
{
	ck_assert_int_eq(ask(WORDS("--wait", "s", "plug", "x"),
			     WORDS("{\"ok\":false,\"error\":\"no\"}")), 1);
	ck_assert_str_eq(asked, "{\"do\":\"plug\",\"text\":\"x\"}\n");
}
END_TEST

#define BALLOON(memory) "{\"ok\":true,\"id\":\"b\",\"target\":7,\"memory\":" #memory "}"
#define STATISTICS(age) \
	"{\"ok\":true,\"id\":\"b\",\"target\":7,\"memory\":9,\"age_ms\":" #age "}"
#define ASKED_AGAIN "{\"do\":\"balloon\"}\n"

/* Until it is where it is to be; the answer says where that is. */
START_TEST(balloon_gets_there)
{
	ck_assert_int_eq(ask(WORDS("s", "balloon", "7"),
			     WORDS(BALLOON(9), BALLOON(8), BALLOON(7))), 0);
	ck_assert_str_eq(asked, "{\"do\":\"balloon\",\"size\":\"7\"}\n" ASKED_AGAIN ASKED_AGAIN);
	ck_assert_str_eq(out.text, "b target=7 memory=7\n");
}
END_TEST

START_TEST(balloon_that_does_not_move)
{
	static const char *const nine[] = { [0 ... 29] = BALLOON(9), NULL };

	ck_assert_int_eq(ask(WORDS("s", "balloon", "7"), nine), 0);
	ck_assert_str_eq(out.text, "b target=7 memory=9\n");
}
END_TEST

/* Those that the guest had said before are not the answer. */
START_TEST(balloon_has_new_statistics)
{
	ck_assert_int_eq(ask(WORDS("s", "balloon"), WORDS(BALLOON(9), STATISTICS(5000),
							  STATISTICS(3))), 0);
	ck_assert_str_eq(out.text, "b target=7 memory=9 age_ms=3\n");
	ck_assert_str_eq(asked, ASKED_AGAIN ASKED_AGAIN ASKED_AGAIN);
}
END_TEST

START_TEST(balloon_that_is_none)
{
	ck_assert_int_eq(ask(WORDS("s", "balloon", "7"),
			     WORDS("{\"ok\":false,\"error\":\"no\"}")), 1);
	ck_assert_str_eq(err.text, "lunette: error: no\n");
	ck_assert_int_eq(ask(WORDS("s", "balloon", "7"), WORDS(BALLOON(9), NULL)), 1);
	ck_assert_ptr_nonnull(strstr(err.text, "the run has ended"));
}
END_TEST

START_TEST(help)
{
	ck_assert_int_eq(run(WORDS("s", "plug", "--help")), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "usage: lunette ctl"));
	ck_assert_ptr_nonnull(strstr(out.text, "  insert ID [FILE]"));
	ck_assert_ptr_nonnull(strstr(out.text, "  quit "));
}
END_TEST

Suite *ctl_suite(void)
{
	Suite *s = suite_create("ctl");
	TCase *tc = unit_case(s, "ctl");

	tcase_add_checked_fixture(tc, listen_there, listen_no_more);
	tcase_add_loop_test(tc, words_become_a_line, 0, ARRAY_SIZE(requests));
	tcase_add_loop_test(tc, words_that_make_no_sense, 0, ARRAY_SIZE(wrong));
	tcase_add_loop_test(tc, answers_for_people, 0, ARRAY_SIZE(facts));
	tcase_add_loop_test(tc, answers_for_programs, 0, 2);
	tcase_add_loop_test(tc, what_cannot_be_done, 0, ARRAY_SIZE(failures));
	tcase_add_test(tc, no_such_socket);
	tcase_add_test(tc, wait_for_the_guest);
	tcase_add_test(tc, wait_in_vain);
	tcase_add_test(tc, nothing_plugged_nothing_to_wait_for);
	tcase_add_test(tc, balloon_gets_there);
	tcase_add_test(tc, balloon_that_does_not_move);
	tcase_add_test(tc, balloon_has_new_statistics);
	tcase_add_test(tc, balloon_that_is_none);
	tcase_add_test(tc, help);
	return s;
}

UNIT_MAIN(ctl_suite)
