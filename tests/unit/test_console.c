/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "tests/lib/testbed.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"
#include "vmm/machine/console.h"
#include "vmm/machine/console_log.h"

Suite *console_suite(void);

#define WAIT_MS 20000
#define PIPE_SIZE 4096
#define CTRL_A "\001"
#define CTRL_C "\003"

static struct testbed tb;
static struct console *con;
static int saved_in, saved_out;
static int in[2], out[2]; /* stdin and stdout: [0] is read, [1] written */
static int heard[2];      /* a pipe: what the device took of the input */
static int sizes[2];      /* a pipe: "80x25\n" for each that the device was told */
static atomic_uint take;  /* so much the device takes yet */
static char told[8192];   /* what printed() heard */
static size_t ntold;
static atomic_uint quits;
static char failure[64]; /* "WHAT: errno" */
static char dir[] = "/tmp/lunette-console-XXXXXX";

/* The machine and the device. */

static void on_printed(void *arg, const void *data, size_t len)
{
	ck_assert_ptr_eq(arg, &tb);
	ck_assert_uint_le(ntold + len, sizeof(told));
	memcpy(told + ntold, data, len);
	ntold += len;
}

static void on_quit(void *arg)
{
	ck_assert_ptr_eq(arg, &tb);
	atomic_fetch_add(&quits, 1);
}

static const struct console_host host = { on_printed, on_quit, &tb };

static void output_failed(struct platform *p, const char *what, int err)
{
	(void)p;
	snprintf(failure, sizeof(failure), "%s: %s", what, strerrorname_np(err));
}

static size_t device_input(void *dev, const void *data, size_t len)
{
	size_t n = min_u64(len, atomic_load(&take));

	(void)dev;
	atomic_fetch_sub(&take, n);
	ck_assert_int_eq(write(heard[1], data, n), n);
	return n;
}

static void device_resized(void *dev, unsigned cols, unsigned rows)
{
	(void)dev;
	dprintf(sizes[1], "%ux%u\n", cols, rows);
}

static size_t wrong_input(void *dev, const void *data, size_t len)
{
	(void)dev, (void)data;
	ck_abort_msg("%zu bytes for another one", len);
	return len;
}

static const struct console_user device = { device_input, device_resized, NULL };
static const struct console_user another = { wrong_input, NULL, NULL };

/* Both are @fd from now on. */
static void be_stdin(int fd)
{
	dup2(fd, STDIN_FILENO);
	close(fd);
}

static void be_stdout(int fd)
{
	dup2(fd, STDOUT_FILENO);
	close(fd);
}

