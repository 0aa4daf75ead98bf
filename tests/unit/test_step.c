/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/step.h"
#include "vmm/core/util.h"

Suite *step_suite(void);

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

static const struct step_align any = { 1, 1 }, sectors = { 512, 512 };
static struct step s;

static struct block_req request(enum block_io io, unsigned flags, uint64_t len)
{
	return (struct block_req){ .io = io, .flags = flags, .off = 8192, .len = len };
}

/* The call that is due now. */
static void check_call(enum step_call call, int flags, uint64_t off, uint64_t len)
{
	ck_assert_int_eq(s.call, call);
	if (call == STEP_FDATASYNC)
		return;
	ck_assert_int_eq(s.flags, flags);
	ck_assert_uint_eq(s.off, off);
	ck_assert_uint_eq(s.len, len);
}

static void check_end(int err)
{
	ck_assert_int_eq(s.err, err);
	step_end(&s);
}

/* The calls, with the results that are given to them, and what comes of it. */
static const struct sequence {
	enum block_io io;
	unsigned flags;
	struct {
		enum step_call call;
		int flags, result;
	} call[5];
	int err;
} sequences[] = {
	{ BLOCK_FLUSH, 0, { { STEP_FDATASYNC, 0, 0 } }, 0 },
	{ BLOCK_FLUSH, 0, { { STEP_FDATASYNC, 0, -EIO } }, -EIO },
	{ BLOCK_DISCARD, 0, { { STEP_FALLOCATE, PUNCH, 0 } }, 0 },
	{ BLOCK_DISCARD, BLOCK_FUA, { { STEP_FALLOCATE, PUNCH, 0 }, { STEP_FDATASYNC, 0, 0 } }, 0 },
	{ BLOCK_ZERO, 0, { { STEP_FALLOCATE, ZERO, 0 } }, 0 },
	{ BLOCK_ZERO, BLOCK_MAY_UNMAP, { { STEP_FALLOCATE, PUNCH, 0 } }, 0 },
	{ BLOCK_ZERO, 0, { { STEP_FALLOCATE, ZERO, -EINTR }, { STEP_FALLOCATE, ZERO, -ENOSPC } },
	  -ENOSPC },
	{ BLOCK_ZERO, BLOCK_FUA, { { STEP_FALLOCATE, ZERO, -EIO } }, -EIO },
	{ BLOCK_DISCARD, BLOCK_FUA,
	  { { STEP_FALLOCATE, PUNCH, -EOPNOTSUPP }, { STEP_FALLOCATE, ZERO, -EINVAL },
	    { STEP_WRITE, 0, 4096 }, { STEP_FDATASYNC, 0, 0 } }, 0 },
	{ BLOCK_ZERO, 0, { { STEP_FALLOCATE, ZERO, -EOPNOTSUPP }, { STEP_WRITE, 0, -EIO } }, -EIO },
};

START_TEST(sequence)
{
	const struct sequence *q = &sequences[_i];
	struct block_req req = request(q->io, q->flags, 4096);
	unsigned i;
	bool more = step_begin(&s, &req, any);

	for (i = 0; more; i++) {
		check_call(q->call[i].call, q->call[i].flags, 8192, 4096);
		more = step_next(&s, q->call[i].result);
	}
	ck_assert(i == 5 || (!q->call[i].flags && !q->call[i].result));
	check_end(q->err);
}
END_TEST

START_TEST(nothing_to_do)
{
	static const enum block_io io[] = { BLOCK_READ, BLOCK_WRITE, BLOCK_DISCARD, BLOCK_ZERO };
	struct block_req req = request(io[_i], BLOCK_FUA, 0);

	ck_assert(!step_begin(&s, &req, any));
	check_end(0);
}
END_TEST

static uint8_t memory[3 * 65536 + 8192] __attribute__((aligned(4096)));
static struct iovec pieces[3] = { { memory, 1024 }, { memory + 2048, 0 }, { memory + 4096, 3072 } };

static struct block_req transfer(enum block_io io, unsigned flags)
{
	struct block_req req = request(io, flags, 4096);

	req.iov = pieces;
	req.niov = 3;
	return req;
}

