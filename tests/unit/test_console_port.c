/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/console_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/platform.h"

Suite *console_port_suite(void);

static struct stderr_text said;
static struct testbed tb;
static struct vdriver v;
static char path[] = "/tmp/console-port-XXXXXX";

static void set_up(void)
{
	testbed_init(&tb);
	close(mkstemp(path));
}

static void tear_down(void)
{
	vdriver_fini(&v);
	testbed_fini(&tb);
	unlink(path);
}

static int make(const char *text)
{
	return device_create(&tb.p, &tb.devices, text);
}

static int make_fd(const char *key, int fd)
{
	char text[96];

	snprintf(text, sizeof(text), "console-port,name=p,%s=%d", key, fd);
	return make(text);
}

static void start(void)
{
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, CONSOLE_TX(1) + 1, 32));
	ck_assert(console_open(&v, 1, 2));
}

static void send_hello(void)
{
	struct iovec out = { (char[]){ "hello" }, 5 };

	ck_assert_int_eq(vdriver_request(&v, CONSOLE_TX(1), &out, 1, NULL, 0, CONSOLE_WAIT_MS), 0);
}

static void file_has(const char *wanted)
{
	int fd = open(path, O_RDONLY);
	char got[64];

	ck_assert_int_eq(read(fd, got, sizeof(got)), strlen(wanted));
	ck_assert_mem_eq(got, wanted, strlen(wanted));
	close(fd);
}

START_TEST(writes_a_file)
{
	char text[96];

	snprintf(text, sizeof(text), "console-port,p,out=%s", path);
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make(text), 0);
	start();
	send_hello();
	file_has("hello");
}
END_TEST

static char sent[64];

static void hear(void *arg, const char *name, const void *data, size_t len)
{
	ck_assert_ptr_eq(arg, &tb);
	snprintf(sent + strlen(sent), sizeof(sent) - strlen(sent), "%s:%.*s;", name, (int)len,
		 (const char *)data);
}

/* What has been written, and once. */
START_TEST(others_read_along)
{
	int ends[2];

	tb.p.port_sent = hear;
	tb.p.port_sent_arg = &tb;
	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make_fd("out-fd", ends[1]), 0);
	close(ends[1]);
	start();
	send_hello();
	testbed_settle(&tb);
	ck_assert_str_eq(sent, "p:hello;");
	close(ends[0]); /* who was to read it has gone */
	signal(SIGPIPE, SIG_IGN);
	send_hello();
	testbed_settle(&tb);
	ck_assert_str_eq(sent, "p:hello;");
}
END_TEST

/* As a shell's 3>>file: it goes on where the descriptor stands. */
START_TEST(writes_on_from_where_a_descriptor_stands)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_eq(write(fd, "before ", 7), 7);
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make_fd("out-fd", fd), 0);
	start();
	send_hello();
	ck_assert_int_eq(write(fd, " after", 6), 6);
	close(fd);
	file_has("before hello after");
}
END_TEST

START_TEST(reads_a_file)
{
	int fd = open(path, O_RDWR);
	struct console_msg msg;
	char got[64];

	ck_assert_int_eq(write(fd, "from a file", 11), 11);
	lseek(fd, 5, SEEK_SET);
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make_fd("in-fd", fd), 0);
	close(fd);
	start();
	console_give(&v, CONSOLE_RX(1), 64);
	console_give(&v, CONSOLE_RX(1), 64);
	ck_assert_int_eq(console_take(&v, CONSOLE_RX(1), got, 64, CONSOLE_WAIT_MS), 6);
	ck_assert_mem_eq(got, "a file", 6);
	ck_assert(console_hear(&v, &msg, CONSOLE_WAIT_MS));
	ck_assert_uint_eq(msg.event, VIRTIO_CONSOLE_PORT_OPEN);
	ck_assert_uint_eq(msg.value, 0);
}
END_TEST

static char failed_what[64];
static int failed_err, failures;

static void failed(struct platform *p, const char *what, int err)
{
	ck_assert_ptr_eq(p, &tb.p);
	snprintf(failed_what, sizeof(failed_what), "%s", what);
	failed_err = err;
	failures++;
}

/* Who runs the guest hears of it; the guest's end of the port closes. */
START_TEST(cannot_be_written)
{
	tb.p.output_failed = failed;
	failures = 0;
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make("console-port,p,id=x,out=/dev/full"), 0);
	start();
	send_hello();
	send_hello();
	testbed_settle(&tb);
	ck_assert_int_ge(failures, 1);
	ck_assert_str_eq(failed_what, "x: out=/dev/full");
	ck_assert_int_eq(failed_err, ENOSPC);
}
END_TEST

