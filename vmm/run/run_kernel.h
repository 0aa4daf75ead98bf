/* SPDX-License-Identifier: MIT */
/*
 * run_kernel.h - the kernel that --kernel names, or that is taken where it is not given, and the
 * initial file system that suits it where the user has not brought one.
 */
#ifndef RUN_RUN_KERNEL_H
#define RUN_RUN_KERNEL_H

#include <stdbool.h>

#include "vmm/run/kernel/kernel_find.h"

struct guest_cfg;

/* What was found; it has the texts that the guest's configuration then borrows. */
struct run_kernel {
	struct kernel_found found;
	char *made, *base, *modules; /* NULL: not that; the first is one of ours */
	int archive;                 /* of modules; -1: none */
	bool packaged;               /* a distribution's: it sees no disks without modules */
};

/* Those that "lunette kernel build" makes: what --kernel calls them, the file, what makes it. */
struct kernel_made {
	const char *name, *file, *cure;
};

/* The first one is what a command has where it is there; the last one has no name. */
extern const struct kernel_made kernels_made[];

/*
 * Sets @cfg->kernel, to a file, and adds to @cfg->initrds where a command, or a root that only our
 * init can make (@own_init), needs what the user has not given. -errno after one line. [setup]
 */
int run_kernel_find(struct guest_cfg *cfg, bool own_init, struct run_kernel *to);
/*
 * What --kernel @word means, and nothing else: to->made, or to->found, which has an image then.
 * -errno after one line, also where that file cannot be read. [setup]
 */
int run_kernel_which(const char *word, struct run_kernel *to);
/* After the run, or the other call. */
void run_kernel_free(struct run_kernel *k);

#endif
