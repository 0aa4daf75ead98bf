/* SPDX-License-Identifier: MIT */
/*
 * place.h - puts files, folders and links below a folder, and nowhere else.
 *
 * Names come from who is not trusted, and others may change the folder meanwhile. So a name is
 * walked one component after the other, each opened relative to the one before it, as a folder that
 * is no symbolic link; what is open then cannot be exchanged. (openat2() does the same in one call,
 * where the kernel and the container's rules have it.)
 *
 * A file that is there is never opened, but replaced: a new one is written without a name (where
 * the file system cannot do that: as ".lunette-" and a number) and renamed once it is whole. Other
 * names of the old one keep what they have. Owners, set-user-ID bits, attributes and access lists
 * are not taken: mode bits are 0777 at most, less the umask, and at least the owner's own.
 *
 * One thread. All functions that return int return 0 or -errno; place_why() has it in words.
 */
#ifndef RUN_PLACE_H
#define RUN_PLACE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PLACE_PATH_MAX 4095 /* bytes of a name with its folders */

struct claims;
struct place;

/* Below @folder, which is borrowed; its rights and times are left alone. NULL: no memory. */
struct place *place_create(int folder);
/* None of @claims is replaced (-EBUSY). Borrowed. */
void place_spare(struct place *p, struct claims *claims);
/* Sets the times of the folders that were made; drops a file that is not whole. */
void place_destroy(struct place *p);

/* Folders that were made, also those that others needed to be in. */
uint64_t place_folders(const struct place *p);

/* A folder that is there stays as it is; anything else of that name is replaced. */
int place_folder(struct place *p, const char *path, mode_t mode, const struct timespec *mtime);
/* Below, in folders that are made if they are missing; something else but a folder is replaced. */
int place_symlink(struct place *p, const char *path, const char *target,
		  const struct timespec *mtime);
/* @target is a file that was put here by this very struct; -ENOENT: it is not. */
int place_link(struct place *p, const char *path, const char *target);

/* A file: begun, written in any order, and then put in place or dropped. What is not written, up to
 * @size, is a hole. */
int place_begin(struct place *p, const char *path, mode_t mode);
int place_write(struct place *p, const void *data, size_t len, uint64_t off);
int place_commit(struct place *p, uint64_t size, const struct timespec *mtime);
void place_drop(struct place *p);

const char *place_why(int err);

#endif
