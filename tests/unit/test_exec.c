/* SPDX-License-Identifier: MIT */
/* Commands of clients, with a guest that is a driver of the port and speaks as told. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/console_driver.h"
#include "tests/lib/frames.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/run/exec.h"
#include "vmm/run/exec_client.h"

Suite *exec_suite(void);

#define PORT 1 /* 0 is not there */
#define CHUNK 4096

static const char nonce[] = "sixteen bytes are";

static struct stderr_text said;
static struct testbed tb;
static struct device_list devices;
static struct vdriver v;
static struct exec *e;
static uint8_t heard[2 * EXEC_WINDOW]; /* by the guest */
static size_t heard_len;
static struct frame f;

static void set_up(void)
{
	testbed_init(&tb);
	stderr_begin(&said);
	e = exec_create(&tb.p, &devices);
	ck_assert_ptr_nonnull(e);
	ck_assert_int_eq(device_ready_all(&devices), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, CONSOLE_TX(PORT) + 1, 64));
	ck_assert(console_open(&v, PORT, PORT + 1));
}

static void tear_down(void)
{
	vdriver_fini(&v);
	device_destroy_all(&devices);
	exec_destroy(e);
	testbed_fini(&tb);
	stderr_end(&said);
}

/* The guest. */

static void guest_writes(const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		struct iovec out = { (void *)at, min_u64(len, CHUNK) };

		ck_assert_int_eq(vdriver_request(&v, CONSOLE_TX(PORT), &out, 1, NULL, 0,
						 CONSOLE_WAIT_MS), 0);
		at += out.iov_len;
		len -= out.iov_len;
	}
}

static void guest_says(enum exec_kind kind, uint32_t id, const void *data, size_t len)
{
	uint8_t raw[EXEC_FRAME_MAX];

	exec_head_put(raw, kind, id, len);
	if (len)
		memcpy(raw + EXEC_HEAD, data, len);
	guest_writes(raw, EXEC_HEAD + len);
}

/* Until it has heard so much. */
static void guest_waits(size_t len)
{
	int n;

	while (heard_len < len) {
		if (v.queue[CONSOLE_RX(PORT)].ring.nfree == v.queue[CONSOLE_RX(PORT)].ring.size)
			console_give(&v, CONSOLE_RX(PORT), CHUNK);
		n = console_take(&v, CONSOLE_RX(PORT), heard + heard_len,
				 sizeof(heard) - heard_len, CONSOLE_WAIT_MS);
		ck_assert_int_gt(n, 0);
		heard_len += n;
	}
}

static void guest_drops(size_t len)
{
	heard_len -= len;
	memmove(heard, heard + len, heard_len);
}

static void guest_hears(enum exec_kind kind, uint32_t id, const void *data, size_t len)
{
	struct exec_head h;

	guest_waits(EXEC_HEAD + len);
	h = exec_head_get(heard);
	ck_assert_uint_eq(h.kind, kind);
	ck_assert_uint_eq(h.id, id);
	ck_assert_uint_eq(h.len, len);
	ck_assert(!len || !memcmp(heard + EXEC_HEAD, data, len));
	guest_drops(EXEC_HEAD + len);
}

static void guest_begins(void)
{
	guest_says(EXEC_HELLO, 0, nonce, EXEC_NONCE);
	guest_waits(EXEC_MARK_LEN + EXEC_NONCE);
	ck_assert_int_eq(memcmp(heard, EXEC_MARK, EXEC_MARK_LEN), 0);
	ck_assert_int_eq(memcmp(heard + EXEC_MARK_LEN, nonce, EXEC_NONCE), 0);
	guest_drops(EXEC_MARK_LEN + EXEC_NONCE);
}

/* Clients. */

static int client(void)
{
	int fd[2];

	frame_pair(fd);
	ck_assert_int_eq(exec_may(e), 0);
	exec_take(e, fd[1]);
	return fd[0];
}

