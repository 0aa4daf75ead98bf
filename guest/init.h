/* SPDX-License-Identifier: MIT */
/*
 * init.h - what the files of the guest's init share. One thread, process 1.
 */
#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "guest/ending.h"

/* A line in the kernel's log, and so on the console. */
void init_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The last of these lines, for who could not go on. */
const char *init_said(void);

/* The whole of a small file, as text; cut at @size. Empty when it cannot be read. */
char *init_read(const char *path, char *text, size_t size);
/* One write() of @text. -errno. */
int init_write(const char *path, const char *text);

/*
 * The value of the last NAME=VALUE on the kernel's command line, "" for NAME alone. NULL: there is
 * none. Valid until the next call.
 */
const char *init_word(const char *name);

/* Files of modules, in the order in which they load; mkinitramfs.sh makes it. */
#define MODULES "/etc/modules"

/* Loads a module, from a file that gzip, xz or zstd may have packed. (modules.c) */
void module_load(const char *path);
/* Loads one by its name, and those that it needs, where the initramfs has modules at all. */
void module_probe(const char *name);
/* Why there is no driver that this module has: words for an error line, in @text. */
const char *module_why(const char *name, char *text, size_t size);

/* Is this a virtio device, as "virtio0", that has this ID? (expect.c) */
bool virtio_has_id(const char *device, unsigned id);
/* How many virtio devices with this ID there are, all or those that have a driver. (expect.c) */
unsigned virtio_count(unsigned id, bool bound);

/* A device on a SCSI bus, as the kernel writes it: host:channel:target:lun. (disks.c) */
struct scsi_device {
	unsigned host, channel, target;
	unsigned long long lun;
};

#define DISK_NAME_LEN 32

/* Modules, then disks, so that disks have their names in the order of LUNs. */
void disks_setup(void);
/* All, in order; free()d by the caller. */
struct scsi_device *disks_scan(unsigned *count);
/* LUN @lun of @target, whichever controller has it? */
bool disk_is_at(const struct scsi_device *d, unsigned target, unsigned lun);
/* What the block layer calls it, e.g. "sda"; false: it is none of its devices. */
bool disk_block_name(const struct scsi_device *d, char block[DISK_NAME_LEN]);
/* Its type: 0, a disk; 5, a CD-ROM drive. */
unsigned disk_type(const struct scsi_device *d);
/*
 * A root=: a device, LABEL=, UUID=, PARTLABEL=, PARTUUID=, serial:TEXT, lun:N of the first
 * controller that has it, or blk:N. As "/dev/sda" in @path; false: there is none.
 */
bool disk_look(const char *what, char *path, size_t size);
/* The same, but waits a little for one that comes late. -ENXIO. */
int disk_find(const char *what, char *path, size_t size);
/* A line on stdout for each disk. */
void disks_list(void);

/*
 * Mounts the root file system that root= or lunette.root= names at /mnt. 0: none is named; -errno,
 * after a line; so also the next. (root.c)
 */
int init_mount_root(void);
/* ... and makes it the root of this process, with /dev, /proc and /sys. -errno. */
int init_enter_root(void);

/* As the kernel's command line has it. False, after a line: not so. */
bool init_network(void);

/* Writes back what is in memory, and unmounts disks; those in use can then only be read. */
void init_write_back(void);

/* The console port of this name, open to read and write; it is waited for. -1. (port.c) */
int init_port(const char *name);

/*
 * A process that runs commands for clients of lunette's, in @cwd (NULL: at home), if it is to be
 * there. Borrows @cwd. (exec.c)
 */
void exec_start(const char *cwd);
/* Some child has ended. If it is that process, another one takes its place. */
void exec_ended(pid_t pid, int status);

/* Greets the user of a shell, on stdout: kernel, CPUs, memory, disks. */
void init_greet(void);

/* Runs the command that comes by the control port, to its end, or to the guest's. (job.c) */
enum ending job_main(void);

#endif
