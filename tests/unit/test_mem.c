/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/core/mem.h"
#include "vmm/core/util.h"

Suite *mem_suite(void);

static struct mem mem;

/* [1M, 2M) and [2M, 2M + 8K) touch; [4G, 4G + 4K) stands alone. */
static void set_up(void)
{
	ck_assert_int_eq(mem_add(&mem, MIB(1), MIB(1)), 0);
	ck_assert_int_eq(mem_add(&mem, MIB(2), KIB(8)), 0);
	ck_assert_int_eq(mem_add(&mem, GIB(4), KIB(4)), 0);
}

static void tear_down(void)
{
	mem_free(&mem);
	ck_assert_uint_eq(mem.nregions, 0);
}

START_TEST(add_refuses)
{
	struct mem m = { 0 };

	ck_assert_int_eq(mem_add(&m, 0, 0), -EINVAL);
	ck_assert_int_eq(mem_add(&m, 1, KIB(4)), -EINVAL);
	ck_assert_int_eq(mem_add(&m, 0, KIB(4) + 1), -EINVAL);
	ck_assert_int_eq(mem_add(&m, 0 - KIB(4), KIB(8)), -EINVAL);
	ck_assert_int_eq(mem_add(&m, 0, 0 - MIB(1)), -EINVAL);
	ck_assert_int_eq(mem_add(&m, MIB(1), 1ull << 62), -ENOMEM);
	ck_assert_uint_eq(m.nregions, 0);
	ck_assert_int_eq(mem_add(&mem, MIB(3) - KIB(4), KIB(4)), -EINVAL); /* not above the last */
	ck_assert_int_eq(mem_add(&mem, GIB(4), KIB(4)), -EINVAL);
	ck_assert_int_eq(mem_add(&mem, GIB(5), KIB(4)), 0);
	ck_assert_int_eq(mem_add(&mem, GIB(6), KIB(4)), -ENOSPC);
	ck_assert_uint_eq(mem_size(&mem), MIB(1) + KIB(8) + KIB(4) + KIB(4));
}
END_TEST

START_TEST(aligned_as_the_guest_sees_it)
{
	unsigned i;

	for (i = 0; i < mem.nregions; i++)
		ck_assert_uint_eq((uintptr_t)mem.region[i].hva % MIB(2),
				  mem.region[i].gpa % MIB(2));
}
END_TEST

START_TEST(fresh_memory_is_zero)
{
	uint8_t buf[KIB(4)];
	unsigned i, sum = 0;

	ck_assert_int_eq(mem_read(&mem, GIB(4), buf, sizeof(buf)), 0);
	for (i = 0; i < sizeof(buf); i++)
		sum |= buf[i];
	ck_assert_uint_eq(sum, 0);
}
END_TEST

START_TEST(nobody_else_maps_it)
{
	unsigned i;

	for (i = 0; i < mem.nregions; i++)
		ck_assert_int_eq(mem.region[i].fd, -1);
}
END_TEST

static const uint64_t low = MIB(1), high = GIB(4);

/* Whoever has the descriptor sees what the guest does, and the guest sees what they do. */
START_TEST(shared_regions)
{
	struct mem m = { .shared = true };
	char *other, byte;
	unsigned i;
	int fd;

	ck_assert_int_eq(mem_add(&m, low, MIB(1)), 0);
	ck_assert_int_eq(mem_add(&m, high, MIB(3)), 0);
	ck_assert_int_eq(mem_add(&m, high, MIB(3)), -EINVAL);
	fd = m.region[0].fd;
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(m.region[1].fd, fd);
	for (i = 0; i < m.nregions; i++) {
		const struct mem_region *r = &m.region[i];

		ck_assert_uint_eq((uintptr_t)r->hva % MIB(2), r->gpa % MIB(2));
		other = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, r->fd_off);
		ck_assert_ptr_ne(other, MAP_FAILED);
		ck_assert_int_eq(mem_write(&m, r->gpa + r->size - 1, "x", 1), 0);
		ck_assert_int_eq(other[r->size - 1], 'x');
		ck_assert_int_eq(other[0], 0);
		other[1] = 'a' + i;
		ck_assert_int_eq(mem_read(&m, r->gpa + 1, &byte, 1), 0);
		ck_assert_int_eq(byte, 'a' + i);
		munmap(other, r->size);
	}
	mem_free(&m);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
	mem_free(&m);
}
END_TEST