static void client_hears(int fd, enum exec_kind kind, const void *data, size_t len)
{
	ck_assert(frame_hear(fd, &f));
	ck_assert_msg(f.head.kind == kind, "%u, not %u", f.head.kind, kind);
	ck_assert_uint_eq(f.head.id, 0);
	ck_assert_uint_eq(f.head.len, len);
	ck_assert(!len || !memcmp(f.data, data, len));
}

static void client_is_lost(int fd, unsigned status, const char *text)
{
	ck_assert(frame_hear(fd, &f));
	ck_assert_uint_eq(f.head.kind, EXEC_LOST);
	ck_assert_uint_eq(f.data[0], status);
	ck_assert_str_eq((char *)f.data + 1, text);
	ck_assert(!frame_hear(fd, &f));
	close(fd);
}

/* A client whose command the guest knows, by this number. */
static int begun(uint32_t id)
{
	int fd = client();

	client_hears(fd, EXEC_READY, NULL, 0);
	ck_assert(frame_say(fd, EXEC_SPEC, 0, "go", 3));
	guest_hears(EXEC_SPEC, id, "go", 3);
	return fd;
}

START_TEST(a_command)
{
	static const uint8_t out_taken[] = { EXEC_STDOUT, 4, 0, 0, 0 };
	static const uint8_t in_taken[] = { EXEC_STDIN, 1, 2, 0, 0 };
	int fd;

	guest_begins();
	fd = begun(1);
	guest_says(EXEC_STARTED, 1, NULL, 0);
	guest_says(EXEC_OUT, 1, "text", 4);
	guest_says(EXEC_ERR, 1, "more", 4);
	guest_says(EXEC_TAKEN, 1, in_taken, sizeof(in_taken));
	client_hears(fd, EXEC_STARTED, NULL, 0);
	client_hears(fd, EXEC_OUT, "text", 4);
	client_hears(fd, EXEC_ERR, "more", 4);
	client_hears(fd, EXEC_TAKEN, in_taken, sizeof(in_taken));
	frame_say(fd, EXEC_IN, 0, "input", 5);
	frame_say(fd, EXEC_TAKEN, 0, out_taken, sizeof(out_taken));
	frame_say(fd, EXEC_SIGNAL, 0, "\017", 1);
	guest_hears(EXEC_IN, 1, "input", 5);
	guest_hears(EXEC_TAKEN, 1, out_taken, sizeof(out_taken));
	guest_hears(EXEC_SIGNAL, 1, "\017", 1);
	guest_says(EXEC_EXIT, 1, "\007", 1);
	client_hears(fd, EXEC_EXIT, "\007", 1);
	ck_assert(!frame_hear(fd, &f));
	close(fd);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* Who comes before the guest's init waits for it. */
START_TEST(before_the_guest)
{
	int fd = client(), gone = client();

	ck_assert(frame_say(fd, EXEC_SPEC, 0, "go", 3));
	ck_assert(frame_say(gone, EXEC_SPEC, 0, "no", 3));
	close(gone);
	testbed_settle(&tb);
	guest_begins();
	guest_hears(EXEC_SPEC, 1, "go", 3);
	client_hears(fd, EXEC_READY, NULL, 0);
	close(fd);
	guest_hears(EXEC_GONE, 1, NULL, 0);
}
END_TEST

START_TEST(init_begins_anew)
{
	int fd, waits;

	guest_begins();
	fd = begun(1);
	guest_begins();
	client_is_lost(fd, 209, "the guest's init has begun anew, and has lost its commands");
	fd = begun(2);
	exec_again(e);
	client_is_lost(fd, 204, "the guest has reset itself");
	waits = client();
	ck_assert(frame_say(waits, EXEC_SPEC, 0, "go", 3));
	guest_begins();
	guest_hears(EXEC_SPEC, 3, "go", 3);
	client_hears(waits, EXEC_READY, NULL, 0);
	exec_end(e, 205, "panicked");
	client_is_lost(waits, 205, "panicked");
}
END_TEST

/* Frames that no guest may send, cut where the table says. */
static const struct {
	enum exec_kind kind;
	uint32_t id;
	unsigned len;
	uint8_t zero;
} nonsense[] = {
	{ EXEC_SPEC, 1, 3, 0 },	   { EXEC_GONE, 1, 0, 0 },
	{ EXEC_LOST, 1, 3, 0 },	   { 0, 1, 0, 0 },
	{ EXEC_READY, 1, 0, 0 },   { EXEC_GONE, 1, 0, 0 },
	{ EXEC_KINDS, 1, 0, 0 },   { 255, 1, 0, 0 },
	{ EXEC_OUT, 1, 0, 0 },	   { EXEC_OUT, 1, EXEC_DATA_MAX + 1, 0 },
	{ EXEC_OUT, 1, 0xffff, 0 }, { EXEC_STARTED, 1, 1, 0 },
	{ EXEC_EXIT, 1, 0, 0 },	   { EXEC_EXIT, 1, 2, 0 },
	{ EXEC_FAILED, 1, EXEC_TEXT_MAX + 1, 0 },
	{ EXEC_HELLO, 0, 3, 0 },   { EXEC_HELLO, 1, EXEC_NONCE, 0 },
	{ EXEC_TAKEN, 1, 4, 0 },   { EXEC_TAKEN, 1, EXEC_TAKEN_LEN, 0 }, /* of stdout */
	{ EXEC_STARTED, 1, 0, 1 },
};

START_TEST(guest_makes_no_sense)
{
	static uint8_t raw[EXEC_FRAME_MAX + 16];
	unsigned len = min_u64(nonsense[_i].len, EXEC_DATA_MAX);
	int fd;

	guest_begins();
	fd = begun(1);
	memset(raw, EXEC_STDOUT, sizeof(raw));
	exec_head_put(raw, nonsense[_i].kind, nonsense[_i].id, nonsense[_i].len);
	raw[3] = nonsense[_i].zero;
	guest_writes(raw, EXEC_HEAD + len);
	client_is_lost(fd, 209, "what the guest says of its commands makes no sense");
	ck_assert_int_eq(exec_may(e), -EPROTO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "there are no more of them"));
}
END_TEST

