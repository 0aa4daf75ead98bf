/* SPDX-License-Identifier: MIT */
/*
 * files.h - a run's files in and out: --share, --out, --root.
 *
 * Both travel on disks of the guest's, after the user's own: a folder that is shared as an image
 * (share.h), and what the command leaves in its folder for results as a tar archive on a disk
 * without a file system, which is a file without a name here. The guest finds them by their serial
 * numbers; guest/job.h has what it is told. A folder that is live has a device of its own in place
 * of a disk, and a program that serves it (live.h).
 */
#ifndef RUN_FILES_H
#define RUN_FILES_H

#include <stdint.h>

#include "vmm/core/opt.h"

#define FILES_SHARES_MAX 32
#define FILES_ROOT "lunette-root" /* the serial number of the root file system's disk */

struct files_cfg {
	const char *root;       /* as root.h has it; NULL, or a disk's name: not for us */
	struct opt_list shares; /* DIR[:PATH][,live=on[,rw=on]] */
	const char *out;        /* DIR[:PATH]; NULL: nothing comes out */
	uint64_t out_limit;     /* bytes */
	struct claims *claims;  /* of the run's files */
};

struct claims;
struct files;
struct loop;
struct oci;

/* NULL after one line; errno EUSAGE: the user is wrong. Borrows @cfg. [setup] */
struct files *files_create(const struct files_cfg *cfg);
void files_destroy(struct files *f);

/* The options of the disk with the root file system; NULL: that is the user's affair. */
const char *files_root_disk(const struct files *f);
/* Where guest/init finds the root file system, as lunette.root= says it; NULL: the user says it. */
const char *files_root_word(const struct files *f);
/* What the image of the root file system says of commands in it; NULL: it is no such image. */
const struct oci *files_oci(const struct files *f);
/* The options of its @i-th disk, and the @i-th record for the guest's init; NULL: no more. */
const char *files_disk(const struct files *f, unsigned i);
const char *files_record(const struct files *f, unsigned i);
/* Its @i-th device that another program serves, as --device has it; NULL: no more. */
const char *files_device(struct files *f, unsigned i);
/* Those programs are watched, and @gone is called after one line when one of them has ended.
 * -errno. [setup] */
int files_watch(struct files *f, struct loop *loop, void (*gone)(void *arg), void *arg);
/* Before the devices go, with which those programs end. */
void files_unwatch(struct files *f);
/* Where a command runs that was not told: where the only folder is mounted. NULL: elsewhere. */
const char *files_cwd(const struct files *f);

/* What the guest says of its archive: it has @blocks of 512 bytes; it is not whole. [main] */
void files_heard_out(struct files *f, unsigned blocks);
void files_heard_lost(struct files *f);

/*
 * The machine is no more: results are unpacked until @deadline, CLOCK_MONOTONIC in ms; 0: for half
 * an hour. Else after one line: -EIO, not all of them; -ETIMEDOUT; -EINTR, by *@sig. What a guest
 * that went down did not give has a warning, as such a run has failed anyway.
 */
int files_collect(struct files *f, uint64_t deadline, int *sig);

#endif
