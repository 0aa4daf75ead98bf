/* SPDX-License-Identifier: MIT */
/* The process that serves a shared disk: what others cannot do to it, and its end. */
#include "tests/unit/shared_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "virtio/user_msg.h"
#include "vmm/run/run.h"

Suite *shared_broker_suite(void);

static struct shared_place place;
static struct shared_answer answer;
static struct stderr_text said;
static pid_t server;
static int first;
static int ear; /* of the last one that has come */

static int join(const char *initiator)
{
	struct shared_hello h = hello_of(image, initiator);
	int sock = shared_join("x", &place, &h, &answer, &ear);

	server = sock < 0 ? server : answer.server;
	return sock;
}

static void set_up(void)
{
	set_up_folder();
	ck_assert_int_eq(shared_place("x", &place), 0);
	first = join("first");
	ck_assert_int_ge(first, 0);
}

static void tear_down(void)
{
	close(first);
	tear_down_folder();
}

/* A number that each client can ask for. */
static bool is_served(int sock)
{
	struct user_header h = { USER_GET_QUEUE_NUM, USER_VERSION, 0 };
	int fds[USER_FDS_MAX];
	uint64_t n = 0;
	unsigned nfds;

	return user_send(sock, &h, NULL, NULL, 0, PATIENCE) == 0 &&
	       user_recv(sock, &h, (uint8_t[USER_PAYLOAD_MAX]){ 0 }, fds, &nfds, PATIENCE) == 0 &&
	       h.size == sizeof(n);
}

static bool has_ended(int sock)
{
	struct pollfd readable = { .fd = sock, .events = POLLIN };
	char byte;

	return poll(&readable, 1, PATIENCE) == 1 && recv(sock, &byte, 1, 0) <= 0;
}

static int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, place.socket);
	ck_assert_int_eq(connect(sock, (struct sockaddr *)&at, sizeof(at)), 0);
	return sock;
}

/* Of several, who lies is the only one that is left alone. */
START_TEST(a_liar_among_others)
{
	struct user_header h = { USER_SET_MEM_TABLE, USER_VERSION, 8 };
	int liar = join("liar"), other = join("other"), stranger = dial();
	uint8_t nonsense[4096];

	memset(nonsense, 0xa5, sizeof(nonsense));
	ck_assert(is_served(liar));
	ck_assert_int_eq(user_send(liar, &h, nonsense, NULL, 0, PATIENCE), 0);
	ck_assert_int_gt(send(stranger, nonsense, sizeof(nonsense), MSG_NOSIGNAL), 0);
	ck_assert(has_ended(liar));
	ck_assert(has_ended(stranger));
	ck_assert(is_served(other));
	ck_assert(is_served(first));
	close(liar);
	close(stranger);
	close(other);
}
END_TEST

/* The server has no reader of stderr: who it is about hears a line, also why it is left alone. */
START_TEST(is_told_why)
{
	struct user_header h = { USER_SET_MEM_TABLE, USER_VERSION, 8 };
	struct pollfd readable = { .events = POLLIN };
	int liar = join("liar");
	char line[200] = "";

	ck_assert_int_ge(ear, 0);
	ck_assert_int_eq(user_send(liar, &h, "\1\0\0\0\0\0\0", NULL, 0, PATIENCE), 0);
	ck_assert(has_ended(liar));
	readable.fd = ear;
	ck_assert_int_eq(poll(&readable, 1, PATIENCE), 1);
	ck_assert_int_gt(recv(ear, line, sizeof(line) - 1, 0), 0);
	ck_assert_str_eq(line, "guest2: its process sends a table of memory that is not whole, or "
			 "too long");
	ck_assert_int_eq(poll(&readable, 1, PATIENCE), 1);
	ck_assert_int_eq(recv(ear, line, 1, 0), 0);
	close(liar);
	close(ear);
}
END_TEST

/* Who says nothing, or does not go on, keeps nobody else waiting. */
START_TEST(silent_ones)
{
	struct user_header h = { USER_SET_FEATURES, USER_VERSION, 8 };
	int mute = dial(), halting = join("halting"), other;

	ck_assert_int_eq(send(halting, &h, 5, MSG_NOSIGNAL), 5);
	other = join("other");
	ck_assert_int_ge(other, 0);
	ck_assert(is_served(other));
	close(other);
	close(halting);
	close(mute);
}
END_TEST

/* A number from what the kernel says of the server. */
static unsigned threads(void)
{
	char path[40], line[200];
	unsigned n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)server);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Threads: %u", &n);
	if (f)
		fclose(f);
	return n;
}

