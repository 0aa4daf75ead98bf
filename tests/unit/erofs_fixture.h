/* SPDX-License-Identifier: MIT */
/*
 * erofs_fixture.h - reads an image as Linux does (fs/erofs/erofs_fs.h), of the kinds that lunette
 * makes.
 */
#ifndef TESTS_EROFS_FIXTURE_H
#define TESTS_EROFS_FIXTURE_H

#include "tests/unit/unit.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"

struct inode {
	unsigned mode, xattrs, format;
	uint64_t size, place;
	uint32_t where, uid, gid, links, nsec;
	int64_t mtime;
	char text[4096]; /* the first bytes of its content */
	uint8_t xattr[64];
};

static inline void read_bytes(int fd, void *to, size_t len, uint64_t at)
{
	ck_assert_int_eq(pread(fd, to, len, at), (ssize_t)len);
}

static inline void read_inode(int fd, uint64_t number, struct inode *i)
{
	uint8_t super[128], raw[64];

	read_bytes(fd, super, sizeof(super), 1024);
	ck_assert_uint_eq(le32_get(super), 0xe0f5e1e2);
	ck_assert_uint_eq(super[12], 12);
	i->place = le32_get(super + 40) * 4096ull + number * 32;
	read_bytes(fd, raw, sizeof(raw), i->place);
	i->format = le16_get(raw);
	ck_assert_uint_eq(i->format & ~4u, 1); /* 64 bytes, plain or inline */
	ck_assert_uint_le(i->place % 4096, 4096 - sizeof(raw));
	i->xattrs = le16_get(raw + 2);
	i->mode = le16_get(raw + 4);
	i->size = le64_get(raw + 8);
	i->where = le32_get(raw + 16);
	i->uid = le32_get(raw + 24);
	i->gid = le32_get(raw + 28);
	i->mtime = le64_get(raw + 32);
	i->nsec = le32_get(raw + 40);
	i->links = le32_get(raw + 44);
	memset(i->text, 0, sizeof(i->text));
	if (i->format & 4) {
		ck_assert_uint_le(i->place % 4096 + 64 + i->size, 4096);
		read_bytes(fd, i->text, i->size, i->place + 64);
	} else if (!S_ISCHR(i->mode) && i->size) {
		read_bytes(fd, i->text, min_u64(i->size, sizeof(i->text) - 1),
			   i->where * 4096ull);
	}
	if (i->xattrs)
		read_bytes(fd, i->xattr, sizeof(i->xattr), i->place + 64);
}

/* The number of @name in a folder, as the kernel finds it: names are in the order of bytes. */
static inline bool find_name(int fd, const struct inode *folder, const char *name, uint64_t *number)
{
	char before[256] = "", is[256];
	uint64_t at, size, n, k, from, to;
	uint8_t block[4096];
	bool found = false;

	ck_assert(S_ISDIR(folder->mode));
	for (at = 0; at < folder->size; at += 4096) {
		size = min_u64(4096, folder->size - at);
		read_bytes(fd, block, sizeof(block), folder->where * 4096ull + at);
		n = le16_get(block + 8) / 12;
		for (k = 0; k < n; k++) {
			from = le16_get(block + k * 12 + 8);
			to = k + 1 < n ? le16_get(block + k * 12 + 20) : size;
			snprintf(is, sizeof(is), "%.*s", (int)(to - from), block + from);
			ck_assert_int_lt(strcmp(before, is), 0);
			strcpy(before, is);
			if (strcmp(is, name))
				continue;
			*number = le64_get(block + k * 12);
			found = true;
		}
	}
	return found;
}

/* What is at "a/b/c"; false: nothing. Links are not followed. */
static inline bool find_path(int fd, const char *path, struct inode *i)
{
	char copy[4096], *rest = copy, *name;
	uint8_t super[128];
	uint64_t number;

	read_bytes(fd, super, sizeof(super), 1024);
	read_inode(fd, le16_get(super + 14), i);
	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "/"))) {
		if (!*name)
			continue;
		if (!find_name(fd, i, name, &number))
			return false;
		read_inode(fd, number, i);
	}
	return true;
}

static inline void check_text(int fd, const char *path, const char *text)
{
	struct inode i;

	ck_assert_msg(find_path(fd, path, &i), "no %s", path);
	ck_assert_str_eq(i.text, text);
}

#endif
