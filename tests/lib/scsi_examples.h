/* SPDX-License-Identifier: MIT */
/*
 * scsi_examples.h - for each row of the command tables one CDB that asks for
 * something, with its data: what a test runs that is about all commands.
 */
#ifndef TESTS_LIB_SCSI_EXAMPLES_H
#define TESTS_LIB_SCSI_EXAMPLES_H

#include "tests/lib/scsi_run.h"

/* The command that turns the write cache off is the example of MODE SELECT. */
struct scsi_example {
	uint8_t cdb[SCSI_CDB_MAX]; /* opcode and service action are the row's */
	size_t out_len, in_len;
	uint8_t out[64];           /* the rest of the data is zeroes */
};

/* NULL: the list is not complete. */
const struct scsi_example *scsi_example(const struct scsi_op *op);
/* As scsi_run(). */
uint32_t scsi_example_run(struct scsi_rig *rig, const struct scsi_op *op);
/* With @bits set in a byte of the CDB. */
uint32_t scsi_example_run_with(struct scsi_rig *rig, const struct scsi_op *op, unsigned byte,
			       uint8_t bits);
/* As flight_start(); one at a time, as the data is shared. */
void scsi_example_start(struct scsi_flight *flight, struct scsi_rig *rig,
			const struct scsi_op *op);

#endif
