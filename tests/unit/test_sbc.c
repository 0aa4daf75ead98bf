/* SPDX-License-Identifier: MIT */
#include "tests/lib/scsi_examples.h"
#include "tests/lib/scsi_run.h"

#include <errno.h>

#include "tests/unit/unit.h"
#include "vmm/core/util.h"

Suite *sbc_suite(void);

static struct scsi_rig rig;
static uint8_t data[256 * 512], out[256 * 512];

static void setup(void)
{
	size_t i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 11 + 3);
	memset(data, 0xee, sizeof(data));
	rig_init(&rig);
}

static void teardown(void)
{
	rig_fini(&rig);
}

#define LAST (RIG_BLOCKS - 1)
#define OVERRUN RIG_RESPONSE(SCSI_RESPONSE_OVERRUN)

/* A CDB of a given opcode, in the layout of its length. */
static void rw_cdb(uint8_t cdb[SCSI_CDB_MAX], uint8_t opcode, uint64_t lba, uint32_t blocks)
{
	memset(cdb, 0, SCSI_CDB_MAX);
	cdb[0] = opcode;
	switch (opcode >> 5) {
	case 0:
		be32_put(cdb, (uint32_t)opcode << 24 | (uint32_t)lba);
		cdb[4] = (uint8_t)blocks;
		break;
	case 1:
		be32_put(cdb + 2, (uint32_t)lba);
		be16_put(cdb + 7, (uint16_t)blocks);
		break;
	case 4:
		be64_put(cdb + 2, lba);
		be32_put(cdb + 10, blocks);
		break;
	case 5:
		be32_put(cdb + 2, (uint32_t)lba);
		be32_put(cdb + 6, blocks);
		break;
	}
}

static uint32_t read_blocks(uint8_t opcode, uint64_t lba, uint32_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX];

	rw_cdb(cdb, opcode, lba, blocks);
	return scsi_run(&rig, cdb, NULL, 0, data, len);
}

static uint32_t write_blocks(uint8_t opcode, uint64_t lba, uint32_t blocks, size_t len)
{
	uint8_t cdb[SCSI_CDB_MAX];

	rw_cdb(cdb, opcode, lba, blocks);
	return scsi_run(&rig, cdb, out, len, NULL, 0);
}

static void check_read(uint64_t lba, size_t len)
{
	size_t i;

	ck_assert_uint_eq(rig.cmd.moved, len);
	for (i = 0; i < len; i++)
		ck_assert_uint_eq(data[i], rig_byte(lba * 512 + i));
}

static const uint8_t reads[] = { 0x08, 0x28, 0xa8, 0x88 }, writes[] = { 0x0a, 0x2a, 0xaa, 0x8a };

START_TEST(read_in_all_lengths)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reads); i++) {
		memset(data, 0xee, sizeof(data));
		ck_assert_uint_eq(read_blocks(reads[i], 5, 3, 3 * 512), 0);
		check_read(5, 3 * 512);
		ck_assert_uint_eq(read_blocks(reads[i], LAST, 1, 512), 0);
		check_read(LAST, 512);
	}
	/* Length 0 of a 6-byte command is 256. */
	ck_assert_uint_eq(read_blocks(0x08, 7, 0, 256 * 512), 0);
	check_read(7, 256 * 512);
}
END_TEST

START_TEST(write_in_all_lengths)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(writes); i++) {
		uint64_t lba = 10 + 10 * i;

		ck_assert_uint_eq(write_blocks(writes[i], lba, 2, 2 * 512), 0);
		ck_assert_uint_eq(rig.cmd.moved, 2 * 512);
		ck_assert_mem_eq(rig.ram->bytes + lba * 512, out, 2 * 512);
		ck_assert_uint_eq(rig.ram->bytes[lba * 512 - 1], rig_byte(lba * 512 - 1));
		ck_assert_uint_eq(rig.ram->bytes[lba * 512 + 1024], rig_byte(lba * 512 + 1024));
	}
	ck_assert_uint_eq(write_blocks(0x0a, 100, 0, 256 * 512), 0);
	ck_assert_mem_eq(rig.ram->bytes + 100 * 512, out, 256 * 512);
}
END_TEST

