/* SPDX-License-Identifier: MIT */
/*
 * The server's end of vhost-user, and clients that say what cannot be. What it does for those that
 * say what they should, the suites of its client show: wire_user, user_watch, user_device.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/user_serve.h"
#include "tests/lib/echo.h"
#include "tests/lib/testbed.h"
#include "vmm/core/util.h"

Suite *user_serve_suite(void);

#define PATIENCE 20000
#define SIZE 0x10000
#define HUGE (1u << 30) /* a multiple of all sizes that pages have by default */

static struct testbed far;
static struct echo echo;
static struct user_serve serve;
static pthread_t thread;
static int pair[2], memory, event;
static const struct virtio_transport_ops *own;
static void *own_data;
static struct mem *own_mem;

static void *run(void *arg)
{
	(void)arg;
	user_serve_run(&serve, pair[1]);
	shutdown(pair[1], SHUT_RDWR);
	return NULL;
}

static void set_up(void)
{
	testbed_init(&far);
	echo_init(&echo, &far, "far0", VIRTIO_ON_PCI);
	testbed_start(&far);
	own = echo.vdev.transport;
	own_data = echo.vdev.transport_data;
	own_mem = echo.vdev.mem;
	user_serve_init(&serve, &echo.vdev);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	memory = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(ftruncate(memory, SIZE), 0);
	ck_assert_int_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	event = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static bool joined;

/* Its thread has ended: what it has left can be looked at. */
static void join(void)
{
	shutdown(pair[0], SHUT_RDWR);
	if (!joined)
		pthread_join(thread, NULL);
	joined = true;
}

static void tear_down(void)
{
	join();
	ck_assert(!echo.vdev.started);
	ck_assert_uint_eq(serve.mem.nregions, 0);
	close(pair[0]);
	close(pair[1]);
	close(memory);
	close(event);
	echo.vdev.transport = own;
	echo.vdev.transport_data = own_data;
	echo.vdev.mem = own_mem;
	echo_fini(&echo);
	testbed_fini(&far);
}

/* Sends it, and takes the answer. False: there is none, as the connection has ended. */
static bool tell(uint32_t request, const void *payload, uint32_t size, const int *fds,
		 unsigned nfds)
{
	struct user_header h = { request, USER_VERSION | USER_NEED_REPLY, size };
	uint8_t answer[USER_PAYLOAD_MAX];
	int got[USER_FDS_MAX];
	unsigned ngot;

	return user_send(pair[0], &h, payload, fds, nfds, PATIENCE) == 0 &&
	       user_recv(pair[0], &h, answer, got, &ngot, PATIENCE) == 0;
}

static bool tell_ring(uint32_t request, uint32_t q, uint32_t num)
{
	struct vhost_vring_state state = { q, num };

	return tell(request, &state, sizeof(state), NULL, 0);
}

static bool tell_u64(uint32_t request, uint64_t value)
{
	return tell(request, &value, sizeof(value), NULL, 0);
}

static bool tell_fd(uint32_t request, uint64_t q, int fd)
{
	return tell(request, &q, sizeof(q), &fd, 1);
}

static bool tell_memory(uint64_t gpa, uint64_t size, uint64_t address, uint64_t offset, int fd)
{
	struct user_memory m = { .count = 1 };

	m.region[0].gpa = gpa;
	m.region[0].size = size;
	m.region[0].address = address;
	m.region[0].offset = offset;
	return tell(USER_SET_MEM_TABLE, &m, offsetof(struct user_memory, region[1]), &fd, 1);
}

static bool tell_addr(uint32_t q, uint64_t desc, uint64_t driver, uint64_t device)
{
	struct vhost_vring_addr addr = { .index = q, .desc_user_addr = desc,
					 .avail_user_addr = driver, .used_user_addr = device };

	return tell(USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

#define ADDRESS 0x700000000000ull

/* All that queue 0 needs, but to be enabled. */
static bool prepare(void)
{
	return tell_u64(USER_SET_FEATURES, VIRTIO_BIT(VIRTIO_F_VERSION_1)) &&
	       tell_memory(0x1000, SIZE, ADDRESS, 0, memory) &&
	       tell_ring(USER_SET_VRING_NUM, 0, 16) && tell_ring(USER_SET_VRING_BASE, 0, 0) &&
	       tell_addr(0, ADDRESS, ADDRESS + 0x1000, ADDRESS + 0x2000) &&
	       tell_fd(USER_SET_VRING_KICK, 0, event) && tell_fd(USER_SET_VRING_CALL, 0, event);
}

START_TEST(a_ring_begins_and_ends)
{
	ck_assert(prepare());
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 1));
	ck_assert(echo.vdev.started);
	ck_assert(tell_ring(USER_GET_VRING_BASE, 0, 0));
	ck_assert(!echo.vdev.started);
	join();
	ck_assert_ptr_null(serve.wrong);
}
END_TEST

static bool version(void)
{
	struct user_header h = { USER_GET_FEATURES, 2, 0 };
	int got[USER_FDS_MAX];
	unsigned n;

	return user_send(pair[0], &h, NULL, NULL, 0, PATIENCE) == 0 &&
	       user_recv(pair[0], &h, (uint8_t[USER_PAYLOAD_MAX]){ 0 }, got, &n, PATIENCE) == 0;
}

static bool huge(void)
{
	struct user_header h = { USER_GET_FEATURES, USER_VERSION, UINT32_MAX };
	int got[USER_FDS_MAX];
	unsigned n;

	return send(pair[0], &h, sizeof(h), MSG_NOSIGNAL) == sizeof(h) &&
	       user_recv(pair[0], &h, (uint8_t[USER_PAYLOAD_MAX]){ 0 }, got, &n, PATIENCE) == 0;
}

static bool unknown(void) { return tell_u64(99, 0); }
static bool far_away(void) { return tell_u64(UINT32_MAX, 0); }
static bool not_offered(void) { return tell_u64(USER_GET_CONFIG, 0); }
static bool short_message(void) { return tell(USER_SET_VRING_NUM, "", 1, NULL, 0); }
static bool features(void) { return tell_u64(USER_SET_FEATURES, VIRTIO_BIT(50)); }
static bool protocol(void) { return tell_u64(USER_SET_PROTOCOL_FEATURES, ~0ull); }
static bool extra_fd(void) { return tell(USER_GET_FEATURES, NULL, 0, &event, 1); }
static bool no_ring(void) { return tell_ring(USER_SET_VRING_NUM, ECHO_QUEUES, 16); }
static bool far_ring(void) { return tell_ring(USER_GET_VRING_BASE, UINT32_MAX, 0); }
static bool size(void) { return tell_ring(USER_SET_VRING_NUM, 0, 65536); }
static bool base(void) { return tell_ring(USER_SET_VRING_BASE, 0, 65536); }
static bool no_fd(void) { return tell_u64(USER_SET_VRING_KICK, 0); }
static bool no_eventfd(void) { return tell_fd(USER_SET_VRING_KICK, 0, memory); }
static bool fd_of_none(void) { return tell_fd(USER_SET_VRING_CALL, ECHO_QUEUES, event); }
static bool no_memory(void) { return tell_addr(0, ADDRESS, ADDRESS, ADDRESS); }
static bool empty_table(void) { return tell(USER_SET_MEM_TABLE, "\0\0\0\0\0\0\0", 8, NULL, 0); }
static bool empty(void) { return tell_memory(0, 0, ADDRESS, 0, memory); }
static bool odd(void) { return tell_memory(0, 0x1001, ADDRESS, 0, memory); }
static bool odd_place(void) { return tell_memory(1, 0x1000, ADDRESS, 0, memory); }
static bool wraps(void) { return tell_memory(~0xfffull, 0x2000, ADDRESS, 0, memory); }
static bool wraps_there(void) { return tell_memory(0, 0x2000, ~0xfffull, 0, memory); }
static bool wraps_in_file(void) { return tell_memory(0, 0x2000, ADDRESS, ~0xfffull, memory); }
static bool too_long(void) { return tell_memory(0, SIZE + 0x1000, ADDRESS, 0, memory); }
static bool behind(void) { return tell_memory(0, 0x1000, ADDRESS, SIZE, memory); }
static bool too_high(void) { return tell_memory(0xfffffff000, 0x2000, ADDRESS, 0, memory); }
static bool too_far(void) { return tell_memory(0, 0x1000, ADDRESS, 1ull << 40, memory); }
static bool no_memfd(void) { return tell_memory(0, 0x1000, ADDRESS, 0, event); }

/* Where there is no page left, who looks there is killed. A kernel without them has other files. */
static bool huge_pages(void)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
	bool told;

	if (fd < 0)
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	else if (ftruncate(fd, HUGE) == 0)
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	told = tell_memory(0, HUGE, ADDRESS, 0, fd);
	close(fd);
	return told;
}

