/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/util.h"

Suite *bus_suite(void);

/* Remembers the last access; reads give the offset. */
struct probe {
	uint64_t off;
	unsigned len, reads, writes;
	uint8_t data[8];
};

static void probe_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct probe *p = dev;

	p->off = off;
	p->len = len;
	p->reads++;
	memset(data, off, len);
}

static void probe_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct probe *p = dev;

	p->off = off;
	p->len = len;
	p->writes++;
	memcpy(p->data, data, len);
}

static const struct bus_ops probe_ops = { .read = probe_read, .write = probe_write };

static struct bus bus;
static struct probe a, b;

static void set_up(void)
{
	bus = (struct bus)BUS_EMPTY;
	a = b = (struct probe){ 0 };
	ck_assert_int_eq(bus_map(&bus, 0x2000, 0x100, &probe_ops, &b), 0);
	ck_assert_int_eq(bus_map(&bus, 0x1000, 0x1000, &probe_ops, &a), 0);
}

START_TEST(finds_the_device)
{
	uint8_t data[8];

	ck_assert(bus_read(&bus, 0x1fff, data, 1));
	ck_assert_uint_eq(a.off, 0xfff);
	ck_assert(bus_read(&bus, 0x20f8, data, 8));
	ck_assert_uint_eq(b.off, 0xf8);
	ck_assert_uint_eq(data[7], 0xf8);
	ck_assert(bus_write(&bus, 0x2000, "xy", 2));
	ck_assert_uint_eq(b.writes, 1);
	ck_assert_uint_eq(b.off, 0);
	ck_assert_uint_eq(b.len, 2);
	ck_assert_mem_eq(b.data, "xy", 2);
}
END_TEST

START_TEST(nobody_there)
{
	static const uint64_t empty[] = { 0, 0xfff, 0x2100, 0x3000, UINT64_MAX };
	uint8_t data[4], ones[4] = { 0xff, 0xff, 0xff, 0xff };
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(empty); i++) {
		memset(data, 0, sizeof(data));
		ck_assert(!bus_read(&bus, empty[i], data, 4));
		ck_assert_mem_eq(data, ones, 4);
		ck_assert(!bus_write(&bus, empty[i], data, 4));
	}
	/* Not over the end of a range, even where the next one begins. */
	ck_assert(!bus_read(&bus, 0x1ffe, data, 4));
	ck_assert(!bus_write(&bus, 0x20fd, data, 4));
	ck_assert_uint_eq(a.reads + a.writes + b.reads + b.writes, 0);
}
END_TEST

START_TEST(unmap)
{
	uint8_t data[4];

	bus_unmap(&bus, 0x1000);
	ck_assert(!bus_read(&bus, 0x1000, data, 4));
	ck_assert(!bus_write(&bus, 0x1ffc, data, 4));
	ck_assert(bus_read(&bus, 0x2000, data, 4));
	/* The place is free for others, and it can come back elsewhere. */
	ck_assert_int_eq(bus_map(&bus, 0x1800, 0x100, &probe_ops, &b), 0);
	ck_assert_int_eq(bus_map(&bus, 0x1000, 0x1000, &probe_ops, &a), -EEXIST);
	ck_assert_int_eq(bus_map(&bus, 0x8000, 0x1000, &probe_ops, &a), 0);
	ck_assert(bus_read(&bus, 0x8010, data, 4));
	ck_assert_uint_eq(a.off, 0x10);
	bus_unmap(&bus, 0x2000);
	bus_unmap(&bus, 0x8000);
	bus_unmap(&bus, 0x1800);
	ck_assert_uint_eq(bus.nranges, 0);
}
END_TEST

START_TEST(map_refuses)
{
	unsigned i;

	ck_assert_int_eq(bus_map(&bus, 0x1000, 1, &probe_ops, &a), -EEXIST);
	ck_assert_int_eq(bus_map(&bus, 0xfff, 2, &probe_ops, &a), -EEXIST);
	ck_assert_int_eq(bus_map(&bus, 0x20ff, 1, &probe_ops, &a), -EEXIST);
	ck_assert_int_eq(bus_map(&bus, 0, 0x10000, &probe_ops, &a), -EEXIST);
	ck_assert_int_eq(bus_map(&bus, 0x5000, 0, &probe_ops, &a), -EINVAL);
	ck_assert_int_eq(bus_map(&bus, UINT64_MAX, 2, &probe_ops, &a), -EINVAL);
	for (i = bus.nranges; i < BUS_RANGES; i++)
		ck_assert_int_eq(bus_map(&bus, 0x10000 + 16 * i, 16, &probe_ops, &a), 0);
	ck_assert_int_eq(bus_map(&bus, 0x5000, 1, &probe_ops, &a), -ENOSPC);
}
END_TEST

