/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/lib/driver.h"
#include "vmm/core/iov.h"
#include "vmm/core/util.h"

Suite *iov_suite(void);

static char text[] = "abcdefghij";

/* "abc", "", "defg", "hij" */
static struct iovec pieces[] = { { text, 3 }, { text + 3, 0 }, { text + 3, 4 }, { text + 7, 3 } };

START_TEST(pull_in_any_sizes)
{
	struct iovcur c = iov_cursor(pieces, 4);
	char buf[16] = { 0 };

	ck_assert_uint_eq(c.left, 10);
	ck_assert(iov_pull(&c, buf, 2));
	ck_assert(iov_pull(&c, buf + 2, 0));
	ck_assert(iov_pull(&c, buf + 2, 6));
	ck_assert_str_eq(buf, "abcdefgh");
	ck_assert(!iov_pull(&c, buf, 3)); /* too few, and nothing is done */
	ck_assert_uint_eq(c.left, 2);
	ck_assert(iov_pull(&c, buf, 2));
	ck_assert_mem_eq(buf, "ij", 2);
	ck_assert(!iov_pull(&c, buf, 1));
	ck_assert(iov_pull(&c, buf, 0));
}
END_TEST

START_TEST(put_and_zero)
{
	char a[4] = "____", b[4] = "____";
	struct iovec iov[] = { { a, 4 }, { NULL, 0 }, { b, 4 } };
	struct iovcur c = iov_cursor(iov, 3);

	ck_assert(iov_put(&c, "12345", 5));
	ck_assert(!iov_put(&c, "1234", 4));
	ck_assert(!iov_zero(&c, 4));
	ck_assert(iov_zero(&c, 2));
	ck_assert(iov_put(&c, "6", 1));
	ck_assert_mem_eq(a, "1234", 4);
	ck_assert_mem_eq(b, "5\0\0006", 4);
	ck_assert_uint_eq(c.left, 0);
}
END_TEST

START_TEST(split_and_export)
{
	struct iovcur c = iov_cursor(pieces, 4), head;
	struct iovec out[4];
	char buf[16] = { 0 };

	head = iov_split(&c, 5);
	ck_assert_uint_eq(head.left, 5);
	ck_assert_uint_eq(c.left, 5);
	ck_assert_uint_eq(iov_export(&head, out, 4), 2);
	ck_assert_ptr_eq(out[0].iov_base, text);
	ck_assert_uint_eq(out[1].iov_len, 2);
	ck_assert_uint_eq(iov_export(&c, out, 1), 2); /* says how many it would be */
	ck_assert_ptr_eq(out[0].iov_base, text + 5);
	ck_assert(!iov_pull(&head, buf, 6));
	ck_assert(iov_pull(&head, buf, 5));
	ck_assert_str_eq(buf, "abcde");
	ck_assert(iov_pull(&c, buf, 5));
	ck_assert_str_eq(buf, "fghij");
	head = iov_split(&c, 100);
	ck_assert_uint_eq(head.left, 0);
	ck_assert_uint_eq(iov_export(&head, out, 4), 0);
}
END_TEST

START_TEST(empty)
{
	struct iovcur c = iov_cursor(NULL, 0);
	char b;

	ck_assert_uint_eq(c.left, 0);
	ck_assert(!iov_pull(&c, &b, 1));
	ck_assert(iov_pull(&c, &b, 0));
	ck_assert_uint_eq(iov_split(&c, 1).left, 0);
}
END_TEST

/* A row of bytes in random pieces reads and writes as the row, in steps of random sizes. */
START_TEST(shatter)
{
	uint8_t row[1000], copy[1000];
	struct iovec iov[200];
	uint32_t seed = _i + 1;
	unsigned round, n;
	size_t at;

	for (round = 0; round < 200; round++) {
		struct iovcur r, w, rest;

		for (at = 0; at < sizeof(row); at++)
			row[at] = driver_random(&seed);
		for (n = 0, at = 0; at < sizeof(row) && n < 199; n++) {
			size_t len = min_u64(driver_random(&seed) % 20, sizeof(row) - at);

			iov[n] = (struct iovec){ row + at, len };
			at += len;
		}
		iov[n++] = (struct iovec){ row + at, sizeof(row) - at };
		r = iov_cursor(iov, n);
		for (at = 0; r.left;) {
			size_t len = min_u64(driver_random(&seed) % 50, r.left);

			rest = iov_split(&r, len);
			ck_assert(iov_pull(&rest, copy + at, len));
			at += len;
		}
		ck_assert_mem_eq(copy, row, sizeof(row));
		w = iov_cursor(iov, n);
		for (at = 0; at < sizeof(copy); at++)
			copy[at] = driver_random(&seed);
		for (at = 0; w.left;) {
			size_t len = min_u64(driver_random(&seed) % 50, w.left);

			ck_assert(iov_put(&w, copy + at, len));
			at += len;
		}
		ck_assert_mem_eq(copy, row, sizeof(row));
	}
}
END_TEST

Suite *iov_suite(void)
{
	Suite *s = suite_create("iov");
	TCase *tc = unit_case(s, "iov");

	tcase_add_test(tc, pull_in_any_sizes);
	tcase_add_test(tc, put_and_zero);
	tcase_add_test(tc, split_and_export);
	tcase_add_test(tc, empty);
	tcase_add_loop_test(tc, shatter, 0, 4);
	return s;
}

UNIT_MAIN(iov_suite)