START_TEST(ends_of_the_medium)
{
	static const struct {
		uint64_t lba;
		uint32_t blocks;
		uint32_t result;
	} cases[] = {
		{ LAST, 1, 0 },
		{ LAST, 2, 0x052100 },
		{ LAST + 1, 1, 0x052100 },
		{ 0, 0, 0 },
		{ LAST, 0, 0 },
		{ LAST + 1, 0, 0 },
		{ LAST + 2, 0, 0x052100 },
		{ 1ull << 55, 1, 0x052100 },            /* wraps to byte 0 when shifted */
		{ 1ull << 63, 1, 0x052100 },
		{ UINT64_MAX, 1, 0x052100 },            /* wraps when added */
		{ UINT64_MAX, UINT32_MAX, 0x052100 },
		{ 1, UINT32_MAX, 0x052100 },
		{ 0, RIG_BLOCKS + 1, 0x052100 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		ck_assert_uint_eq(read_blocks(0x88, cases[i].lba, cases[i].blocks, 1024),
				  cases[i].result);
		ck_assert_uint_eq(write_blocks(0x8a, cases[i].lba, cases[i].blocks, 1024),
				  cases[i].result);
		ck_assert_uint_eq(rig.cmd.moved, cases[i].result ? 0 : cases[i].blocks * 512);
		if (cases[i].lba <= UINT32_MAX) {
			ck_assert_uint_eq(read_blocks(0xa8, cases[i].lba, cases[i].blocks, 1024),
					  cases[i].result);
			ck_assert_uint_eq(write_blocks(0xaa, cases[i].lba, cases[i].blocks, 1024),
					  cases[i].result);
		}
	}
	/* Only the last block was ever touched. */
	ck_assert_uint_eq(rig.ram->bytes[0], rig_byte(0));
	ck_assert_uint_eq(rig.ram->bytes[LAST * 512 - 1], rig_byte(LAST * 512 - 1));
}
END_TEST

/* The CDB decides how much is moved; too small a buffer moves nothing. */
START_TEST(buffers)
{
	ck_assert_uint_eq(read_blocks(0x28, 4, 2, 4 * 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 1024);
	ck_assert_uint_eq(data[1023], rig_byte(6 * 512 - 1));
	ck_assert_uint_eq(data[1024], 0xee);
	ck_assert_uint_eq(write_blocks(0x2a, 4, 1, 4 * 512), 0);
	ck_assert_uint_eq(rig.cmd.moved, 512);
	ck_assert_uint_eq(rig.ram->bytes[5 * 512], rig_byte(5 * 512));

	memset(data, 0xee, sizeof(data));
	ck_assert_uint_eq(read_blocks(0x28, 4, 2, 1023), OVERRUN);
	ck_assert_uint_eq(rig.cmd.moved, 0);
	ck_assert_uint_eq(data[0], 0xee);
	rig.ram->nlog = 0;
	ck_assert_uint_eq(write_blocks(0x2a, 8, 2, 1023), OVERRUN);
	ck_assert_uint_eq(rig.cmd.moved, 0);
	ck_assert_uint_eq(rig.ram->nlog, 0);

	/* The wrong direction is as good as none. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, [8] = 1), out, 512, NULL, 0), OVERRUN);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x2a, [8] = 1), NULL, 0, data, 512), OVERRUN);
}
END_TEST

START_TEST(shattered_data)
{
	static const size_t cuts[] = { 8, 100, 511, 513 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		rig.cut = cuts[i];
		ck_assert_uint_eq(read_blocks(0x28, 9, 4, 4 * 512), 0);
		check_read(9, 4 * 512);
		ck_assert_uint_eq(write_blocks(0x2a, 100, 4, 4 * 512), 0);
		ck_assert_mem_eq(rig.ram->bytes + 100 * 512, out, 4 * 512);
		memset(rig.ram->bytes + 100 * 512, 0, 4 * 512);
	}
}
END_TEST

START_TEST(more_pieces_than_room)
{
	struct scsi_flight flight = { .cmd.tag = 0 };

	flight_prepare(&flight, &rig, CDB(0x28, [8] = 1), NULL, 0, data, 0);
	flight.in[0] = (struct iovec){ data, 256 };
	flight.in[1] = (struct iovec){ data + 256, 256 };
	flight.cmd.in = iov_cursor(flight.in, 2);
	flight.cmd.iov_max = 1;
	scsi_submit(&flight.cmd);
	ck_assert_uint_eq(flight_result(&flight), RIG_RESPONSE(SCSI_RESPONSE_FAILURE));
	ck_assert_uint_eq(flight.cmd.moved, 0);
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

/* 32 MiB at once are announced, and no more are taken. The store is thin for this test. */
START_TEST(longest_transfer)
{
	rig.ram->block.size = 1ull << 30;
	ck_assert_uint_eq(read_blocks(0xa8, 0, 65537, 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x06", 3);
	ck_assert_uint_eq(read_blocks(0xa8, 0, 65536, 512), OVERRUN);
	ck_assert_uint_eq(write_blocks(0x8a, 0, 65537, 512), 0x052400);
	ck_assert_mem_eq(rig.cmd.sense + 15, "\xcf\x00\x0a", 3);
}
END_TEST

START_TEST(force_unit_access)
{
	static const uint8_t fua_writes[] = { 0x2a, 0xaa, 0x8a };
	static const uint8_t fua_reads[] = { 0x28, 0xa8, 0x88 };
	uint8_t cdb[SCSI_CDB_MAX];
	size_t i;

	for (i = 0; i < 3; i++) {
		rig.ram->nlog = 0;
		rw_cdb(cdb, fua_writes[i], 3, 1);
		ck_assert_uint_eq(scsi_run(&rig, cdb, out, 512, NULL, 0), 0);
		cdb[1] = 0x18;
		ck_assert_uint_eq(scsi_run(&rig, cdb, out, 512, NULL, 0), 0);
		rw_cdb(cdb, fua_reads[i], 5, 1);
		cdb[1] = 0x08;
		ck_assert_uint_eq(scsi_run(&rig, cdb, NULL, 0, data, 512), 0);
		check_read(5, 512);
		ck_assert_uint_eq(rig.ram->nlog, 4);
		ck_assert_uint_eq(rig.ram->log[0].flags, 0);
		ck_assert_uint_eq(rig.ram->log[1].flags, BLOCK_FUA);
		ck_assert_uint_eq(rig.ram->log[2].io, BLOCK_FLUSH);
		ck_assert_uint_eq(rig.ram->log[3].io, BLOCK_READ);
	}
	/* In a 6-byte command the bit is one of the address. */
	rig.ram->nlog = 0;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x08, 0x08, 0, 0, 1), NULL, 0, data, 512), 0x052100);
	rig.lun.write_cache = false;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x0a, 0, 0, 3, 1), out, 512, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->log[0].flags, BLOCK_FUA);
}
END_TEST