static uint64_t rings(int fd)
{
	eventfd_t n;

	return eventfd_read(fd, &n) < 0 ? 0 : n;
}

START_TEST(doorbells)
{
	int fd[3];
	uint8_t v[4];
	unsigned i;

	for (i = 0; i < 3; i++) {
		struct ioeventfd bell = { .addr = 0x1050, .data = i, .len = 4, .datamatch = true };

		fd[i] = bell.fd = eventfd(0, EFD_NONBLOCK);
		ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), 0);
		ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), -EEXIST);
	}
	le32_put(v, 1);
	ck_assert(bus_write(&bus, 0x1050, v, 4));
	ck_assert(bus_write(&bus, 0x1050, v, 4));
	ck_assert_uint_eq(rings(fd[0]), 0);
	ck_assert_uint_eq(rings(fd[1]), 2);
	ck_assert_uint_eq(a.writes, 0);
	/* Another width, another value, another address: the device itself. */
	ck_assert(bus_write(&bus, 0x1050, v, 2));
	le32_put(v, 3);
	ck_assert(bus_write(&bus, 0x1050, v, 4));
	le32_put(v, 1);
	ck_assert(bus_write(&bus, 0x1054, v, 4));
	ck_assert_uint_eq(a.writes, 3);
	for (i = 0; i < 3; i++) {
		ck_assert_uint_eq(rings(fd[i]), 0);
		close(fd[i]);
	}
}
END_TEST

START_TEST(doorbell_for_any_value)
{
	struct ioeventfd any = { .addr = 0x9000, .len = 2 }, one = any;

	any.fd = eventfd(0, EFD_NONBLOCK);
	one.datamatch = true;
	one.data = 7;
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &any), 0);
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &one), -EEXIST);
	ck_assert(bus_write(&bus, 0x9000, "ab", 2)); /* no range is needed */
	ck_assert(!bus_write(&bus, 0x9000, "abcd", 4));
	ck_assert_uint_eq(rings(any.fd), 1);
	/* A counter that is full rings nonetheless. */
	eventfd_write(any.fd, UINT64_MAX - 1);
	ck_assert(bus_write(&bus, 0x9000, "ab", 2));
	close(any.fd);
}
END_TEST

START_TEST(doorbell_of_any_length)
{
	struct ioeventfd any = { .addr = 0x1010, .fd = eventfd(0, EFD_NONBLOCK) };
	struct ioeventfd other = { .addr = 0x1010, .len = 2, .datamatch = true, .data = 7 };
	unsigned len;

	ck_assert_int_eq(bus_ioeventfd_add(&bus, &any), 0);
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &other), -EEXIST);
	for (len = 1; len <= 8; len++)
		ck_assert(bus_write(&bus, 0x1010, "01234567", len));
	ck_assert_uint_eq(rings(any.fd), 8);
	ck_assert_uint_eq(a.writes, 0);
	ck_assert(bus_write(&bus, 0x1011, "0", 1));
	ck_assert_uint_eq(a.writes, 1);
	close(any.fd);
}
END_TEST

START_TEST(doorbell_is_taken_back)
{
	struct ioeventfd bell[3];
	uint8_t v[4] = { 1 };
	unsigned i;

	for (i = 0; i < 3; i++) {
		bell[i] = (struct ioeventfd){ .addr = 0x1050, .data = i, .len = 4,
					      .datamatch = true,
					      .fd = eventfd(0, EFD_NONBLOCK) };
		ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell[i]), 0);
	}
	bus_ioeventfd_del(&bus, &bell[1]);
	bus_ioeventfd_del(&bus, &bell[1]); /* it is not there */
	ck_assert_uint_eq(bus.nbells, 2);
	ck_assert(bus_write(&bus, 0x1050, v, 4));
	ck_assert_uint_eq(rings(bell[1].fd), 0);
	ck_assert_uint_eq(a.writes, 1);
	for (i = 0; i < 3; i += 2) {
		le32_put(v, i);
		ck_assert(bus_write(&bus, 0x1050, v, 4));
		ck_assert_uint_eq(rings(bell[i].fd), 1);
	}
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell[1]), 0);
	for (i = 0; i < 3; i++)
		close(bell[i].fd);
}
END_TEST

