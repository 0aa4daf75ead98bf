/* SPDX-License-Identifier: MIT */
/*
 * The order of what a vhost server is told, and what each failure leads to: over the fake wire of
 * tests/lib. The kernel's own wire is in test_wire_kernel.c; the kernel itself in tests/vm: a
 * driver in handover.c, guests in vhost.sh.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/lib/echo.h"
#include "tests/lib/fake_wire.h"
#include "tests/lib/stderr.h"
#include "tests/lib/vdriver.h"
#include "virtio/vhost.h"
#include "vmm/core/util.h"

Suite *vhost_suite(void);

#define PATIENCE 5000
#define SIZE 16
/* All that a start says of queue @q. */
#define OPEN(q) "size" q " base" q " addr" q " err" q " call" q " kick" q " on" q " "
#define OFF "off1 off2 off3 "
#define BACK "base?1 base?2 base?3 close1 close2 close3 "
#define START "features mem " OPEN("1") OPEN("2") OPEN("3") "run "
#define READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | \
	       VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)
#define STEPS (4 + 7 * 3) /* of a first start */

static struct testbed tb;
static struct echo echo;
static struct vdriver v;
static struct stderr_text said;
static struct fake_wire fake;
static struct virtio_backend *local, *vhost;
static unsigned detached, destroyed, hung, hangs_until;
static bool closed;
static int gate[2];

/*
 * It may wait until hangs() has been heard of a few times. It runs in another process, which has
 * our memory, beside hangs(): no ck_assert in either, as check takes them for one thread.
 */
static void detach(void *arg)
{
	char byte;

	BUG_ON(arg != &echo);
	BUG_ON(hangs_until && read(gate[0], &byte, 1) != 1);
	detached++;
}

static void hangs(void *arg)
{
	BUG_ON(arg != &echo);
	BUG_ON(++hung == hangs_until && write(gate[1], "", 1) != 1);
}

static void destroy(void *arg)
{
	ck_assert_ptr_eq(arg, &echo);
	ck_assert(!closed);
	destroyed++;
}

static bool all_but_the_first(unsigned q)
{
	return q != 0;
}

static const struct virtio_vhost_ops ops = {
	.serves = all_but_the_first,
	.patience = 20,
	.hangs = hangs,
	.destroy = destroy,
};

static void set_up(enum virtio_transport transport, void (*init)(struct testbed *tb))
{
	detached = destroyed = hung = hangs_until = 0;
	init(&tb);
	echo_init(&echo, &tb, "e0", transport);
	testbed_start(&tb);
	local = echo.vdev.backend;
	fake_wire_init(&fake, &closed);
	fake.ends = detach;
	fake.arg = &echo;
	vhost = virtio_vhost_create(&echo.vdev, &fake.wire, &ops, &echo, tb.main_loop);
	ck_assert_ptr_nonnull(vhost);
	log_set_level(LOG_WARN);
}

static void set_up_pci(void)
{
	set_up(VIRTIO_ON_PCI, testbed_init);
}

static void set_up_shared(void)
{
	set_up(VIRTIO_ON_PCI, testbed_init_shared);
}

static void set_up_mmio(void)
{
	set_up(VIRTIO_ON_MMIO, testbed_init);
}

static void tear_down(void)
{
	virtio_device_stop(&echo.vdev);
	ck_assert(fake_wire_is_idle(&fake));
	echo.vdev.backend = local;
	echo.vdev.rest = NULL;
	vhost->ops->destroy(vhost);
	ck_assert_uint_eq(destroyed, 1);
	ck_assert(closed);
	vdriver_fini(&v);
	echo_fini(&echo);
	testbed_fini(&tb);
}

/* The server has all queues but the first, which is ours, if @shared, or nobody's. */
static void serve(bool shared)
{
	echo.vdev.backend = vhost;
	echo.vdev.rest = shared ? local : NULL;
}

static bool start_driver(void)
{
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	return vdriver_start(&v, ~0ull, ECHO_QUEUES, SIZE);
}

static void lock(void)
{
	pthread_mutex_lock(&echo.vdev.lock);
}

