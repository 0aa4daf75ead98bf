/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/layers.h"

#include <archive.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/files/apart.h"
#include "vmm/run/files/entry.h"
#include "vmm/run/files/erofs.h"
#include "vmm/run/files/fstree.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
#define CAPABILITY "security.capability"

/* What the process has to say of it. */
struct said {
	bool done;
	char why[400];
};

struct layers {
	const struct layers_cfg *cfg;
	struct said *said; /* shared */
	struct fstree *tree;
	struct archive *in;
	uint64_t block; /* the image's next free one */
	uint64_t left;  /* bytes that may still be written */
	unsigned layer;
	int fd; /* of the layer */
	SHA2_CTX sha;
	uint8_t buf[128 << 10];
};

/* One reason is enough. Returns false. */
static bool fail(struct layers *l, const char *path, const char *why)
{
	char *to = l->said->why;
	size_t room = sizeof(l->said->why), n = 0;

	if (*to)
		return false;
	if (l->cfg->digest)
		n = snprintf(to, room, "layer %u (sha256:%.12s...): ", l->layer + 1,
			     l->cfg->digest[l->layer]);
	snprintf(to + n, room - n, "%.200s%s%.100s", path ? path : "", path ? ": " : "",
		 why ? why : "it is damaged");
	return false;
}

static la_ssize_t read_more(struct archive *a, void *arg, const void **data)
{
	struct layers *l = arg;
	ssize_t n = read(l->fd, l->buf, sizeof(l->buf));

	if (n < 0) {
		archive_set_error(a, errno, "%s", strerror(errno));
		return -1;
	}
	SHA256Update(&l->sha, l->buf, n);
	*data = l->buf;
	return n;
}

/* Nothing names the file any more; so its bytes need no room. */
static void dropped(void *arg, const struct fstree_node *node)
{
	struct layers *l = arg;

	if (node->size)
		fallocate(l->cfg->image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  node->block * EROFS_BLOCK, align_up(node->size, EROFS_BLOCK));
}

/* Files. */

static bool write_at(struct layers *l, const void *data, size_t len, uint64_t at)
{
	const uint8_t *from = data;
	ssize_t n;

	for (; len; len -= n, from += n, at += n) {
		n = pwrite(l->cfg->image, from, len, at);
		if (n < 0)
			return fail(l, NULL, strerror(errno));
	}
	return true;
}

static bool copy_data(struct layers *l, const struct fstree_node *node, const char *path)
{
	const void *data;
	la_int64_t off;
	size_t len;
	int r;

	for (;;) {
		r = archive_read_data_block(l->in, &data, &len, &off);
		if (r == ARCHIVE_EOF)
			return true;
		if (r != ARCHIVE_OK || off < 0 || !range_ok(off, len, node->size))
			return fail(l, path, r == ARCHIVE_OK ? NULL : archive_error_string(l->in));
		if (len > l->left)
			return fail(l, path, "the files have more than 64 GiB");
		l->left -= len;
		if (!write_at(l, data, len, node->block * EROFS_BLOCK + off))
			return false;
	}
}

static bool take_file(struct layers *l, struct archive_entry *e, struct fstree_node *node,
		      const char *path)
{
	la_int64_t size = archive_entry_size(e);
	uint64_t blocks;

	if (size < 0 || (uint64_t)size > (uint64_t)EROFS_BLOCKS_MAX * EROFS_BLOCK)
		return fail(l, path, "it is larger than 1 TiB");
	blocks = align_up(size, EROFS_BLOCK) / EROFS_BLOCK;
	if (l->block + blocks > EROFS_BLOCKS_MAX)
		return fail(l, path, "the files would have more, with their holes, than 1 TiB");
	node->size = size;
	node->block = l->block;
	l->block += blocks;
	return copy_data(l, node, path);
}

/* Entries. */

static void take_cap(struct archive_entry *e, struct fstree_node *node)
{
	const void *value;
	const char *name;
	size_t len;

	node->cap_len = 0;
	archive_entry_xattr_reset(e);
	while (archive_entry_xattr_next(e, &name, &value, &len) == ARCHIVE_OK) {
		if (!name || strcmp(name, CAPABILITY) || !len || len > sizeof(node->cap))
			continue;
		memcpy(node->cap, value, len);
		node->cap_len = len;
	}
}

