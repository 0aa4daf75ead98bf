/* SPDX-License-Identifier: MIT */
/*
 * nameless.h - files without a name: nobody else can open them, and nothing of them is left,
 * whatever ends who has them.
 */
#ifndef CORE_NAMELESS_H
#define CORE_NAMELESS_H

/* Where what may become large is put for a while: $TMPDIR, or else /var/tmp. */
const char *nameless_folder(void);

/*
 * A new and empty file in @dir, to be read, written and closed; only its user may open it. Where
 * the file system cannot make it so, it has a name for a moment, .lunette-XXXXXX. The descriptor,
 * or -errno. Any thread.
 */
int nameless_open(const char *dir);

#endif