static void unlock(void)
{
	pthread_mutex_unlock(&echo.vdev.lock);
}

static void check_no_views(void)
{
	unsigned q;

	for (q = 0; q < ECHO_QUEUES; q++)
		ck_assert_ptr_null(echo.vdev.vq[q].desc);
}

START_TEST(offers_what_the_server_has)
{
	fake.can = 0x123456789a;
	ck_assert_uint_eq(vhost->ops->features(vhost), 0x123456789a);
	fake.can = 0;
	ck_assert_uint_eq(vhost->ops->features(vhost), 0);
}
END_TEST

START_TEST(leaves_queues_out)
{
	ck_assert(!vhost->ops->serves(vhost, 0));
	ck_assert(vhost->ops->serves(vhost, 1));
}
END_TEST

/* Each start but the first finds the server ours. */
START_TEST(order)
{
	serve(false);
	ck_assert(start_driver());
	ck_assert_str_eq(fake_wire_heard(&fake), "own " START);
	vdriver_reset(&v);
	ck_assert_str_eq(fake_wire_heard(&fake), OFF "halt " BACK);
	check_no_views();
	ck_assert(start_driver());
	ck_assert_str_eq(fake_wire_heard(&fake), START);
}
END_TEST

/* Queues that the driver does not use are none of the server's business. */
START_TEST(ready_queues_only)
{
	serve(false);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 2, SIZE));
	ck_assert_str_eq(fake_wire_heard(&fake), "own features mem " OPEN("1") "run ");
	vdriver_reset(&v);
	ck_assert_str_eq(fake_wire_heard(&fake), "off1 halt base?1 close1 ");
}
END_TEST

START_TEST(what_a_ring_is)
{
	unsigned q;

	serve(false);
	ck_assert(start_driver());
	ck_assert_uint_eq(fake.features, v.accepted);
	ck_assert_mem_eq(&fake.mem, &tb.mem, sizeof(tb.mem));
	for (q = 1; q < ECHO_QUEUES; q++) {
		const struct fake_ring *ring = &fake.ring[q];

		ck_assert_uint_eq(ring->size, SIZE);
		ck_assert_uint_eq(ring->base, 0);
		ck_assert_ptr_eq(ring->at.desc, v.queue[q].ring.d);
		ck_assert_ptr_eq(ring->at.driver, v.queue[q].ring.a);
		ck_assert_ptr_eq(ring->at.device, v.queue[q].ring.u);
		ck_assert_int_eq(ring->fd[VHOST_FD_KICK],
				 echo.vdev.transport->kick_fd(&echo.vdev, q));
		ck_assert_int_eq(ring->fd[VHOST_FD_CALL],
				 echo.vdev.transport->call_fd(&echo.vdev, q));
		ck_assert_int_eq(ring->fd[VHOST_FD_ERR], fake.ring[1].fd[VHOST_FD_ERR]);
	}
}
END_TEST

/* What is the class's own the server does not have, and does not hear of. */
START_TEST(own_features)
{
	struct virtio_class class = *echo.vdev.class;
	const struct virtio_class *before = echo.vdev.class;

	class.own_features = VIRTIO_BIT(40);
	echo.vdev.class = &class;
	echo.vdev.offered |= class.own_features;
	fake.can = ~class.own_features;
	serve(false);
	ck_assert(start_driver());
	ck_assert_uint_eq(v.accepted & class.own_features, class.own_features);
	ck_assert_uint_eq(fake.features, v.accepted & ~class.own_features);
	vdriver_reset(&v);
	echo.vdev.class = before;
}
END_TEST

/* The guest and the user hear of it, nothing is left with the server, and the next try may be
 * better. */