static void set_up(void)
{
	sigset_t set;

	/* As in the program, where all threads come after it. */
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	testbed_init(&tb);
	tb.p.output_failed = output_failed;
	saved_in = dup(STDIN_FILENO);
	saved_out = dup(STDOUT_FILENO);
	fflush(stdout);
	ck_assert(pipe(in) == 0 && pipe(out) == 0 && pipe(heard) == 0 && pipe(sizes) == 0);
	ck_assert_int_eq(fcntl(out[1], F_SETPIPE_SZ, PIPE_SIZE), PIPE_SIZE);
	be_stdin(in[0]);
	be_stdout(out[1]);
	in[0] = out[1] = -1;
	atomic_store(&take, 1u << 20);
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void create(void)
{
	con = console_create(&host, &tb.p, tb.main_loop);
	ck_assert_ptr_nonnull(con);
	ck_assert_ptr_eq(tb.p.console, con);
}

static int do_start(void *arg)
{
	console_start(arg);
	return 0;
}

static int do_stop(void *arg)
{
	console_stop(arg);
	return 0;
}

/* With the device as who has the input. */
static void start(void)
{
	create();
	tb.p.console_attach(con, &another, NULL);
	tb.p.console_attach(con, &device, NULL);
	testbed_start(&tb);
	loop_call(tb.main_loop, do_start, con);
}

static int do_destroy(void *arg)
{
	console_stop(arg);
	console_destroy(arg);
	return 0;
}

static void tear_down(void)
{
	if (con)
		loop_call(tb.main_loop, do_destroy, con);
	dup2(saved_in, STDIN_FILENO);
	dup2(saved_out, STDOUT_FILENO);
	testbed_fini(&tb);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void print(const char *text)
{
	tb.p.console_ops->write(con, text, strlen(text));
}

static void expect(int fd, const char *wanted)
{
	size_t len = strlen(wanted), n = 0;
	char got[8192];

	ck_assert_uint_lt(len, sizeof(got));
	while (n < len) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t part;

		ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
		part = read(fd, got + n, len - n);
		ck_assert_int_gt(part, 0);
		n += part;
	}
	got[n] = 0;
	ck_assert_str_eq(got, wanted);
}

static void expect_nothing(int fd)
{
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* What was ready for the main loop has most likely been served. */
static void settle(void)
{
	loop_call(tb.main_loop, nothing, NULL);
	loop_call(tb.main_loop, nothing, NULL);
}

static void type(const char *text, size_t len)
{
	ck_assert_int_eq(write(in[1], text, len), len);
}

/* Output */

START_TEST(output_is_shown_and_told)
{
	create();
	print("hello ");
	ck_assert_int_eq(tb.p.console_ops->try_write(con, "world", 5), 5);
	expect(out[0], "hello world");
	ck_assert_uint_eq(ntold, 11);
	ck_assert_mem_eq(told, "hello world", 11);
	ck_assert_uint_eq(console_printed(con), 11);
	ck_assert(!console_is_quiet(con));
}
END_TEST

static void add_line(void *text, const char *line)
{
	strcat(text, line);
	strcat(text, "|");
}

START_TEST(output_that_is_not_ours_is_kept)
{
	char lines[100] = "";

	create();
	console_set_quiet(con, false);
	print("one\ntwo");
	ck_assert_int_eq(tb.p.console_ops->try_write(con, "!\n", 2), 2);
	ck_assert(console_is_quiet(con));
	expect_nothing(out[0]);
	ck_assert_uint_eq(console_printed(con), 9);
	ck_assert_mem_eq(told, "one\ntwo!\n", 9);
	console_log_tail(console_get_log(con), add_line, lines);
	ck_assert_str_eq(lines, "one|two!|");
}
END_TEST

/* Nothing is counted twice: what could not be written is not told until it is. */
START_TEST(no_room_for_output)
{
	static char data[2 * PIPE_SIZE];
	ssize_t n;

	create();
	memset(data, 'x', sizeof(data));
	n = tb.p.console_ops->try_write(con, data, sizeof(data));
	ck_assert_int_eq(n, PIPE_SIZE);
	ck_assert_int_eq(tb.p.console_ops->try_write(con, data + n, sizeof(data) - n), -EAGAIN);
	ck_assert_uint_eq(console_printed(con), PIPE_SIZE);
	ck_assert_uint_eq(ntold, PIPE_SIZE);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = tb.p.console_ops->room(con),
						.events = POLLOUT }, 1, 0), 0);
	ck_assert_int_eq(read(out[0], data, PIPE_SIZE), PIPE_SIZE);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = tb.p.console_ops->room(con),
						.events = POLLOUT }, 1, 0), 1);
	ck_assert_int_eq(tb.p.console_ops->try_write(con, "y", 1), 1);
	ck_assert_uint_eq(console_printed(con), PIPE_SIZE + 1);
	ck_assert_str_eq(failure, "");
}
END_TEST

START_TEST(hurry_gives_up_the_reader)
{
	static char data[4 * PIPE_SIZE + 1];

	create();
	memset(data, 'x', sizeof(data) - 1);
	ck_assert_int_eq(tb.p.console_ops->try_write(con, data, PIPE_SIZE), PIPE_SIZE);
	console_hurry(con);
	memset(told, 0, sizeof(told));
	ntold = 0;
	print("lost to the reader, not to the log");
	ck_assert_str_eq(told, "lost to the reader, not to the log");
	ck_assert_int_eq(read(out[0], data, sizeof(data)), PIPE_SIZE);
	expect_nothing(out[0]);
}
END_TEST

/* Some of it may still come, but not without end. */
START_TEST(hurry_bounds_output)
{
	static char data[PIPE_SIZE];
	unsigned i;

	create();
	console_set_quiet(con, false);
	atomic_store(&tb.p.hurry, true);
	for (i = 0; i < 2 * PLATFORM_LATE_MAX / sizeof(data); i++) {
		ntold = 0;
		tb.p.console_ops->write(con, data, sizeof(data));
	}
	ck_assert_uint_eq(console_printed(con), PLATFORM_LATE_MAX);
	ck_assert_int_eq(tb.p.console_ops->try_write(con, data, 10), 10); /* taken, and lost */
	ck_assert_uint_eq(console_printed(con), PLATFORM_LATE_MAX);
}
END_TEST

