/* SPDX-License-Identifier: MIT */
/*
 * lio.h - the kernel's SCSI target (LIO), made for a controller's disks and
 * removed after use.
 *
 * LIO is built by making folders in configfs, writing to the files that appear
 * in them, and linking. What we make is
 *
 *	core/KIND_HBA/NAME:LUN            a store: KIND is fileio or iblock
 *	vhost/naa.NAME/tpgt_0/            a target, which the guest sees as number 0
 *		nexus                     the one initiator
 *		lun/lun_LUN/disk          a link to the store
 *
 * with NAME = lunette-PID-START-SPACE:ID, where PID and START (ticks since boot)
 * say which process it belongs to, SPACE in which PID namespace that is, and ID
 * is the controller's. HBA is a number made of PID.
 *
 * So names alone tell what is whose, and there is one way to remove things: by
 * name, whatever there is of them. It serves at the end of a run, after a set-up
 * that failed half-way, and for what a killed run has left. What has another
 * name, or belongs to a process that lives or that cannot be seen from here, is
 * not touched.
 *
 * Everything is [setup], but lio_add(), lio_remove() and lio_destroy(), which need
 * no capability: the folders belong to who made them.
 */
#ifndef DEVICES_LIO_H
#define DEVICES_LIO_H

#include <stdio.h>

#include "devices/why.h"

struct lio;
struct scsi_lun;
struct scsi_port;

/* The tree, and how it is changed: 0 or -errno each. */
struct lio_tree {
	const char *root; /* its folder "target" */
	int (*make)(const char *path);
	int (*remove)(const char *path);
	int (*write)(const char *path, const char *text);
	int (*link)(const char *to, const char *path);
	int (*unlink)(const char *path);
};

/* The kernel's. */
extern const struct lio_tree lio_configfs;

/*
 * Makes a target with the LUNs of @port, which show the same numbers, names, sizes and rights as
 * scsi_submit() would; their blocks stay open until lio_destroy(). Removes what dead runs have left
 * before. -errno: @why has step and cure, and nothing is left.
 */
int lio_create(const struct lio_tree *tree, const char *id, const struct scsi_port *port,
	       struct lio **lio, struct why *why);
/*
 * A LUN comes, or goes, while a guest uses the target; the kernel's event queue tells it. -errno:
 * nothing has changed, and @why has step and cure, or, for one that cannot go, there was a line.
 */
int lio_add(struct lio *lio, struct scsi_lun *lun, struct why *why);
int lio_remove(struct lio *lio, const struct scsi_lun *lun);
/* NULL: nothing to do. */
void lio_destroy(struct lio *lio);
/* The target's name, for vhost. */
const char *lio_wwn(const struct lio *lio);

/* Removes what dead runs have left; a line for each in @out. -errno after one line for each. */
int lio_clean(const struct lio_tree *tree, FILE *out);

#endif
