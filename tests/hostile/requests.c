/* SPDX-License-Identifier: MIT */
/* Requests, CDBs, task management and events that no good driver sends (virtio 1.3 §5.6.6). */
#include "tests/hostile/misdeeds.h"

static const uint8_t test_unit_ready[6];
static volatile struct request *const answer = request;

static void be(uint8_t *to, uint64_t value, unsigned bytes)
{
	while (bytes--) {
		to[bytes] = value;
		value >>= 8;
	}
}

/* The first command after a start is answered by an attention. */
static bool clear_attention(void)
{
	return run(0, test_unit_ready, 6, false, 0, 0) && run(1, test_unit_ready, 6, false, 0, 0);
}

static const char *short_headers(void)
{
	volatile struct desc *d = queue[REQUEST].desc;
	static const uint32_t cut[][2] = { { 0, 108 }, { 50, 108 }, { 51, 0 }, { 51, 107 },
					   { 8, 8 } };
	unsigned i;
	uint64_t begin;

	for (i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		start(BASIC);
		prepare(0, 0, test_unit_ready, 6, false, 0, 0);
		d[0].len = cut[i][0];
		d[1].len = cut[i][1];
		offer(REQUEST, 0);
		kick(REQUEST);
		begin = cycles();
		while (!is_broken())
			if (cycles() - begin > 10000000000ull)
				return "a request without room for its headers is taken";
	}
	return NULL;
}

/* Legal: a byte in each descriptor. */
static const char *headers_in_crumbs(void)
{
	static uint8_t table[16 * 128];
	volatile struct desc *d = (void *)table;
	unsigned i;

	prepare(0, 0, test_unit_ready, 6, false, 0, 0);
	for (i = 0; i < 51; i++) {
		d[i].addr = (uintptr_t)&request[0].head + i;
		d[i].len = 1;
		d[i].flags = NEXT;
		d[i].next = i + 1;
	}
	for (i = 51; i < 51 + 76; i++) {
		d[i].addr = (uintptr_t)&request[0].tail + i - 51;
		d[i].len = i < 126 ? 1 : 108 - 75;
		d[i].flags = WRITE | (i < 126 ? NEXT : 0);
		d[i].next = i + 1;
	}
	queue[REQUEST].desc[0].addr = (uintptr_t)table;
	queue[REQUEST].desc[0].len = 127 * 16;
	queue[REQUEST].desc[0].flags = INDIRECT;
	offer(REQUEST, 0);
	kick(REQUEST);
	if (!wait_used(REQUEST, NULL))
		return "no answer";
	return answer->tail.response ? "a response that is not OK" : NULL;
}

static const char *both_directions(void)
{
	volatile struct desc *d = queue[REQUEST].desc;

	prepare(0, 0, test_unit_ready, 6, true, (uintptr_t)data, 512);
	d[0].next = 3;
	d[3].addr = (uintptr_t)data;
	d[3].len = 4096;
	d[3].flags = NEXT;
	d[3].next = 1;
	offer(REQUEST, 0);
	kick(REQUEST);
	if (!wait_used(REQUEST, NULL))
		return "no answer";
	return answer->tail.response == VIRTIO_SCSI_S_FAILURE ? NULL : "it is taken";
}

static const char *addresses_of_nobody(void)
{
	static const uint8_t inquiry[6] = { 0x12, [4] = 96 };
	unsigned i, k;

	for (i = 0; i < 3000; i++) {
		prepare(0, 0, inquiry, 6, true, (uintptr_t)data, 96);
		for (k = 0; k < 8; k++)
			if (random32() % 3)
				request[0].head.lun[k] = random32();
		offer(REQUEST, 0);
		kick(REQUEST);
		if (!wait_used(REQUEST, NULL) || answer->tail.response == 0xff)
			return "no answer";
	}
	return NULL;
}

