/* SPDX-License-Identifier: MIT */
/*
 * guest_devices.h - the devices that a command line asks for, and those that they need.
 */
#ifndef RUN_GUEST_DEVICES_H
#define RUN_GUEST_DEVICES_H

struct guest;

/*
 * -errno, or a number of fail.h, after one line; -EOVERLIMIT: the host's memory limit does not
 * allow what they may take. [setup]
 */
int guest_devices(struct guest *g);

#endif