START_TEST(reader_that_has_left_is_no_failure)
{
	create();
	close(out[0]);
	print("to nobody");
	ck_assert_int_eq(tb.p.console_ops->try_write(con, "x", 1), -EPIPE);
	ck_assert_str_eq(failure, "");
}
END_TEST

START_TEST(stdout_that_fails_ends_the_run)
{
	be_stdout(open("/dev/full", O_WRONLY));
	create();
	print("x");
	ck_assert_str_eq(failure, "stdout: ENOSPC");
	*failure = 0;
	ck_assert_int_eq(tb.p.console_ops->try_write(con, "x", 1), -ENOSPC);
	ck_assert_str_eq(failure, "stdout: ENOSPC");
}
END_TEST

START_TEST(panic_is_seen)
{
	static const struct {
		const char *part[3];
		bool panic;
	} examples[] = {
		{ { "Kernel panic - not syncing: Attempted to kill init!" }, true },
		{ { "[    0.5] Kernel pan", "ic - not", " syncing" }, true },
		{ { "KKernel panic - not syncing" }, true },
		{ { "Kernel paKernel panic - not syncing" }, true },
		{ { "Kernel panic - not ", "", "syncing" }, true },
		{ { "Kernel panic - not syncin" }, false },
		{ { "Kernel panic: not syncing" }, false },
		{ { "kernel panic - not syncing" }, false },
		{ { "Kernel panic -", "\n not syncing" }, false },
	};
	unsigned i, k;

	for (i = 0; i < ARRAY_SIZE(examples); i++) {
		create();
		console_set_quiet(con, false);
		ck_assert(!console_saw_panic(con));
		for (k = 0; k < 3 && examples[i].part[k]; k++)
			print(examples[i].part[k]);
		ck_assert_msg(console_saw_panic(con) == examples[i].panic, "%s",
			      examples[i].part[0]);
		console_destroy(con);
		con = NULL;
	}
}
END_TEST

/* Input */

START_TEST(input_goes_to_the_last_user)
{
	start();
	type("ls\n" CTRL_A "x", 5);
	expect(heard[0], "ls\n" CTRL_A "x"); /* a pipe has no keys */
	ck_assert_uint_eq(atomic_load(&quits), 0);
}
END_TEST

START_TEST(input_waits_for_room)
{
	atomic_store(&take, 3);
	start();
	type("abcdefgh", 8);
	expect(heard[0], "abc");
	type("ij", 2);
	settle();
	expect_nothing(heard[0]);
	atomic_store(&take, 4);
	tb.p.console_ops->more(con);
	expect(heard[0], "defg");
	atomic_store(&take, 100);
	tb.p.console_ops->more(con);
	expect(heard[0], "hij");
}
END_TEST

START_TEST(input_ends)
{
	start();
	type("the end", 7);
	close(in[1]);
	expect(heard[0], "the end");
	settle();
	expect_nothing(heard[0]);
	loop_call(tb.main_loop, do_stop, con); /* of what has stopped by itself */
}
END_TEST

/* epoll does not take one. */
START_TEST(input_from_a_file)
{
	static char text[5001];
	char path[100];
	int fd;

	memset(text, 'f', sizeof(text) - 1);
	snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	lseek(fd, 0, SEEK_SET);
	be_stdin(fd);
	atomic_store(&take, 10);
	start();
	settle();
	atomic_store(&take, sizeof(text));
	tb.p.console_ops->more(con);
	expect(heard[0], text);
}
END_TEST

START_TEST(quiet_console_leaves_stdin_alone)
{
	char got[2];

	create();
	tb.p.console_attach(con, &device, NULL);
	console_set_quiet(con, false);
	testbed_start(&tb);
	type("ab", 2);
	loop_call(tb.main_loop, do_start, con);
	settle();
	expect_nothing(heard[0]);
	ck_assert_int_eq(read(STDIN_FILENO, got, 2), 2);
}
END_TEST

START_TEST(quiet_console_with_keys_reads)
{
	create();
	tb.p.console_attach(con, &device, NULL);
	console_set_quiet(con, true);
	testbed_start(&tb);
	loop_call(tb.main_loop, do_start, con);
	type("ab", 2);
	expect(heard[0], "ab");
}
END_TEST

