/* SPDX-License-Identifier: MIT */
/*
 * kernel_words.h - what words of Linux's command line mean for the machine.
 *
 * Words are cut as Linux does: at spaces, but not inside quotes; what follows
 * "--" is not the kernel's.
 */
#ifndef RUN_KERNEL_WORDS_H
#define RUN_KERNEL_WORDS_H

#include <stdbool.h>

struct platform;

/* Is its way to reset the machine a triple fault? The last "reboot=" that names a way counts. */
bool kernel_words_triple_fault(const char *cmdline);

/*
 * Before the run, after the devices: a line of warning for each word because of which the kernel
 * will not find, or not be able to use, devices of the machine, or the machine itself.
 */
void kernel_words_warn(const char *cmdline, const struct platform *p);

#endif