START_TEST(short_transfers_go_on)
{
	struct block_req req = transfer(BLOCK_READ, 0);

	ck_assert(step_begin(&s, &req, any));
	check_call(STEP_READ, 0, 8192, 4096);
	ck_assert_ptr_eq(s.iov, pieces);
	ck_assert(step_next(&s, 1000));
	check_call(STEP_READ, 0, 9192, 3096);
	ck_assert_uint_eq(s.niov, 2);
	ck_assert_ptr_eq(s.iov[0].iov_base, memory + 1000);
	ck_assert_uint_eq(s.iov[0].iov_len, 24);
	ck_assert(step_next(&s, -EINTR));
	ck_assert(step_next(&s, 1048));
	check_call(STEP_READ, 0, 10240, 2048);
	ck_assert_ptr_eq(s.iov[0].iov_base, memory + 4096 + 1024);
	ck_assert(!step_next(&s, 2048));
	check_end(0);
}
END_TEST

START_TEST(end_of_the_file_is_an_error)
{
	struct block_req req = transfer(BLOCK_READ, 0);

	ck_assert(step_begin(&s, &req, any));
	ck_assert(step_next(&s, 512));
	ck_assert(!step_next(&s, 0));
	check_end(-EIO);
}
END_TEST

START_TEST(fua_by_flag_or_in_two_steps)
{
	struct block_req req = transfer(BLOCK_WRITE, BLOCK_FUA);

	ck_assert(step_begin(&s, &req, any));
	check_call(STEP_WRITE, RWF_DSYNC, 8192, 4096);
	ck_assert(!step_next(&s, 4096));
	check_end(0);

	ck_assert(step_begin(&s, &req, any));
	ck_assert(step_next(&s, -EOPNOTSUPP));
	check_call(STEP_WRITE, 0, 8192, 4096);
	ck_assert(step_next(&s, 4096));
	check_call(STEP_FDATASYNC, 0, 0, 0);
	ck_assert(!step_next(&s, -EIO));
	check_end(-EIO);

	req.flags = 0;
	ck_assert(step_begin(&s, &req, any));
	check_call(STEP_WRITE, 0, 8192, 4096);
	ck_assert(!step_next(&s, -EOPNOTSUPP));
	check_end(-EOPNOTSUPP);
}
END_TEST

/* All of it in one call, from one piece of memory, and none of it again without the flag. */
START_TEST(atomic)
{
	struct block_req req = transfer(BLOCK_WRITE, BLOCK_ATOMIC | BLOCK_FUA);
	unsigned i;

	for (i = 0; i < 4096; i++)
		memory[i] = i * 7 + i / 251;
	ck_assert(step_begin(&s, &req, _i ? any : sectors));
	check_call(STEP_WRITE, RWF_ATOMIC | RWF_DSYNC, 8192, 4096);
	ck_assert_uint_eq(s.niov, 1);
	ck_assert_mem_eq(s.iov[0].iov_base, memory, 1024);
	ck_assert_mem_eq((uint8_t *)s.iov[0].iov_base + 1024, memory + 4096, 3072);
	ck_assert(!step_next(&s, -EINVAL));
	check_end(-EINVAL);

	req.flags = BLOCK_ATOMIC;
	req.niov = 1;
	req.iov = &(struct iovec){ memory, 4096 };
	ck_assert(step_begin(&s, &req, any));
	check_call(STEP_WRITE, RWF_ATOMIC, 8192, 4096);
	ck_assert_ptr_eq(s.iov[0].iov_base, memory);
	ck_assert(step_next(&s, -EINTR));
	check_call(STEP_WRITE, RWF_ATOMIC, 8192, 4096);
	ck_assert(!step_next(&s, 4095));
	check_end(-EIO);

	ck_assert(step_begin(&s, &req, any));
	ck_assert(!step_next(&s, 4096));
	check_end(0);
}
END_TEST

