/*
 * extract.h - unpacks a tar archive that a guest has written.
 *
 * By libarchive; but the guest is not trusted, so of the archive only this is taken: regular
 * files, folders, hard links to such files, and symbolic links that cannot lead out of the folder.
 * Nothing is written through a symbolic link, the archive's or one that was there; no name is
 * absolute or has "..". Owners, set-user-ID bits, attributes and access lists are dropped.
 */
#ifndef VMM_EXTRACT_H
#define VMM_EXTRACT_H

#include <stdint.h>

#define EXTRACT_ENTRIES_MAX (1u << 20)

/*
 * Unpacks the first @size bytes of the file @archive into @folder, in place of files that are
 * there. @limit: bytes of all files. @what begins its lines. -EIO after one line: not all of it is
 * there; the line says what the first thing missing is, and why. What is left out on purpose has a
 * warning and is no error. Changes the current directory meanwhile: one thread.
 */
int extract_tar(const char *what, int archive, uint64_t size, int folder, uint64_t limit);

#endif
