/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - giving up rights.
 *
 * Called once, after everything is open and before the first thread is made, as
 * capabilities belong to threads and are inherited by new ones.
 */
#ifndef MACHINE_SANDBOX_H
#define MACHINE_SANDBOX_H

/* No capability is left, and none can be had again. -errno after one line. */
int sandbox_enter(void);

#endif
