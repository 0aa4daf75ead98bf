/*
 * file.c - a store in a regular file or on a block device, by plain system
 * calls made on the threads of pool.c.
 *
 * Both kinds are punched, zeroed and written with the same calls; a hole in a
 * file and a punched range of a device always read as zeroes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices/block/block.h"
#include "devices/block/lock.h"
#include "devices/block/pool.h"
#include "vmm/core/iov.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define PAGE 4096u

struct file {
	struct block block;
	int fd;
};

/* The verbs. [worker] */

#define IOVS 64

static ssize_t transfer(int fd, const struct block_req *req, const struct iovec *iov, int n,
			uint64_t off)
{
	if (req->io == BLOCK_READ)
		return preadv(fd, iov, n, off);
	return pwritev2(fd, iov, n, off, req->flags & BLOCK_FUA ? RWF_DSYNC : 0);
}

/* Until all is moved: calls come back short at signals and at the end of the medium. */
static int move(int fd, const struct block_req *req)
{
	struct iovcur cur = iov_cursor(req->iov, req->niov);
	struct iovec iov[IOVS];
	uint64_t done = 0;
	ssize_t r;

	while (done < req->len) {
		unsigned n = iov_export(&cur, iov, IOVS);

		r = transfer(fd, req, iov, n < IOVS ? n : IOVS, req->off + done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r ? -errno : -EIO; /* 0: somebody has cut the file off */
		iov_split(&cur, r);
		done += r;
	}
	return 0;
}

static int flush(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int allocate(int fd, int mode, const struct block_req *req)
{
	int r;

	if (!req->len)
		return 0; /* which the call would refuse */
	do
		r = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, req->off, req->len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Where the file system has no call for it. */
static int write_zeroes(int fd, const struct block_req *req)
{
	static const uint8_t zeroes[16 * PAGE];
	struct iovec iov[IOVS];
	uint64_t left = req->len;
	int r = 0;

	while (left && !r) {
		struct block_req part = { .io = BLOCK_WRITE, .off = req->off + req->len - left,
					  .iov = iov };

		while (part.niov < IOVS && part.len < left) {
			struct iovec *v = &iov[part.niov++];

			v->iov_base = (void *)zeroes;
			v->iov_len = min_u64(sizeof(zeroes), left - part.len);
			part.len += v->iov_len;
		}
		r = move(fd, &part);
		left -= part.len;
	}
	return r;
}

/* A call may be unknown to the file system, or want other bounds than ours on a device. */
static bool cannot(int r)
{
	return r == -EOPNOTSUPP || r == -EINVAL;
}

static int zero(int fd, const struct block_req *req, bool unmap)
{
	int r = unmap ? allocate(fd, FALLOC_FL_PUNCH_HOLE, req) : -EOPNOTSUPP;

	if (cannot(r))
		r = allocate(fd, FALLOC_FL_ZERO_RANGE, req);
	if (cannot(r))
		r = write_zeroes(fd, req);
	return !r && req->flags & BLOCK_FUA ? flush(fd) : r;
}

static int write_data(int fd, const struct block_req *req)
{
	struct block_req plain = *req;
	int r = move(fd, req);

	if (r != -EOPNOTSUPP || !(req->flags & BLOCK_FUA))
		return r;
	/* No RWF_DSYNC here: in two steps then. */
	plain.flags = 0;
	r = move(fd, &plain);
	return r ? r : flush(fd);
}

static int file_run(struct block *block, const struct block_req *req)
{
	int fd = container_of(block, struct file, block)->fd;

	switch (req->io) {
	case BLOCK_READ:
		return move(fd, req);
	case BLOCK_WRITE:
		return write_data(fd, req);
	case BLOCK_FLUSH:
		return flush(fd);
	case BLOCK_DISCARD:
		return zero(fd, req, true);
	case BLOCK_ZERO:
		return zero(fd, req, req->flags & BLOCK_MAY_UNMAP);
	}
	return -EOPNOTSUPP;
}

/* Opening, and the facts. [setup] */

static int open_error(const char *path, bool readonly, int err)
{
	bool readable = !faccessat(AT_FDCWD, path, R_OK, AT_EACCESS);

	if (err == ENOENT)
		log_err("%s: there is no such file; 'truncate -s 1G FILE' makes an empty disk",
			path);
	else if (err == EISDIR)
		log_err("%s: is a directory; a disk is a file or a block device", path);
	else if (err == ENOMEDIUM)
		log_err("%s: there is no medium in it", path);
	else if (err == EACCES && !readable)
		log_err("%s: not readable: %s", path, strerror(err));
	else if (!readonly && readable && (err == EACCES || err == EROFS || err == EPERM))
		log_err("%s: not writable: %s; add readonly=on to attach it read-only", path,
			strerror(err));
	else
		log_err("%s: cannot be opened: %s", path, strerror(err));
	return -err;
}

/* A number from /sys about the block device, or about the disk that it is a part of; 0: unknown. */
static uint64_t sysfs_number(dev_t dev, const char *name)
{
	static const char *const place[] = { "queue", "../queue" };
	unsigned long long v;
	char path[96];
	unsigned i;
	FILE *f;

	for (i = 0; i < ARRAY_SIZE(place); i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(dev), minor(dev),
			 place[i], name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%llu", &v) != 1)
			v = 0;
		fclose(f);
		return v;
	}
	return 0;
}

static uint32_t power_of_2_or(uint64_t v, uint32_t otherwise)
{
	return is_power_of_2(v) && v <= UINT32_MAX ? v : otherwise;
}

static int device_facts(struct file *f, const struct stat *st)
{
	struct block *b = &f->block;
	unsigned physical = 0;

	if (ioctl(f->fd, BLKGETSIZE64, &b->size) < 0)
		return open_error(b->path, b->readonly, errno);
	if (!b->size) /* the open was non-blocking, and does not tell */
		return open_error(b->path, b->readonly, ENOMEDIUM);
	ioctl(f->fd, BLKPBSZGET, &physical);
	b->physical_block = power_of_2_or(physical, 512);
	b->rotational = sysfs_number(st->st_rdev, "rotational");
	b->discard_granularity = power_of_2_or(sysfs_number(st->st_rdev, "discard_granularity"), 0);
	b->can_discard = !b->readonly && sysfs_number(st->st_rdev, "discard_max_bytes") &&
			 sysfs_number(st->st_rdev, "write_zeroes_max_bytes");
	b->discard_zeroes = true;
	return 0;
}

static int regular_facts(struct file *f, const struct stat *st)
{
	struct block *b = &f->block;
	struct block_req probe = { .off = st->st_size, .len = PAGE };

	b->size = st->st_size;
	if (!b->size) {
		log_err("%s: is empty; 'truncate -s 1G FILE' makes room", b->path);
		return -ENODATA;
	}
	/* The page cache reads before it writes a part of a page. */
	b->physical_block = PAGE;
	b->discard_granularity = power_of_2_or(st->st_blksize, PAGE);
	/* A hole behind the end changes nothing and tells whether there can be holes. */
	b->can_discard = !b->readonly && !allocate(f->fd, FALLOC_FL_PUNCH_HOLE, &probe);
	b->discard_zeroes = true;
	return 0;
}

static int file_facts(struct file *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return open_error(f->block.path, f->block.readonly, errno);
	return S_ISBLK(st.st_mode) ? device_facts(f, &st) : regular_facts(f, &st);
}

static void file_free(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->block.path);
	free(f);
}

static void file_close(struct block *block)
{
	file_free(container_of(block, struct file, block));
}

/* At first non-blocking: a FIFO shall not make us wait for its other end. */
static int file_open_path(struct file *f)
{
	struct block *b = &f->block;
	int mode = b->readonly ? O_RDONLY : O_RDWR;
	struct stat st;

	f->fd = open(b->path, mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0 || fstat(f->fd, &st) < 0 || fcntl(f->fd, F_SETFL, mode) < 0)
		return open_error(b->path, b->readonly, errno);
	if (S_ISDIR(st.st_mode))
		return open_error(b->path, b->readonly, EISDIR);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		log_err("%s: is neither a file nor a block device", b->path);
		return -ENOTBLK;
	}
	return 0;
}

static int file_open(const struct block_open *how, struct block **block)
{
	struct file *f;
	int r;

	if (!how->path || !*how->path) {
		log_err("file= is missing: which image?");
		return -EINVAL;
	}
	if (how->size) {
		log_err("%s: size= is for store=null; a file's size is its own", how->path);
		return -EINVAL;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->fd = -1;
	f->block.readonly = how->readonly;
	f->block.path = strdup(how->path);
	r = f->block.path ? file_open_path(f) : -ENOMEM;
	if (!r)
		r = lock_image(f->fd, how->path, !how->readonly);
	if (!r)
		r = file_facts(f);
	if (r < 0) {
		file_free(f);
		return r;
	}
	f->block.fd = f->fd;
	*block = &f->block;
	return 0;
}

static struct block_chan *file_chan_open(struct block *block, struct loop *loop)
{
	return pool_open(block, loop, file_run);
}

const struct block_ops block_file = {
	.name = "file",
	.help = "a file or a block device",
	.open = file_open,
	.close = file_close,
	.chan_open = file_chan_open,
	.chan_close = pool_close,
	.submit = pool_submit,
	.drain = pool_drain,
};
