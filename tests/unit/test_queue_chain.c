/* SPDX-License-Identifier: MIT */
/* What a chain is: descriptors, indirect tables, and those that break the rules. */
#include "tests/unit/queue_fixture.h"

Suite *queue_chain_suite(void);

START_TEST(pop_gives_the_chain)
{
	bool indirect = _i;
	int head;

	open_queue(8, false, 0);
	ck_assert_int_eq(pop(), 0);
	head = driver_add(&drv, bufs, 4, indirect ? TABLE : 0);
	ck_assert_int_eq(pop(), 0); /* not published yet */
	ck_assert(driver_publish(&drv));
	ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(chain.head, head);
	ck_assert_uint_eq(chain.nout, 2);
	ck_assert_uint_eq(chain.nin, 2);
	ck_assert_uint_eq(chain.out[0].iov_len, 51);
	ck_assert_ptr_eq(chain.out[1].iov_base, mem.region[0].hva + DATA + 0x1000);
	ck_assert_uint_eq(chain.in[0].iov_len, 108);
	ck_assert_ptr_eq(chain.in[1].iov_base, mem.region[0].hva + DATA + 0x3000);
	ck_assert_uint_eq(vq.inflight, 1);
	ck_assert_int_eq(pop(), 0);
	vq_push(&vq, head, 108);
	ck_assert_uint_eq(vq.inflight, 0);
	close_queue();
}
END_TEST

START_TEST(unpopped_comes_again)
{
	uint16_t heads[3];
	unsigned i;

	open_queue(8, false, 65535);
	for (i = 0; i < 3; i++)
		driver_add(&drv, &bufs[i], 1, 0);
	driver_publish(&drv);
	for (i = 0; i < 3; i++) {
		ck_assert_int_eq(pop(), 1);
		heads[i] = chain.head;
	}
	vq_push(&vq, heads[0], 0);
	vq_unpop(&vq, 2);
	ck_assert_uint_eq(vq.inflight, 0);
	ck_assert_uint_eq(vq.s.next_avail, vq.s.next_used);
	for (i = 1; i < 3; i++) {
		ck_assert_int_eq(pop(), 1);
		ck_assert_uint_eq(chain.head, heads[i]);
		vq_push(&vq, chain.head, 0);
	}
	ck_assert_int_eq(pop(), 0);
	close_queue();
}
END_TEST

/* virtio 1.3 §2.7.5.3.1: a chain may end with a descriptor that refers to a table. */
START_TEST(chain_then_table)
{
	open_queue(8, false, 0);
	put_desc(drv.desc, 2, DATA, 10, VRING_DESC_F_NEXT, 5);
	put_desc(drv.desc, 5, TABLE, 48, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 1);
	put_desc(TABLE, 0, DATA + 100, 20, VRING_DESC_F_NEXT, 2);
	put_desc(TABLE, 2, DATA + 200, 30, VRING_DESC_F_WRITE, 1);
	offer(2);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(chain.nout, 2);
	ck_assert_uint_eq(chain.nin, 1);
	ck_assert_uint_eq(chain.in[0].iov_len, 30);
	vq_push(&vq, 2, 0);
	close_queue();
}
END_TEST

START_TEST(buffer_across_regions)
{
	struct driver_buf b = { REGION - 10, 30, true };

	open_queue(8, false, 0);
	driver_add(&drv, &b, 1, 0);
	driver_publish(&drv);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(chain.nin, 2);
	ck_assert_uint_eq(chain.in[0].iov_len, 10);
	ck_assert_uint_eq(chain.in[1].iov_len, 20);
	vq_push(&vq, chain.head, 0);
	close_queue();
}
END_TEST

