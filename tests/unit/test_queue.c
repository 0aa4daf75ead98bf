#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "tests/lib/driver.h"
#include "virtio/queue.h"
#include "vmm/core/iov.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

Suite *queue_suite(void);

#define REGION 0x100000ull
#define RING 0x1000ull
#define DATA 0x40000ull
#define TABLE 0x20000ull
#define PIECES 64

static struct mem mem;
static struct driver drv;
static struct virtqueue vq;
static struct iovec iov[PIECES];
static struct vq_chain chain;

static void open_queue(uint16_t size, bool event_idx, uint16_t start)
{
	driver_init(&drv, &mem, RING, size, event_idx, start);
	vq = (struct virtqueue){ .s = { .max_size = size, .size = size, .event_idx = event_idx,
					.indirect = true, .desc = drv.desc, .driver = drv.driver,
					.device = drv.device, .next_avail = start,
					.next_used = start } };
	ck_assert_int_eq(vq_start(&vq, &mem), 0);
}

static void close_queue(void)
{
	vq_stop(&vq);
	driver_fini(&drv);
}

/* Two regions that touch. */
static void set_up(void)
{
	ck_assert_int_eq(mem_add(&mem, 0, REGION), 0);
	ck_assert_int_eq(mem_add(&mem, REGION, REGION), 0);
}

static void tear_down(void)
{
	mem_free(&mem);
}

static int pop(void)
{
	return vq_pop(&vq, &chain, iov, PIECES);
}

/* A raw descriptor, in the ring's table or in an indirect one. */
static void put_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		     uint16_t next)
{
	uint8_t raw[16];

	le64_put(raw, addr);
	le32_put(raw + 8, len);
	le16_put(raw + 12, flags);
	le16_put(raw + 14, next);
	ck_assert_int_eq(mem_write(&mem, table + 16 * i, raw, sizeof(raw)), 0);
}

static void offer(uint16_t head)
{
	uint8_t raw[2];

	le16_put(raw, head);
	mem_write(&mem, drv.driver + 4 + 2 * (drv.avail & (drv.size - 1)), raw, 2);
	drv.avail++;
	driver_publish(&drv);
}

static const struct vq_state good = { .max_size = 256, .size = 16, .desc = 0x1000,
				      .driver = 0x2000, .device = 0x3000 };

static const struct bad_state {
	uint16_t size;
	uint64_t desc, driver, device;
} bad_states[] = {
	{ 0, 0x1000, 0x2000, 0x3000 },
	{ 3, 0x1000, 0x2000, 0x3000 },
	{ 512, 0x1000, 0x2000, 0x3000 },
	{ 65535, 0x1000, 0x2000, 0x3000 },
	{ 16, 0x1008, 0x2000, 0x3000 },
	{ 16, 0x1000, 0x2001, 0x3000 },
	{ 16, 0x1000, 0x2000, 0x3002 },
	{ 16, 2 * REGION, 0x2000, 0x3000 },
	{ 16, 2 * REGION - 16, 0x2000, 0x3000 },
	{ 16, 0x1000, 2 * REGION - 36, 0x3000 }, /* two bytes too few, for the event index */
	{ 16, 0x1000, 0x2000, 2 * REGION - 132 },
	{ 16, REGION - 16, 0x2000, 0x3000 }, /* in two regions */
	{ 16, UINT64_MAX - 15, 0x2000, 0x3000 },
	{ 16, 0x1000, UINT64_MAX - 1, 0x3000 },
	{ 16, 0x1000, 0x2000, UINT64_MAX - 3 },
};

START_TEST(start_refuses)
{
	const struct bad_state *b = &bad_states[_i];

	vq = (struct virtqueue){ .s = good };
	vq.s.size = b->size;
	vq.s.desc = b->desc;
	vq.s.driver = b->driver;
	vq.s.device = b->device;
	ck_assert_int_eq(vq_start(&vq, &mem), -EINVAL);
	ck_assert(!vq_started(&vq));
}
END_TEST

/* The same checks, for queues that are served elsewhere. */
START_TEST(view)
{
	vq = (struct virtqueue){ .s = good };
	vq.s.size = 0;
	ck_assert_int_eq(vq_view(&vq, &mem), -EINVAL);
	vq.s.size = vq.s.max_size;
	ck_assert_int_eq(vq_view(&vq, &mem), 0);
	ck_assert(!vq_started(&vq));
	ck_assert_ptr_eq(vq.desc, mem_ptr(&mem, vq.s.desc, 1, 1));
	ck_assert_ptr_eq(vq.driver, mem_ptr(&mem, vq.s.driver, 1, 1));
	ck_assert_ptr_eq(vq.device, mem_ptr(&mem, vq.s.device, 1, 1));
	vq.s.device |= 2;
	ck_assert_int_eq(vq_view(&vq, &mem), -EINVAL);
}
END_TEST