static bool can_shrink(void)
{
	int fd = memfd_create("shrinks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool told;

	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	told = tell_memory(0, SIZE, ADDRESS, 0, fd);
	close(fd);
	return told;
}

static bool overlaps(void)
{
	int fds[] = { memory, memory };
	struct user_memory m = { .count = 2 };

	m.region[0].size = m.region[1].size = 0x2000;
	m.region[1].gpa = 0x1000;
	m.region[1].address = ADDRESS;
	return tell(USER_SET_MEM_TABLE, &m, offsetof(struct user_memory, region[2]), fds, 2);
}

static bool under_way(void)
{
	ck_assert(prepare());
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 1));
	return tell_memory(0x1000, SIZE, ADDRESS, 0, memory);
}

/* The last byte of the used ring's index would lie behind the memory. */
static bool used_behind(void)
{
	ck_assert(prepare());
	ck_assert(tell_addr(0, ADDRESS, ADDRESS + 0x1000, ADDRESS + SIZE - 2));
	return tell_ring(USER_SET_VRING_ENABLE, 0, 1);
}

static const struct {
	bool (*say)(void);
	const char *wrong;
} lies[] = {
	{ version, "another protocol" },
	{ huge, "too long" },
	{ unknown, "was not offered" },
	{ far_away, "was not offered" },
	{ not_offered, "was not offered" },
	{ short_message, "a wrong size" },
	{ features, "was not offered" },
	{ protocol, "was not offered" },
	{ extra_fd, "nobody has asked for" },
	{ no_ring, "a queue that there is not" },
	{ far_ring, "a queue that there is not" },
	{ size, "a queue that there is not" },
	{ base, "a queue that there is not" },
	{ no_fd, "where an eventfd is wanted" },
	{ no_eventfd, "where an eventfd is wanted" },
	{ fd_of_none, "a queue that there is not" },
	{ no_memory, "where there is no memory" },
	{ empty_table, "not whole" },
	{ empty, "impossible sizes" },
	{ odd, "impossible sizes" },
	{ odd_place, "impossible sizes" },
	{ wraps, "impossible sizes" },
	{ wraps_there, "impossible sizes" },
	{ wraps_in_file, "impossible sizes" },
	{ too_long, "F_SEAL_SHRINK is wanted" },
	{ behind, "F_SEAL_SHRINK is wanted" },
	{ too_high, "impossible sizes" },
	{ too_far, "impossible sizes" },
	{ no_memfd, "a plain memfd is wanted" },
	{ huge_pages, "a plain memfd is wanted" },
	{ can_shrink, "F_SEAL_SHRINK is wanted" },
	{ overlaps, "impossible sizes" },
	{ under_way, "while rings are in use" },
	{ used_behind, "where there is no memory" },
};

