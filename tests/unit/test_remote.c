/* SPDX-License-Identifier: MIT */
/* A client's side of a command, and another end, a thread, that answers as it is told to. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/frames.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/run/control/remote.h"

Suite *remote_suite(void);

#define MANY (5 * EXEC_WINDOW)

static struct stderr_text said;
static char *command[] = { "true", "a b", NULL };
static struct remote_cfg cfg;
static int far; /* the other end's */
static char text[2 * MANY];

static void set_up(void)
{
	cfg = (struct remote_cfg){ .what = "ctl exec", .argv = command, .in = -1 };
	cfg.out = memfd_create("out", 0);
	cfg.err = memfd_create("err", 0);
}

static void tear_down(void)
{
	close(cfg.out);
	close(cfg.err);
}

static size_t length_of(int fd)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? 0 : (size_t)n;
}

static const char *text_of(int fd)
{
	length_of(fd);
	return text;
}

/* The other end. */

static struct frame f;

static void hears(enum exec_kind kind)
{
	ck_assert(frame_hear(far, &f));
	ck_assert_msg(f.head.kind == kind, "%u, not %u", f.head.kind, kind);
}

static void is_told(void)
{
	frame_say(far, EXEC_READY, 0, NULL, 0);
	hears(EXEC_SPEC);
}

static void starts(void)
{
	is_told();
	frame_say(far, EXEC_STARTED, 0, NULL, 0);
}

static void *run_far(void *arg)
{
	void (*fn)(void) = *(void (**)(void))arg;

	fn();
	close(far);
	return NULL;
}

static bool ready_before; /* the other end has said so before anybody waits for it */

/* Returns the status. */
static int run(void (*other)(void))
{
	pthread_t thread;
	int fd[2], status;

	frame_pair(fd);
	far = fd[1];
	if (ready_before)
		frame_say(far, EXEC_READY, 0, NULL, 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_far, &other), 0);
	stderr_begin(&said);
	status = remote_run(&cfg, fd[0]);
	stderr_end(&said);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	return status;
}

static void succeeds(void)
{
	static const char wanted[] = "arg=true\0arg=a b\0go";

	starts();
	ck_assert_uint_eq(f.head.len, sizeof(wanted));
	ck_assert_int_eq(memcmp(f.data, wanted, sizeof(wanted)), 0);
	hears(EXEC_IN);
	ck_assert_uint_eq(f.head.len, 0);
	frame_say(far, EXEC_OUT, 0, "out", 3);
	frame_say(far, EXEC_ERR, 0, "err", 3);
	frame_say(far, EXEC_EXIT, 0, "\007", 1);
}

START_TEST(its_streams_and_status)
{
	ck_assert_int_eq(run(succeeds), 7);
	ck_assert_str_eq(text_of(cfg.out), "out");
	ck_assert_str_eq(text_of(cfg.err), "err");
	ck_assert_str_eq(said.text, "");
}
END_TEST

static void has_surroundings(void)
{
	static const char wanted[] = "cwd=/d\0user=me\0env=A=b\0env=HERE=value\0"
				     "arg=true\0arg=a b\0go";

	starts();
	ck_assert_uint_eq(f.head.len, sizeof(wanted));
	ck_assert_int_eq(memcmp(f.data, wanted, sizeof(wanted)), 0);
	frame_say(far, EXEC_KILLED, 0, "\011", 1);
}

START_TEST(its_surroundings)
{
	static const char *env[] = { "A=b", "HERE", "NOT_THERE" };

	setenv("HERE", "value", 1);
	cfg.cwd = "/d";
	cfg.user = "me";
	cfg.env = (struct opt_list){ env, 3 };
	ck_assert_int_eq(run(has_surroundings), 128 + 9);
}
END_TEST

static const struct {
	enum exec_kind kind;
	const char *data;
	int status;
	const char *line;
} ends[] = {
	{ EXEC_FAILED, "no \033 luck", 213, "ctl exec: the guest: no \\x1b luck\n" },
	{ EXEC_LOST, "\xcdit panicked", 205, "ctl exec: it panicked\n" },
	{ EXEC_LOST, "\xd1", 209, "ctl exec: \n" },
	{ EXEC_HELLO, "0123456789abcdef", 209, "ctl exec: what comes makes no sense\n" },
	{ EXEC_EXIT, "ab", 209, "ctl exec: what comes makes no sense\n" },
	{ EXEC_LOST, "", 209, "ctl exec: what comes makes no sense\n" },
	{ 0, "", 209, "ctl exec: what comes makes no sense\n" },
	{ EXEC_KINDS, "", 209, "ctl exec: what comes makes no sense\n" },
};
static int which;

