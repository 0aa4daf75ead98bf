/* SPDX-License-Identifier: MIT */
/*
 * The console, the network interface, the source of random numbers, sockets, the balloon and a disk
 * without SCSI: bad rings, lengths, floods, resets in mid-transfer and writes to the configuration
 * for each, and what each alone understands.
 */
#include <linux/virtio_vsock.h>

#include "tests/hostile/misdeeds.h"

enum { CONSOLE_CONTROL_TX = 3, CONSOLE_PORT_TX = 5, NET_RX = 0, NET_TX = 1, NET_HEADER = 12,
       VSOCK_RX = 0, VSOCK_TX = 1, BALLOON = 0x37 /* features */ };

static void put(unsigned q, unsigned n, uint64_t addr, uint32_t len, uint16_t flags)
{
	queue[q].desc[n].addr = addr;
	queue[q].desc[n].len = len;
	queue[q].desc[n].flags = flags;
	queue[q].desc[n].next = (n + 1) % entries;
}

static const char *random_rings(void)
{
	unsigned i, k, q;

	for (i = 0; i < 600; i++) {
		if (is_broken() || i % 50 == 0)
			start(i & 1 ? EVERYTHING : BASIC);
		q = random32() % queues;
		for (k = 0; k < 8; k++)
			put(q, k, random32() % 2 ? (uintptr_t)data + random32() % 4096 :
			    (uint64_t)random32() << random32() % 33,
			    random32() >> random32() % 32, random32() % 8);
		queue[q].avail.flags = random32();
		offer(q, random32() % 9);
		if (random32() % 8 == 0)
			queue[q].avail.idx += random32();
		kick(q);
	}
	return NULL;
}

static const char *buffers_outside_memory(void)
{
	static const uint64_t nowhere[] = { RAM_END, RAM_END - 1, WINDOW, 0xfee00000, 0xffffffff,
					    0x7fffffffffffffff, 0xffffffffffffffff };
	unsigned i, q, flags;

	for (i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		for (q = 0; q < queues; q++) {
			for (flags = 0; flags <= WRITE; flags += WRITE) {
				start(BASIC);
				put(q, 0, nowhere[i], i % 2 ? 4096 : 0xffffffff, flags);
				offer(q, 0);
				kick(q);
			}
		}
	}
	return NULL;
}

static void fill_all(uint32_t len)
{
	unsigned q, n;

	for (q = 0; q < queues; q++) {
		for (n = 0; n < 64 && n < entries; n++) {
			put(q, n, (uintptr_t)data + 4096 * n, len, q % 2 ? 0 : WRITE);
			offer(q, n);
		}
		kick(q);
	}
}

static const char *resets_in_mid_transfer(void)
{
	unsigned i;

	for (i = 0; i < 200; i++) {
		start(i & 1 ? EVERYTHING : BASIC);
		fill_all(1 + random32() % 4096);
	}
	return NULL;
}

static const char *flood(void)
{
	unsigned i;

	for (i = 0; i < 100; i++)
		fill_all(4096);
	return NULL;
}

static const char *configuration_writes(void)
{
	unsigned i, off;

	for (i = 0; i < 1500; i++) {
		off = random32() % 64;
		if (i % 3 == 0)
			config[off] = random32();
		else if (i % 3 == 1)
			*(volatile uint16_t *)(config + (off & ~1u)) = random32();
		else
			*(volatile uint32_t *)(config + (off & ~3u)) = random32();
	}
	return NULL;
}

/* To the console: of ports that are there and are not, all events, and messages of all lengths. */
static const char *control_messages(void)
{
	struct message {
		uint32_t id;
		uint16_t event, value;
	} *m = (void *)data;
	static const uint32_t ids[] = { 0, 1, 2, 3, 31, 32, 0x7fffffff, 0xffffffff };
	unsigned i;

	for (i = 0; i < 2000; i++) {
		if (is_broken())
			start(BASIC);
		m[i % 64] = (struct message){ ids[random32() % 8], random32() % 10,
					      random32() % 3 };
		put(CONSOLE_CONTROL_TX, i % 64, (uintptr_t)&m[i % 64],
		    random32() % 4 ? sizeof(*m) : random32() % 20, 0);
		offer(CONSOLE_CONTROL_TX, i % 64);
		kick(CONSOLE_CONTROL_TX);
	}
	return NULL;
}

static void say(unsigned q, const void *what, uint32_t len)
{
	struct used_element e;

	put(q, 0, (uintptr_t)what, len, 0);
	offer(q, 0);
	kick(q);
	wait_used(q, &e);
}