/* A client that does not read: the guest may fill its windows, and no more; others go on. */
START_TEST(one_does_not_read)
{
	static uint8_t data[EXEC_DATA_MAX];
	size_t room = EXEC_WINDOW, len;
	int fd, other;

	guest_begins();
	fd = begun(1);
	other = begun(2);
	while (room > EXEC_HEAD) {
		len = min_u64(room - EXEC_HEAD, sizeof(data));
		guest_says(EXEC_OUT, 1, data, len);
		guest_says(EXEC_ERR, 1, data, len);
		room -= EXEC_HEAD + len;
	}
	guest_says(EXEC_OUT, 2, "quick", 5);
	client_hears(other, EXEC_OUT, "quick", 5);
	guest_says(EXEC_OUT, 1, "x", 1);
	client_is_lost(other, 209, "what the guest says of its commands makes no sense");
	for (len = 0; frame_hear(fd, &f) && f.head.kind != EXEC_LOST;)
		len += EXEC_HEAD + f.head.len;
	ck_assert_uint_eq(len, 2 * EXEC_WINDOW);
	close(fd);
}
END_TEST

/* What is said about a command, and not of its streams, has an end, too. */
START_TEST(flood_of_words)
{
	static const uint8_t taken[] = { EXEC_STDIN, 0, 0, 0, 0 };
	static uint8_t raw[EXEC_HEAD + sizeof(taken)], many[300 * sizeof(raw)];
	unsigned i;
	int fd;

	guest_begins();
	fd = begun(1);
	exec_head_put(raw, EXEC_TAKEN, 1, sizeof(taken));
	memcpy(raw + EXEC_HEAD, taken, sizeof(taken));
	for (i = 0; i < 300; i++)
		memcpy(many + i * sizeof(raw), raw, sizeof(raw));
	for (i = 0; i < 200; i++)
		guest_writes(many, sizeof(many));
	while (recv(fd, many, sizeof(many), 0) > 0)
		;
	ck_assert_int_eq(exec_may(e), 0); /* it is this client's end, and no other's */
	close(fd);
}
END_TEST

