/* SPDX-License-Identifier: MIT */
/*
 * cmdline.h - the words that the guest's kernel is given.
 */
#ifndef RUN_CMDLINE_H
#define RUN_CMDLINE_H

#define CMDLINE_MAX 2048

struct guest;

/*
 * The architecture's words, what the options stand for, and --append. After the devices. -EUSAGE
 * after one line. [setup]
 */
int cmdline_put(const struct guest *g, char cmdline[CMDLINE_MAX]);

#endif