START_TEST(start_fails)
{
	const char *text, *last;

	serve(_i % 2);
	fake.fails_at = 1 + _i / 2;
	stderr_begin(&said);
	ck_assert(!start_driver());
	text = stderr_end(&said);
	ck_assert_ptr_eq(strstr(text, "lunette: warning: fake: "), text);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	ck_assert(virtio_is_broken(&echo.vdev));
	ck_assert(fake_wire_is_idle(&fake));
	ck_assert_uint_eq(atomic_load(&echo.starts), atomic_load(&echo.stops));
	ck_assert_uint_eq(fake.said, fake.fails_at);
	ck_assert_uint_eq(detached, 0);
	check_no_views();
	fake_wire_heard(&fake);
	vdriver_reset(&v);
	ck_assert_str_eq(fake_wire_heard(&fake), "");

	fake.fails_at = 0;
	ck_assert(start_driver());
	last = fake_wire_heard(&fake);
	ck_assert_str_eq(last, _i / 2 ? START : "own " START);
}
END_TEST

/* A ring that the driver has put where no memory is; those before it are taken back. */
START_TEST(bad_address)
{
	serve(false);
	ck_assert(start_driver());
	vdriver_reset(&v);
	vdriver_fini(&v);
	fake_wire_heard(&fake);
	ck_assert(vdriver_probe(&v, &tb, 0));
	echo.vdev.vq[1].s = echo.vdev.vq[2].s = (struct vq_state){
		.max_size = SIZE, .size = SIZE, .ready = true, .desc = 0x1000, .driver = 0x2000,
		.device = 0x3000 };
	echo.vdev.vq[2].s.driver = 1ull << 50;
	stderr_begin(&said);
	lock();
	virtio_set_features(&echo.vdev, 1, 1);
	virtio_set_status(&echo.vdev, READY & ~VIRTIO_CONFIG_S_DRIVER_OK);
	virtio_set_status(&echo.vdev, READY);
	unlock();
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: warning: e0: queue 2: bad size or address\n");
	ck_assert(virtio_is_broken(&echo.vdev));
	ck_assert(fake_wire_is_idle(&fake));
	ck_assert_str_eq(fake_wire_heard(&fake), "features mem " OPEN("1") "close1 close2 ");
	check_no_views();
}
END_TEST

static int no_call_fd(struct virtio_device *vdev, unsigned q)
{
	(void)vdev;
	return q == 2 ? -EMFILE : 1000;
}

START_TEST(no_interrupt)
{
	const struct virtio_transport_ops *before = echo.vdev.transport;
	struct virtio_transport_ops transport = *before;

	serve(false);
	transport.call_fd = no_call_fd;
	echo.vdev.transport = &transport;
	stderr_begin(&said);
	ck_assert(!start_driver());
	ck_assert_str_eq(stderr_end(&said), "lunette: warning: e0: queue 2: no interrupt: Too many "
			 "open files\n");
	ck_assert_str_eq(fake_wire_heard(&fake), "own features mem " OPEN("1")
			 "size2 base2 addr2 err2 close1 close2 ");
	echo.vdev.transport = before;
}
END_TEST

static void send(unsigned q, char byte)
{
	struct driver_buf buf[] = { { v.queue[q].arena, 1, false },
				    { v.queue[q].arena + 4096, 1, true } };

	mem_write(&tb.mem, buf[0].gpa, &byte, 1);
	ck_assert_int_ge(driver_add(&v.queue[q].ring, buf, 2, 0), 0);
	vdriver_kick(&v, q);
}

static void receive(unsigned q, char byte)
{
	uint16_t head;
	uint32_t len;
	char got;

	ck_assert_int_eq(vdriver_wait_used(&v, q, &head, &len, PATIENCE), 0);
	ck_assert_uint_eq(len, 1);
	mem_read(&tb.mem, v.queue[q].arena + 4096, &got, 1);
	ck_assert_int_eq(got, byte);
}

/* The server has its queues and we have ours, at the same time. */
START_TEST(side_by_side)
{
	unsigned i;

	serve(true);
	ck_assert(start_driver());
	for (i = 0; i < 3 * SIZE; i++) {
		send(0, 'a' + i);
		receive(0, 'a' + i);
		send(2, 'b' + i);
		ck_assert_uint_eq(fake_wire_serve(&fake, 2), 1);
		receive(2, 'b' + i);
	}
	ck_assert_uint_ge(atomic_load(&echo.kicks), 3 * SIZE);
}
END_TEST

