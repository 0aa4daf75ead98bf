/* SPDX-License-Identifier: MIT */
/*
 * reserve_fixture.h - a LUN that three initiators reach, and what they say to one
 * another by persistent reservations.
 */
#ifndef TESTS_RESERVE_FIXTURE_H
#define TESTS_RESERVE_FIXTURE_H

#include "tests/unit/unit.h"

#include "tests/lib/scsi_run.h"
#include "vmm/core/util.h"

static struct scsi_rig rig;
static struct scsi_rig_port ports[2];
static uint8_t data[512];

#define A 0 /* the rig's own port; B and C are the others */
#define B 1
#define C 2
#define KEY(who) (0x1111ull * ((who) + 1))

static inline void setup(void)
{
	rig_init(&rig);
	rig_other_init(&rig, &ports[0], 2);
	rig_other_init(&rig, &ports[1], 3);
}

static inline void teardown(void)
{
	rig_other_fini(&ports[1]);
	rig_other_fini(&ports[0]);
	rig_fini(&rig);
}

static inline uint32_t run(unsigned who, const uint8_t *cdb, const void *out, size_t out_len,
			   size_t in_len)
{
	rig.other = who == A ? NULL : &ports[who - 1];
	return scsi_run(&rig, cdb, out, out_len, data, in_len);
}

enum action { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, IGNORE, MOVE };

static inline uint32_t pr_out(unsigned who, enum action action, uint8_t type, uint64_t key,
			      uint64_t new_key)
{
	uint8_t parameters[24] = { 0 };

	be64_put(parameters, key);
	be64_put(parameters + 8, new_key);
	return run(who, CDB(0x5f, action, type, [8] = 24), parameters, 24, 0);
}

static inline void join(unsigned who)
{
	ck_assert_uint_eq(pr_out(who, REGISTER, 0, 0, KEY(who)), 0);
}

static inline uint32_t tur(unsigned who)
{
	return run(who, CDB(0), NULL, 0, 0);
}

static inline uint32_t read_block(unsigned who)
{
	return run(who, CDB(0x28, [8] = 1), NULL, 0, 512);
}

static inline uint32_t write_block(unsigned who)
{
	static const uint8_t block[512];

	return run(who, CDB(0x2a, [8] = 1), block, 512, 0);
}

#define CONFLICT RIG_STATUS(SCSI_RESERVATION_CONFLICT)

#endif