/* To the first port, which may be one that the guest's command is told of by (guest/job.h). */
static const char *lines_on_a_port(void)
{
	static const char *const words[] = { "up\n", "start\n", "exit ", "signal ", "oom ", "lost ",
					     "error ", "out ", "0\n", "256\n", "-1\n", "\033[2J\n",
					     "99999999999999999999\n", "\377\n", "\n", "x " };
	static const struct {
		uint32_t id;
		uint16_t event, value;
	} open[] = {
		{ 0, 0, 1 }, /* DEVICE_READY */
		{ 1, 3, 1 }, /* PORT_READY */
		{ 1, 6, 1 }, /* PORT_OPEN */
	};
	const char *word;
	unsigned i, len;

	for (i = 0; i < 3; i++)
		say(CONSOLE_CONTROL_TX, &open[i], sizeof(open[i]));
	for (i = 0; i < 3000; i++) {
		word = words[random32() % (sizeof(words) / sizeof(words[0]))];
		for (len = 0; word[len]; len++)
			data[len] = word[len];
		if (i % 500 == 0)
			say(CONSOLE_PORT_TX, memset(data, 'x', 65536), 65536);
		else
			say(CONSOLE_PORT_TX, data, len);
	}
	return NULL;
}

/* To the network: headers that lie, frames of no length and of too much, and no room for any. */
static const char *frames(void)
{
	unsigned i, k;

	for (i = 0; i < 600; i++) {
		if (is_broken() || i % 60 == 0)
			start(BASIC | (i & 1 ? 0xffffff & ~BIT(22) : 0));
		for (k = 0; k < NET_HEADER + 64; k++)
			data[k] = random32();
		put(NET_TX, 0, (uintptr_t)data, random32() % (NET_HEADER + 2), NEXT);
		put(NET_TX, 1, (uintptr_t)data, random32() % 100000, 0);
		offer(NET_TX, random32() % 2);
		kick(NET_TX);
		put(NET_RX, i % 8, (uintptr_t)data, random32() % 16, WRITE);
		offer(NET_RX, i % 8);
		kick(NET_RX);
	}
	return NULL;
}

static const char *random_numbers(void)
{
	unsigned i, n, zeroes = 0;

	for (i = 0; i < 40; i++) {
		start(BASIC);
		for (n = 0; n < 200 && n < entries; n++) {
			put(0, n, (uintptr_t)data + n, DATA_SIZE - n, WRITE);
			offer(0, n);
		}
		kick(0);
	}
	start(BASIC);
	zero(data, 64);
	put(0, 0, (uintptr_t)data, 64, WRITE);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, NULL))
		return "no answer";
	for (i = 0; i < 64; i++)
		zeroes += !data[i];
	return zeroes < 16 ? NULL : "they are not random";
}

/* To the host's sockets: of a few connections all operations, with lengths and credit that lie. */
static const char *packets(void)
{
	uint64_t cid = *(volatile uint64_t *)config;
	struct virtio_vsock_hdr *h;
	unsigned i, slot;
	uint32_t x;

	for (i = 0; i < 4000; i++) {
		if (is_broken() || i % 500 == 0)
			start(i & 1 ? EVERYTHING : BASIC);
		slot = i % 32;
		x = random32();
		h = (void *)(data + slot * 8192);
		*h = (struct virtio_vsock_hdr){
			.src_cid = x % 64 ? cid : random32(),
			.dst_cid = x % 61 ? 2 : random32() % 4,
			.src_port = x >> 8 & 3, .dst_port = x >> 10 & 1,
			.len = x % 59 ? x >> 12 & 0xfff : random32(),
			.type = x % 53 ? 1 : random32(), .op = x % 47 ? x >> 24 & 7 : random32(),
			.flags = random32() % 5, .fwd_cnt = random32() >> random32() % 32,
			.buf_alloc = random32() >> random32() % 32,
		};
		put(VSOCK_TX, slot, (uintptr_t)h,
		    random32() % 256 ? sizeof(*h) + (x >> 12 & 0xfff) : random32() % 64, 0);
		offer(VSOCK_TX, slot);
		kick(VSOCK_TX);
		put(VSOCK_RX, slot, (uintptr_t)data + 512 * 1024 + slot * 8192,
		    random32() % 256 ? 8192 : random32() % 64, WRITE);
		offer(VSOCK_RX, slot);
		kick(VSOCK_RX);
	}
	return NULL;
}