START_TEST(nobody_reads_for_nobody)
{
	char got[2];

	create();
	testbed_start(&tb);
	type("ab", 2);
	loop_call(tb.main_loop, do_start, con);
	settle();
	ck_assert_int_eq(read(STDIN_FILENO, got, 2), 2);
}
END_TEST

/* The terminal: in[1] is its other side. */

static void use_terminal(unsigned short cols, unsigned short rows)
{
	struct winsize size = { .ws_col = cols, .ws_row = rows };
	int ours, theirs;

	ck_assert_int_eq(openpty(&ours, &theirs, NULL, NULL, &size), 0);
	be_stdin(theirs);
	close(in[1]);
	in[1] = ours;
}

static bool is_cooked(void)
{
	struct termios t;

	ck_assert_int_eq(tcgetattr(STDIN_FILENO, &t), 0);
	return t.c_lflag & ICANON && t.c_lflag & ISIG && t.c_lflag & ECHO;
}

START_TEST(terminal_is_raw_meanwhile)
{
	use_terminal(80, 25);
	ck_assert(is_cooked());
	start();
	ck_assert(!is_cooked());
	type(CTRL_C "a", 2); /* no signal, no line */
	expect(heard[0], CTRL_C "a");
	loop_call(tb.main_loop, do_stop, con);
	ck_assert(is_cooked());
}
END_TEST

START_TEST(terminal_is_not_touched_for_quiet)
{
	use_terminal(80, 25);
	create();
	tb.p.console_attach(con, &device, NULL);
	console_set_quiet(con, false);
	testbed_start(&tb);
	loop_call(tb.main_loop, do_start, con);
	ck_assert(is_cooked());
}
END_TEST

START_TEST(escape_ends_the_run)
{
	use_terminal(80, 25);
	start();
	type("a" CTRL_A "xb", 4);
	expect(heard[0], "ab");
	ck_assert_uint_eq(atomic_load(&quits), 1);
	type(CTRL_A, 1); /* and the rest later */
	settle();
	type("Xc", 2);
	expect(heard[0], "c");
	ck_assert_uint_eq(atomic_load(&quits), 2);
}
END_TEST

START_TEST(escape_for_others)
{
	use_terminal(80, 25);
	start();
	type(CTRL_A CTRL_A "x" CTRL_A "cx", 6);
	expect(heard[0], CTRL_A "xcx");
	ck_assert_uint_eq(atomic_load(&quits), 0);
}
END_TEST

START_TEST(size_is_told)
{
	struct winsize size = { .ws_col = 132, .ws_row = 43 };

	use_terminal(80, 25);
	start();
	expect(sizes[0], "80x25\n80x25\n"); /* when attached, and when it is watched */
	ck_assert_int_eq(ioctl(in[1], TIOCSWINSZ, &size), 0);
	kill(getpid(), SIGWINCH);
	expect(sizes[0], "132x43\n");
	expect_nothing(sizes[0]);
}
END_TEST

Suite *console_suite(void)
{
	Suite *s = suite_create("console");
	TCase *tc = unit_case(s, "output");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, output_is_shown_and_told);
	tcase_add_test(tc, output_that_is_not_ours_is_kept);
	tcase_add_test(tc, no_room_for_output);
	tcase_add_test(tc, hurry_gives_up_the_reader);
	tcase_add_test(tc, hurry_bounds_output);
	tcase_add_test(tc, reader_that_has_left_is_no_failure);
	tcase_add_test(tc, stdout_that_fails_ends_the_run);
	tcase_add_test(tc, panic_is_seen);

	tc = unit_case(s, "input");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, input_goes_to_the_last_user);
	tcase_add_test(tc, input_waits_for_room);
	tcase_add_test(tc, input_ends);
	tcase_add_test(tc, input_from_a_file);
	tcase_add_test(tc, quiet_console_leaves_stdin_alone);
	tcase_add_test(tc, quiet_console_with_keys_reads);
	tcase_add_test(tc, nobody_reads_for_nobody);

	tc = unit_case(s, "terminal");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, terminal_is_raw_meanwhile);
	tcase_add_test(tc, terminal_is_not_touched_for_quiet);
	tcase_add_test(tc, escape_ends_the_run);
	tcase_add_test(tc, escape_for_others);
	tcase_add_test(tc, size_is_told);
	return s;
}

UNIT_MAIN(console_suite)
