/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/bundle.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"

#define BLOCK 512
#define NAME_MAX_HERE 100 /* bytes of a name in a head; longer ones have an entry before it */

/* Of GNU's form of ustar, by which tar programs and busybox know long names and large files. */
struct head {
	char name[NAME_MAX_HERE], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type;
	char link[NAME_MAX_HERE], magic[8], user[32], group[32], major[8], minor[8], prefix[155];
	char pad[12];
};
static_assert(sizeof(struct head) == BLOCK, "a head is a block");

struct bundle {
	int to;
	unsigned left_out;
	char *why;
	size_t size;
	char buf[64 << 10];
};

static int failed(struct bundle *b, const char *name, int err)
{
	snprintf(b->why, b->size, "%s: %s", name, strerror(err));
	return -err;
}

static int put_bytes(struct bundle *b, const void *data, size_t len)
{
	const char *at = data;
	ssize_t n;

	while (len) {
		n = write(b->to, at, len);
		if (n < 0 && errno != EINTR)
			return failed(b, "the archive", errno);
		at += n < 0 ? 0 : n;
		len -= n < 0 ? 0 : n;
	}
	return 0;
}

/* Up to the next block. */
static int put_padding(struct bundle *b, uint64_t len)
{
	static const char zeroes[BLOCK];

	return put_bytes(b, zeroes, align_up(len, BLOCK) - len);
}

/* Octal, or, where that has no room, binary with a mark. */
static void put_number(char *to, size_t size, uint64_t value)
{
	size_t i;

	if (value >> 3 * (size - 1)) {
		for (i = size; i-- > 1; value >>= 8)
			to[i] = (char)value;
		to[0] = (char)0x80;
		return;
	}
	to[size - 1] = 0;
	for (i = size - 1; i--; value >>= 3)
		to[i] = (char)('0' + value % 8);
}

static int put_one_head(struct bundle *b, struct head *h, char type)
{
	unsigned sum = 0;
	size_t i;

	h->type = type;
	put_number(h->uid, sizeof(h->uid), 0);
	put_number(h->gid, sizeof(h->gid), 0);
	memcpy(h->magic, "ustar  ", sizeof(h->magic));
	memset(h->sum, ' ', sizeof(h->sum));
	for (i = 0; i < sizeof(*h); i++)
		sum += ((const unsigned char *)h)[i];
	put_number(h->sum, sizeof(h->sum) - 1, sum);
	return put_bytes(b, h, sizeof(*h));
}

/* A name; one that is too long stands before the entry, in one of its own. */
static int put_name(struct bundle *b, char to[NAME_MAX_HERE], const char *name, char type)
{
	struct head h = { .name = "././@LongLink" };
	size_t len = strlen(name) + 1;
	int r;

	memcpy(to, name, min_u64(len - 1, NAME_MAX_HERE));
	if (len - 1 <= NAME_MAX_HERE)
		return 0;
	put_number(h.mode, sizeof(h.mode), 0644);
	put_number(h.mtime, sizeof(h.mtime), 0);
	put_number(h.size, sizeof(h.size), len);
	r = put_one_head(b, &h, type);
	if (r == 0)
		r = put_bytes(b, name, len);
	return r ? r : put_padding(b, len);
}

static int put_head(struct bundle *b, const char *name, const struct stat *st, const char *link)
{
	struct head h = { 0 };
	int r = put_name(b, h.name, name, 'L');

	if (r == 0 && link)
		r = put_name(b, h.link, link, 'K');
	put_number(h.mode, sizeof(h.mode), st->st_mode & 07777);
	put_number(h.mtime, sizeof(h.mtime), st->st_mtime < 0 ? 0 : (uint64_t)st->st_mtime);
	put_number(h.size, sizeof(h.size), S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
	return r ? r : put_one_head(b, &h, link ? '2' : S_ISDIR(st->st_mode) ? '5' : '0');
}

/* As much as its head has said, however it changes meanwhile. */
static int put_data(struct bundle *b, const char *name, int fd, uint64_t size)
{
	uint64_t left = size;
	ssize_t n = 1;
	int r = 0;

	while (left && r == 0) {
		n = n ? read(fd, b->buf, min_u64(left, sizeof(b->buf))) : 0;
		if (n < 0)
			return failed(b, name, errno);
		if (n == 0)
			memset(b->buf, 0, sizeof(b->buf));
		r = put_bytes(b, b->buf, n ? (size_t)n : min_u64(left, sizeof(b->buf)));
		left -= n ? (uint64_t)n : min_u64(left, sizeof(b->buf));
	}
	return r ? r : put_padding(b, size);
}

static int put_file(struct bundle *b, int folder, const char *entry, const char *name)
{
	int fd = openat(folder, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		r = failed(b, name, errno);
	else if (!S_ISREG(st.st_mode))
		b->left_out++; /* it was one a moment ago */
	else
		r = put_head(b, name, &st, NULL);
	if (r == 0 && fd >= 0 && S_ISREG(st.st_mode))
		r = put_data(b, name, fd, st.st_size);
	if (fd >= 0)
		close(fd);
	return r;
}

static int put_link(struct bundle *b, int folder, const char *entry, const char *name,
		    const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(folder, entry, target, sizeof(target) - 1);

	if (n < 0)
		return failed(b, name, errno);
	target[n] = 0;
	return put_head(b, name, st, target);
}

static int put(struct bundle *b, int folder, const char *entry, const char *name);

static bool is_self(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int put_below(struct bundle *b, DIR *dir, const char *name)
{
	struct dirent *d;
	char *path;
	int r = 0;

	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (is_self(d->d_name))
			continue;
		if (asprintf(&path, "%s/%s", name, d->d_name) < 0)
			return failed(b, name, ENOMEM);
		r = put(b, dirfd(dir), d->d_name, path);
		free(path);
	}
	return r == 0 && errno ? failed(b, name, errno) : r;
}

static int put_folder(struct bundle *b, int folder, const char *entry, const char *name,
		      const struct stat *st)
{
	int fd = openat(folder, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		r = failed(b, name, errno);
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = put_head(b, name, st, NULL);
	if (r == 0)
		r = put_below(b, dir, name);
	closedir(dir);
	return r;
}

static int put(struct bundle *b, int folder, const char *entry, const char *name)
{
	struct stat st;

	if (fstatat(folder, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(b, name, errno);
	if (S_ISREG(st.st_mode))
		return put_file(b, folder, entry, name);
	if (S_ISLNK(st.st_mode))
		return put_link(b, folder, entry, name, &st);
	if (S_ISDIR(st.st_mode))
		return put_folder(b, folder, entry, name, &st);
	b->left_out++;
	return 0;
}

int bundle_write(const char *path, const char *name, int to, unsigned *left_out, char *why,
		 size_t size)
{
	static const char end[2 * BLOCK];
	struct bundle *b = calloc(1, sizeof(*b));
	int r;

	*left_out = 0;
	if (!b) {
		snprintf(why, size, "%s: %s", path, strerror(ENOMEM));
		return -ENOMEM;
	}
	b->to = to;
	b->why = why;
	b->size = size;
	r = put(b, AT_FDCWD, path, name);
	if (r == 0)
		r = put_bytes(b, end, sizeof(end));
	*left_out = b->left_out;
	free(b);
	return r;
}
