/* SPDX-License-Identifier: MIT */
/*
 * A pseudo terminal is stdin of a process that is killed. Its other side sees the settings, and
 * that nobody has the terminal any more.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/machine/tty.h"

Suite *tty_suite(void);

static int master, slave, saved;
static struct termios before;

static struct termios now(void)
{
	struct termios t;

	ck_assert_int_eq(tcgetattr(master, &t), 0);
	return t;
}

static void set_up(void)
{
	ck_assert_int_eq(openpty(&master, &slave, NULL, NULL, NULL), 0);
	saved = dup(STDIN_FILENO);
	dup2(slave, STDIN_FILENO);
	before = now();
}

static void tear_down(void)
{
	tty_unwatch();
	dup2(saved, STDIN_FILENO);
	close(saved);
	close(master);
}

static void expect_as_before(void)
{
	struct termios t = now();

	ck_assert_uint_eq(t.c_iflag, before.c_iflag);
	ck_assert_uint_eq(t.c_oflag, before.c_oflag);
	ck_assert_uint_eq(t.c_lflag, before.c_lflag);
	ck_assert_mem_eq(t.c_cc, before.c_cc, sizeof(t.c_cc));
}

START_TEST(raw_and_back)
{
	struct termios t;

	tty_watch();
	expect_as_before();
	ck_assert(tty_make_raw());
	t = now();
	ck_assert_uint_eq(t.c_lflag & (ICANON | ISIG | ECHO | IEXTEN), 0);
	ck_assert_uint_eq(t.c_iflag & (ICRNL | IXON), 0);
	ck_assert_uint_eq(t.c_oflag & OPOST, OPOST); /* our own lines begin at the left */
	tty_restore();
	expect_as_before();
}
END_TEST

static void set_echo(bool on)
{
	struct termios t;

	tcgetattr(STDIN_FILENO, &t);
	t.c_lflag = on ? t.c_lflag | ECHO : t.c_lflag & ~ECHO;
	tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

/* It is given back once: what others do to it afterwards stays. */
START_TEST(restored_once)
{
	tty_restore(); /* of nothing */
	expect_as_before();
	ck_assert(tty_make_raw());
	tty_restore();
	set_echo(false);
	tty_restore();
	ck_assert_uint_eq(now().c_lflag & ECHO, 0);
}
END_TEST

/* As it was when it became raw, not when it was looked at first. */
START_TEST(changed_in_between)
{
	tty_watch();
	set_echo(false);
	ck_assert(tty_make_raw());
	tty_restore();
	ck_assert_uint_eq(now().c_lflag & ECHO, 0);
	ck_assert_uint_eq(now().c_lflag & ICANON, ICANON);
}
END_TEST

START_TEST(no_terminal)
{
	dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
	tty_watch();
	ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
	ck_assert_int_eq(errno, ECHILD); /* nobody to watch it */
	ck_assert(!tty_make_raw());
	tty_restore();
	tty_unwatch();
}
END_TEST

START_TEST(watcher_goes)
{
	tty_watch();
	tty_watch(); /* one is enough */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
	tty_unwatch();
	ck_assert_int_lt(waitpid(-1, NULL, WNOHANG), 0);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert(tty_make_raw()); /* without one, too */
	tty_restore();
	expect_as_before();
}
END_TEST

/* A process does @what and is killed; and then nobody has the terminal any more. */
static void killed_after(void (*what)(void))
{
	pid_t child = fork();
	char c;
	int status;

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(master);
		tty_watch();
		what();
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGKILL);
	close(slave);
	dup2(saved, STDIN_FILENO);
	ck_assert_int_lt(read(master, &c, 1), 0);
	ck_assert_int_eq(errno, EIO);
}

static void be_raw(void)
{
	BUG_ON(!tty_make_raw());
}

static void be_raw_and_change(void)
{
	be_raw();
	tty_restore();
	set_echo(false);
}

static void change(void)
{
	set_echo(false);
}

START_TEST(killed_while_raw)
{
	killed_after(be_raw);
	expect_as_before();
}
END_TEST

/* The terminal is somebody else's then. */
START_TEST(killed_after_that)
{
	killed_after(be_raw_and_change);
	ck_assert_uint_eq(now().c_lflag & ECHO, 0);
}
END_TEST

START_TEST(killed_before_that)
{
	killed_after(change);
	ck_assert_uint_eq(now().c_lflag & ECHO, 0);
}
END_TEST

Suite *tty_suite(void)
{
	Suite *s = suite_create("tty");
	TCase *tc = unit_case(s, "tty");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, raw_and_back);
	tcase_add_test(tc, restored_once);
	tcase_add_test(tc, changed_in_between);
	tcase_add_test(tc, no_terminal);
	tcase_add_test(tc, watcher_goes);
	tcase_add_test(tc, killed_while_raw);
	tcase_add_test(tc, killed_after_that);
	tcase_add_test(tc, killed_before_that);
	return s;
}

UNIT_MAIN(tty_suite)
