/* SPDX-License-Identifier: MIT */
#include "vmm/run/run_kernel.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/run/files/installed.h"
#include "vmm/run/guest.h"
#include "vmm/run/kernel/modules.h"

#define MICRO "kernel-micro/vmlinux"

/* Neither the small kernel, nor this system's: why not, of both. */
static int refuse(const char *micro, const char *host)
{
	log_err("run: no kernel for the guest: no small one, %s ('make guest-kernel' in lunette's "
		"source makes it); %s", micro ? micro : MICRO, host);
	return -ENOENT;
}

/* Who names none gets the small one, or else this system's. */
static int find_default(struct run_kernel *to)
{
	char *where = NULL, why[600];
	int r;

	to->micro = installed_look(MICRO, &where);
	if (to->micro)
		return 0;
	log_hear(why, sizeof(why));
	r = kernel_find("--kernel", "host", &to->found);
	log_hear(NULL, 0);
	if (r < 0)
		r = refuse(where, why);
	else
		log_note("--kernel host: %s, as there is no small kernel (--kernel micro)",
			 to->found.image);
	free(where);
	return r;
}

static int find(const char *kernel, struct run_kernel *to)
{
	if (!kernel)
		return find_default(to);
	if (strcmp(kernel, "micro"))
		return kernel_find("--kernel", kernel, &to->found);
	to->micro = installed_part("--kernel micro", MICRO);
	return to->micro ? 0 : -ENOENT;
}

/* init and busybox, and behind them the kernel's modules, if it has any. */
static int add_initrds(struct guest_cfg *cfg, struct run_kernel *to)
{
	int r;

	to->base = installed_part("--initrd", "initramfs.cpio");
	r = to->base ? opt_list_add(&cfg->initrds, to->base) : -ENOENT;
	if (r < 0 || !to->found.modules || !*to->found.release)
		return r;
	to->archive = modules_archive("--kernel", &to->found);
	if (to->archive < 0)
		return to->archive;
	if (asprintf(&to->modules, "/proc/self/fd/%d", to->archive) < 0) {
		to->modules = NULL;
		return -ENOMEM;
	}
	return opt_list_add(&cfg->initrds, to->modules);
}

/* A kernel with modules cannot even see its disks without them. */
static bool wants_initrds(const struct guest_cfg *cfg, bool own_init, const struct run_kernel *to)
{
	return !cfg->initrds.count && (cfg->job.argv || own_init ||
		(to->found.modules && cfg->kernel && !strcmp(cfg->kernel, "host")));
}

int run_kernel_find(struct guest_cfg *cfg, bool own_init, struct run_kernel *to)
{
	unsigned before = log_errors();
	int r;

	*to = (struct run_kernel){ .archive = -1 };
	r = find(cfg->kernel, to);
	if (r == 0 && wants_initrds(cfg, own_init, to))
		r = add_initrds(cfg, to);
	cfg->kernel = to->micro ? to->micro : to->found.image;
	return log_if_silent(before, "--kernel", r);
}

void run_kernel_free(struct run_kernel *k)
{
	kernel_found_free(&k->found);
	free(k->micro);
	free(k->base);
	free(k->modules);
	if (k->archive >= 0)
		close(k->archive);
}