START_TEST(start_at_the_very_end)
{
	vq = (struct virtqueue){ .s = good };
	vq.s.desc = REGION - 256;
	vq.s.driver = 2 * REGION - 38;
	vq.s.device = REGION - 512;
	ck_assert_int_eq(vq_start(&vq, &mem), 0);
	ck_assert(vq_started(&vq));
	vq_stop(&vq);
	ck_assert(!vq_started(&vq));
}
END_TEST

START_TEST(start_asks_for_kicks)
{
	uint8_t flags[2];

	driver_init(&drv, &mem, RING, 8, false, 0);
	le16_put(drv.u, VRING_USED_F_NO_NOTIFY);
	vq = (struct virtqueue){ .s = { .max_size = 8, .size = 8, .desc = drv.desc,
					.driver = drv.driver, .device = drv.device } };
	ck_assert_int_eq(vq_start(&vq, &mem), 0);
	mem_read(&mem, drv.device, flags, 2);
	ck_assert_uint_eq(le16_get(flags), 0);
	close_queue();
}
END_TEST

static const struct driver_buf bufs[] = {
	{ DATA, 51, false }, { DATA + 0x1000, 200, false }, { DATA + 0x2000, 108, true },
	{ DATA + 0x3000, 4096, true },
};

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

#define R 0
#define W VRING_DESC_F_WRITE
#define N VRING_DESC_F_NEXT
#define I VRING_DESC_F_INDIRECT

/* What head 0 and, from place 4 on, an indirect table at TABLE look like; each breaks one rule. */
static const struct bad_ring {
	const char *rule;
	uint16_t head;
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[8];
} bad_rings[] = {
	{ "descriptor number out of range", 8, { { 0 } } },
	{ "descriptor number out of range", 0, { { DATA, 1, N, 8 } } },
	{ "descriptor number out of range", 0, { { TABLE, 32, I, 0 }, [4] = { DATA, 1, N, 2 } } },
	{ "chain too long", 0, { { DATA, 0, N, 0 } } },
	{ "chain too long", 0, { { DATA, 1, N, 1 }, { DATA, 1, N, 0 } } },
	{ "chain too long", 0,
	  { { TABLE, 32, I, 0 }, [4] = { DATA, 0, N, 1 }, { DATA, 0, N, 0 } } },
	{ "readable descriptor after a writable one", 0,
	  { { DATA, 1, W | N, 1 }, { DATA, 1, R, 0 } } },
	{ "readable descriptor after a writable one", 0,
	  { { DATA, 1, W | N, 1 }, { TABLE, 16, I, 0 }, [4] = { DATA, 1, R, 0 } } },
	{ "indirect descriptor that is not the last", 0, { { TABLE, 16, I | N, 1 } } },
	{ "indirect descriptor in an indirect table", 0,
	  { { TABLE, 16, I, 0 }, [4] = { TABLE, 16, I, 0 } } },
	{ "length of an indirect table", 0, { { TABLE, 0, I, 0 } } },
	{ "length of an indirect table", 0, { { TABLE, 24, I, 0 } } },
	{ "indirect table outside of memory", 0, { { UINT64_MAX - 7, 16, I, 0 } } },
	{ "indirect table outside of memory", 0, { { 2 * REGION - 8, 16, I, 0 } } },
	{ "indirect table outside of memory", 0, { { UINT64_MAX - 31, 16, I, 0 } } },
	/* In two regions. */
	{ "indirect table outside of memory", 0, { { REGION - 16, 32, I, 0 } } },
	{ "buffer outside of memory", 0, { { 2 * REGION, 1, R, 0 } } },
	{ "buffer outside of memory", 0, { { 2 * REGION - 1, 2, W, 0 } } },
	{ "buffer outside of memory", 0, { { UINT64_MAX, 2, W, 0 } } },
	{ "buffer outside of memory", 0, { { DATA, UINT32_MAX, R, 0 } } },
};

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

/* Popped, pushed but not shown, or available: together they are never more than the ring holds. */
START_TEST(no_more_chains_than_descriptors)
{
	unsigned i;

	open_queue(4, false, 65534);
	for (i = 0; i < 4; i++) {
		put_desc(drv.desc, i, DATA, 1, R, 0);
		offer(i);
	}
	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pop(), 1);
	ck_assert_int_eq(pop(), 0);
	if (_i) { /* pushed, but a driver cannot know */
		vq_push(&vq, 0, 0);
		vq_push(&vq, 1, 0);
	}
	offer(0);
	ck_assert_int_eq(pop(), -EPROTO);
	while (vq.inflight)
		vq_push(&vq, 3, 0);
	close_queue();
}
END_TEST

