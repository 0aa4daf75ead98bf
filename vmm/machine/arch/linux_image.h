/* SPDX-License-Identifier: MIT */
/*
 * linux_image.h - a Linux kernel into guest memory, where it is what Linux calls an "Image".
 *
 *	Image            the kernel as it lies in memory, with a header of 64 bytes
 *	Image.gz, .zst   that, packed
 *	zboot            an EFI program that unpacks itself, with an Image packed in it
 *
 * It is entered at its first byte, without paging, with the device tree's address in a register.
 * Documentation/arch/arm64/booting.rst and arch/riscv/boot.rst of Linux have the protocol. The
 * tree is at the end of what the kernel surely maps, the initrd below it.
 */
#ifndef MACHINE_LINUX_IMAGE_H
#define MACHINE_LINUX_IMAGE_H

#include "vmm/core/util.h"

#define TREE_ROOM 0x20000 /* bytes for the device tree */
#define TREE_AREA GIB(1)  /* of RAM: device tree and initrd are there, and the kernel */

struct arch_entry;
struct image;
struct image_list;
struct mem;

/*
 * Does what arch_load() has to; RAM is the first region of @mem. @magic: the four bytes that tell
 * an Image of this architecture, the last ones of its header. -errno after one line. [setup]
 */
int linux_image_load(const char *magic, struct mem *mem, const struct image *kernel,
		     const struct image_list *initrds, const char *cmdline,
		     struct arch_entry *entry);

#endif