/* The longest, in any pieces: nothing is cut. */
START_TEST(atomic_longest)
{
	struct iovec odd[2] = { { memory + 1, 30001 }, { memory + 40000, 35535 } };
	struct block_req req = request(BLOCK_WRITE, BLOCK_ATOMIC, STEP_BOUNCE);

	req.iov = odd;
	req.niov = 2;
	ck_assert(step_begin(&s, &req, sectors));
	check_call(STEP_WRITE, RWF_ATOMIC, 8192, STEP_BOUNCE);
	ck_assert_uint_eq(s.niov, 1);
	ck_assert(!step_next(&s, STEP_BOUNCE));
	check_end(0);
}
END_TEST

/* More zeroes than one call takes. */
START_TEST(zeroes_are_written)
{
	struct block_req req = request(BLOCK_ZERO, 0, MIB(3) + 512);
	uint64_t sum = 0;
	unsigned i;

	ck_assert(step_begin(&s, &req, sectors));
	ck_assert(step_next(&s, -EOPNOTSUPP));
	do {
		ck_assert_int_eq(s.call, STEP_WRITE);
		ck_assert_uint_eq(s.off, 8192 + sum);
		for (i = 0; i < s.niov; i++) {
			const uint8_t *p = s.iov[i].iov_base;

			ck_assert_uint_eq((uintptr_t)p % 4096, 0);
			ck_assert(!p[0] && !memcmp(p, p + 1, s.iov[i].iov_len - 1));
		}
		sum += s.len;
	} while (step_next(&s, s.len));
	ck_assert_uint_eq(sum, MIB(3) + 512);
	check_end(0);
}
END_TEST

/* One odd address or length, and all goes by another memory, a part at a time. */
START_TEST(unaligned_is_copied)
{
	struct iovec odd[2] = { { memory + 1, 100000 }, { memory + 110000, 31072 } };
	struct block_req req = request(_i ? BLOCK_WRITE : BLOCK_READ, 0, 131072);
	uint64_t done = 0;
	unsigned i;

	for (i = 0; i < sizeof(memory); i++)
		memory[i] = _i ? i * 5 + i / 253 : 0;
	req.iov = odd;
	req.niov = 2;
	ck_assert(step_begin(&s, &req, sectors));
	do {
		uint8_t *p = s.iov[0].iov_base;

		ck_assert_uint_eq(s.niov, 1);
		ck_assert_uint_eq((uintptr_t)p % 4096, 0);
		ck_assert_uint_eq(s.len % 512, 0);
		for (i = 0; i < s.len; i++) {
			unsigned at = done + i < 100000 ? 1 + done + i : 10000 + done + i;

			if (_i)
				ck_assert_uint_eq(p[i], memory[at]);
			else
				p[i] = (done + i) * 11 + 1;
		}
		done += 32768; /* short, too */
	} while (step_next(&s, 32768));
	ck_assert_uint_eq(done, 131072);
	check_end(0);
	for (i = 0; !_i && i < 131072; i++)
		ck_assert_uint_eq(memory[i < 100000 ? i + 1 : i + 10000], (uint8_t)(i * 11 + 1));
}
END_TEST

START_TEST(aligned_is_not_copied)
{
	struct iovec fits[2] = { { memory + 512, 1024 }, { memory + 4096, 3072 } };
	struct block_req req = transfer(BLOCK_READ, 0);

	req.iov = fits;
	req.niov = 2;
	ck_assert(step_begin(&s, &req, sectors));
	ck_assert_ptr_eq(s.iov, fits);
	/* Given up in the middle. */
	step_end(&s);
}
END_TEST

Suite *step_suite(void)
{
	Suite *suite = suite_create("step");
	TCase *tc = unit_case(suite, "step");

	tcase_add_loop_test(tc, sequence, 0, ARRAY_SIZE(sequences));
	tcase_add_loop_test(tc, nothing_to_do, 0, 4);
	tcase_add_test(tc, short_transfers_go_on);
	tcase_add_test(tc, end_of_the_file_is_an_error);
	tcase_add_test(tc, fua_by_flag_or_in_two_steps);
	tcase_add_loop_test(tc, atomic, 0, 2);
	tcase_add_test(tc, atomic_longest);
	tcase_add_test(tc, zeroes_are_written);
	tcase_add_loop_test(tc, unaligned_is_copied, 0, 2);
	tcase_add_test(tc, aligned_is_not_copied);
	return suite;
}

UNIT_MAIN(step_suite)