/* Those that are to be heard are not too many; who was there is served, who comes later is. */
START_TEST(silent_crowd)
{
	int mute[120], other;
	unsigned i, ms = 0;

	for (i = 0; i < ARRAY_SIZE(mute); i++)
		mute[i] = dial();
	for (; threads() < SHARED_INITIATORS && ms < PATIENCE; ms += 10)
		usleep(10000);
	usleep(100000);
	ck_assert_uint_ge(threads(), SHARED_INITIATORS);
	ck_assert_uint_le(threads(), SHARED_INITIATORS + 16 + 4);
	ck_assert(is_served(first));
	other = join("other");
	ck_assert_int_ge(other, 0);
	ck_assert(is_served(other));
	close(other);
	for (i = 0; i < ARRAY_SIZE(mute); i++)
		close(mute[i]);
}
END_TEST

/* The server has this in place of what the linker would give it. */
void __real_shared_lun_close(struct shared_lun *s);
void __wrap_shared_lun_close(struct shared_lun *s);

void __wrap_shared_lun_close(struct shared_lun *s)
{
	if (getenv("SLOW"))
		usleep(500000);
	__real_shared_lun_close(s);
}

/* Who comes when it ends waits until it has ended its writes, and the image is free. */
START_TEST(slow_end)
{
	struct shared_hello h = hello_of(image, "");
	struct shared_lun next;
	int lock;

	close(first);
	await_left(0);
	setenv("SLOW", "1", 1);
	first = join("first");
	ck_assert_int_ge(first, 0);
	close(first);
	first = -1;
	await_left(1); /* the socket has gone */
	lock = shared_lock(&place, PATIENCE);
	ck_assert_int_ge(lock, 0);
	unsetenv("SLOW");
	ck_assert_msg(shared_lun_open(&next, "x", &h, &answer) == 0, "%s", answer.text);
	shared_lun_close(&next);
	unlink(place.lock);
	close(lock);
}
END_TEST

/* A guest that is killed is noticed; its name is free for the next one. */
START_TEST(killed_guest)
{
	int fds[2], status;
	pid_t child;
	char byte;

	ck_assert_int_eq(pipe(fds), 0);
	child = fork();
	if (!child) {
		close(first);
		if (join("b") < 0 || write(fds[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(fds[0]);
	close(fds[1]);
	fds[0] = join("b");
	ck_assert_int_ge(fds[0], 0);
	ck_assert_uint_eq(answer.guests, 2);
	close(fds[0]);
}
END_TEST

/* It keeps nothing of who has started it. */
START_TEST(is_nobodys)
{
	char name[64], cwd[64] = "", err[64] = "";

	snprintf(name, sizeof(name), "/proc/%d/cwd", (int)server);
	ck_assert_int_gt(readlink(name, cwd, sizeof(cwd) - 1), 0);
	ck_assert_str_eq(cwd, "/");
	snprintf(name, sizeof(name), "/proc/%d/fd/2", (int)server);
	ck_assert_int_gt(readlink(name, err, sizeof(err) - 1), 0);
	ck_assert_str_eq(err, "/dev/null");
	ck_assert_int_ne(getsid(server), getsid(0));
	ck_assert_int_eq(waitpid(server, NULL, WNOHANG), -1); /* no child of ours */
}
END_TEST

/* A server that was killed has left a socket, which is in nobody's way. */
START_TEST(killed_server)
{
	ck_assert_int_eq(kill(server, SIGKILL), 0);
	ck_assert(has_ended(first));
	close(first);
	ck_assert_uint_eq(left(), 2);
	first = join("first");
	ck_assert_int_ge(first, 0);
	ck_assert(is_served(first));
}
END_TEST

/* Users do not start it. */
START_TEST(by_hand)
{
	char *argv[] = { "x", place.socket, NULL };

	stderr_begin(&said);
	ck_assert_int_eq(serve_main(0, argv), 200);
	ck_assert_int_eq(serve_main(2, argv), 200);
	stderr_end(&said);
	ck_assert_ptr_nonnull(strstr(said.text, "shared-disk: is started by run --disk "
				     "FILE,shared=NAME, and by nobody else"));
}
END_TEST

Suite *shared_broker_suite(void)
{
	Suite *s = suite_create("shared_broker");
	TCase *tc = unit_case(s, "server");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_liar_among_others);
	tcase_add_test(tc, is_told_why);
	tcase_add_test(tc, silent_ones);
	tcase_add_test(tc, silent_crowd);
	tcase_add_test(tc, slow_end);
	tcase_add_test(tc, killed_guest);
	tcase_add_test(tc, is_nobodys);
	tcase_add_test(tc, killed_server);
	tcase_add_test(tc, by_hand);
	return s;
}

UNIT_MAIN_OR(shared_broker_suite, be_shared_server)
