/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/state.h"

Suite *state_suite(void);

/* An object with a field of each kind. */
struct thing {
	uint8_t a;
	uint16_t b;
	uint32_t c;
	uint64_t d;
	bool e;
	uint8_t f[5];
	unsigned size;  /* cannot be restored into another */
	int host_error; /* what taking it over gives */
	unsigned visits, saves;
};

static const struct thing sample = { 1, 0x203, 0x4050607, 0x8090a0b0c0d0e0full, true,
				     "rest", 7, 0, 0, 0 };

static void thing_state(void *object, struct state *s)
{
	struct thing *t = object, new = *t;

	t->visits++;
	t->saves += state_saves(s);
	state_u8(s, &new.a);
	state_u16(s, &new.b);
	state_u32(s, &new.c);
	state_u64(s, &new.d);
	state_bool(s, &new.e);
	state_bytes(s, new.f, sizeof(new.f));
	state_same(s, t->size);
	state_check(s, new.a < 100);
	if (state_takes(s) && t->host_error)
		state_fail(s, t->host_error);
	if (state_takes(s))
		*t = new;
}

static uint8_t *data;
static size_t len;

static void save_sample(void)
{
	struct thing t = sample;

	ck_assert_int_eq(state_save(thing_state, &t, &data, &len), 0);
	ck_assert_uint_eq(t.saves, 1);
	ck_assert_uint_eq(len, 1 + 2 + 4 + 8 + 1 + 5 + 4);
}

static void free_data(void)
{
	free(data);
}

START_TEST(little_endian)
{
	static const uint8_t head[] = { 1, 3, 2, 7, 6, 5, 4, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a,
					0x09, 0x08, 1, 'r', 'e', 's', 't', 0, 7, 0, 0, 0 };

	ck_assert_uint_eq(len, sizeof(head));
	ck_assert_mem_eq(data, head, sizeof(head));
}
END_TEST

START_TEST(there_and_back)
{
	struct thing t = { .size = sample.size };

	ck_assert_int_eq(state_restore(thing_state, &t, data, len), 0);
	ck_assert_uint_eq(t.a, sample.a);
	ck_assert_uint_eq(t.b, sample.b);
	ck_assert_uint_eq(t.c, sample.c);
	ck_assert_uint_eq(t.d, sample.d);
	ck_assert(t.e);
	ck_assert_uint_eq(t.saves, 0);
	ck_assert_str_eq((char *)t.f, "rest");
}
END_TEST

static void check_refused(const uint8_t *bytes, size_t n, int err)
{
	struct thing t = { .a = 42, .size = sample.size };

	ck_assert_int_eq(state_restore(thing_state, &t, bytes, n), err);
	ck_assert_uint_eq(t.visits, 1);
	ck_assert_uint_eq(t.a, 42);
	ck_assert_uint_eq(t.d, 0);
}

START_TEST(truncated)
{
	size_t n;

	for (n = 0; n < len; n++)
		check_refused(data, n, -EPROTO);
}
END_TEST

START_TEST(too_long)
{
	data = realloc(data, len + 1);
	data[len] = 0;
	check_refused(data, len + 1, -EPROTO);
}
END_TEST

/* A value that cannot be: a number, a bool, another object's size. */
START_TEST(out_of_range)
{
	static const struct {
		size_t at;
		uint8_t value;
	} bad[] = { { 0, 100 }, { 15, 2 }, { 21, 8 }, { 24, 1 } };

	data[bad[_i].at] = bad[_i].value;
	check_refused(data, len, -EINVAL);
}
END_TEST

START_TEST(host_cannot)
{
	struct thing t = { .a = 42, .size = sample.size, .host_error = -ENOMEM };

	ck_assert_int_eq(state_restore(thing_state, &t, data, len), -ENOMEM);
	ck_assert_uint_eq(t.a, 42);
}
END_TEST

/* What cannot be restored cannot be saved, either. */
START_TEST(bad_object)
{
	struct thing t = { .a = 100 };
	uint8_t *none = NULL;
	size_t n = 0;

	ck_assert_int_eq(state_save(thing_state, &t, &none, &n), -EINVAL);
	ck_assert_ptr_null(none);
}
END_TEST

static void atomic_state(void *object, struct state *s)
{
	ck_assert_uint_eq(state_atomic(s, object, 0xff00), 0x1200);
}

START_TEST(atomic)
{
	atomic_uint v = 0x1200;

	free(data);
	ck_assert_int_eq(state_save(atomic_state, &v, &data, &len), 0);
	ck_assert_uint_eq(len, 4);
	v = 0x100;
	ck_assert_int_eq(state_restore(atomic_state, &v, data, len), 0);
	ck_assert_uint_eq(v, 0x1200);
}
END_TEST

static void any_state(void *object, struct state *s)
{
	state_atomic(s, object, 0xff00);
}

START_TEST(bad_atomic)
{
	atomic_uint v = 0x100;
	uint8_t bad[4] = { 1, 0x12 };

	ck_assert_int_eq(state_restore(any_state, &v, bad, 4), -EINVAL);
	ck_assert_uint_eq(v, 0x100);
}
END_TEST

static void large_state(void *object, struct state *s)
{
	unsigned i;

	for (i = 0; i < 5; i++)
		state_bytes(s, object, 1000);
}

START_TEST(grows)
{
	uint8_t from[1000], to[1000] = { 0 }, *bytes;
	size_t n;

	memset(from, 0xa5, sizeof(from));
	ck_assert_int_eq(state_save(large_state, from, &bytes, &n), 0);
	ck_assert_uint_eq(n, 5000);
	ck_assert_int_eq(state_restore(large_state, to, bytes, n), 0);
	ck_assert_mem_eq(to, from, sizeof(from));
	free(bytes);
}
END_TEST

Suite *state_suite(void)
{
	Suite *s = suite_create("state");
	TCase *tc = unit_case(s, "state");

	tcase_add_checked_fixture(tc, save_sample, free_data);
	tcase_add_test(tc, little_endian);
	tcase_add_test(tc, there_and_back);
	tcase_add_test(tc, truncated);
	tcase_add_test(tc, too_long);
	tcase_add_loop_test(tc, out_of_range, 0, 4);
	tcase_add_test(tc, host_cannot);
	tcase_add_test(tc, bad_object);
	tcase_add_test(tc, grows);
	tcase_add_test(tc, atomic);
	tcase_add_test(tc, bad_atomic);
	return s;
}

UNIT_MAIN(state_suite)