static void pass_on(bool to_server)
{
	lock();
	virtio_device_stop(&echo.vdev);
	if (to_server) {
		serve(true);
	} else {
		echo.vdev.backend = local;
		echo.vdev.rest = NULL;
	}
	virtio_device_start(&echo.vdev);
	ck_assert(echo.vdev.started);
	unlock();
}

/* The rings go to the server and back, each from where the other one has come. */
START_TEST(hand_over)
{
	unsigned i;

	ck_assert(start_driver());
	for (i = 0; i < 2 * SIZE; i++) {
		send(1, 'a' + i); /* by us */
		receive(1, 'a' + i);
		pass_on(true);
		ck_assert_uint_eq(fake.ring[1].base, 2 * i + 1);
		send(1, 'b' + i); /* by the server */
		ck_assert_uint_eq(fake_wire_serve(&fake, 1), 1);
		receive(1, 'b' + i);
		if (i % 2)
			send(3, 'c' + i); /* begun at one, served by the other */
		pass_on(false);
		ck_assert_uint_eq(echo.vdev.vq[1].s.next_used, 2 * i + 2);
		if (i % 2)
			receive(3, 'c' + i);
		fake_wire_heard(&fake);
	}
}
END_TEST

/* A stop goes on whatever the server says. How far it has come the ring says, too. */
START_TEST(stop_fails)
{
	serve(false);
	ck_assert(start_driver());
	send(1, 'a');
	fake_wire_serve(&fake, 1);
	fake_wire_heard(&fake);
	fake.fails_at = 1 + _i;
	stderr_begin(&said);
	lock();
	virtio_device_stop(&echo.vdev);
	unlock();
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "lunette: warning: fake: "));
	ck_assert(fake_wire_is_idle(&fake));
	ck_assert_str_eq(fake_wire_heard(&fake), OFF "halt " BACK);
	ck_assert_uint_eq(echo.vdev.vq[1].s.next_avail, 1);
	ck_assert_uint_eq(echo.vdev.vq[1].s.next_used, 1);
	check_no_views();
}
END_TEST

/* A kick from before the start is sent again: the server may have passed it over, or taken it. */
START_TEST(kicks_again)
{
	eventfd_t count;
	unsigned q;

	fake.takes_kicks = _i;
	serve(false);
	ck_assert(start_driver());
	lock();
	virtio_device_hold(&echo.vdev, VIRTIO_HOLD_BUS, true);
	driver_add(&v.queue[2].ring, &(struct driver_buf){ v.queue[2].arena, 8, false }, 1, 0);
	vdriver_kick(&v, 2);
	virtio_device_hold(&echo.vdev, VIRTIO_HOLD_BUS, false);
	unlock();
	ck_assert(echo.vdev.started);
	for (q = 1; q < ECHO_QUEUES; q++) {
		count = 0;
		eventfd_read(fake.ring[q].fd[VHOST_FD_KICK], &count);
		ck_assert_uint_eq(count, q != 2 ? 0 : _i ? 1 : 2);
	}
}
END_TEST

START_TEST(server_complains)
{
	serve(false);
	ck_assert(start_driver());
	stderr_begin(&said);
	fake_wire_complain(&fake, 2);
	while (!(vdriver_status(&v) & VIRTIO_CONFIG_S_NEEDS_RESET))
		ck_assert(vdriver_wait(&v, PATIENCE) & VDRIVER_INT_CONFIG);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: warning: e0: the fake found a bad ring or request\n");
	vdriver_reset(&v);
	ck_assert(start_driver());
}
END_TEST

START_TEST(settles)
{
	serve(true);
	ck_assert(start_driver());
	fake_wire_heard(&fake);
	send(1, 'a');
	fake_wire_serve(&fake, 1);
	lock();
	ck_assert_int_eq(virtio_vhost_settle(vhost), 0);
	unlock();
	ck_assert_str_eq(fake_wire_heard(&fake), OFF "halt " BACK START);
	ck_assert_uint_eq(detached, 1);
	ck_assert_uint_eq(fake.ring[1].base, 1);
	ck_assert(!virtio_is_broken(&echo.vdev));
	receive(1, 'a');
}
END_TEST

