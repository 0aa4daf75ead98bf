/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "tests/lib/echo.h"
#include "tests/lib/vdriver.h"
#include "vmm/core/bell.h"
#include "vmm/core/util.h"

Suite *local_suite(void);

static struct testbed tb;
static struct echo echo;
static struct vdriver v;

static void set_up(enum virtio_transport transport)
{
	log_set_level(LOG_ERR);
	testbed_init(&tb);
	echo_init(&echo, &tb, "e0", transport);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void set_up_pci(void)
{
	set_up(VIRTIO_ON_PCI);
}

static void set_up_mmio(void)
{
	set_up(VIRTIO_ON_MMIO);
}

static void tear_down(void)
{
	vdriver_fini(&v);
	echo_fini(&echo);
	testbed_fini(&tb);
}

static void start(unsigned nqueues)
{
	testbed_start(&tb);
	ck_assert(vdriver_start(&v, UINT64_MAX, nqueues, ECHO_SIZE));
}

/* A request of 8 bytes with a number, answered next to it; @slot is its place in the arena. */
static int send(unsigned q, unsigned slot, uint64_t number)
{
	uint64_t at = v.queue[q].arena + 64 * slot;
	struct driver_buf b[2] = { { at, 8, false }, { at + 32, 8, true } };
	uint8_t raw[40] = { 0 };

	le64_put(raw, number);
	mem_write(&tb.mem, at, raw, sizeof(raw));
	return driver_add(&v.queue[q].ring, b, 2, 0);
}

static uint64_t answer(unsigned q, unsigned slot)
{
	uint8_t raw[8];

	mem_read(&tb.mem, v.queue[q].arena + 64 * slot + 32, raw, sizeof(raw));
	return le64_get(raw);
}

START_TEST(queues_are_spread)
{
	unsigned q;

	start(ECHO_QUEUES);
	/* Queue 0 is on the first loop; then 1, 2, 3 in turn. */
	for (q = 0; q < ECHO_QUEUES; q++)
		ck_assert_ptr_eq(echo.queue[q].loop, echo.loop[q == 2]);
	ck_assert_uint_eq(echo.starts, ECHO_QUEUES);
	vdriver_reset(&v);
	ck_assert_uint_eq(echo.stops, ECHO_QUEUES);
	ck_assert_uint_eq(echo.resets, 2); /* one was the probe's */
}
END_TEST

START_TEST(only_queues_that_are_ready)
{
	start(2);
	ck_assert_uint_eq(echo.starts, 2);
	ck_assert(vq_started(&echo.vdev.vq[1]));
	ck_assert(!vq_started(&echo.vdev.vq[2]));
}
END_TEST

/* Before the iothreads have their threads, start and stop run in the caller. */
START_TEST(without_threads)
{
	ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 8));
	ck_assert_uint_eq(echo.starts, ECHO_QUEUES);
	send(1, 0, 4711);
	vdriver_kick(&v, 1);
	vdriver_notify(&v, 1);
	ck_assert_uint_eq(echo.kicks, 0);
	testbed_start(&tb);
	testbed_settle(&tb);
	ck_assert_uint_eq(answer(1, 0), 4711);
}
END_TEST

/* A kick before DRIVER_OK waits in the eventfd. */
START_TEST(early_kick)
{
	uint16_t head;
	uint32_t len;

	testbed_start(&tb);
	vdriver_notify(&v, 0);
	vdriver_notify(&v, 3);
	testbed_settle(&tb);
	ck_assert_uint_eq(echo.kicks, 0);
	ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 8));
	testbed_settle(&tb);
	ck_assert_uint_ge(echo.kicks, ECHO_QUEUES); /* each is rung once in any case */
	send(3, 0, 1);
	vdriver_kick(&v, 3);
	ck_assert_int_eq(vdriver_wait_used(&v, 3, &head, &len, 5000), 0);
}
END_TEST

