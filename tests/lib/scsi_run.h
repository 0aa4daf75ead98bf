/* SPDX-License-Identifier: MIT */
/*
 * scsi_run.h - a target with one LUN in memory, and a way to run one command.
 *
 * LUN 0 has RIG_BLOCKS blocks of 512 bytes; every byte holds a number made from
 * its position (rig_byte). Its power-on attention is taken already.
 */
#ifndef TESTS_LIB_SCSI_RUN_H
#define TESTS_LIB_SCSI_RUN_H

#include "devices/scsi/op.h"
#include "tests/lib/ramstore.h"

#define RIG_BLOCKS 4096
#define RIG_IOVS 256

/* Another initiator's way to LUN 0. */
struct scsi_rig_port {
	struct scsi_port port;
	struct scsi_ctx ctx;
};

struct scsi_rig {
	struct loop *loop;
	struct ramstore *ram;
	struct scsi_lun lun;
	struct scsi_port port;
	struct scsi_ctx ctx;
	struct scsi_cmd cmd; /* the last one of scsi_run() */
	size_t cut;          /* bytes of one iovec element; 0: all in one */
	uint8_t target, lun_field[8];
	struct scsi_rig_port *other; /* who sends; NULL: the rig's own port */
	void (*step)(void);  /* before each command of scsi_run(); NULL: nothing */
};

/* A command in flight, with all that it needs. */
struct scsi_flight {
	struct scsi_cmd cmd; /* kept after the end */
	struct iovec out[RIG_IOVS], in[RIG_IOVS], io[RIG_IOVS];
	unsigned done;       /* how often it ended */
};

#define CDB(...) ((const uint8_t[SCSI_CDB_MAX]){ __VA_ARGS__ })

uint8_t rig_byte(uint64_t at);

void rig_init(struct scsi_rig *rig);
/* One more LUN, without a power-on attention. It must live as long as the rig. */
void rig_add(struct scsi_rig *rig, struct scsi_lun *lun);
/* Powers LUN 0 on again, alone, after a test has changed its fixed facts or the store's. */
void rig_restart(struct scsi_rig *rig);
void rig_fini(struct scsi_rig *rig);
/*
 * Saves LUN 0, destroys it and all that knows of it by @tear_down, makes it anew by @set_up, and
 * restores it. What the test has set in @rig stays, and what is on the medium.
 */
void rig_rebirth(struct scsi_rig *rig, void (*tear_down)(void), void (*set_up)(void));
/* A second port, without a power-on attention. Ends before the rig. */
void rig_other_init(struct scsi_rig *rig, struct scsi_rig_port *other, uint16_t id);
void rig_other_fini(struct scsi_rig_port *other);

/*
 * Runs a command to its end; what there is to know more is in rig->cmd. Returns 0 for GOOD,
 * 0xKKAAQQ for sense data, RIG_STATUS(status), or RIG_RESPONSE(response).
 */
#define RIG_STATUS(status) (0x1000000u | (status))
#define RIG_RESPONSE(response) (0x2000000u | (response))
uint32_t scsi_run(struct scsi_rig *rig, const uint8_t *cdb, const void *out, size_t out_len,
		  void *in, size_t in_len);

/* Fills in a command; its tag stays what it is. */
void flight_prepare(struct scsi_flight *flight, struct scsi_rig *rig, const uint8_t *cdb,
		    const void *out, size_t out_len, void *in, size_t in_len);
/* Starts one and lets it be. */
void flight_start(struct scsi_flight *flight, struct scsi_rig *rig, const uint8_t *cdb,
		  const void *out, size_t out_len, void *in, size_t in_len);
uint32_t flight_result(const struct scsi_flight *flight);

#endif