/*
 * To the balloon: numbers of what is memory, and is not, in both directions; statistics of all
 * lengths; reports of any length. Memory that goes back to the host is zero afterwards, so of what
 * is memory only data are named: not this program.
 */
static const char *pages(void)
{
	uint32_t *pfn = (void *)data, first = ((uintptr_t)data >> 12) + 64, x;
	uint64_t last = DATA_SIZE / 4096 - 64;
	unsigned i, k, q, slot;

	for (i = 0; i < 600; i++) {
		if (is_broken() || i % 100 == 0)
			start((i & 1 ? EVERYTHING : BASIC) | BALLOON);
		slot = i % 32;
		for (k = 0; k < 64; k++) {
			x = random32();
			pfn[64 * slot + k] = x % 3 ? first + x / 3 % last :
					     (RAM_END >> 12) + (x >> (1 + x % 11));
		}
		q = random32() % queues;
		x = random32();
		if (q < 2)
			put(q, slot, (uintptr_t)(pfn + 64 * slot), x % 4 ? 256 : x >> 4 & 0xff, 0);
		else if (x & 1)
			put(q, slot, (uintptr_t)data + 300000 + slot, x >> 4 & 0xfff, 0);
		else
			put(q, slot, (uint64_t)(first + x % 32) << 12, x >> 8 & 0x3ffff, WRITE);
		offer(q, slot);
		kick(q);
		if (i % 16 == 0)
			*(volatile uint32_t *)(config + (x % 4) * 4) = random32() % 3;
	}
	return NULL;
}

/* What goes back to the host is zero when it is touched again. */
static const char *pages_come_back(void)
{
	uint32_t *pfn = (void *)data;
	volatile uint8_t *page = data + 65536;
	unsigned i;

	for (i = 0; i < 4096; i++)
		page[i] = 'x';
	*pfn = (uintptr_t)page >> 12;
	put(0, 0, (uintptr_t)pfn, 4, 0);
	offer(0, 0);
	kick(0);
	if (!wait_used(0, NULL))
		return "no answer";
	for (i = 0; i < 4096; i++)
		if (page[i])
			return "the page is as it was";
	page[0] = 1;
	return page[0] == 1 ? NULL : "the page does not come back";
}

static const struct other {
	unsigned id, queues;
	const char *name;
} others[] = {
	{ VIRTIO_ID_CONSOLE, 6, "console" },
	{ VIRTIO_ID_NET, 2, "net" },
	{ VIRTIO_ID_RNG, 1, "rng" },
	{ VIRTIO_ID_BLOCK, 1, "blk" },
	{ VIRTIO_ID_VSOCK, 3, "vsock" },
	{ VIRTIO_ID_BALLOON, 5, "balloon" },
};

static const struct {
	const char *name;
	const char *(*play)(void);
	unsigned id; /* 0: for all */
	unsigned but; /* the balloon could take what the program itself is in */
} misdeeds[] = {
	{ "random rings", random_rings, .but = VIRTIO_ID_BALLOON },
	{ "buffers outside memory", buffers_outside_memory },
	{ "resets in mid-transfer", resets_in_mid_transfer },
	{ "flood", flood },
	{ "configuration writes", configuration_writes },
	{ "control messages", control_messages, VIRTIO_ID_CONSOLE },
	{ "lines on a port", lines_on_a_port, VIRTIO_ID_CONSOLE },
	{ "frames", frames, VIRTIO_ID_NET },
	{ "random numbers", random_numbers, VIRTIO_ID_RNG },
	{ "packets", packets, VIRTIO_ID_VSOCK },
	{ "pages", pages, VIRTIO_ID_BALLOON },
	{ "pages come back", pages_come_back, VIRTIO_ID_BALLOON },
};

static void play(const struct other *o, const char *name, const char *(*fn)(void))
{
	const char *why;

	start(BASIC);
	why = fn();
	start(BASIC);
	if (!why && (is_broken() || (reg(VIRTIO_MMIO_STATUS) & 0xff) != 15))
		why = "afterwards: the device does not start";
	reset();
	report(o->name, name, why);
}

bool play_others(void)
{
	bool any = false;
	unsigned i, k;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (!find_virtio(others[i].id, others[i].queues))
			continue;
		any = true;
		for (k = 0; k < sizeof(misdeeds) / sizeof(misdeeds[0]); k++)
			if ((!misdeeds[k].id || misdeeds[k].id == others[i].id) &&
			    misdeeds[k].but != others[i].id)
				play(&others[i], misdeeds[k].name, misdeeds[k].play);
	}
	play_blk();
	find_device();
	return any;
}
