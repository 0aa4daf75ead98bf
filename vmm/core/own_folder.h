/* SPDX-License-Identifier: MIT */
/*
 * own_folder.h - folders that are the user's own, where variables say, or where
 * everybody may write.
 *
 * Not everybody has a home, or a folder for run-time files. Without it one of one's own
 * stands for it in $TMPDIR, /var/tmp or /tmp: "lunette-" and the user's number. There
 * somebody else may have been first, so a folder is looked at before it is used.
 */
#ifndef CORE_OWN_FOLDER_H
#define CORE_OWN_FOLDER_H

#include <limits.h>
#include <stdbool.h>

/* What a variable says, if that is an absolute path; NULL: it is to be taken as not set. */
const char *own_variable(const char *name);

/*
 * 0: @path is a folder of the user's, where he may write and nobody else; it is made before, if it
 * is not there and @make says so. -errno; -EPERM: it is another's, or open to others.
 */
int own_folder(const char *path, bool make);

/* Number @i, from 0 on, of those that stand for a folder that is missing. False: no more. */
bool own_temporary(unsigned i, char path[PATH_MAX]);

#endif