START_TEST(failed_start_is_undone)
{
	testbed_start(&tb);
	echo.start_error = -ENOMEM; /* of the last queue */
	ck_assert(!vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 8));
	ck_assert_uint_eq(echo.starts, ECHO_QUEUES);
	ck_assert_uint_eq(echo.stops, ECHO_QUEUES - 1);
	ck_assert(!vq_started(&echo.vdev.vq[0]) && !vq_started(&echo.vdev.vq[3]));
	ck_assert(virtio_is_broken(&echo.vdev));
	echo.start_error = 0;
	vdriver_fini(&v);
	testbed_release(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 8));
}
END_TEST

START_TEST(stop_answers_what_is_in_flight)
{
	struct driver *ring = &v.queue[1].ring;
	unsigned i, n;
	uint16_t head;
	uint32_t len;

	echo.hold = 10;
	start(ECHO_QUEUES);
	for (i = 0; i < 8; i++)
		send(1, i, 1000 + i);
	vdriver_kick(&v, 1);
	testbed_settle(&tb);
	ck_assert(!driver_used(ring, &head, &len));
	pthread_mutex_lock(&echo.vdev.lock);
	virtio_device_stop(&echo.vdev);
	pthread_mutex_unlock(&echo.vdev.lock);
	for (n = 0; driver_used(ring, &head, &len); n++)
		ck_assert_uint_eq(answer(1, n), 1000 + n);
	ck_assert_uint_eq(n, 8);
	ck_assert_uint_eq(echo.vdev.vq[1].s.next_avail, 8);
	ck_assert_uint_eq(echo.vdev.vq[1].s.next_used, 8);
}
END_TEST

/* Passes the running queues from one local back end to another, of another shape. */
static void hand_over(struct virtio_backend *other[2], unsigned *current)
{
	struct virtio_device *vdev = &echo.vdev;

	pthread_mutex_lock(&vdev->lock);
	vdev->backend->ops->stop(vdev->backend, vdev);
	*current = !*current;
	vdev->backend = other[*current];
	ck_assert_int_eq(vdev->backend->ops->start(vdev->backend, vdev), 0);
	pthread_mutex_unlock(&vdev->lock);
}

struct passer {
	pthread_t thread;
	struct virtio_backend *be[2];
	unsigned current;
	atomic_uint times;
	atomic_bool end;
};

static void *pass_on(void *arg)
{
	struct passer *p = arg;

	while (!atomic_load(&p->end)) {
		hand_over(p->be, &p->current);
		p->times++;
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	return NULL;
}

#define LOAD 20000
#define DEPTH 24

/*
 * Under load: every request is answered, with its own bytes, and only once. The load lasts until
 * the queues have been handed over some times, however fast the machine is.
 */
START_TEST(hand_over_under_load)
{
	struct loop *swapped[2] = { echo.loop[1], echo.loop[0] };
	struct passer p = { .be = { echo.vdev.backend, virtio_local_create(swapped, 2, 0) } };
	unsigned slot_of[ECHO_SIZE], free_slot[DEPTH], nfree = DEPTH, i;
	uint64_t sent = 0, done = 0, number[DEPTH];
	struct driver *ring = &v.queue[1].ring;
	uint16_t head;
	uint32_t len;
	bool more;

	echo.hold = _i;
	start(ECHO_QUEUES);
	for (i = 0; i < DEPTH; i++)
		free_slot[i] = i;
	pthread_create(&p.thread, NULL, pass_on, &p);
	while ((more = sent < LOAD || p.times <= 3) || done < sent) {
		while (nfree && more) {
			unsigned slot = free_slot[--nfree];
			int h = send(1, slot, sent + 1);

			ck_assert_int_ge(h, 0);
			slot_of[h] = slot;
			number[slot] = ++sent;
		}
		vdriver_kick(&v, 1);
		ck_assert_int_eq(vdriver_wait_used(&v, 1, &head, &len, 10000), 0);
		do { /* driver_used() stops the test at a head that is not in flight */
			unsigned slot = slot_of[head];

			ck_assert_uint_eq(len, 8);
			ck_assert_uint_eq(answer(1, slot), number[slot]);
			free_slot[nfree++] = slot;
			done++;
		} while (driver_used(ring, &head, &len));
	}
	atomic_store(&p.end, true);
	pthread_join(p.thread, NULL);
	ck_assert_uint_eq(done, sent);
	ck_assert_uint_eq(nfree, DEPTH);
	ck_assert_uint_gt(p.times, 3);
	if (p.current)
		hand_over(p.be, &p.current);
	p.be[1]->ops->destroy(p.be[1]);
}
END_TEST

static void *reset_soon(void *arg)
{
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	vdriver_set_status(arg, 0);
	return NULL;
}

/* A vCPU resets the device while another floods it with kicks and requests. */
START_TEST(reset_under_load)
{
	unsigned round;

	testbed_start(&tb);
	for (round = 0; round < 50; round++) {
		struct driver_buf b[2];
		pthread_t thread;
		uint16_t head;
		uint32_t len;

		ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 16));
		b[0] = (struct driver_buf){ v.queue[2].arena, 8, false };
		b[1] = (struct driver_buf){ v.queue[2].arena + 32, 8, true };
		pthread_create(&thread, NULL, reset_soon, &v);
		while (vdriver_status(&v)) {
			while (driver_add(&v.queue[2].ring, b, 2, 0) >= 0)
				;
			driver_publish(&v.queue[2].ring);
			vdriver_notify(&v, 2);
			while (driver_used(&v.queue[2].ring, &head, &len))
				;
		}
		pthread_join(thread, NULL);
		ck_assert_uint_eq(echo.stops, echo.starts);
		vdriver_fini(&v);
		testbed_release(&tb);
		ck_assert(vdriver_probe(&v, &tb, 0));
	}
}
END_TEST

