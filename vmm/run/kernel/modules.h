/* SPDX-License-Identifier: MIT */
/*
 * modules.h - the modules of a kernel that its guest needs here, as an archive for its initramfs.
 *
 * They are those of lunette's devices and of a few file systems, with those that they need: each
 * module says that itself (.modinfo), so a build tree will do, which has no index yet. They are
 * unpacked, as the guest's modprobe knows few packings. What a kernel lacks is left out: the
 * guest's init says what is missing. Init loads what /etc/modules lists and asks modprobe for the
 * rest; guest/mkinitramfs.sh makes the same of them.
 */
#ifndef RUN_MODULES_H
#define RUN_MODULES_H

struct kernel_found;

/*
 * The archive (cpio, "newc"), as a file without a name; to be closed. @option begins the line that
 * is written before -errno: a module cannot be read, or no memory. @found has modules and a
 * release. [setup]
 */
int modules_archive(const char *option, const struct kernel_found *found);

/* The name of a module's file, "virtio-pci.ko.xz", as kernels call it: "virtio_pci". */
void modules_name(const char *path, char *name, unsigned size);

#endif