static void ends_badly(void)
{
	is_told();
	frame_say(far, ends[which].kind, 0, ends[which].data, strlen(ends[which].data));
}

START_TEST(bad_ends)
{
	which = _i;
	ck_assert_int_eq(run(ends_badly), ends[_i].status);
	ck_assert_ptr_nonnull(strstr(said.text, ends[_i].line));
}
END_TEST

static void starts_twice(void)
{
	starts();
	frame_say(far, EXEC_STARTED, 0, NULL, 0);
	frame_say(far, EXEC_EXIT, 0, "\006", 1);
}

START_TEST(started_twice)
{
	ck_assert_int_eq(run(starts_twice), 6);
	ck_assert_str_eq(said.text, "");
}
END_TEST

static void goes_away(void)
{
	starts();
}

START_TEST(end_of_the_run)
{
	ck_assert_int_eq(run(goes_away), 209);
	ck_assert_str_eq(said.text, "lunette: error: ctl exec: the run has ended\n");
}
END_TEST

/* Nor does it hear anything: there is nobody who could. */
static void is_silent(void)
{
	ck_assert(!frame_hear(far, &f));
}

START_TEST(no_answer)
{
	cfg.wait_ms = 50;
	ck_assert_int_eq(run(is_silent), 213);
	ck_assert_ptr_nonnull(strstr(said.text, "the guest's init does not answer"));
}
END_TEST

static void is_slow(void)
{
	hears(EXEC_SPEC);
	usleep(200000);
	frame_say(far, EXEC_STARTED, 0, NULL, 0);
	frame_say(far, EXEC_EXIT, 0, "\4", 1);
}

/* An init that is there may take its time. */
START_TEST(slow_answer)
{
	cfg.wait_ms = 50;
	ready_before = true;
	ck_assert_int_eq(run(is_slow), 4);
	ready_before = false;
}
END_TEST

/* Never more than the other end has asked for. */
static void takes_much(void)
{
	static uint8_t taken[EXEC_TAKEN_LEN] = { EXEC_STDIN };
	size_t under_way = 0, sum = 0;

	starts();
	for (hears(EXEC_IN); f.head.len; hears(EXEC_IN)) {
		sum += f.head.len;
		under_way += EXEC_HEAD + f.head.len;
		ck_assert_uint_le(under_way, EXEC_WINDOW);
		if (under_way <= EXEC_TAKEN_STEP)
			continue;
		exec_put(taken + 1, (uint32_t)under_way, 4);
		frame_say(far, EXEC_TAKEN, 0, taken, sizeof(taken));
		under_way = 0;
	}
	ck_assert_uint_eq(sum, MANY);
	frame_say(far, EXEC_EXIT, 0, "\0", 1);
}

START_TEST(much_input)
{
	cfg.in = memfd_create("in", 0);
	ck_assert_int_eq(ftruncate(cfg.in, MANY), 0);
	ck_assert_int_eq(run(takes_much), 0);
	close(cfg.in);
}
END_TEST

static void prints_much(void)
{
	static const uint8_t data[EXEC_DATA_MAX];
	size_t room = EXEC_WINDOW, sum = 0, len;

	starts();
	hears(EXEC_IN);
	while (sum < MANY) {
		len = min_u64(min_u64(room - EXEC_HEAD, sizeof(data)), MANY - sum);
		frame_say(far, EXEC_OUT, 0, data, len);
		sum += len;
		room -= EXEC_HEAD + len;
		while (room <= EXEC_HEAD) {
			hears(EXEC_TAKEN);
			ck_assert_uint_eq(f.data[0], EXEC_STDOUT);
			room += exec_get(f.data + 1, 4);
			ck_assert_uint_le(room, EXEC_WINDOW);
		}
	}
	frame_say(far, EXEC_EXIT, 0, "\0", 1);
}

START_TEST(much_output)
{
	ck_assert_int_eq(run(prints_much), 0);
	ck_assert_uint_eq(length_of(cfg.out), MANY);
}
END_TEST

static void prints_too_much(void)
{
	static const uint8_t data[EXEC_DATA_MAX];
	unsigned i;

	starts();
	for (i = 0; i < 20 && frame_say(far, EXEC_OUT, 0, data, sizeof(data)); i++)
		;
}