/* Frames that no client may send. */
static const struct {
	enum exec_kind kind;
	uint32_t id;
	unsigned len;
	const char *data;
} wrong[] = {
	{ EXEC_GONE, 0, 0, "" },	 { EXEC_OUT, 0, 1, "x" },
	{ EXEC_HELLO, 0, EXEC_NONCE, nonce }, { EXEC_SIGNAL, 0, 2, "ab" },
	{ EXEC_IN, 7, 1, "x" },		 { EXEC_TAKEN, 0, EXEC_TAKEN_LEN, "\1\1\0\0\0" },
	{ EXEC_TAKEN, 0, EXEC_TAKEN_LEN, "\0\0\0\0\0" }, { EXEC_KINDS, 0, 0, "" },
};

START_TEST(client_makes_no_sense)
{
	int fd, other;

	guest_begins();
	fd = begun(1);
	other = begun(2);
	ck_assert(frame_say(fd, wrong[_i].kind, wrong[_i].id, wrong[_i].data, wrong[_i].len));
	client_is_lost(fd, 200, "the client says what makes no sense");
	guest_hears(EXEC_GONE, 1, NULL, 0);
	guest_says(EXEC_EXIT, 2, "\0", 1);
	client_hears(other, EXEC_EXIT, "\0", 1);
	close(other);
}
END_TEST

START_TEST(as_many_as_there_may_be)
{
	int fd[EXEC_COMMANDS_MAX], i;

	for (i = 0; i < EXEC_COMMANDS_MAX; i++)
		fd[i] = client();
	ck_assert_int_eq(exec_may(e), -EBUSY);
	close(fd[7]);
	for (i = 0; i < 1000 && exec_may(e) < 0; i++)
		testbed_settle(&tb);
	fd[7] = client();
	for (i = 0; i < EXEC_COMMANDS_MAX; i++)
		close(fd[i]);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "has 128 commands already"));
}
END_TEST

/* A guest that does not read stops its clients, and nobody else; the run's end does not wait. */
START_TEST(guest_does_not_read)
{
	static uint8_t data[EXEC_DATA_MAX];
	int fd, other, n = 0;

	guest_begins();
	fd = begun(1);
	while (send(fd, data, 0, MSG_DONTWAIT) == 0 && n < 100) {
		uint8_t raw[EXEC_FRAME_MAX] = { 0 };

		exec_head_put(raw, EXEC_IN, 0, EXEC_DATA_MAX);
		if (send(fd, raw, sizeof(raw), MSG_DONTWAIT | MSG_NOSIGNAL) <
		    (ssize_t)sizeof(raw))
			break;
		n++;
		usleep(1000);
	}
	ck_assert_int_lt(n, 100);
	other = client();
	client_hears(other, EXEC_READY, NULL, 0);
	guest_says(EXEC_OUT, 1, "still heard", 11);
	client_hears(fd, EXEC_OUT, "still heard", 11);
	exec_end(e, 208, "over");
	client_is_lost(fd, 208, "over");
	client_is_lost(other, 208, "over");
}
END_TEST

/* Whoever makes no control socket has none of this. */
START_TEST(without_one)
{
	exec_again(NULL);
	exec_end(NULL, 0, "");
	exec_destroy(NULL);
	ck_assert_int_eq(exec_may(NULL), -EBUSY);
}
END_TEST

Suite *exec_suite(void)
{
	Suite *s = suite_create("exec");
	TCase *tc = unit_case(s, "exec");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_command);
	tcase_add_test(tc, before_the_guest);
	tcase_add_test(tc, init_begins_anew);
	tcase_add_loop_test(tc, guest_makes_no_sense, 0, ARRAY_SIZE(nonsense));
	tcase_add_test(tc, one_does_not_read);
	tcase_add_test(tc, flood_of_words);
	tcase_add_loop_test(tc, client_makes_no_sense, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, as_many_as_there_may_be);
	tcase_add_test(tc, guest_does_not_read);
	tcase_add_test(tc, without_one);
	return s;
}

UNIT_MAIN(exec_suite)