START_TEST(write_protected)
{
	static const uint8_t opcodes[] = { 0x0a, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x41, 0x93,
					   0x42, 0x89 };
	uint8_t before[512];
	size_t i;

	memcpy(before, rig.ram->bytes, 512);
	for (i = 0; i < 2 * ARRAY_SIZE(opcodes); i++) {
		uint8_t cdb[SCSI_CDB_MAX];

		rig.lun.readonly = rig.ram->block.readonly = i % 2;
		rig.lun.swp = !(i % 2);
		rw_cdb(cdb, opcodes[i / 2], 0, 1);
		ck_assert_uint_eq(scsi_run(&rig, cdb, out, 1024, NULL, 0), 0x072700);
		ck_assert_uint_eq(rig.cmd.moved, 0);
	}
	ck_assert_uint_eq(rig.ram->nlog, 0);
	ck_assert_mem_eq(rig.ram->bytes, before, 512);
	ck_assert_uint_eq(read_blocks(0x28, 0, 1, 512), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x35), NULL, 0, NULL, 0), 0);
}
END_TEST

/* It would have been held; what ends it is a pause, after which it is to be sent again. */
START_TEST(full_and_to_be_held)
{
	rig.ram->block.full = FULL_STOP;
	rig.ram->fail_with = -ENOSPC;
	rig.ram->fail_at = 1;
	ck_assert_uint_eq(write_blocks(0x2a, 3, 2, 1024), RIG_STATUS(SCSI_BUSY));
	ck_assert_uint_eq(write_blocks(0x2a, 3, 2, 1024), 0);
	rig.ram->fail_at = 1;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x91), NULL, 0, NULL, 0), 0x072707);
}
END_TEST

