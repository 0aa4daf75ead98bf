/* SPDX-License-Identifier: MIT */
/*
 * trace.h - a line for each command that has ended:
 *
 *	1234.567890 1:0:3 280000000000000800 GOOD 0/00/00 4096 12
 *
 * when it came, in seconds of CLOCK_MONOTONIC; port, target, LUN (- where it is
 * no number); the CDB; how it ended; sense key, code and qualifier; bytes moved;
 * and how many microseconds it took.
 *
 * Lines are gathered, and written at the end of a round of the loop, or when
 * there is no more room.
 */
#ifndef DEVICES_SCSI_TRACE_H
#define DEVICES_SCSI_TRACE_H

#include <stdint.h>

struct loop;
struct scsi_cmd;
struct scsi_trace;
struct stream;

/* @to is borrowed, and others may append to it. NULL: no memory. [the thread of @loop] */
struct scsi_trace *scsi_trace_open(struct stream *to, struct loop *loop);
/* Writes what is left. NULL: nothing to do. */
void scsi_trace_close(struct scsi_trace *trace);
/* @cmd has its answer, at @now in ns. */
void scsi_trace_put(struct scsi_trace *trace, const struct scsi_cmd *cmd, uint64_t now);

#endif
