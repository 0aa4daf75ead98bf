/* SPDX-License-Identifier: MIT */
/*
 * kernel_needs.h - the options of a guest's kernel that are needed.
 *
 * One table has those for each class of devices, on all architectures; what belongs to one of them
 * is in its own. All are in every build, as a kernel is looked at wherever it is to run.
 */
#ifndef RUN_KERNEL_NEEDS_H
#define RUN_KERNEL_NEEDS_H

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

extern const struct kernel_need kernel_needs[];

/* Those of the architecture that @config is for; of this one, when it does not say. */
const struct kernel_need *kernel_needs_of(const struct kernel_config *config);

#endif
