/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/erofs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/util.h"
#include "vmm/run/files/fstree.h"

#define SUPER_AT 1024
#define SUPER_SIZE 128
#define MAGIC 0xe0f5e1e2u
#define BLOCK_BITS 12
#define INODE 64  /* bytes of one */
#define SLOT 32   /* inodes are numbered in these */
#define ENTRY 12  /* bytes of a folder's entry, without its name */
#define PLAIN 1   /* i_format: 64 bytes, and its content in blocks; ... */
#define INLINE 5  /* ... behind it */
#define XATTR_HEAD 12
#define XATTR_SECURITY 6 /* "security." */
#define CAP_NAME "capability"

struct writer {
	FILE *out;
	uint64_t block; /* the next free one */
	uint64_t meta;  /* bytes that inodes take */
	uint64_t inodes;
	struct fstree_node **list; /* all that there are, in the order of their places */
	size_t room;
};

/* What is behind an inode. */

static size_t xattr_size(const struct fstree_node *node)
{
	if (!node->cap_len)
		return 0;
	return XATTR_HEAD + align_up(4 + strlen(CAP_NAME) + node->cap_len, 4);
}

static bool is_inline(const struct fstree_node *node)
{
	return S_ISLNK(node->mode) && node->size <= EROFS_BLOCK - INODE;
}

/* Where the inodes are, and which. */

static void give_place(struct writer *w, struct fstree_node *node)
{
	size_t size = INODE + (is_inline(node) ? node->size : 0), in_block = w->meta % EROFS_BLOCK;

	/* Neither an inode nor what is in it goes over the end of a block. */
	if (in_block + size > EROFS_BLOCK)
		w->meta += EROFS_BLOCK - in_block;
	node->place = w->meta / SLOT;
	w->meta = align_up(w->meta + size + xattr_size(node), INODE);
}

