/* SPDX-License-Identifier: MIT */
/*
 * kernel_find.h - which kernel --kernel means, and where its modules are.
 *
 * "host" is the kernel of this system: the one that runs, or else the newest that is installed. A
 * folder is a kernel's source or build tree, or one with a vmlinuz and its modules in it. Any other
 * word is a kernel's file, whose modules are looked for where distributions have them.
 */
#ifndef RUN_KERNEL_FIND_H
#define RUN_KERNEL_FIND_H

#define KERNEL_RELEASE_MAX 128

/* All zero: nothing. */
struct kernel_found {
	char *image;   /* malloc()ed; NULL: nothing was found */
	char *modules; /* the folder with modules.order or modules.dep, malloc()ed; NULL: none */
	char release[KERNEL_RELEASE_MAX]; /* as uname -r has it; "": not known */
};

/*
 * @option begins the lines. -errno after one line: there is none, it cannot be read, or no memory.
 * A file that does not exist is found all the same: who opens it says so.
 */
int kernel_find(const char *option, const char *text, struct kernel_found *found);

/* The same of "host", where @root is put before all names ("": nothing), and @running runs. */
int kernel_find_host(const char *option, const char *root, const char *running,
		     struct kernel_found *found);

/*
 * The folder @dir, whose name is the release: vmlinuz, and lib/modules/RELEASE. -ENOENT, without a
 * line: there is none.
 */
int kernel_find_release(const char *dir, struct kernel_found *found);

void kernel_found_free(struct kernel_found *found);

#endif