START_TEST(store_errors)
{
	static const struct {
		int err;
		uint32_t on_read, on_write;
	} cases[] = {
		{ -EIO, 0x031100, 0x030c00 },
		{ -ENODATA, 0x031100, 0x030c00 },
		{ -ENOSPC, 0x072707, 0x072707 },
		{ -EDQUOT, 0x072707, 0x072707 },
		{ -EFBIG, 0x072707, 0x072707 },
		{ -EROFS, 0x072700, 0x072700 },
		{ -EACCES, 0x072700, 0x072700 },
		{ -EBADF, 0x044400, 0x044400 },
		{ -EOPNOTSUPP, 0x044400, 0x044400 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		rig.ram->fail_with = cases[i].err;
		rig.ram->fail_at = 1;
		ck_assert_uint_eq(read_blocks(0x28, 3, 2, 1024), cases[i].on_read);
		ck_assert_uint_eq(rig.cmd.moved, 0);
		rig.ram->fail_at = 1;
		ck_assert_uint_eq(write_blocks(0x2a, 3, 2, 1024), cases[i].on_write);
		ck_assert_uint_eq(rig.cmd.moved, 0);
		rig.ram->fail_at = 1;
		ck_assert_uint_eq(scsi_run(&rig, CDB(0x91), NULL, 0, NULL, 0), cases[i].on_write);
	}
	/* One block: it is known which. */
	rig.ram->fail_with = -EIO;
	rig.ram->fail_at = 1;
	ck_assert_uint_eq(read_blocks(0x28, 77, 1, 512), 0x031100);
	ck_assert_uint_eq(rig.cmd.sense[0], 0xf0);
	ck_assert_uint_eq(be32_get(rig.cmd.sense + 3), 77);
	/* A READ with FUA whose flush fails reads nothing. */
	rig.ram->fail_at = 1;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x28, 0x08, [8] = 1), NULL, 0, data, 512), 0x030c00);
	ck_assert_uint_eq(rig.cmd.moved, 0);
}
END_TEST

START_TEST(synchronize_cache)
{
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x35), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x35, 0x02, [5] = 9, [8] = 5), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x91), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->nlog, 3);
	ck_assert_uint_eq(rig.ram->log[2].io, BLOCK_FLUSH);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x35, 0, 1), NULL, 0, NULL, 0), 0x052100);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x91, 0, 0x80), NULL, 0, NULL, 0), 0x052100);
	ck_assert_uint_eq(rig.ram->nlog, 3);
}
END_TEST

/* Nothing is read; GOOD, as not all of it is in a cache. */
START_TEST(pre_fetch)
{
	static const uint8_t opcodes[] = { 0x34, 0x90 };
	uint8_t cdb[SCSI_CDB_MAX], immed;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opcodes); i++) {
		for (immed = 0; immed <= 2; immed += 2) {
			rw_cdb(cdb, opcodes[i], LAST - 7, 8);
			cdb[1] |= immed;
			ck_assert_uint_eq(scsi_run(&rig, cdb, NULL, 0, NULL, 0), 0);
			rw_cdb(cdb, opcodes[i], LAST, 2);
			cdb[1] |= immed;
			ck_assert_uint_eq(scsi_run(&rig, cdb, NULL, 0, NULL, 0), 0x052100);
		}
		rw_cdb(cdb, opcodes[i], LAST + 1, 0);
		ck_assert_uint_eq(scsi_run(&rig, cdb, NULL, 0, NULL, 0), 0);
	}
	ck_assert_uint_eq(rig.ram->nlog, 0);
}
END_TEST

/* SYNC_NV and IMMED change nothing. */
START_TEST(synchronize_cache_bits)
{
	static const uint8_t opcodes[] = { 0x35, 0x91 };
	unsigned bits;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(opcodes); i++) {
		for (bits = 0; bits < 8; bits += 2) {
			rig.ram->nlog = 0;
			ck_assert_uint_eq(scsi_run(&rig, CDB(opcodes[i], bits), NULL, 0, NULL, 0),
					  0);
			ck_assert_uint_eq(rig.ram->nlog, 1);
			ck_assert_uint_eq(rig.ram->log[0].io, BLOCK_FLUSH);
		}
		ck_assert_uint_eq(scsi_run(&rig, CDB(opcodes[i], 8), NULL, 0, NULL, 0), 0x052400);
	}
	scsi_lun_eject(&rig.lun);
	for (i = 0; i < ARRAY_SIZE(opcodes); i++)
		ck_assert_uint_eq(scsi_run(&rig, CDB(opcodes[i], 6), NULL, 0, NULL, 0), 0x023a00);
}
END_TEST

