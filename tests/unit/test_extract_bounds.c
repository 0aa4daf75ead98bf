/* SPDX-License-Identifier: MIT */
/* How much an archive may make us do: size, depth, time; and what is no archive. */
#include "tests/unit/extract_fixture.h"

Suite *extract_bounds_suite(void);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* Of each length that is shorter, in steps: an error, and no file in part. */
START_TEST(truncated)
{
	static const struct entry one = { .type = '0', .name = "one", .data = "1" };
	static const struct entry two = { .type = '0', .name = "two", .data = "2" };
	uint64_t whole;

	put(&one);
	put(&two);
	put_end();
	whole = size;
	for (size = 0; size < whole; size += 256) {
		ck_assert_msg(extract() == -EIO, "%llu", (unsigned long long)size);
		ck_assert(says("missing; the first is"));
		if (size >= 1024)
			has("in/one", "1");
		ck_assert(exists("in/one") == (size >= 1024));
		ck_assert(exists("in/two") == (size >= 2048));
	}
	ck_assert_int_eq(extract(), 0);
}
END_TEST

START_TEST(garbage)
{
	char data[4096];

	memset(data, 0xa5, sizeof(data));
	size = sizeof(data);
	ck_assert_int_eq(pwrite(archive, data, size, 0), size);
	ck_assert_int_eq(extract(), -EIO);
	ck_assert(says("missing"));
}
END_TEST

/* Each file alone would do. */
START_TEST(sum_of_sizes)
{
	static char data[1000];
	struct entry e = { .type = '0', .name = "x", .data = data };
	char name[16];
	unsigned i;

	memset(data, 'x', sizeof(data) - 1);
	for (i = 0; i < LIMIT / 999 + 5; i++) {
		snprintf(name, sizeof(name), "file%u", i);
		e.name = name;
		put(&e);
	}
	put_end();
	ck_assert_int_eq(extract(), -EIO);
	ck_assert(says("5 or more entries are missing; the first is file100: "));
	ck_assert(exists("in/file99") && !exists("in/file100"));
}
END_TEST

/* By GNU tar, in each of its ways; 3 GiB, with data at odd places. */
START_TEST(sparse)
{
	static const char *const ways[] = { "--format=posix", "--format=gnu",
					    "--format=posix --sparse-version=0.0",
					    "--format=posix --sparse-version=0.1" };
	char line[900];
	struct stat st;

	snprintf(line, sizeof(line), "cd %s && truncate -s 3221225473 out/f && "
		 "printf first | dd of=out/f bs=1 conv=notrunc status=none && "
		 "printf odd | dd of=out/f bs=1 seek=1234567891 conv=notrunc status=none && "
		 "printf end | dd of=out/f bs=1 seek=3221225470 conv=notrunc status=none && "
		 "truncate -s 1T out/hole && { tail -c +1200000001 out/f | head -c 50000000; "
		 "tail -c 50000000 out/f; } >wanted && "
		 "tar -S %s -b 1 -cf /proc/%d/fd/%d -C out f hole",
		 top, ways[_i], (int)getpid(), archive);
	ck_assert_int_eq(system(line), 0);
	ck_assert_int_eq(fstat(archive, &st), 0);
	size = st.st_size;
	ck_assert_msg(extract() == 0, "%s", said.text);
	ck_assert_uint_le(blocks_of("in/f", 3221225473), 256);
	ck_assert_uint_le(blocks_of("in/hole", 1ull << 40), 256);
	snprintf(line, sizeof(line), "cd %s && { tail -c +1200000001 in/f | head -c 50000000; "
		 "tail -c 50000000 in/f; } | cmp - wanted && [ $(head -c 5 in/f) = first ]",
		 top);
	ck_assert_int_eq(system(line), 0);
}
END_TEST

/* 32 MB of a sparse map, which are 3 million pieces of a byte. */
START_TEST(a_map_for_ever)
{
	static const struct entry f = { .type = '0', .name = "f", .claim = 32000000 };
	char head[200];
	struct rusage used;
	uint64_t i, at;

	if (SANITIZED) /* whose memory is their own affair */
		return;
	snprintf(head, sizeof(head), "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
		 "20 GNU.sparse.name=f\n33 GNU.sparse.realsize=100000000\n");
	put(&(struct entry){ .type = 'X', .name = "pax", .data = head });
	put(&f);
	at = size + pwrite(archive, "3000000\n", 8, size);
	size += 32000000;
	ck_assert_int_eq(ftruncate(archive, size), 0);
	for (i = 0; at + 1000 * 12 < size; i += 1000) {
		static char many[1000 * 12 + 1];
		unsigned n, len = 0;

		for (n = 0; n < 1000; n++)
			len += snprintf(many + len, 13, "%09llu\n1\n",
					(unsigned long long)(i + n) * 2 % 1000000000);
		at += pwrite(archive, many, len, at);
	}
	put_end();
	limit = 64000000;
	ck_assert_int_eq(extract(), -EIO);
	ck_assert_int_eq(getrusage(RUSAGE_CHILDREN, &used), 0);
	ck_assert_int_le(used.ru_maxrss, (long)(EXTRACT_MEMORY_MAX >> 10) + 65536);
}
END_TEST

/* A name of 400,000 bytes, and some with 499 folders each, which count. */
START_TEST(deep)
{
	char *name = malloc(400001);
	unsigned i;

	for (i = 0; i < 400000; i += 2)
		memcpy(name + i, "d/", 3);
	name[i - 1] = 0;
	put(&(struct entry){ .type = 'L', .name = "x", .data = name });
	put(&(struct entry)F("x"));
	name[1000] = 0;
	for (i = 0; i < 8; i++) {
		name[0] = 'A' + i;
		name[999] = 'f';
		put(&(struct entry){ .type = 'L', .name = "x", .data = name });
		put(&(struct entry)F("x"));
	}
	put_end();
	ck_assert_int_eq(extract(), -EIO);
	ck_assert_msg(says("File name too long"), "%s", said.text);
	ck_assert(!exists("in/d"));
	ck_assert_msg(says("2 or more entries"), "%s", said.text);
	ck_assert(exists("in/D/d") && !exists("in/F"));
	free(name);
}
END_TEST

START_TEST(too_late)
{
	put(&(struct entry)F("x"));
	put_end();
	left_ms = 0;
	ck_assert_int_eq(extract(), -ETIMEDOUT);
	ck_assert_msg(says("--out: its time is over after "), "%s", said.text);
}
END_TEST

Suite *extract_bounds_suite(void)
{
	Suite *s = suite_create("extract_bounds");
	TCase *tc = unit_case(s, "extract");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, sparse, 0, 4);
	tcase_add_test(tc, a_map_for_ever);
	tcase_add_test(tc, deep);
	tcase_add_test(tc, too_late);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, sum_of_sizes);
	return s;
}

UNIT_MAIN(extract_bounds_suite)