START_TEST(reader_leaves)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	tb.p.output_failed = failed;
	failures = 0;
	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make_fd("out-fd", fd[1]), 0);
	close(fd[0]);
	close(fd[1]);
	start();
	send_hello();
	testbed_settle(&tb);
	ck_assert_int_eq(failures, 0);
}
END_TEST

/* One buffer of the guest's after the other, all of which it gets back. */
static void flood(unsigned bytes)
{
	static char data[1 << 16];
	struct iovec out = { data, sizeof(data) };

	for (; bytes >= sizeof(data); bytes -= sizeof(data))
		ck_assert_int_eq(vdriver_request(&v, CONSOLE_TX(1), &out, 1, NULL, 0,
						 CONSOLE_WAIT_MS), 0);
}

/* A regular file never lets anybody wait, so the deadline is asked for before each write. */
START_TEST(file_and_the_deadline)
{
	struct stat st;
	char text[96];

	snprintf(text, sizeof(text), "console-port,p,out=%s", path);
	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	ck_assert_int_eq(make(text), 0);
	start();
	flood(2 * PLATFORM_LATE_MAX);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 2 * PLATFORM_LATE_MAX);
	atomic_store(&tb.p.hurry, true);
	flood(2 * PLATFORM_LATE_MAX);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 3 * PLATFORM_LATE_MAX);
}
END_TEST

/* Says one line with @pattern in it. */
static void refused(int r, const char *pattern)
{
	const char *text = stderr_end(&said);

	ck_assert_int_lt(r, 0);
	ck_assert_msg(strstr(text, pattern), "no \"%s\" in: %s", pattern, text);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}

#define REFUSED(call, pattern)          \
	do {                            \
		stderr_begin(&said);    \
		refused(call, pattern); \
	} while (0)

START_TEST(mistakes)
{
	int fd = open(path, O_RDONLY), own = open(path, O_RDWR | O_CLOEXEC);
	int out = open(path, O_WRONLY);

	REFUSED(make("console-port,name=p"), "no virtio-console");
	ck_assert_int_eq(make("virtio-console,terminal=off,id=c"), 0);
	REFUSED(make("console-port,name=p,bus=d"), "bus=d");
	REFUSED(make("console-port"), "name=");
	REFUSED(make("console-port,name=a/b"), "name=a/b");
	REFUSED(make("console-port,p,out=/none/such"), "/none/such: No such file");
	REFUSED(make("console-port,p,out=x,out-fd=1"), "exclude");
	REFUSED(make_fd("out-fd", fd), "not open for that");
	REFUSED(make_fd("in-fd", out), "not open for that");
	REFUSED(make_fd("in-fd", own), "was not given");
	REFUSED(make_fd("out-fd", 9999), "was not given");
	ck_assert_int_eq(make("console-port,name=p"), 0);
	REFUSED(make("console-port,name=p"), "another port");
	close(fd);
	close(own);
	close(out);
}
END_TEST

START_TEST(ports_have_an_end)
{
	char text[64];
	unsigned i;

	ck_assert_int_eq(make("virtio-console,terminal=off"), 0);
	for (i = 1; i < 16; i++) {
		snprintf(text, sizeof(text), "console-port,name=p%u", i);
		ck_assert_int_eq(make(text), 0);
	}
	REFUSED(make("console-port,name=p16"), "no port left");
	testbed_start(&tb); /* with all of them */
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_queue_max(&v, CONSOLE_TX(15)));
	ck_assert_uint_eq(vdriver_queue_max(&v, CONSOLE_TX(15) + 1), 0);
}
END_TEST

Suite *console_port_suite(void)
{
	Suite *s = suite_create("console_port");
	TCase *tc = unit_case(s, "console_port");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, writes_a_file);
	tcase_add_test(tc, others_read_along);
	tcase_add_test(tc, writes_on_from_where_a_descriptor_stands);
	tcase_add_test(tc, reads_a_file);
	tcase_add_test(tc, cannot_be_written);
	tcase_add_test(tc, reader_leaves);
	tcase_add_test(tc, file_and_the_deadline);
	tcase_add_test(tc, mistakes);
	tcase_add_test(tc, ports_have_an_end);
	return s;
}

UNIT_MAIN(console_port_suite)
