/* SPDX-License-Identifier: MIT */
/*
 * fakelio.h - LIO's configfs tree in a folder, with the rules of the kernel's.
 *
 * Folders come with what the kernel puts into them, and go only when the kernel
 * would let them: a store that has no LUN, a LUN without a link, a nexus without
 * LUNs, and so on. Attributes are files that keep what was written last. One
 * tree at a time.
 */
#ifndef TESTS_LIB_FAKELIO_H
#define TESTS_LIB_FAKELIO_H

#include <stdbool.h>

#include "devices/lio.h"

struct fakelio {
	struct lio_tree tree;
	char root[64];
	unsigned made;      /* calls that make something, so far */
	unsigned fail_at;   /* this one of them fails, with ... */
	int fail_with;      /* ... -errno */
	bool stuck;         /* nothing can be removed: EBUSY */
};

struct fakelio *fakelio_open(void);
/* Removes the folder. */
void fakelio_close(struct fakelio *f);

/* A path in the tree, "%s" and so on; lives until the next call. */
const char *fakelio_path(struct fakelio *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool fakelio_has(struct fakelio *f, const char *path);
/* What was written to an attribute; "" if nothing. Lives until the next call. */
const char *fakelio_text(struct fakelio *f, const char *path);
/* How many stores, targets, LUNs and folders of stores there are. */
unsigned fakelio_count(struct fakelio *f);

/* A whole target with one LUN 0 of these names, as somebody else may have made it. */
void fakelio_add(struct fakelio *f, const char *hba, const char *store, const char *wwn);

#endif