START_TEST(bad_ring_breaks)
{
	const struct bad_ring *b = &bad_rings[_i];
	unsigned i;

	open_queue(8, false, 0);
	for (i = 0; i < 8; i++)
		put_desc(i < 4 ? drv.desc : TABLE, i % 4, b->desc[i].addr, b->desc[i].len,
			 b->desc[i].flags, b->desc[i].next);
	offer(b->head);
	ck_assert_int_eq(pop(), -EPROTO);
	ck_assert_str_eq(vq.broken, b->rule);
	ck_assert_uint_eq(vq.inflight, 0);
	/* It stays so until it is started again, whatever the driver does. */
	offer(1);
	ck_assert_int_eq(pop(), -EPROTO);
	ck_assert(!vq_rearm(&vq));
	close_queue();
	open_queue(8, false, 0);
	driver_add(&drv, bufs, 4, 0);
	driver_publish(&drv);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, chain.head, 0);
	close_queue();
}
END_TEST

START_TEST(indirect_must_be_negotiated)
{
	open_queue(8, false, 0);
	vq.s.indirect = false;
	driver_add(&drv, bufs, 2, TABLE);
	driver_publish(&drv);
	ck_assert_int_eq(pop(), -EPROTO);
	ck_assert_str_eq(vq.broken, "indirect descriptor, which was not negotiated");
	close_queue();
}
END_TEST

START_TEST(more_pieces_than_room)
{
	open_queue(8, false, 0);
	driver_add(&drv, bufs, 4, _i ? TABLE : 0);
	driver_publish(&drv);
	ck_assert_int_eq(vq_pop(&vq, &chain, iov, 3), -EPROTO);
	close_queue();
}
END_TEST

START_TEST(four_gib_at_most)
{
	unsigned i;

	/* Memory for it: the same few bytes are not enough, as each descriptor must be inside. */
	ck_assert_int_eq(mem_add(&mem, GIB(1), GIB(3)), 0);
	open_queue(8, false, 0);
	for (i = 0; i < 3; i++)
		put_desc(drv.desc, i, GIB(1), GIB(2), N | W, i + 1);
	put_desc(drv.desc, 1, GIB(1), GIB(2), W, 0);
	offer(0);
	ck_assert_int_eq(pop(), 1);
	ck_assert_uint_eq(chain.in[0].iov_len + chain.in[1].iov_len, GIB(4));
	vq_push(&vq, 0, 0);
	put_desc(drv.desc, 1, GIB(1), GIB(2), N | W, 2);
	put_desc(drv.desc, 2, GIB(1), 1, W, 0);
	vq_flush(&vq);
	offer(0);
	ck_assert_int_eq(pop(), -EPROTO);
	ck_assert_str_eq(vq.broken, "chain of more than 4 GiB");
	close_queue();
}
END_TEST

/* However a request is cut, it has the same bytes. */
START_TEST(shatter)
{
	static uint8_t sent[3000], got[3000];
	struct driver_buf whole[2] = { { DATA, 0, false }, { DATA + 0x8000, 0, true } };
	struct driver_buf cut[PIECES];
	uint32_t seed = 1 + _i, len;
	uint16_t head;
	unsigned round, i, n;

	open_queue(64, true, 0);
	for (round = 0; round < 500; round++) {
		struct iovcur out, in;

		whole[0].len = driver_random(&seed) % sizeof(sent);
		whole[1].len = driver_random(&seed) % sizeof(sent);
		for (i = 0; i < sizeof(sent); i++)
			sent[i] = driver_random(&seed);
		mem_write(&mem, DATA, sent, whole[0].len);
		n = driver_shatter(whole, 2, &seed, cut, 60);
		ck_assert_int_ge(driver_add(&drv, cut, n, round % 2 ? TABLE : 0), 0);
		driver_publish(&drv);
		ck_assert_int_eq(pop(), 1);
		out = iov_cursor(chain.out, chain.nout);
		in = iov_cursor(chain.in, chain.nin);
		ck_assert_uint_eq(out.left, whole[0].len);
		ck_assert_uint_eq(in.left, whole[1].len);
		ck_assert(iov_pull(&out, got, whole[0].len));
		ck_assert_mem_eq(got, sent, whole[0].len);
		ck_assert(iov_put(&in, sent, whole[1].len));
		vq_push(&vq, chain.head, whole[1].len);
		vq_flush(&vq);
		ck_assert(driver_used(&drv, &head, &len));
		mem_read(&mem, DATA + 0x8000, got, len);
		ck_assert_mem_eq(got, sent, whole[1].len);
	}
	ck_assert_uint_eq(drv.nfree, 64);
	close_queue();
}
END_TEST

