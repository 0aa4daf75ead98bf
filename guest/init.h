/*
 * init.h - what the files of the guest's init share. One thread, process 1.
 */
#ifndef GUEST_INIT_H
#define GUEST_INIT_H

#include <stdbool.h>
#include <stddef.h>

/* A line in the kernel's log, and so on the console. */
void init_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The whole of a small file, as text; cut at @size. Empty when it cannot be read. */
char *init_read(const char *path, char *text, size_t size);
/* One write() of @text. -errno. */
int init_write(const char *path, const char *text);

/*
 * The value of the last NAME=VALUE on the kernel's command line, "" for NAME alone. NULL: there is
 * none. Valid until the next call.
 */
const char *init_word(const char *name);

/* Modules, then disks, so that disks have their names in the order of LUNs. (disks.c) */
void disks_setup(void);
/*
 * A root=: a device, LABEL=, UUID=, serial:TEXT, or lun:N of the first controller that has it;
 * waits a little for one that comes late. As "/dev/sda" in @path. -ENXIO: there is none.
 */
int disk_find(const char *what, char *path, size_t size);
/* A line on stdout for each disk. */
void disks_list(void);

/* Mounts the root file system that root= or lunette.root= names at /mnt. 0: none is named. */
int init_mount_root(void);
/* ... and makes it the root of this process, with /dev, /proc and /sys. -errno. */
int init_enter_root(void);

/* Writes back what is in memory, and unmounts disks; those in use can then only be read. */
void init_write_back(void);

/* Runs the command that comes by the control port, to its end. (job.c) */
void job_main(void);

#endif