/* Nothing is left of a region that cannot be shared, and those before it stay. */
START_TEST(cannot_be_shared)
{
	struct mem m = { .shared = true };
	struct rlimit before, limit;

	getrlimit(RLIMIT_NOFILE, &before);
	limit = before;
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_int_eq(mem_add(&m, low, MIB(1)), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &before);
	ck_assert_uint_eq(m.nregions, 0);
	ck_assert_int_eq(mem_add(&m, low, MIB(1)), 0);
	ck_assert_int_eq(mem_write(&m, low, "x", 1), 0);

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = high;
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_int_eq(mem_add(&m, high, MIB(1)), -EFBIG);
	ck_assert_uint_eq(m.nregions, 1);
	ck_assert_int_ge(fcntl(m.region[0].fd, F_GETFD), 0);
	setrlimit(RLIMIT_FSIZE, &before);
	ck_assert_int_eq(mem_add(&m, high, MIB(1)), 0);
	mem_free(&m);
}
END_TEST

static const struct at {
	uint64_t gpa, len;
	int pieces; /* or -errno, of mem_iov */
	bool ptr;   /* of mem_ptr */
} ats[] = {
	{ MIB(1), MIB(1), 1, true },
	{ MIB(1), 0, 0, true },
	{ MIB(1) - 1, 1, -EFAULT, false },
	{ MIB(1) - 1, 2, -EFAULT, false },
	{ 0, 1, -EFAULT, false },
	{ MIB(2) - 1, 1, 1, true },
	{ MIB(2) - 1, 2, 2, false },
	{ MIB(1), MIB(1) + KIB(8), 2, false },
	{ MIB(1), MIB(1) + KIB(8) + 1, -EFAULT, false },
	{ MIB(2) + KIB(8) - 1, 1, 1, true },
	{ MIB(2) + KIB(8) - 1, 2, -EFAULT, false },
	{ MIB(2) + KIB(8), 1, -EFAULT, false },
	{ GIB(4) + KIB(4) - 8, 8, 1, true },
	{ GIB(4) + KIB(4) - 8, 9, -EFAULT, false },
	{ UINT64_MAX, 1, -EFAULT, false },
	{ UINT64_MAX, UINT64_MAX, -EFAULT, false },
	{ GIB(4), UINT64_MAX, -EFAULT, false },
	{ GIB(4) + 4, UINT64_MAX - 2, -EFAULT, false }, /* wraps around to inside */
};

START_TEST(bounds)
{
	const struct at *a = &ats[_i];
	struct iovec iov[MEM_REGIONS];
	uint64_t sum = 0;
	int i, n;

	n = mem_iov(&mem, a->gpa, a->len, iov, MEM_REGIONS);
	ck_assert_int_eq(n, a->pieces);
	for (i = 0; i < n; i++)
		sum += iov[i].iov_len;
	if (n >= 0)
		ck_assert_uint_eq(sum, a->len);
	if (n > 0)
		ck_assert_int_eq(mem_iov(&mem, a->gpa, a->len, iov, n - 1), -E2BIG);
	ck_assert_int_eq(!!mem_ptr(&mem, a->gpa, a->len, 1), a->ptr);
}
END_TEST

START_TEST(copies_across_regions)
{
	char text[] = "across the border", back[sizeof(text)] = { 0 };
	uint64_t gpa = MIB(2) - 7;

	ck_assert_int_eq(mem_write(&mem, gpa, text, sizeof(text)), 0);
	ck_assert_int_eq(mem_read(&mem, gpa, back, sizeof(back)), 0);
	ck_assert_str_eq(back, text);
	ck_assert_mem_eq(mem.region[0].hva + MIB(1) - 7, "across ", 7);
	ck_assert_mem_eq(mem.region[1].hva, "the", 3);
	ck_assert_int_eq(mem_write(&mem, GIB(4) + KIB(4) - 3, text, sizeof(text)), -EFAULT);
	ck_assert_int_eq(mem_read(&mem, GIB(4) + KIB(4) - 3, back, sizeof(back)), -EFAULT);
}
END_TEST

START_TEST(pointer_alignment)
{
	ck_assert_ptr_eq(mem_ptr(&mem, MIB(1) + 16, 16, 16), mem.region[0].hva + 16);
	ck_assert_ptr_null(mem_ptr(&mem, MIB(1) + 8, 16, 16));
	ck_assert_ptr_nonnull(mem_ptr(&mem, MIB(1) + 8, 16, 8));
	ck_assert_ptr_null(mem_ptr(&mem, MIB(1) + 1, 2, 2));
}
END_TEST

