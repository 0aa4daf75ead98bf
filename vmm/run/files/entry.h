/* SPDX-License-Identifier: MIT */
/*
 * entry.h - what an archive's entry says, in the bytes that the archive has.
 *
 * Names are as they are in it, or in UTF-8 where it says that they are.
 */
#ifndef RUN_ENTRY_H
#define RUN_ENTRY_H

#include <archive_entry.h>
#include <time.h>

static inline const char *entry_path(struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e);

	return path ? path : archive_entry_pathname_utf8(e);
}

static inline const char *entry_hardlink(struct archive_entry *e)
{
	const char *path = archive_entry_hardlink(e);

	return path ? path : archive_entry_hardlink_utf8(e);
}

static inline const char *entry_symlink(struct archive_entry *e)
{
	const char *path = archive_entry_symlink(e);

	return path ? path : archive_entry_symlink_utf8(e);
}

static inline struct timespec entry_mtime(struct archive_entry *e)
{
	return (struct timespec){ archive_entry_mtime(e), archive_entry_mtime_nsec(e) };
}

#endif