/* What was in the server's hands is not lost, but the driver has to begin anew. */
START_TEST(settle_fails)
{
	serve(true);
	ck_assert(start_driver());
	fake_wire_heard(&fake);
	fake.fails_at = 8 + _i; /* of the start; what is before is of the stop */
	stderr_begin(&said);
	lock();
	ck_assert_int_eq(virtio_vhost_settle(vhost), -EIO);
	unlock();
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "lunette: warning: fake: "));
	ck_assert_uint_eq(detached, 1);
	ck_assert(fake_wire_is_idle(&fake));
	ck_assert(virtio_is_broken(&echo.vdev));
	vdriver_reset(&v);
	fake.fails_at = 0;
	ck_assert(start_driver());
}
END_TEST

/* Before there is anything to settle. */
START_TEST(settle_without_owner)
{
	fake.fails_at = 2;
	stderr_begin(&said);
	ck_assert_int_eq(virtio_vhost_settle(vhost), -EIO);
	ck_assert_str_eq(stderr_end(&said), "lunette: warning: fake: own\n");
	ck_assert_str_eq(fake_wire_heard(&fake), "halt own ");
	ck_assert(virtio_is_broken(&echo.vdev));
}
END_TEST

/* Whoever waits for the server hears of it each time that patience is over. */
START_TEST(kernel_hangs)
{
	hangs_until = 3;
	ck_assert_int_eq(pipe(gate), 0);
	ck_assert_int_eq(virtio_vhost_settle(vhost), 0);
	ck_assert_uint_eq(detached, 1);
	ck_assert_uint_ge(hung, 3);
	close(gate[0]);
	close(gate[1]);
	hangs_until = 0;
	lock();
	vhost->ops->stop(vhost, &echo.vdev);
	unlock();
}
END_TEST

/* What it was given is gone in every case. */
START_TEST(cannot_be_made)
{
	struct rlimit before, none;
	struct fake_wire other;
	bool other_closed;

	destroyed = 0;
	errno = ENODEV;
	ck_assert_ptr_null(virtio_vhost_create(&echo.vdev, NULL, &ops, &echo, tb.main_loop));
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_uint_eq(destroyed, 1);

	fake_wire_init(&other, &other_closed);
	getrlimit(RLIMIT_NOFILE, &before);
	none = before;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	ck_assert_ptr_null(virtio_vhost_create(&echo.vdev, &other.wire, &ops, &echo,
					       tb.main_loop));
	ck_assert_int_eq(errno, EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert(other_closed);
	ck_assert_uint_eq(destroyed, 2);
	destroyed = 0;
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_add_test(tc, offers_what_the_server_has);
	tcase_add_test(tc, leaves_queues_out);
	tcase_add_test(tc, order);
	tcase_add_test(tc, ready_queues_only);
	tcase_add_test(tc, what_a_ring_is);
	tcase_add_test(tc, own_features);
	tcase_add_loop_test(tc, start_fails, 0, 2 * STEPS);
	tcase_add_test(tc, bad_address);
	tcase_add_test(tc, no_interrupt);
	tcase_add_test(tc, side_by_side);
	tcase_add_test(tc, hand_over);
	tcase_add_loop_test(tc, stop_fails, 0, 7);
	tcase_add_loop_test(tc, kicks_again, 0, 2);
	tcase_add_test(tc, server_complains);
	tcase_add_test(tc, settles);
	tcase_add_loop_test(tc, settle_fails, 0, STEPS - 1);
	tcase_add_test(tc, settle_without_owner);
	tcase_add_test(tc, kernel_hangs);
	tcase_add_test(tc, cannot_be_made);
}

Suite *vhost_suite(void)
{
	Suite *s = suite_create("vhost");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	add_tests(unit_case(s, "shared memory"), set_up_shared);
	return s;
}

UNIT_MAIN(vhost_suite)