START_TEST(shown_chains_make_room)
{
	open_queue(1, false, 0);
	put_desc(drv.desc, 0, DATA, 1, R, 0);
	offer(0);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, 0, 0);
	vq_flush(&vq);
	offer(0);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, 0, 0);
	close_queue();
}
END_TEST

START_TEST(used_in_any_order)
{
	uint16_t head[4], got;
	uint32_t len;
	unsigned i;

	open_queue(4, false, 65534);
	for (i = 0; i < 4; i++)
		driver_add(&drv, &bufs[i], 1, 0);
	driver_publish(&drv);
	for (i = 0; i < 4; i++) {
		ck_assert_int_eq(pop(), 1);
		head[i] = chain.head;
	}
	for (i = 0; i < 4; i++)
		vq_push(&vq, head[3 - i], 100 + i);
	ck_assert(!driver_used(&drv, &got, &len)); /* pushed, not shown */
	ck_assert(vq_flush(&vq));
	for (i = 0; i < 4; i++) {
		ck_assert(driver_used(&drv, &got, &len));
		ck_assert_uint_eq(got, head[3 - i]);
		ck_assert_uint_eq(len, 100 + i);
	}
	ck_assert(!driver_used(&drv, &got, &len));
	ck_assert(!vq_flush(&vq)); /* nothing new */
	close_queue();
}
END_TEST

static void pass(unsigned n)
{
	struct driver_buf b = { DATA, 1, true };
	unsigned i;

	for (i = 0; i < n; i++)
		ck_assert_int_ge(driver_add(&drv, &b, 1, 0), 0);
	driver_publish(&drv);
	for (i = 0; i < n; i++) {
		ck_assert_int_eq(pop(), 1);
		vq_push(&vq, chain.head, 1);
	}
}

static void take_used(unsigned n)
{
	uint16_t head;
	uint32_t len;

	while (n--)
		ck_assert(driver_used(&drv, &head, &len));
}

/* §2.7.7.2: exactly when the used index passes used_event, for every event and around the wrap. */
START_TEST(interrupt_exactly_at_the_event)
{
	static const uint16_t starts[] = { 0, 1, 32767, 65533, 65535 };
	uint16_t start = starts[_i];
	unsigned k, event;

	for (k = 1; k <= 4; k++) {
		for (event = 0; event < 65536; event += k == 3 ? 1 : 7) {
			bool expected = false;
			uint8_t raw[2];
			unsigned i;

			if (event == 0) {
				if (vq_started(&vq))
					close_queue();
				open_queue(8, true, start);
			}
			for (i = 0; i < k; i++)
				expected |= (uint16_t)(drv.used + i) == event;
			le16_put(raw, event);
			mem_write(&mem, drv.driver + 4 + 2 * 8, raw, 2);
			pass(k);
			ck_assert_int_eq(vq_flush(&vq), expected);
			take_used(k);
		}
	}
	close_queue();
}
END_TEST

START_TEST(interrupt_by_flag)
{
	open_queue(8, false, 0);
	pass(1);
	ck_assert(vq_flush(&vq));
	take_used(1);
	driver_disarm(&drv);
	pass(2);
	ck_assert(!vq_flush(&vq));
	take_used(2);
	ck_assert(!driver_rearm(&drv));
	pass(1);
	ck_assert(vq_flush(&vq));
	close_queue();
}
END_TEST

START_TEST(kick_exactly_at_the_event)
{
	struct driver_buf b = { DATA, 1, false };

	open_queue(8, true, 65535);
	ck_assert(!vq_rearm(&vq));
	driver_add(&drv, &b, 1, 0);
	ck_assert(driver_publish(&drv)); /* the one we wait for */
	driver_add(&drv, &b, 1, 0);
	ck_assert(!driver_publish(&drv)); /* we are at work already */
	ck_assert_int_eq(pop(), 1);
	ck_assert(vq_rearm(&vq)); /* there is one more */
	vq_push(&vq, chain.head, 0);
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, chain.head, 0);
	ck_assert(!vq_rearm(&vq));
	driver_add(&drv, &b, 1, 0);
	ck_assert(driver_publish(&drv));
	ck_assert_int_eq(pop(), 1);
	vq_push(&vq, chain.head, 0);
	close_queue();
}
END_TEST

START_TEST(indices_wrap)
{
	unsigned i;

	open_queue(4, _i, 0);
	for (i = 0; i < 70000; i++) {
		pass(1 + i % 4);
		vq_flush(&vq);
		take_used(1 + i % 4);
	}
	ck_assert_uint_eq(vq.s.next_avail, vq.s.next_used);
	ck_assert_uint_eq(vq.s.next_used, drv.used);
	close_queue();
}
END_TEST

