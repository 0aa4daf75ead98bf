/* SPDX-License-Identifier: MIT */
/*
 * kernel_config.h - the options that a kernel was built with.
 *
 * A kernel with CONFIG_IKCONFIG carries them: gzip between two marks, somewhere
 * in the unpacked kernel. Distributions put them into a file beside the kernel,
 * and a build leaves them in the tree.
 */
#ifndef RUN_KERNEL_CONFIG_H
#define RUN_KERNEL_CONFIG_H

#include <limits.h>

struct image;

struct kernel_config {
	char *text;          /* lines of CONFIG_NAME=value; malloc()ed */
	char from[PATH_MAX]; /* the file that they are from */
};

/*
 * The file beside the kernel @path: config-VERSION for vmlinuz-VERSION; config, or what its build
 * has left, for a kernel of no version. Cheap. -ENOENT: there is none; no line is written.
 */
int kernel_config_beside(const char *path, struct kernel_config *config);

/*
 * @img's own: of a kernel the one inside or the one beside; the file itself, when it is a
 * configuration. -ENOENT: nothing of it; another -errno after one line.
 */
int kernel_config_find(const struct image *img, struct kernel_config *config);

void kernel_config_free(struct kernel_config *config);

/* The value of @option, whose name is without "CONFIG_": 'y', 'm', another first letter, or 'n'. */
char kernel_config_get(const struct kernel_config *config, const char *option);

#endif