/* Who is handed the memory cannot take it away from under us. */
START_TEST(shared_and_not_shrunk)
{
	struct mem m = { .shared = true };
	int fd;

	ck_assert_int_eq(mem_add(&m, 0, MIB(1)), 0);
	ck_assert_int_eq(mem_add(&m, MIB(4), MIB(1)), 0);
	fd = m.region[1].fd;
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1); /* from others */
	m.region[1].hva[MIB(1) - 1] = 1;
	mem_free(&m);
}
END_TEST

/* Private memory, that of a memfd, and pages that must stay. */
START_TEST(cleared)
{
	struct mem m = { .shared = _i == 1 };
	uint8_t *last, resident, all;
	unsigned i;

	atomic_store(&m.pinned, _i == 2);
	ck_assert_int_eq(mem_add(&m, 0, MIB(1)), 0);
	ck_assert_int_eq(mem_add(&m, MIB(4), MIB(1)), 0);
	for (i = 0; i < m.nregions; i++)
		memset(m.region[i].hva, 'x', MIB(1));
	mem_clear(&m);
	last = m.region[1].hva + MIB(1) - KIB(4);
	ck_assert_int_eq(mincore(last, KIB(4), &resident), 0);
	ck_assert_uint_eq(resident & 1, _i == 2);
	for (i = 0, all = 0; i < MIB(1); i++)
		all |= m.region[0].hva[i] | m.region[1].hva[i];
	ck_assert_uint_eq(all, 0);
	last[0] = 1;
	ck_assert_uint_eq(last[0], 1);
	mem_free(&m);
}
END_TEST

/* Whole pages in what is named, of one region; none of what is no memory, or of what must stay. */
START_TEST(dropped)
{
	struct mem m = { .shared = _i };
	uint8_t *at, all = 0;
	unsigned i;

	ck_assert_int_eq(mem_add(&m, 0, MIB(1)), 0);
	ck_assert_int_eq(mem_add(&m, MIB(4), MIB(1)), 0);
	at = m.region[1].hva;
	memset(at, 'x', MIB(1));
	ck_assert_uint_eq(mem_drop(&m, at + 1, KIB(4)), 0);
	ck_assert_uint_eq(mem_drop(&m, at + 1, KIB(12)), KIB(8));
	ck_assert_uint_eq(at[KIB(4) - 1], 'x');
	for (i = KIB(4); i < KIB(12); i++)
		all |= at[i];
	ck_assert_uint_eq(all, 0);
	ck_assert_uint_eq(at[KIB(12)], 'x');
	ck_assert_uint_eq(mem_drop(&m, at + MIB(1) - KIB(4), KIB(4)), KIB(4));
	ck_assert_uint_eq(mem_drop(&m, at + MIB(1) - KIB(4), KIB(8)), 0);
	ck_assert_uint_eq(mem_drop(&m, at - KIB(4), KIB(8)), 0);
	ck_assert_uint_eq(mem_drop(&m, &m, KIB(8)), 0);
	ck_assert_uint_eq(mem_drop(&m, at, 0), 0);
	atomic_store(&m.pinned, true);
	ck_assert_uint_eq(mem_drop(&m, at + KIB(12), KIB(4)), 0);
	ck_assert_uint_eq(at[KIB(12)], 'x');
	mem_free(&m);
}
END_TEST

Suite *mem_suite(void)
{
	Suite *s = suite_create("mem");
	TCase *tc = unit_case(s, "mem");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, add_refuses);
	tcase_add_test(tc, aligned_as_the_guest_sees_it);
	tcase_add_test(tc, fresh_memory_is_zero);
	tcase_add_test(tc, nobody_else_maps_it);
	tcase_add_test(tc, shared_regions);
	tcase_add_test(tc, cannot_be_shared);
	tcase_add_test(tc, shared_and_not_shrunk);
	tcase_add_loop_test(tc, cleared, 0, 3);
	tcase_add_loop_test(tc, dropped, 0, 2);
	tcase_add_loop_test(tc, bounds, 0, ARRAY_SIZE(ats));
	tcase_add_test(tc, copies_across_regions);
	tcase_add_test(tc, pointer_alignment);
	return s;
}

UNIT_MAIN(mem_suite)