/* Stop shows what was pushed, and what it leaves is enough for another to go on. */
START_TEST(stop_and_go_on)
{
	struct virtqueue other = { 0 };
	uint16_t head;
	uint32_t len;

	open_queue(4, true, 65530);
	pass(3);
	vq_stop(&vq);
	other.s = vq.s;
	ck_assert_int_eq(vq_start(&other, &mem), 0);
	take_used(3);
	driver_add(&drv, bufs, 4, TABLE);
	driver_publish(&drv);
	ck_assert_int_eq(vq_pop(&other, &chain, iov, PIECES), 1);
	vq_push(&other, chain.head, 77);
	vq_stop(&other);
	ck_assert(driver_used(&drv, &head, &len));
	ck_assert_uint_eq(len, 77);
	driver_fini(&drv);
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

#define EXCHANGES 100000

/* The device side of the exchange, in a thread; sleeps whenever vq_rearm() says that it may. */
struct server {
	int kick, call;
	bool stop;
};

static void *serve(void *arg)
{
	struct server *s = arg;
	struct pollfd p = { .fd = s->kick, .events = POLLIN };
	struct iovec my_iov[4];
	struct vq_chain c;
	eventfd_t n;

	while (poll(&p, 1, 10000) > 0 && !__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
		eventfd_read(s->kick, &n);
		do {
			while (vq_pop(&vq, &c, my_iov, 4) > 0)
				vq_push(&vq, c.head, 1);
			if (vq_flush(&vq))
				eventfd_write(s->call, 1);
		} while (vq_rearm(&vq));
	}
	return NULL;
}

/* Both sides sleep when they may and wake the other when they must: nothing may be lost. */
START_TEST(no_wakeup_is_lost)
{
	struct server s = { .kick = eventfd(0, EFD_NONBLOCK), .call = eventfd(0, EFD_NONBLOCK) };
	struct pollfd p = { .fd = s.call, .events = POLLIN };
	struct driver_buf b = { DATA, 1, true };
	unsigned sent = 0, done = 0, kicks = 0;
	pthread_t thread;
	uint16_t head;
	uint32_t len;
	eventfd_t n;

	open_queue(16, _i, 65000);
	vq_rearm(&vq);
	pthread_create(&thread, NULL, serve, &s);
	while (done < EXCHANGES) {
		while (sent < EXCHANGES && driver_add(&drv, &b, 1, 0) >= 0)
			sent++;
		if (driver_publish(&drv)) {
			eventfd_write(s.kick, 1);
			kicks++;
		}
		while (driver_used(&drv, &head, &len))
			done++;
		if (drv.nfree || driver_rearm(&drv))
			continue;
		ck_assert_msg(poll(&p, 1, 10000) > 0, "lost after %u of %u", done, sent);
		eventfd_read(s.call, &n);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_SEQ_CST);
	eventfd_write(s.kick, 1);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(sent, done);
	ck_assert_uint_eq(vq.inflight, 0);
	ck_assert_uint_le(kicks, EXCHANGES);
	close_queue();
}
END_TEST

Suite *queue_suite(void)
{
	Suite *s = suite_create("queue");
	TCase *tc = unit_case(s, "queue");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, start_refuses, 0, ARRAY_SIZE(bad_states));
	tcase_add_test(tc, view);
	tcase_add_test(tc, start_at_the_very_end);
	tcase_add_test(tc, start_asks_for_kicks);
	tcase_add_loop_test(tc, pop_gives_the_chain, 0, 2);
	tcase_add_test(tc, chain_then_table);
	tcase_add_test(tc, buffer_across_regions);
	tcase_add_loop_test(tc, bad_ring_breaks, 0, ARRAY_SIZE(bad_rings));
	tcase_add_test(tc, indirect_must_be_negotiated);
	tcase_add_loop_test(tc, more_pieces_than_room, 0, 2);
	tcase_add_test(tc, four_gib_at_most);
	tcase_add_loop_test(tc, no_more_chains_than_descriptors, 0, 2);
	tcase_add_test(tc, shown_chains_make_room);
	tcase_add_test(tc, used_in_any_order);
	tcase_add_loop_test(tc, interrupt_exactly_at_the_event, 0, 5);
	tcase_add_test(tc, interrupt_by_flag);
	tcase_add_test(tc, kick_exactly_at_the_event);
	tcase_add_loop_test(tc, indices_wrap, 0, 2);
	tcase_add_test(tc, stop_and_go_on);
	tcase_add_loop_test(tc, shatter, 0, 4);
	tcase_add_test(tc, cut_at_every_byte);
	tcase_add_loop_test(tc, hostile, 0, 4);
	tcase_add_loop_test(tc, no_wakeup_is_lost, 0, 2);
	return s;
}

UNIT_MAIN(queue_suite)