START_TEST(cut_at_every_byte)
{
	struct driver_buf in[2] = { { DATA, 5, false }, { DATA + 100, 7, true } }, out[3];
	unsigned at, n, i, bytes[2];

	for (at = 0; at <= 13; at++) {
		n = driver_cut(in, 2, at, out);
		ck_assert_uint_eq(n, at == 0 || at == 5 || at >= 12 ? 2 : 3);
		bytes[0] = bytes[1] = 0;
		for (i = 0; i < n; i++)
			bytes[out[i].write] += out[i].len;
		ck_assert_uint_eq(bytes[0], 5);
		ck_assert_uint_eq(bytes[1], 7);
	}
}
END_TEST

/* Chains that are right, then some bytes of ring and table that are not. */
static void make_hostile_ring(uint32_t *seed)
{
	struct driver_buf cut[8];
	uint8_t *ram = mem.region[0].hva;
	unsigned i, n;

	for (;;) {
		n = driver_shatter(bufs, 4, seed, cut, 8);
		if (driver_add(&drv, cut, n, driver_random(seed) % 2 ? TABLE : 0) < 0)
			break;
	}
	driver_publish(&drv);
	for (i = driver_random(seed) % 8; i; i--)
		ram[RING + driver_random(seed) % driver_bytes(drv.size)] = driver_random(seed);
	for (i = driver_random(seed) % 4; i; i--)
		ram[TABLE + driver_random(seed) % 128] = driver_random(seed);
}

static void check_elements(void)
{
	unsigned i;

	ck_assert_uint_le(chain.nout + chain.nin, PIECES);
	for (i = 0; i < chain.nout + chain.nin; i++) {
		const uint8_t *at = iov[i].iov_base;
		const struct mem_region *r = &mem.region[0];

		if (at < r->hva || at >= r->hva + REGION)
			r++;
		ck_assert(at >= r->hva && iov[i].iov_len <= REGION &&
			  at + iov[i].iov_len <= r->hva + REGION);
	}
}

/* Any bytes in the ring: elements inside of memory, an end in reasonable time, and a new life. */
START_TEST(hostile)
{
	unsigned round, i, popped = 0, broken = 0;
	uint32_t seed = 4711 + _i;

	for (round = 0; round < 5000; round++) {
		open_queue(1 << driver_random(&seed) % 6, driver_random(&seed) % 2, 0);
		make_hostile_ring(&seed);
		for (i = 0; i < 2 * drv.size && pop() > 0; i++) {
			check_elements();
			ck_assert_uint_le(vq.inflight, drv.size);
			popped++;
			vq_push(&vq, chain.head, 0);
			if (driver_random(&seed) % 2)
				vq_flush(&vq);
			vq_rearm(&vq);
		}
		ck_assert_uint_le(i, drv.size);
		broken += !!vq.broken;
		close_queue();
	}
	/* Both ends of the range are reached, or the test tests nothing. */
	ck_assert_uint_gt(popped, 1000);
	ck_assert_uint_gt(broken, 1000);
	open_queue(8, false, 0);
	pass(8);
	close_queue();
}
END_TEST

Suite *queue_chain_suite(void)
{
	Suite *s = suite_create("queue_chain");
	TCase *tc = unit_case(s, "queue");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, unpopped_comes_again);
	tcase_add_loop_test(tc, pop_gives_the_chain, 0, 2);
	tcase_add_test(tc, chain_then_table);
	tcase_add_test(tc, buffer_across_regions);
	tcase_add_loop_test(tc, bad_ring_breaks, 0, ARRAY_SIZE(bad_rings));
	tcase_add_test(tc, indirect_must_be_negotiated);
	tcase_add_loop_test(tc, more_pieces_than_room, 0, 2);
	tcase_add_test(tc, four_gib_at_most);
	tcase_add_loop_test(tc, shatter, 0, unit_rows(4));
	tcase_add_test(tc, cut_at_every_byte);
	tcase_add_loop_test(tc, hostile, 0, unit_rows(4));
	return s;
}

UNIT_MAIN(queue_chain_suite)
