/* SPDX-License-Identifier: MIT */
/*
 * claim.h - the files that a run reads and writes: none that it writes is one of the others.
 *
 * Every output is opened here, and so keeps what is in it: only claims_begin(), when the machine is
 * about to run, empties it. A run that does not get so far leaves all as it was, and removes what
 * it has made.
 *
 * Files are compared by device and inode, block devices by their number, and loop devices by the
 * file behind them, too; so it does not matter how they are called. Pipes and character devices may
 * be shared. So may descriptors that lunette was started with, among themselves: who gave one file
 * twice meant it (2>&1). /dev/fd/N and /dev/stdout are such descriptors, and not opened again.
 *
 * An output is locked as an image is that somebody writes to (lock.h): no other run may have it.
 *
 * @what is what the user calls a file, as "--console-log FILE"; lines begin with it. Functions that
 * may fail return -errno after one line; -EUSAGE: the file is another one of the run's, too.
 */
#ifndef CORE_CLAIM_H
#define CORE_CLAIM_H

#include <stdbool.h>

struct claim;  /* of one file */
struct claims; /* of a run */

/* With stdin, stdout and stderr in it. @dry: nothing will run, so no FIFO is waited for. NULL after
 * one line. */
struct claims *claims_create(bool dry);
/* Closes all outputs. NULL: nothing to do. */
void claims_destroy(struct claims *l);
/* All is claimed: what one output is to replace is none that another has made meanwhile. */
int claims_check(struct claims *l);
/* The machine runs: outputs are emptied, also those that are opened later. */
int claims_begin(struct claims *l);
bool claims_have_begun(const struct claims *l);

/* What an output may be, besides a file, a pipe or a device that is opened for writing. */
#define CLAIM_REGULAR 1 /* nothing but a regular file */
#define CLAIM_APPEND 2  /* each write goes to its end */
#define CLAIM_HERE 4    /* no symbolic link */
#define CLAIM_BACK 8    /* it is read, too, by who writes it */

/*
 * Opens an output, which is made where there is none. A FIFO waits for its reader. Returns the
 * descriptor, which is the list's.
 */
int claim_open(struct claims *l, const char *what, const char *path, unsigned flags,
	       struct claim **claim);
/*
 * The same for a file that is to be replaced by another: it need not be writable. -1 in place of
 * the descriptor: there is none.
 */
int claim_replace(struct claims *l, const char *what, const char *path, struct claim **claim);
/* A descriptor that lunette was started with, and that the run writes to. */
int claim_given(struct claims *l, const char *what, int fd);
/* A file that may be there, and that the run would replace. */
int claim_name(struct claims *l, const char *what, const char *path, struct claim **claim);
/* The folder @path of @option, for outputs: it is made where there is none. Returns 0. */
int claim_folder(struct claims *l, const char *option, const char *path);

/*
 * A file that the run reads; @given: lunette was started with the descriptor. @l NULL: nobody keeps
 * a list.
 */
int claim_read(struct claims *l, const char *what, int fd, bool given, struct claim **claim);

/*
 * As claim_read() of a file that the run may read, for all we know: compared with what lunette
 * opens itself, and not put on the list.
 */
int claim_spare(struct claims *l, const char *what, int fd);

/* Is @name in @folder one of these files, also if the run has only read it before? */
bool claims_have(struct claims *l, int folder, const char *name);

/* The run has no more to do with it, and @claim is gone. NULL: nothing to do. */
void claim_drop(struct claim *claim);
/* Another file has its place now: that of @fd, which is the list's from now on. */
void claim_renew(struct claim *claim, int fd);
/* It is kept whatever comes: something of worth is in it. */
void claim_keep(struct claim *claim);
/* Did the claim make the file? */
bool claim_made(const struct claim *claim);
/* It turned out to be another one of the run's, too, so it must not be written. */
bool claim_refused(const struct claim *claim);
/* Where it really is; borrowed. NULL: it has no name. */
const char *claim_path(const struct claim *claim);

/* The descriptor that a path like /dev/fd/3 stands for; -1: none. */
int claim_descriptor(const char *path);

#endif