static uint32_t device_of(struct archive_entry *e)
{
	uint32_t major = archive_entry_rdevmajor(e), minor = archive_entry_rdevminor(e);

	return (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12;
}

static bool take_node(struct layers *l, struct archive_entry *e, const char *path)
{
	mode_t mode = archive_entry_filetype(e) | archive_entry_perm(e);
	const char *target = S_ISLNK(mode) ? entry_symlink(e) : NULL;
	struct timespec mtime = entry_mtime(e);
	struct fstree_node *node;
	int r;

	if (S_ISLNK(mode) && (!target || !*target || strlen(target) > FSTREE_PATH_MAX))
		return fail(l, path, "what the link says is missing, or too long");
	r = fstree_put(l->tree, path, mode, &node);
	if (r < 0)
		return fail(l, path, fstree_why(r));
	node->uid = archive_entry_uid(e);
	node->gid = archive_entry_gid(e);
	node->mtime = mtime.tv_sec;
	node->mtime_nsec = mtime.tv_nsec;
	node->rdev = device_of(e);
	if (target) {
		node->size = strlen(target);
		node->target = strdup(target);
		return node->target || fail(l, path, strerror(ENOMEM));
	}
	if (!S_ISREG(mode))
		return true;
	take_cap(e, node);
	return take_file(l, e, node, path);
}

/* False: it is none. */
static bool is_whiteout(struct layers *l, const char *path, int *r)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char other[FSTREE_PATH_MAX + 1];

	if (!l->cfg->digest || strncmp(name, WHITEOUT, strlen(WHITEOUT)))
		return false;
	*r = -ENAMETOOLONG;
	if (strlen(path) > FSTREE_PATH_MAX)
		return true;
	if (!strcmp(name, OPAQUE)) {
		snprintf(other, sizeof(other), "%.*s", (int)(name - path), path);
		*r = fstree_white_out_below(l->tree, other);
	} else {
		snprintf(other, sizeof(other), "%.*s%s", (int)(name - path), path,
			 name + strlen(WHITEOUT));
		*r = name[strlen(WHITEOUT)] ? fstree_white_out(l->tree, other) : 0;
	}
	return true;
}

static bool take_entry(struct layers *l, struct archive_entry *e)
{
	const char *path = entry_path(e), *link = entry_hardlink(e);
	int r;

	if (!path || !*path)
		return fail(l, NULL, "an entry has no name, or is damaged");
	if (!l->cfg->digest && !strcmp(path + 2 * !strncmp(path, "./", 2), "oci-layout"))
		return fail(l, NULL, "it has an OCI image in it, and is no root: 'mkdir DIR; tar "
			    "-C DIR -xf' and --root oci:DIR");
	if (is_whiteout(l, path, &r))
		return r == 0 || fail(l, path, fstree_why(r));
	if (link) {
		r = fstree_link(l->tree, path, link);
		return r == 0 || fail(l, path, fstree_why(r));
	}
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
	case AE_IFDIR:
	case AE_IFLNK:
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return take_node(l, e, path);
	default:
		return fail(l, path, "it is of no known type");
	}
}

/* Layers. */

static bool take_all(struct layers *l)
{
	struct archive_entry *e;
	int r;

	for (;;) {
		r = archive_read_next_header(l->in, &e);
		if (r == ARCHIVE_EOF)
			return true;
		if (r < ARCHIVE_WARN)
			return fail(l, NULL, archive_error_string(l->in));
		if (!take_entry(l, e))
			return false;
	}
}

/* What libarchive has not read counts, too. */
static bool is_the_one(struct layers *l)
{
	char digest[SHA256_DIGEST_STRING_LENGTH];
	ssize_t n;

	if (!l->cfg->digest)
		return true;
	while ((n = read(l->fd, l->buf, sizeof(l->buf))) > 0)
		SHA256Update(&l->sha, l->buf, n);
	SHA256End(&l->sha, digest);
	return !strcmp(digest, l->cfg->digest[l->layer]) ||
	       fail(l, NULL, "the file is damaged: it has another digest");
}