START_TEST(doorbells_sorted)
{
	struct ioeventfd bell = { .len = 4, .datamatch = true };
	uint8_t v[4] = { 0 };
	int fd[8];
	unsigned i;

	/* In an order that is neither up nor down. */
	for (i = 0; i < 8; i++) {
		bell.addr = 0x9000 + 16 * (i * 5 % 8);
		bell.fd = fd[i * 5 % 8] = eventfd(0, EFD_NONBLOCK);
		ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), 0);
	}
	for (i = 0; i < 8; i++) {
		ck_assert(bus_write(&bus, 0x9000 + 16 * i, v, 4));
		ck_assert_uint_eq(rings(fd[i]), 1);
	}
	for (i = bus.nbells; i < BUS_IOEVENTFDS; i++) {
		bell.addr = 0xa000 + 4 * i;
		ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), 0);
	}
	bell.addr = 0x8000;
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), -ENOSPC);
	for (i = 0; i < 8; i++)
		close(fd[i]);
}
END_TEST

static unsigned host_has;

static int host_says(void *host, const struct ioeventfd *bell, bool add)
{
	int r = *(int *)host;

	(void)bell;
	if (r == 0)
		host_has += add ? 1 : -1;
	return r;
}

START_TEST(host_may_refuse)
{
	struct ioeventfd bell = { .addr = 0x9000, .len = 4, .fd = -1 };
	int answer = -EMFILE;

	bus.host_bell = host_says;
	bus.host = &answer;
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), -EMFILE);
	ck_assert_uint_eq(bus.nbells, 0);
	answer = 0;
	ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), 0);
	ck_assert_uint_eq(bus.nbells, 1);
	ck_assert_uint_eq(host_has, 1);
	bus_ioeventfd_del(&bus, &bell);
	ck_assert_uint_eq(bus.nbells, 0);
	ck_assert_uint_eq(host_has, 0);
}
END_TEST

/* A range and a doorbell that come and go, between two that stay. */
static atomic_bool end;

static void *come_and_go(void *arg)
{
	struct ioeventfd bell = { .addr = 0x1800, .fd = *(int *)arg };

	while (!atomic_load(&end)) {
		bus_unmap(&bus, 0x2000);
		ck_assert_int_eq(bus_ioeventfd_add(&bus, &bell), 0);
		ck_assert_int_eq(bus_map(&bus, 0x2000, 0x100, &probe_ops, &b), 0);
		bus_ioeventfd_del(&bus, &bell);
	}
	return NULL;
}

START_TEST(others_are_not_disturbed)
{
	static struct probe c;
	int fd = eventfd(0, EFD_NONBLOCK);
	unsigned i, there = 0;
	pthread_t thread;
	uint8_t v[4];

	ck_assert_int_eq(bus_map(&bus, 0x3000, 0x100, &probe_ops, &c), 0);
	pthread_create(&thread, NULL, come_and_go, &fd);
	for (i = 0; i < 20000; i++) {
		ck_assert(bus_read(&bus, 0x1ff0, v, 4));
		ck_assert(bus_write(&bus, 0x3010, v, 4));
		ck_assert(bus_write(&bus, 0x1800, v, 4)); /* the bell, or the device behind it */
		there += bus_write(&bus, 0x2000, v, 4);
	}
	atomic_store(&end, true);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(a.reads, 20000);
	ck_assert_uint_eq(c.writes, 20000);
	ck_assert_uint_eq(a.writes + rings(fd), 20000);
	ck_assert_uint_eq(b.writes, there);
	close(fd);
}
END_TEST

Suite *bus_suite(void)
{
	Suite *s = suite_create("bus");
	TCase *tc = unit_case(s, "bus");

	tcase_add_checked_fixture(tc, set_up, NULL);
	tcase_add_test(tc, finds_the_device);
	tcase_add_test(tc, nobody_there);
	tcase_add_test(tc, unmap);
	tcase_add_test(tc, map_refuses);
	tcase_add_test(tc, doorbells);
	tcase_add_test(tc, doorbell_for_any_value);
	tcase_add_test(tc, doorbell_of_any_length);
	tcase_add_test(tc, doorbell_is_taken_back);
	tcase_add_test(tc, doorbells_sorted);
	tcase_add_test(tc, host_may_refuse);
	tcase_add_test(tc, others_are_not_disturbed);
	return s;
}

UNIT_MAIN(bus_suite)
