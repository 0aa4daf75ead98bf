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
#include "vmm/run/kernel_fetch.h"

const struct kernel_made kernels_made[] = {
	{ "micro", "kernel-micro/vmlinux", "'lunette kernel build' makes it" },
	{ "full", "kernel-full/vmlinux", "'lunette kernel build full' makes it" },
	{ "debug", "kernel-debug/vmlinux", "'lunette kernel build debug' makes it" },
	{ 0 }
};

/* Neither the small kernel, nor this system's: why not, of both. */
static int refuse(const char *micro, const char *host)
{
	log_err("run: no kernel for the guest: no small one, %s (%s); %s",
		micro ? micro : kernels_made->file, kernels_made->cure, host);
	return -ENOENT;
}

/* Who names none gets the small one, or else this system's. */
static int find_default(struct run_kernel *to)
{
	char *where = NULL, why[600];
	int r;

	to->made = installed_look(kernels_made->file, &where);
	if (to->made)
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

/* Which may take a minute: who sits before a terminal hears of it. */
static int fetch(const char *version, struct run_kernel *to)
{
	char *script = installed_script("fetch.sh");
	int r;

	if (isatty(STDERR_FILENO))
		log_text("lunette: --kernel: fetching a kernel of this distribution's; it is kept");
	r = kernel_fetch("--kernel", version, script, &to->found);
	free(script);
	return r;
}

static int find_version(const char *version, struct run_kernel *to)
{
	char *folder = kernel_fetch_folder("--kernel");
	int r = folder ? kernel_fetched(folder, version, &to->found) : -EACCES;

	free(folder);
	to->packaged = true;
	return r == -ENOENT ? fetch(version, to) : r;
}

static int find(const char *kernel, struct run_kernel *to)
{
	const struct kernel_made *made = kernels_made;
	char option[32];

	if (!kernel)
		return find_default(to);
	while (made->name && strcmp(kernel, made->name))
		made++;
	if (made->name) {
		snprintf(option, sizeof(option), "--kernel %s", kernel);
		to->made = installed_part(option, made->file, made->cure);
		return to->made ? 0 : -ENOENT;
	}
	if (kernel_is_version(kernel) && access(kernel, F_OK) < 0)
		return find_version(kernel, to);
	to->packaged = !strcmp(kernel, "host");
	return kernel_find("--kernel", kernel, &to->found);
}

/* init and busybox, and behind them the kernel's modules, if it has any. */
static int add_initrds(struct guest_cfg *cfg, struct run_kernel *to)
{
	int r;

	to->base = installed_part("--initrd", "initramfs.cpio", "'lunette kernel build' in "
				  "lunette's source makes it; --initrd names another one");
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

static bool wants_initrds(const struct guest_cfg *cfg, bool own_init, const struct run_kernel *to)
{
	return !cfg->initrds.count && (cfg->job.argv || own_init ||
		(to->found.modules && to->packaged));
}

int run_kernel_find(struct guest_cfg *cfg, bool own_init, struct run_kernel *to)
{
	unsigned before = log_errors();
	int r;

	*to = (struct run_kernel){ .archive = -1 };
	r = find(cfg->kernel, to);
	if (r == 0 && wants_initrds(cfg, own_init, to))
		r = add_initrds(cfg, to);
	cfg->kernel = to->made ? to->made : to->found.image;
	return log_if_silent(before, "--kernel", r);
}

int run_kernel_which(const char *word, struct run_kernel *to)
{
	unsigned before = log_errors();
	const char *image;
	int r;

	*to = (struct run_kernel){ .archive = -1 };
	r = find(word, to);
	image = to->made ? to->made : to->found.image;
	if (r == 0 && access(image, R_OK) < 0) {
		r = -errno;
		log_err("--kernel %s: %s", image, strerror(-r));
	}
	return log_if_silent(before, "--kernel", r);
}

void run_kernel_free(struct run_kernel *k)
{
	kernel_found_free(&k->found);
	free(k->made);
	free(k->base);
	free(k->modules);
	if (k->archive >= 0)
		close(k->archive);
}
