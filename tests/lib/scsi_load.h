/* SPDX-License-Identifier: MIT */
/*
 * scsi_load.h - a driver that keeps a request queue busy: each of SCSI_LOAD_DEPTH
 * requests has a block of a LUN, and writes a new number to it and reads it back
 * in turn.
 *
 * A request that is lost ends by the time limit, one that is done twice, or on
 * other blocks, is seen: by the driver's ring, which knows what is in flight, or
 * by a number that is wrong. In the end the numbers are in the files. What is
 * wrong is a bug, for a program of its own.
 */
#ifndef TESTS_SCSI_LOAD_H
#define TESTS_SCSI_LOAD_H

#include "tests/lib/scsi_driver.h"

#define SCSI_LOAD_QUEUE 2
#define SCSI_LOAD_DEPTH 16

struct scsi_load {
	struct vdriver *v;
	unsigned sent, done;
	struct scsi_load_request {
		uint64_t cmd, data, response, table;
		uint64_t number;
		uint16_t lun;
		bool write;
		int head; /* -1: not in flight */
	} request[SCSI_LOAD_DEPTH];
};

/* On a driver that has just been started. LUNs 0 to @nluns - 1 share the requests. */
void scsi_load_init(struct scsi_load *l, struct vdriver *v, unsigned nluns);
/* Sends those that are not in flight, up to @max, and kicks. */
void scsi_load_send(struct scsi_load *l, unsigned max);
/* Takes the answers that are there. */
void scsi_load_reap(struct scsi_load *l);
/* Waits for all that has been sent. */
void scsi_load_finish(struct scsi_load *l);
/* Sends @count, and waits for all. */
void scsi_load_run(struct scsi_load *l, unsigned count);
/* Of LUN @lun. */
void scsi_load_check_file(const struct scsi_load *l, uint16_t lun, const char *file);

#endif
