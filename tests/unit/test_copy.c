/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/copy.h"
#include "tests/lib/ramstore.h"
#include "vmm/core/loop.h"

Suite *copy_suite(void);

#define SIZE (1000u << 10) /* not a multiple of what is read at once */

static struct ramstore *ram;
static int fd;

static void set_up(void)
{
	ram = ramstore_open(SIZE);
	fd = memfd_create("copy", MFD_CLOEXEC);
	ck_assert_int_ge(fd, 0);
}

static void tear_down(void)
{
	close(fd);
	ramstore_close(ram);
}

static void check_copy(void)
{
	static uint8_t got[SIZE];
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_size, SIZE);
	ck_assert_int_eq(pread(fd, got, SIZE, 0), SIZE);
	ck_assert(!memcmp(got, ram->bytes, SIZE));
}

START_TEST(every_byte)
{
	unsigned i;

	for (i = 0; i < SIZE; i++)
		ram->bytes[i] = i * 7 + i / 4096;
	ck_assert_int_eq(block_copy(&ram->block, fd), 0);
	check_copy();
}
END_TEST

START_TEST(zeroes_are_holes)
{
	struct stat st;

	ram->bytes[0] = ram->bytes[300000] = ram->bytes[SIZE - 1] = 1;
	ck_assert_int_eq(block_copy(&ram->block, fd), 0);
	check_copy();
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_blocks, 3 * 8);
}
END_TEST

/* What a store says is a hole is not read. */
START_TEST(holes_are_skipped)
{
	static const uint64_t edges[] = { 8192, 40960, 45056 };
	unsigned i;

	ram->edges = edges;
	ram->nedges = 3;
	ram->bytes[100] = ram->bytes[41000] = 1;
	ck_assert_int_eq(block_copy(&ram->block, fd), 0);
	check_copy();
	for (i = 0; i < ram->nlog; i++)
		ck_assert(ram->log[i].off + ram->log[i].len <= 8192 || ram->log[i].off == 40960);
}
END_TEST

START_TEST(errors)
{
	ram->fail_at = 2;
	ram->fail_with = -EIO;
	ck_assert_int_eq(block_copy(&ram->block, fd), -EIO);
	close(fd);
	fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	ck_assert_int_eq(block_copy(&ram->block, fd), -EPERM);
}
END_TEST

START_TEST(now)
{
	struct loop *loop = loop_create("now");
	struct block_chan *chan = block_chan_open(&ram->block, loop);
	uint8_t data[512];
	struct iovec iov = { data, sizeof(data) };

	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(block_now(chan, BLOCK_WRITE, 1024, &iov), 0);
	ck_assert_int_eq(ram->bytes[1024], 'x');
	ram->fail_at = 1;
	ram->fail_with = -ENOSPC;
	ck_assert_int_eq(block_now(chan, BLOCK_WRITE, 0, &iov), -ENOSPC);
	block_chan_close(chan);
	loop_destroy(loop);
}
END_TEST

START_TEST(is_zero)
{
	uint8_t data[3] = { 0 };

	ck_assert(block_is_zero(data, 1) && block_is_zero(data, 3));
	data[2] = 1;
	ck_assert(block_is_zero(data, 2) && !block_is_zero(data, 3));
	ck_assert(!block_is_zero(data + 2, 1));
}
END_TEST

Suite *copy_suite(void)
{
	Suite *s = suite_create("copy");
	TCase *tc = unit_case(s, "copy");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, every_byte);
	tcase_add_test(tc, zeroes_are_holes);
	tcase_add_test(tc, holes_are_skipped);
	tcase_add_test(tc, errors);
	tcase_add_test(tc, now);
	tcase_add_test(tc, is_zero);
	return s;
}

UNIT_MAIN(copy_suite)