static int take(struct writer *w, struct fstree_node *node)
{
	struct fstree_node **more;

	if (w->inodes == w->room) {
		w->room = w->room ? 2 * w->room : 1024;
		more = realloc(w->list, w->room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		w->list = more;
	}
	w->list[w->inodes++] = node;
	give_place(w, node);
	return 0;
}

/* The top is the first, as its number has to be small; then what is in each folder. */
static int take_all(struct writer *w, struct fstree_node *top)
{
	struct fstree_entry *e;
	uint64_t i;
	int r = take(w, top);

	for (i = 0; r == 0 && i < w->inodes; i++) {
		if (!S_ISDIR(w->list[i]->mode))
			continue;
		for (e = w->list[i]->first; e && r == 0; e = e->next)
			if (e->node && !e->node->place) /* no hard link's second name */
				r = take(w, e->node);
	}
	return r;
}

/* Folders. */

struct name {
	const char *text;
	const struct fstree_node *node;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* All names in a folder, as Linux looks for them: by their bytes, "." and ".." among them. */
static struct name *list_names(const struct fstree_node *folder, size_t *count)
{
	const struct fstree_entry *e;
	struct name *names;
	size_t n = 2;

	for (e = folder->first; e; e = e->next)
		n += !!e->node;
	names = calloc(n, sizeof(*names));
	if (!names)
		return NULL;
	names[0] = (struct name){ ".", folder };
	names[1] = (struct name){ "..", folder->parent };
	n = 2;
	for (e = folder->first; e; e = e->next)
		if (e->node)
			names[n++] = (struct name){ e->name, e->node };
	qsort(names, n, sizeof(*names), by_text);
	*count = n;
	return names;
}

static uint8_t type_of(mode_t mode)
{
	static const uint8_t types[] = { [S_IFIFO >> 12] = 5, [S_IFCHR >> 12] = 3,
					 [S_IFDIR >> 12] = 2, [S_IFBLK >> 12] = 4,
					 [S_IFREG >> 12] = 1, [S_IFSOCK >> 12] = 6,
					 [S_IFLNK >> 12] = 7 };

	return types[(mode & S_IFMT) >> 12];
}

/* As many of @names as one block has room for; returns how many, and *@used bytes of it. */
static size_t fill_block(uint8_t block[EROFS_BLOCK], const struct name *names, size_t count,
			 size_t *used)
{
	size_t n = 0, size = 0, i, len, at;

	while (n < count && size + ENTRY + strlen(names[n].text) <= EROFS_BLOCK)
		size += ENTRY + strlen(names[n++].text);
	at = n * ENTRY;
	memset(block, 0, EROFS_BLOCK);
	for (i = 0; i < n; i++) {
		len = strlen(names[i].text);
		le64_put(block + i * ENTRY, names[i].node->place);
		le16_put(block + i * ENTRY + 8, at);
		block[i * ENTRY + 10] = type_of(names[i].node->mode);
		memcpy(block + at, names[i].text, len);
		at += len;
	}
	*used = size;
	return n;
}

static int write_folder(struct writer *w, struct fstree_node *folder)
{
	uint8_t block[EROFS_BLOCK];
	size_t count, n, used = 0, at;
	struct name *names = list_names(folder, &count);
	uint64_t first = w->block;

	if (!names)
		return -ENOMEM;
	for (at = 0; at < count; at += n) {
		n = fill_block(block, names + at, count - at, &used);
		fwrite(block, 1, sizeof(block), w->out);
		w->block++;
	}
	folder->block = first;
	folder->size = (w->block - first - 1) * EROFS_BLOCK + used;
	free(names);
	return 0;
}

static int write_folders(struct writer *w)
{
	uint64_t i;
	int r = 0;

	fseeko(w->out, w->block * EROFS_BLOCK, SEEK_SET);
	for (i = 0; r == 0 && i < w->inodes; i++)
		if (S_ISDIR(w->list[i]->mode))
			r = write_folder(w, w->list[i]);
	return r;
}

/* Links that are too long for their inodes. */
static void write_links(struct writer *w)
{
	struct fstree_node *node;
	uint64_t i;

	for (i = 0; i < w->inodes; i++) {
		node = w->list[i];
		if (!S_ISLNK(node->mode) || is_inline(node))
			continue;
		fseeko(w->out, w->block * EROFS_BLOCK, SEEK_SET);
		fwrite(node->target, 1, node->size, w->out);
		node->block = w->block++;
	}
}

/* Inodes. */

static uint32_t links_of(const struct fstree_node *node)
{
	const struct fstree_entry *e;
	uint32_t links = 2;

	if (!S_ISDIR(node->mode))
		return node->links;
	for (e = node->first; e; e = e->next)
		links += e->node && S_ISDIR(e->node->mode);
	return links;
}

/* The block, or the number of a device. */
static uint32_t where_of(const struct fstree_node *node)
{
	if (S_ISCHR(node->mode) || S_ISBLK(node->mode))
		return node->rdev;
	return (S_ISREG(node->mode) && node->size) || S_ISDIR(node->mode) || S_ISLNK(node->mode) ?
		node->block : 0;
}

static void write_cap(FILE *out, const struct fstree_node *node)
{
	uint8_t bytes[XATTR_HEAD + 4 + sizeof(CAP_NAME) + sizeof(node->cap) + 3] = { 0 };
	uint8_t *at = bytes + XATTR_HEAD;

	at[0] = strlen(CAP_NAME);
	at[1] = XATTR_SECURITY;
	le16_put(at + 2, node->cap_len);
	memcpy(at + 4, CAP_NAME, strlen(CAP_NAME));
	memcpy(at + 4 + strlen(CAP_NAME), node->cap, node->cap_len);
	fwrite(bytes, 1, xattr_size(node), out);
}

static void write_inode(struct writer *w, const struct fstree_node *node, uint32_t number)
{
	uint8_t inode[INODE] = { 0 };
	size_t xattr = xattr_size(node);

	le16_put(inode, is_inline(node) ? INLINE : PLAIN);
	le16_put(inode + 2, xattr ? (xattr - XATTR_HEAD) / 4 + 1 : 0);
	le16_put(inode + 4, node->mode);
	le64_put(inode + 8, node->size);
	le32_put(inode + 16, is_inline(node) ? 0 : where_of(node));
	le32_put(inode + 20, number);
	le32_put(inode + 24, node->uid);
	le32_put(inode + 28, node->gid);
	le64_put(inode + 32, node->mtime);
	le32_put(inode + 40, node->mtime_nsec);
	le32_put(inode + 44, links_of(node));
	fwrite(inode, 1, sizeof(inode), w->out);
	if (xattr)
		write_cap(w->out, node);
	if (is_inline(node))
		fwrite(node->target, 1, node->size, w->out);
}

static void write_inodes(struct writer *w)
{
	uint64_t base = w->block * EROFS_BLOCK, i;

	for (i = 0; i < w->inodes; i++) {
		fseeko(w->out, base + w->list[i]->place * SLOT, SEEK_SET);
		write_inode(w, w->list[i], i + 1);
	}
}

static void write_super(struct writer *w, uint64_t meta, uint64_t blocks)
{
	uint8_t super[SUPER_SIZE] = { 0 };

	le32_put(super, MAGIC);
	super[12] = BLOCK_BITS;
	le16_put(super + 14, w->list[0]->place);
	le64_put(super + 16, w->inodes);
	le32_put(super + 36, blocks);
	le32_put(super + 40, meta);
	fseeko(w->out, SUPER_AT, SEEK_SET);
	fwrite(super, 1, sizeof(super), w->out);
}

static int write_all(struct writer *w)
{
	uint64_t meta, blocks;
	int r = write_folders(w);

	if (r < 0)
		return r;
	write_links(w);
	meta = w->block;
	blocks = meta + align_up(w->meta, EROFS_BLOCK) / EROFS_BLOCK;
	write_inodes(w);
	write_super(w, meta, blocks);
	if (fflush(w->out) == EOF || ferror(w->out))
		return errno ? -errno : -EIO;
	return ftruncate(fileno(w->out), blocks * EROFS_BLOCK) < 0 ? -errno : 0;
}

int erofs_write(struct fstree *tree, int fd, uint64_t block)
{
	/* An inode whose place is 0 is not yet taken; so the top is not the first. */
	struct writer w = { .block = block, .meta = INODE };
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), r;

	if (copy < 0)
		return -errno;
	w.out = fdopen(copy, "r+e");
	if (!w.out) {
		close(copy);
		return -ENOMEM;
	}
	errno = 0;
	r = take_all(&w, fstree_top(tree));
	if (r == 0)
		r = write_all(&w);
	if (fclose(w.out) == EOF && r == 0)
		r = -errno;
	free(w.list);
	return r;
}