/* LBAs and lengths whose sum, or whose number of bytes, wraps. */
static const char *blocks_out_of_range(void)
{
	static const uint64_t lbas[] = { 32768, 32767, 1ull << 32, 1ull << 55, (1ull << 55) - 1,
					 1ull << 63, UINT64_MAX, UINT64_MAX - 1 };
	static const uint32_t lengths[] = { 2, 0x80000000, 0xffffffff };
	static const uint8_t opcodes[] = { 0x88, 0x8a, 0x8e, 0x8f, 0x91, 0x93 };
	unsigned op, i, k;

	if (!clear_attention())
		return "no answer";
	for (op = 0; op < sizeof(opcodes); op++) {
		for (i = 0; i < sizeof(lbas) / sizeof(lbas[0]); i++) {
			for (k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
				bool in = opcodes[op] == 0x88;
				uint8_t cdb[16] = { opcodes[op] };

				be(cdb + 2, lbas[i], 8);
				be(cdb + 10, lengths[k], 4);
				if (!run(0, cdb, 16, in, (uintptr_t)data, DATA_SIZE))
					return "no answer";
				if (answer->tail.status != 2 || answer->tail.sense[12] != 0x21)
					return "not LBA OUT OF RANGE";
			}
		}
	}
	return NULL;
}

static const char *unmap_out_of_range(void)
{
	static const uint64_t lbas[] = { 32768, 32767, UINT64_MAX, 1ull << 55, 1ull << 63 };
	uint8_t cdb[10] = { 0x42, [8] = 24 };
	unsigned i;

	if (!clear_attention())
		return "no answer";
	for (i = 0; i < sizeof(lbas) / sizeof(lbas[0]); i++) {
		zero(data, 24);
		data[1] = 22;
		data[3] = 16;
		be(data + 8, lbas[i], 8);
		be(data + 16, i & 1 ? 0xffffffff : 2, 4);
		if (!run(0, cdb, 10, false, (uintptr_t)data, 24))
			return "no answer";
		if (answer->tail.status != 2 || answer->tail.sense[12] != 0x21)
			return "not LBA OUT OF RANGE";
	}
	/* Descriptors beyond the list, and more than are allowed. */
	be(cdb + 7, 0xffff, 2);
	be(data, 0xfffd, 2);
	be(data + 2, 0xfff7, 2);
	if (!run(0, cdb, 10, false, (uintptr_t)data, 65535) || answer->tail.status != 2)
		return "4096 descriptors are taken";
	return NULL;
}

static const char *writes_to_the_read_only_disk(void)
{
	static const uint8_t opcodes[] = { 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0x8e, 0xae, 0x41, 0x93,
					   0x89, 0x42 };
	unsigned i;

	if (!clear_attention())
		return "no answer";
	for (i = 0; i < sizeof(opcodes); i++) {
		uint8_t cdb[16] = { opcodes[i], [4] = 1 };

		cdb[opcodes[i] >> 5 == 1 || opcodes[i] >> 5 == 2 ? 8 :
		    opcodes[i] >> 5 == 5 ? 9 : 13] |= 1;
		if (!run(1, cdb, 16, false, (uintptr_t)data, 4096))
			return "no answer";
		if (!answer->tail.status && !answer->tail.response)
			return "a write is GOOD";
	}
	return NULL;
}

/* Any opcode, any fields, either direction, and buffers of any size: each is answered. */
static const char *commands_at_random(void)
{
	unsigned i, k;

	for (i = 0; i < 20000; i++) {
		uint8_t cdb[32];

		for (k = 0; k < sizeof(cdb); k++)
			cdb[k] = random32() % 2 ? random32() : 0;
		if (random32() % 4)
			for (k = 2; k < 14; k++)
				cdb[k] = random32() % 8 ? 0 : random32();
		for (k = 0; k < 64; k++)
			data[k] = random32() % 4 ? 0 : random32();
		if (!run(random32() % 3, cdb, sizeof(cdb), random32() % 2, (uintptr_t)data,
			 random32() % 3 ? random32() % 65536 : 0)) {
			print("opcode ");
			print_number(cdb[0]);
			return ": no answer";
		}
	}
	return NULL;
}

/* Runs a control request of @len bytes with @room for the answer. */
static bool control(const void *req, uint32_t len, volatile uint8_t *resp, uint32_t room)
{
	volatile struct desc *d = queue[CONTROL].desc;

	d[0].addr = (uintptr_t)req;
	d[0].len = len;
	d[0].flags = NEXT;
	d[0].next = 1;
	d[1].addr = (uintptr_t)resp;
	d[1].len = room;
	d[1].flags = WRITE;
	offer(CONTROL, 0);
	kick(CONTROL);
	return wait_used(CONTROL, NULL);
}

