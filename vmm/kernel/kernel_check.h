/*
 * kernel_check.h - does a kernel have what a guest's devices need?
 *
 * One table has the options for each class of devices; what belongs to the
 * architecture is in its own, arch_kernel_needs (arch.h).
 */
#ifndef VMM_KERNEL_CHECK_H
#define VMM_KERNEL_CHECK_H

#include <stdbool.h>
#include <stdio.h>

struct device_list;
struct kernel_config;

enum kernel_need_level {
	KERNEL_NEED_ANY,     /* built in, or a module, which an initrd has to load */
	KERNEL_NEED_BUILTIN, /* is needed before any module could be loaded */
	KERNEL_NEED_NICE,    /* works without */
};

struct kernel_need {
	const char *class;  /* of devices, or what its name begins with; NULL: whatever there is */
	const char *option; /* without "CONFIG_"; NULL ends a table */
	enum kernel_need_level level;
	const char *why;    /* a few words */
};

/*
 * Prints a line for each option that is missing, as it would stand in a configuration with the
 * reason behind it; those that are only nice to have, and modules, as comments. @list NULL: for all
 * classes of devices. Returns how many are missing that are needed.
 */
unsigned kernel_check_print(const struct kernel_config *config, const struct device_list *list,
			    FILE *out);

/*
 * Before the run of the kernel file @path: one line of warning that names what the devices of @list
 * miss, if its configuration lies beside it. Without an initrd modules do not count.
 */
void kernel_check_warn(const char *path, const struct device_list *list, bool initrd);

#endif
