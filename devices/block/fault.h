/* SPDX-License-Identifier: MIT */
/*
 * fault.h - a store around another that fails as it is told to.
 *
 *	RULES   RULE[+RULE...]        the first one that matches a request counts
 *	RULE    VERB[:WORD...]        read, write, flush, discard, zero, any
 *
 *	lba=A[-B]    only requests that touch these blocks
 *	after=N      not the first N of those
 *	times=N      only N of those that follow
 *
 *	error=NAME   fails: EIO ENODATA ENOSPC EDQUOT EROFS ENXIO ETIMEDOUT
 *	sense=K/A/Q  fails, and the SCSI command ends with this sense data: key, code and
 *	             qualifier in hex; with key 1, RECOVERED ERROR, it is done as well
 *	delay=MS     takes so much longer
 *	hang         never ends; until other rules are set, or it is aborted
 *	lost         is not done, and seems to be
 *	torn=BYTES   only the first bytes of the data are written
 *	cut          the power fails: what was not flushed is gone, and all fails from now on
 *
 * "write:lba=2048-4095:after=3:times=1:torn=512:error=EIO". There is no chance
 * in it: the same requests in the same order have the same faults.
 *
 * For a cut the store has a cache like a disk's: what is written is in the
 * image once a FLUSH or FUA has been done, and at the end of the run.
 */
#ifndef DEVICES_BLOCK_FAULT_H
#define DEVICES_BLOCK_FAULT_H

#include <stdint.h>

struct block;

/* For the choice of block_open(). */
extern const struct block_ops block_fault;

/*
 * Replaces the rules; "": there are none. Counting begins anew, and what hangs goes on. -EUSAGE,
 * with the old rules in force, after one line. @block was opened with rules. Any thread.
 */
int fault_set(struct block *block, const char *rules);

/*
 * A store around one that is open, and has channels: those go on, and know of no fault. From now on
 * @inner belongs to *@block, which is used in its place; rules count blocks of @block_size bytes.
 * There is no cache, so "cut" is refused here and by fault_set(). -EUSAGE, -EOPNOTSUPP after one
 * line, -ENOMEM. [who opened @inner]
 */
int fault_insert(struct block *inner, uint32_t block_size, const char *rules,
		 struct block **block);

#endif