/* Of what nobody reads here. */
START_TEST(too_much_output)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	close(cfg.out);
	cfg.out = fd[1];
	ck_assert_int_eq(run(prints_too_much), 209);
	ck_assert_ptr_nonnull(strstr(said.text, "more came than was asked for"));
	close(fd[0]);
}
END_TEST

static void is_shut(void)
{
	starts();
	hears(EXEC_IN);
	frame_say(far, EXEC_OUT, 0, "lost", 4);
	hears(EXEC_SHUT);
	ck_assert_uint_eq(f.head.len, 1);
	ck_assert_uint_eq(f.data[0], EXEC_STDOUT);
	frame_say(far, EXEC_ERR, 0, "heard", 5);
	frame_say(far, EXEC_KILLED, 0, "\015", 1);
}

START_TEST(reader_leaves)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	close(fd[0]);
	close(cfg.out);
	cfg.out = fd[1];
	ck_assert_int_eq(run(is_shut), 128 + 13);
	ck_assert_str_eq(text_of(cfg.err), "heard");
}
END_TEST

/* It is this thread's, as of a process that has one. */
static void take_signal(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void is_signalled(void)
{
	starts();
	hears(EXEC_IN);
	kill(getpid(), SIGTERM);
	hears(EXEC_SIGNAL);
	ck_assert_uint_eq(f.data[0], SIGTERM);
	kill(getpid(), SIGHUP);
	hears(EXEC_SIGNAL);
	ck_assert_uint_eq(f.data[0], SIGHUP);
	frame_say(far, EXEC_EXIT, 0, "\003", 1);
}

START_TEST(signals_are_passed_on)
{
	take_signal(SIGTERM);
	take_signal(SIGHUP);
	ck_assert_int_eq(run(is_signalled), 3);
}
END_TEST

static void is_ended(void)
{
	is_told();
	kill(getpid(), SIGINT);
	while (frame_hear(far, &f))
		;
}

static void hears_no_signal(void)
{
	starts();
	hears(EXEC_IN);
	kill(getpid(), SIGINT);
	hears(EXEC_SIGNAL);
	kill(getpid(), SIGINT);
	while (frame_hear(far, &f))
		ck_assert_uint_ne(f.head.kind, EXEC_SIGNAL);
}

/* A guest that hangs holds nobody up. */
START_TEST(signal_that_nobody_hears)
{
	take_signal(SIGINT);
	ck_assert_int_eq(run(hears_no_signal), 128 + SIGINT);
}
END_TEST

static void lives_through_them(void)
{
	int i;

	starts();
	hears(EXEC_IN);
	for (i = 0; i < 3; i++) {
		kill(getpid(), SIGINT);
		hears(EXEC_SIGNAL);
		frame_say(far, EXEC_OUT, 0, "still here", 10);
		usleep(100000);
	}
	frame_say(far, EXEC_EXIT, 0, "\005", 1);
}

START_TEST(signals_that_it_lives_through)
{
	take_signal(SIGINT);
	ck_assert_int_eq(run(lives_through_them), 5);
}
END_TEST

START_TEST(signal_before_it_runs)
{
	take_signal(SIGINT);
	ck_assert_int_eq(run(is_ended), 128 + SIGINT);
}
END_TEST

START_TEST(too_long)
{
	static char word[EXEC_SPEC_MAX + 1];
	int fd[2];

	memset(word, 'x', sizeof(word) - 1);
	command[1] = word;
	frame_pair(fd);
	stderr_begin(&said);
	ck_assert_int_eq(remote_run(&cfg, fd[0]), 200);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "98304 are possible"));
	close(fd[1]);
}
END_TEST

Suite *remote_suite(void)
{
	Suite *s = suite_create("remote");
	TCase *tc = unit_case(s, "remote");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, its_streams_and_status);
	tcase_add_test(tc, its_surroundings);
	tcase_add_loop_test(tc, bad_ends, 0, ARRAY_SIZE(ends));
	tcase_add_test(tc, started_twice);
	tcase_add_test(tc, end_of_the_run);
	tcase_add_test(tc, no_answer);
	tcase_add_test(tc, slow_answer);
	tcase_add_test(tc, much_input);
	tcase_add_test(tc, much_output);
	tcase_add_test(tc, too_much_output);
	tcase_add_test(tc, reader_leaves);
	tcase_add_test(tc, signals_are_passed_on);
	tcase_add_test(tc, signal_that_nobody_hears);
	tcase_add_test(tc, signals_that_it_lives_through);
	tcase_add_test(tc, signal_before_it_runs);
	tcase_add_test(tc, too_long);
	return s;
}

UNIT_MAIN(remote_suite)