/* Which byte has GROUP NUMBER (SBC-3 5, SBC-4 5), by length; 0: no command of it has one. */
static unsigned group_byte(const struct scsi_op *op)
{
	static const uint8_t none[] = { 0x25, 0x37, 0x9e, 0xb7 };
	static const uint8_t bytes[] = { [10] = 6, [12] = 10, [16] = 14 };

	return op->cdb_len < 10 || memchr(none, op->opcode, sizeof(none)) ? 0 : bytes[op->cdb_len];
}

START_TEST(group_number)
{
	static const uint8_t groups[] = { 1, 0x1f, 0x20, 0x3f };
	const struct scsi_op *op;
	unsigned byte, rows = 0;
	size_t i;

	memset(rig.ram->bytes, 0, 1024);
	for (op = sbc_ops; op->run; op++) {
		byte = group_byte(op);
		rows += byte != 0;
		for (i = 0; byte && i < ARRAY_SIZE(groups); i++)
			if (scsi_example_run_with(&rig, op, byte, groups[i]))
				ck_abort_msg("%s: group %u", op->name, groups[i]);
		if (byte)
			ck_assert_uint_eq(scsi_example_run_with(&rig, op, byte, 0x40), 0x052400);
	}
	ck_assert_uint_ge(rows, 20);
}
END_TEST

static uint32_t defects(uint8_t opcode, uint8_t lists, uint8_t alloc_len)
{
	uint8_t cdb[SCSI_CDB_MAX] = { opcode };

	cdb[opcode == 0x37 ? 2 : 1] = lists;
	cdb[opcode == 0x37 ? 8 : 9] = alloc_len;
	memset(data, 0xee, 64);
	return scsi_run(&rig, cdb, NULL, 0, data, 64);
}

/* Empty lists, of the kinds and of the format that are asked for. */
START_TEST(read_defect_data)
{
	unsigned lists;

	for (lists = 0; lists < 0x20; lists++) {
		uint32_t wanted = (lists & 7) < 6 ? 0 : 0x052400;
		uint8_t list[9] = { 0, (uint8_t)lists, 0, 0, 0, 0, 0, 0, 0xee };

		ck_assert_uint_eq(defects(0x37, (uint8_t)lists, 64), wanted);
		ck_assert_uint_eq(rig.cmd.moved, wanted ? 0 : 4);
		if (!wanted)
			ck_assert_mem_eq(data, list, 4);
		ck_assert_uint_eq(defects(0xb7, (uint8_t)lists, 64), wanted);
		ck_assert_uint_eq(rig.cmd.moved, wanted ? 0 : 8);
		if (!wanted)
			ck_assert_mem_eq(data, list, 9);
	}
	ck_assert_uint_eq(defects(0xb7, 0x18, 3), 0);
	ck_assert_mem_eq(data, "\0\x18\0\xee", 4);
	ck_assert_uint_eq(defects(0x37, 0, 0), 0);
	ck_assert_uint_eq(rig.cmd.moved, 0);
}
END_TEST

START_TEST(start_stop)
{
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1b), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->log[0].io, BLOCK_FLUSH);
	ck_assert_uint_eq(read_blocks(0x28, 0, 1, 512), 0x020402);
	ck_assert_uint_eq(write_blocks(0x2a, 0, 1, 512), 0x020402);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x12, [4] = 96), NULL, 0, data, 96), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1a, 0, 0x3f, 0, 96), NULL, 0, data, 96), 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1b, 1, 0, 0, 1), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(read_blocks(0x28, 0, 1, 512), 0);

	rig.ram->nlog = 0;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1b, 0, 0, 0, 4), NULL, 0, NULL, 0), 0);
	ck_assert_uint_eq(rig.ram->nlog, 0);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0), NULL, 0, NULL, 0), 0x020402);
	/* Power conditions and eject are not there. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1b, 0, 0, 0, 0x10), NULL, 0, NULL, 0), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1b, 0, 0, 0, 0x02), NULL, 0, NULL, 0), 0x052400);

	/* A unit whose cache could not be flushed does not stop. */
	rig.lun.stopped = false;
	rig.ram->fail_at = 1;
	rig.ram->fail_with = -EIO;
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x1b), NULL, 0, NULL, 0), 0x030c00);
	ck_assert(!rig.lun.stopped);
}
END_TEST

