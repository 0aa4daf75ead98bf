/* SPDX-License-Identifier: MIT */
/*
 * kernel_check.h - does a kernel have what a guest's devices need?
 *
 * What a kernel needs depends on its own architecture, whatever this one is (kernel_needs.h).
 */
#ifndef RUN_KERNEL_CHECK_H
#define RUN_KERNEL_CHECK_H

#include <stdbool.h>
#include <stdio.h>

struct claims;
struct device_list;
struct kernel_config;

/*
 * Prints a line for each option that is missing, as it would stand in a configuration with the
 * reason behind it; those that are only nice to have, and modules, as comments. @list NULL: for all
 * classes of devices. Returns how many are missing that are needed.
 */
unsigned kernel_check_print(const struct kernel_config *config, const struct device_list *list,
			    FILE *out);

/*
 * "lunette kernel check": prints that of the file @path, a kernel of whatever architecture or a
 * configuration of one. The exit status: 0 when nothing is missing, 1 when something is; 201 after
 * one line, when it does not tell.
 */
int kernel_check_file(const char *path);

/*
 * Before the run of the kernel file @path: one line of warning that names what the devices of @list
 * miss, if its configuration lies beside it. Without an initrd modules do not count. -EUSAGE after
 * one line: the configuration is also a file that the run writes.
 */
int kernel_check_warn(const char *path, struct claims *claims, const struct device_list *list,
		      bool initrd);

#endif
