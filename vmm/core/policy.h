/* SPDX-License-Identifier: MIT */
/*
 * policy.h - choices that a run makes for all its devices, and a device for itself.
 *
 * Each has one enum and one list of words, which ends with NULL and which option tables read
 * (OPT_ENUM: a word's place in the list is the value). Where a device may also leave the choice to
 * the run, it has a list with a word more.
 */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

/* May the kernel serve the disks of the guest? */
enum vhost_policy {
	VHOST_AUTO, /* where it can */
	VHOST_ON,   /* or the machine is not to start */
	VHOST_OFF,
};

extern const char *const vhost_words[];
#define VHOST_WORDS "auto|on|off" /* for help */

/* What becomes of a guest's write when a disk of the host's is full? */
enum full_policy {
	FULL_REPORT, /* it fails */
	FULL_STOP,   /* it is held and tried again until there is room */
	FULL_FAIL,   /* the run ends; until then it is held */
	FULL_AS_RUN, /* a disk's: as the run has it */
};

extern const char *const full_words[], *const full_words_of_disks[];

/* What becomes of what a guest writes to an image? */
enum overlay_policy {
	OVERLAY_AUTO,   /* a run's: as ON with a command, else OFF. A disk's: as the run has it */
	OVERLAY_ON,     /* it is kept beside the image, and dropped */
	OVERLAY_OFF,    /* it is written to the image */
	OVERLAY_COMMIT, /* a disk's: beside the image, and written to it after a good run */
};

extern const char *const overlay_words[], *const overlay_words_of_disks[];

/* What becomes of a guest that resets itself? */
enum reboot_policy {
	REBOOT_END,     /* the run ends */
	REBOOT_RESTART, /* it comes back */
};

extern const char *const reboot_words[];

#endif