START_TEST(read_capacity)
{
	static const uint8_t sixteen[32] = { 0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 2, 0, 0, 3, 0xc0 };

	ck_assert_uint_eq(scsi_run(&rig, CDB(0x25), NULL, 0, data, 8), 0);
	ck_assert_mem_eq(data, "\x00\x00\x0f\xff\x00\x00\x02\x00", 8);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x10, [13] = 64), NULL, 0, data, 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 32);
	ck_assert_mem_eq(data, sixteen, 32);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x10, [13] = 12), NULL, 0, data, 64), 0);
	ck_assert_uint_eq(rig.cmd.moved, 12);

	/* An LBA or PMI is of the past. */
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x25, [5] = 1), NULL, 0, data, 8), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x25, [8] = 1), NULL, 0, data, 8), 0x052400);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x10, [14] = 1), NULL, 0, data, 8), 0x052400);

	rig.ram->block.discard_zeroes = false;
	scsi_run(&rig, CDB(0x9e, 0x10, [13] = 32), NULL, 0, data, 32);
	ck_assert_uint_eq(data[14], 0x80);
	rig.lun.discard = false;
	scsi_run(&rig, CDB(0x9e, 0x10, [13] = 32), NULL, 0, data, 32);
	ck_assert_uint_eq(data[14], 0);
}
END_TEST

START_TEST(read_capacity_of_large_ones)
{
	static const struct {
		uint64_t blocks;
		uint32_t last;
	} cases[] = {
		{ 0xffffffff, 0xfffffffe },
		{ 0x100000000, 0xffffffff },
		{ 0x100000001, 0xffffffff },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		rig.ram->block.size = cases[i].blocks * 512;
		ck_assert_uint_eq(scsi_run(&rig, CDB(0x25), NULL, 0, data, 8), 0);
		ck_assert_uint_eq(be32_get(data), cases[i].last);
		ck_assert_uint_eq(scsi_run(&rig, CDB(0x9e, 0x10, [13] = 32), NULL, 0, data, 32), 0);
		ck_assert_uint_eq(be64_get(data), cases[i].blocks - 1);
	}
	/* A part of a block at the end is not there. */
	rig.ram->block.size = 5 * 4096 + 512;
	rig.lun.block_size = 4096;
	rig_restart(&rig);
	ck_assert_uint_eq(scsi_run(&rig, CDB(0x25), NULL, 0, data, 8), 0);
	ck_assert_mem_eq(data, "\x00\x00\x00\x04\x00\x00\x10\x00", 8);
}
END_TEST

START_TEST(blocks_of_4k)
{
	rig.lun.block_size = 4096;
	rig_restart(&rig);
	ck_assert_uint_eq(read_blocks(0x28, 2, 1, 4096), 0);
	check_read(16, 4096);
	ck_assert_uint_eq(read_blocks(0x28, RIG_BLOCKS / 8 - 1, 1, 4096), 0);
	ck_assert_uint_eq(read_blocks(0x28, RIG_BLOCKS / 8, 1, 4096), 0x052100);
	ck_assert_uint_eq(read_blocks(0x28, 2, 1, 4095), OVERRUN);
}
END_TEST

Suite *sbc_suite(void)
{
	Suite *suite = suite_create("sbc");
	TCase *tc = unit_case(suite, "sbc");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, read_in_all_lengths);
	tcase_add_test(tc, write_in_all_lengths);
	tcase_add_test(tc, ends_of_the_medium);
	tcase_add_test(tc, buffers);
	tcase_add_test(tc, shattered_data);
	tcase_add_test(tc, more_pieces_than_room);
	tcase_add_test(tc, longest_transfer);
	tcase_add_test(tc, force_unit_access);
	tcase_add_test(tc, write_protected);
	tcase_add_test(tc, full_and_to_be_held);
	tcase_add_test(tc, store_errors);
	tcase_add_test(tc, pre_fetch);
	tcase_add_test(tc, synchronize_cache);
	tcase_add_test(tc, synchronize_cache_bits);
	tcase_add_test(tc, group_number);
	tcase_add_test(tc, read_defect_data);
	tcase_add_test(tc, start_stop);
	tcase_add_test(tc, read_capacity);
	tcase_add_test(tc, read_capacity_of_large_ones);
	tcase_add_test(tc, blocks_of_4k);
	return suite;
}

UNIT_MAIN(sbc_suite)