START_TEST(no_leak)
{
	unsigned i;

	testbed_start(&tb);
	for (i = 0; i < 100; i++) {
		ck_assert(vdriver_start(&v, UINT64_MAX, ECHO_QUEUES, 16));
		vdriver_fini(&v);
		testbed_release(&tb);
		ck_assert(vdriver_probe(&v, &tb, 0));
	}
	ck_assert_uint_ge(echo.starts, 100 * ECHO_QUEUES); /* more where a probe ends bus mastery */
	ck_assert_uint_eq(echo.stops, echo.starts);
}
END_TEST

static const struct virtio_class *own;
static sem_t reached, go;

static void gated_kick(struct virtio_device *vdev, unsigned q)
{
	if (q == 0) {
		sem_post(&reached);
		sem_wait(&go);
	}
	own->kick(vdev, q);
}

/* Another process has the eventfd, too: it may have it wait, and take what a kick has put there. */
START_TEST(kick_that_another_takes)
{
	struct virtio_class gated;
	int fd;

	sem_init(&reached, 0, 0);
	sem_init(&go, 0, 0);
	start(ECHO_QUEUES);
	testbed_settle(&tb);
	own = echo.vdev.class;
	gated = *own;
	gated.kick = gated_kick;
	echo.vdev.class = &gated;
	fd = echo.vdev.transport->kick_fd(&echo.vdev, 1);
	ck_assert_int_eq(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
	vdriver_notify(&v, 0);
	sem_wait(&reached);
	vdriver_notify(&v, 0); /* both are seen in the loop's next round, in this order */
	vdriver_notify(&v, 1);
	sem_post(&go);
	sem_wait(&reached);
	ck_assert_uint_ge(bell_take(fd), 1);
	sem_post(&go);
	testbed_settle(&tb);
	echo.vdev.class = own;
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, queues_are_spread);
	tcase_add_test(tc, only_queues_that_are_ready);
	tcase_add_test(tc, without_threads);
	tcase_add_test(tc, early_kick);
	tcase_add_test(tc, failed_start_is_undone);
	tcase_add_test(tc, stop_answers_what_is_in_flight);
	tcase_add_loop_test(tc, hand_over_under_load, 0, 3);
	tcase_add_test(tc, reset_under_load);
	tcase_add_test(tc, kick_that_another_takes);
	tcase_add_test(tc, no_leak);
}

Suite *local_suite(void)
{
	Suite *s = suite_create("local");

	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(local_suite)