START_TEST(who_lies_is_left_alone)
{
	char byte;

	ck_assert(!lies[_i].say());
	ck_assert_int_le(recv(pair[0], &byte, 1, 0), 0);
	join();
	ck_assert_ptr_nonnull(serve.wrong);
	ck_assert_msg(strstr(serve.wrong, lies[_i].wrong), "%s", serve.wrong);
}
END_TEST

/* What happens to one ring is nothing to the others, which go on. */
START_TEST(others_go_on)
{
	int other = eventfd(0, EFD_CLOEXEC);

	ck_assert(prepare());
	ck_assert_uint_eq(echo.starts, 0);
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 1));
	ck_assert_uint_eq(echo.starts, 1);
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 1));
	ck_assert(tell_fd(USER_SET_VRING_KICK, 1, other));
	ck_assert(tell_fd(USER_SET_VRING_CALL, 1, other));
	ck_assert(tell_fd(USER_SET_VRING_ERR, 1, other));
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 1, 1));
	ck_assert(tell_ring(USER_GET_VRING_BASE, 1, 0));
	ck_assert_uint_eq(echo.stops, 0);
	ck_assert_uint_eq(echo.starts, 1);
	ck_assert(tell_fd(USER_SET_VRING_CALL, 0, other));
	ck_assert_uint_eq(echo.stops, 1);
	ck_assert_uint_eq(echo.starts, 2);
	ck_assert(tell_fd(USER_SET_VRING_ERR, 0, other));
	ck_assert_uint_eq(echo.stops, 2);
	ck_assert_uint_eq(echo.starts, 3);
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 0));
	ck_assert_uint_eq(echo.stops, 3);
	ck_assert(!echo.vdev.started);
	close(other);
}
END_TEST

/* The client has filled an eventfd, whose writers wait then: nobody here does. */
START_TEST(full_eventfd)
{
	ck_assert(serve.mem.shared); /* virtio_queue_again() */
	ck_assert(prepare());
	ck_assert_int_eq(fcntl(event, F_SETFL, 0), 0);
	ck_assert_int_eq(eventfd_write(event, UINT64_MAX - 1), 0);
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 1));
	ck_assert(tell_ring(USER_GET_VRING_BASE, 0, 0));
	join();
	ck_assert_ptr_null(serve.wrong);
}
END_TEST

/* A ring of a size that cannot be is the driver's fault: it is told, and the rest goes on. */
START_TEST(a_bad_ring)
{
	ck_assert(prepare());
	ck_assert(tell_fd(USER_SET_VRING_ERR, 0, event));
	ck_assert(tell_ring(USER_SET_VRING_NUM, 0, 15));
	ck_assert(tell_ring(USER_SET_VRING_ENABLE, 0, 1));
	ck_assert(virtio_is_broken(&echo.vdev));
	ck_assert(tell_ring(USER_GET_VRING_BASE, 0, 0));
	join();
	ck_assert_ptr_null(serve.wrong);
}
END_TEST

Suite *user_serve_suite(void)
{
	Suite *s = suite_create("user_serve");
	TCase *tc = unit_case(s, "client");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_ring_begins_and_ends);
	tcase_add_loop_test(tc, who_lies_is_left_alone, 0, ARRAY_SIZE(lies));
	tcase_add_test(tc, others_go_on);
	tcase_add_test(tc, full_eventfd);
	tcase_add_test(tc, a_bad_ring);
	return s;
}

UNIT_MAIN(user_serve_suite)