static bool read_archive(struct layers *l)
{
	bool good;

	l->in = archive_read_new();
	if (!l->in)
		return fail(l, NULL, strerror(ENOMEM));
	SHA256Init(&l->sha);
	archive_read_support_filter_gzip(l->in);
	archive_read_support_filter_xz(l->in);
	archive_read_support_filter_zstd(l->in);
	archive_read_support_format_empty(l->in);
	archive_read_support_format_tar(l->in);
	good = archive_read_open(l->in, l, NULL, read_more, NULL) == ARCHIVE_OK ||
	       fail(l, NULL, archive_error_string(l->in));
	good = good && take_all(l) && is_the_one(l);
	archive_read_free(l->in);
	return good;
}

/* -1: a line has been said. */
static int open_layer(struct layers *l)
{
	char path[sizeof(LAYERS_BLOB) + LAYERS_DIGEST];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), LAYERS_BLOB, l->cfg->digest[l->layer]);
	fd = openat(l->cfg->from, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		fail(l, path, strerror(errno));
		return -1;
	}
	if (S_ISREG(st.st_mode))
		return fd;
	fail(l, path, "is no regular file");
	close(fd);
	return -1;
}

static bool read_layer(struct layers *l)
{
	bool good;

	if (l->cfg->digest)
		l->fd = open_layer(l);
	if (l->fd < 0)
		return false;
	fstree_next_layer(l->tree);
	good = read_archive(l);
	if (l->cfg->digest)
		close(l->fd);
	return good;
}

static bool make_workdir(struct layers *l)
{
	struct fstree_node *node;
	int r;

	if (!l->cfg->workdir || fstree_look(l->tree, l->cfg->workdir))
		return true;
	r = fstree_put(l->tree, l->cfg->workdir, S_IFDIR | 0755, &node);
	l->said->why[0] = 0;
	return r == 0 || fail(l, l->cfg->workdir, fstree_why(r));
}

/* All of it, in a process of its own. */
static void run(void *arg)
{
	struct layers *l = arg;
	bool good = true;
	int r;

	l->tree = fstree_create(LAYERS_ENTRIES_MAX);
	if (!l->tree) {
		fail(l, NULL, strerror(ENOMEM));
		return;
	}
	fstree_on_drop(l->tree, dropped, l);
	for (l->layer = 0; good && l->layer < l->cfg->layers; l->layer++)
		good = read_layer(l);
	l->layer = 0;
	if (good && make_workdir(l)) {
		r = erofs_write(l->tree, l->cfg->image, l->block);
		if (r < 0)
			fail(l, NULL, strerror(-r));
		l->said->done = r == 0;
	}
	fstree_destroy(l->tree);
}

/* In the words of that process, whose memory is not to be trusted either. */
static int report(const struct layers_cfg *cfg, struct said *said, int r, int sig)
{
	char *c;

	said->why[sizeof(said->why) - 1] = 0;
	for (c = said->why; *c; c++) { /* it may go to a terminal */
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
	if (r == 0 && said->done && !*said->why)
		return 0;
	if (r == -ETIMEDOUT)
		log_err("%s: its time is over", cfg->what);
	else if (r == -EINTR)
		log_err("%s: SIG%s ends it", cfg->what, sigabbrev_np(sig));
	else if (r == -ECHILD || (r == 0 && !*said->why))
		log_err("%s: it makes no sense, or takes more memory than it may", cfg->what);
	else if (r < 0)
		log_err("%s: no process to unpack it: %s", cfg->what, strerror(-r));
	else
		log_err("%s: %s", cfg->what, said->why);
	return r == -EINTR ? r : -EIO;
}

int layers_write(const struct layers_cfg *cfg, int *sig)
{
	struct said *said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct layers *l = calloc(1, sizeof(*l));
	struct apart apart = {
		.fn = run, .arg = l, .fd = { cfg->from, cfg->image }, .memory = LAYERS_MEMORY_MAX,
		.file_max = 2ull * EROFS_BLOCKS_MAX * EROFS_BLOCK, .deadline = cfg->deadline,
	};
	int r = -ENOMEM;

	if (!l || said == MAP_FAILED) {
		log_err("%s: %s", cfg->what, strerror(ENOMEM));
	} else {
		*l = (struct layers){ .cfg = cfg, .said = said, .block = EROFS_FIRST,
				      .left = LAYERS_BYTES_MAX, .fd = cfg->from };
		r = apart_run(&apart);
		*sig = apart.signal;
		r = report(cfg, said, r, apart.signal);
	}
	if (said != MAP_FAILED)
		munmap(said, sizeof(*said));
	free(l);
	return r;
}