static const char *control_requests(void)
{
	static volatile uint8_t resp[16];
	static uint8_t req[64];
	unsigned i, k;

	for (i = 0; i < 3000; i++) {
		for (k = 0; k < sizeof(req); k++)
			req[k] = random32() % 3 ? 0 : random32();
		req[0] = random32() % 6;
		req[4] = random32() % 10;
		req[5] = req[6] = req[7] = random32() % 20 ? 0 : random32();
		req[8] = random32() % 8 != 0;
		resp[0] = 0xee;
		if (!control(req, sizeof(req), resp, sizeof(resp)))
			return "no answer";
	}
	zero(req, sizeof(req));
	for (i = 0; i < 24; i++) {
		start(BASIC);
		control(req, i, resp, sizeof(resp));
		if (!is_broken())
			return "a request that is too short is taken";
	}
	return NULL;
}

/* As many commands as the queue holds, and every task management function while they are served. */
static const char *task_management_under_load(void)
{
	static const uint8_t read[10] = { 0x28, [7] = 8 };
	struct virtio_scsi_ctrl_tmf_req tmf = { .lun = { 1, 0, 0x40, 0 } };
	static volatile uint8_t resp[16];
	unsigned round, n, done;

	for (round = 0; round < 8; round++) {
		start(BASIC);
		for (n = 0; n < QUEUE_MAX / 4; n++) {
			prepare(n, 0, read, 10, true, (uintptr_t)data, DATA_SIZE);
			offer(REQUEST, 4 * n);
		}
		kick(REQUEST);
		tmf.subtype = round;
		tmf.tag = 17;
		if (!control(&tmf, sizeof(tmf), resp, sizeof(resp)))
			return "task management is not answered";
		for (done = 0; done < n; done++)
			if (!wait_used(REQUEST, NULL))
				return "a command is lost";
	}
	return NULL;
}

static const char *event_buffers(void)
{
	volatile struct desc *d = queue[EVENT].desc;
	unsigned i;

	kick(EVENT);
	for (i = 0; i < QUEUE_MAX; i++) {
		d[i].addr = RAM_END + i;
		d[i].len = i;
		d[i].flags = i % 4;
		d[i].next = i;
		offer(EVENT, i);
	}
	kick(EVENT);
	queue[EVENT].avail.idx += QUEUE_MAX;
	kick(EVENT);
	return run(0, test_unit_ready, 6, false, 0, 0) ? NULL : "no answer";
}

static const char *sizes_of_headers(void)
{
	volatile uint32_t *sense_size = (void *)(config + 20), *cdb_size = sense_size + 1;

	static const uint8_t bad[6] = { 0xff };

	start(BASIC);
	*sense_size = 0; /* in service: refused */
	if (*sense_size != 96)
		return "the sizes change in service";
	reset();
	*sense_size = 0;
	*cdb_size = 6;
	if (*sense_size || *cdb_size != 6)
		return "sizes that can be are refused";
	negotiate(BASIC);
	set_queue(REQUEST, QUEUE_MAX, (uintptr_t)queue[REQUEST].desc,
		  (uintptr_t)&queue[REQUEST].avail, (uintptr_t)&queue[REQUEST].used);
	set_reg(VIRTIO_MMIO_STATUS, 15);
	prepare(0, 0, bad, 6, false, 0, 0);
	queue[REQUEST].desc[0].len = 19 + 6;
	queue[REQUEST].desc[1].len = 12;
	request[0].tail.sense[0] = 0xaa;
	offer(REQUEST, 0);
	kick(REQUEST);
	if (!wait_used(REQUEST, NULL))
		return "no answer";
	return answer->tail.sense[0] == 0xaa ? NULL : "sense data beyond its room";
}

const struct misdeed request_misdeeds[] = {
	{ "short headers", short_headers },
	{ "headers in crumbs", headers_in_crumbs, EVERYTHING },
	{ "both directions", both_directions },
	{ "addresses of nobody", addresses_of_nobody },
	{ "blocks out of range", blocks_out_of_range },
	{ "unmap out of range", unmap_out_of_range },
	{ "writes to the read-only disk", writes_to_the_read_only_disk },
	{ "commands at random", commands_at_random, EVERYTHING },
	{ "control requests", control_requests },
	{ "task management under load", task_management_under_load },
	{ "event buffers", event_buffers },
	{ "sizes of headers", sizes_of_headers },
	{ 0 }
};
