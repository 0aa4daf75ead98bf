/* SPDX-License-Identifier: MIT */
/*
 * file.c - a store in a regular file or on a block device.
 *
 * Both kinds are punched, zeroed and written with the same calls (step.c); a
 * hole in a file and a punched range of a device always read as zeroes. The
 * calls are made by io_uring (uring.c), or on the threads of pool.c where there
 * is none.
 */
#include "devices/block/file.h"

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

#include "devices/block/pool.h"
#include "devices/block/uring.h"
#include "vmm/core/claim.h"
#include "vmm/core/compat.h"
#include "vmm/core/fail.h"
#include "vmm/core/libc.h"
#include "vmm/core/lock.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/magic.h"
#include "vmm/core/util.h"

#define PAGE 4096u

#ifndef STATX_WRITE_ATOMIC
#define STATX_WRITE_ATOMIC 0x10000 /* Linux 6.11 */
#endif

int file_check(const struct file *file)
{
	struct stat st;

	if (!file->regular)
		return 0;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size < file->block.size ? -EIO : 0;
}

/* One thread after the other makes the calls of a request. [worker] */

static int make_call(int fd, const struct step *s)
{
	ssize_t r = -1;

	switch (s->call) {
	case STEP_READ:
		r = preadv(fd, s->iov, s->niov, s->off);
		break;
	case STEP_WRITE:
		r = pwritev2(fd, s->iov, s->niov, s->off, s->flags);
		break;
	case STEP_FALLOCATE:
		r = fallocate(fd, s->flags, s->off, s->len);
		break;
	case STEP_FDATASYNC:
		r = fdatasync(fd);
		break;
	}
	return r < 0 ? -errno : (int)r;
}

static int file_run(struct block *block, const struct block_req *req)
{
	const struct file *f = container_of(block, struct file, block);
	int r = req->io == BLOCK_READ || req->io == BLOCK_FLUSH ? 0 : file_check(f);
	struct step s;
	bool more;

	if (r < 0)
		return r;
	for (more = step_begin(&s, req, f->align); more;)
		more = step_next(&s, make_call(f->fd, &s));
	step_end(&s);
	return s.err;
}

/* Opening, and the facts. [setup] */

static int open_error(const char *path, bool readonly, int err)
{
	bool readable = !faccessat(AT_FDCWD, path, R_OK, AT_EACCESS);

	if (err == ENOENT)
		log_err("%s: there is no such file%s", path, readonly ? "" :
			"; 'truncate -s 1G FILE' makes an empty disk");
	else if (err == EISDIR)
		log_err("%s: is a directory; a disk is a file or a block device", path);
	else if (err == EBUSY)
		log_err("%s: is mounted, or part of a volume, or swap: two writers would destroy "
			"what is on it; umount it first, or add readonly=on", path);
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
	b->size = st->st_size;
	if (!b->size) {
		log_err("%s: is empty; 'truncate -s 1G FILE' makes room", b->path);
		return -ENODATA;
	}
	/* The page cache reads before it writes a part of a page. */
	b->physical_block = PAGE;
	b->discard_granularity = power_of_2_or(st->st_blksize, PAGE);
	/* A hole behind the end changes nothing and tells whether there can be holes. */
	b->can_discard = !b->readonly && !fallocate(f->fd, FALLOC_FL_PUNCH_HOLE |
						    FALLOC_FL_KEEP_SIZE, st->st_size, PAGE);
	b->discard_zeroes = true;
	return 0;
}

static int file_facts(struct file *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return open_error(f->block.path, f->block.readonly, errno);
	f->regular = S_ISREG(st.st_mode);
	return f->regular ? regular_facts(f, &st) : device_facts(f, &st);
}

/*
 * A block device that the kernel itself uses cannot be claimed. The claim is given up at once, as
 * the kernel's target may be the one to use it.
 */
static int device_claim(const struct file *f)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EBUSY)
		return open_error(f->block.path, f->block.readonly, EBUSY);
	if (fd >= 0)
		close(fd);
	return 0;
}

/* Somebody's qcow2 file would be a disk of noise, and its end soon: so it is refused by name. */
static int check_format(const struct file *f)
{
	uint64_t size = f->block.size;
	uint8_t head[MAGIC_HEAD], tail[MAGIC_HEAD];
	const struct magic *m;
	ssize_t len = pread(f->fd, head, sizeof(head), 0);
	bool ends = size >= sizeof(tail) &&
		    pread(f->fd, tail, sizeof(tail), size - sizeof(tail)) == sizeof(tail);

	m = len > 0 ? magic_find(head, len, ends ? tail : NULL) : NULL;
	if (!m)
		return 0;
	if (m->format)
		log_err("%s: is %s by its bytes, which a guest may have written, and not by its "
			"name: format=%s takes it as one; format=raw takes it as it is",
			f->block.path, m->kind, m->format);
	else
		log_err("%s: is %s, and a disk is raw bytes: %s; format=raw takes it as it is",
			f->block.path, m->kind, m->cure);
	return -EMEDIUMTYPE;
}

/* O_DIRECT. [setup] */

/* By reading, where the question is newer than the file system. 0: not even 4096 will do. */
static uint32_t find_alignment(int fd)
{
	void *buf = aligned_alloc(PAGE, PAGE);
	uint32_t len;

	for (len = 512; buf && len <= PAGE && pread(fd, buf, len, len) < 0; len *= 2)
		;
	free(buf);
	return buf && len <= PAGE ? len : 0;
}

static struct step_align alignment(int fd)
{
	uint32_t memory, offset, len;

	if (statx_dioalign(fd, &memory, &offset))
		return (struct step_align){ memory, offset };
	len = find_alignment(fd);
	return (struct step_align){ len, len };
}

/*
 * What the kernel promises of RWF_ATOMIC, as statx() tells: struct statx of Linux 6.11, of which
 * older headers have the first part. Without such a promise all stays 0.
 */
static void atomic_facts(struct file *f, uint32_t block_size)
{
	union {
		struct statx st;
		struct {
			uint8_t before[0xa8];
			uint32_t unit_min, unit_max;
		} now;
	} u = { .now = { .unit_min = 0 } };
	struct block *b = &f->block;

	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_WRITE_ATOMIC, &u.st) < 0 ||
	    !(u.st.stx_mask & STATX_WRITE_ATOMIC) || !is_power_of_2(u.now.unit_min) ||
	    !is_power_of_2(u.now.unit_max))
		return;
	u.now.unit_max = min_u64(u.now.unit_max, STEP_BOUNCE);
	if (u.now.unit_max < max_u64(u.now.unit_min, block_size))
		return;
	b->atomic_max = u.now.unit_max;
	b->atomic_align = b->atomic_granularity = u.now.unit_min;
	b->atomic_natural = true;
}

/* Requests whose memory does not fit are copied (step.c); their offsets and lengths have to. */
static int go_direct(struct file *f, const struct block_open *how)
{
	const char *path = f->block.path;
	uint32_t block_size = how->block_size ? how->block_size : 1;

	if (fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) | O_DIRECT) == 0)
		f->align = alignment(f->fd);
	else
		f->align.len = 0;
	if (!is_power_of_2(f->align.mem) || !is_power_of_2(f->align.len) ||
	    f->align.mem > PAGE || f->align.len > PAGE) {
		log_err("%s: direct=on: its file system cannot do without the page cache; leave "
			"direct=on out", path);
		return -EOPNOTSUPP;
	}
	if (block_size % f->align.len) {
		log_err("%s: direct=on: needs blocks of %u bytes, not of %u; add block-size=%u, or "
			"leave direct=on out", path, f->align.len, block_size, f->align.len);
		return -EOPNOTSUPP;
	}
	f->mem = how->mem;
	atomic_facts(f, block_size);
	if (f->regular) { /* of which the kernel's target would use the page cache */
		f->block.fd = 0;
		f->block.ours = "direct=on";
	}
	return 0;
}

static int choose_engine(struct file *f, const struct block_open *how)
{
	int r;

	f->engine = how->engine;
	if (f->engine != BLOCK_ENGINE_URING)
		return 0;
	r = uring_probe();
	if (r < 0)
		log_err("%s: io=uring: %s; io=auto does without", f->block.path, uring_why(r));
	return r;
}

static void file_free(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->below >= 0)
		close(f->below);
	claim_drop(f->claim);
	free(f->block.path);
	free(f);
}

static void file_close(struct block *block)
{
	struct file *f = container_of(block, struct file, block);

	unlock_image(f->fd);
	file_free(f);
}

/*
 * At first non-blocking: a FIFO shall not make us wait for its other end. The kernel makes atomic
 * writes by what is opened with O_DIRECT; go_direct() sets it again.
 */
static int file_open_path(struct file *f, bool direct)
{
	struct block *b = &f->block;
	int mode = b->readonly ? O_RDONLY : O_RDWR;
	int how = mode | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	struct stat st;

	f->fd = direct ? open(b->path, how | O_DIRECT) : -1;
	if (f->fd < 0)
		f->fd = open(b->path, how);
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

static int file_claim(struct file *f, const struct block_open *how)
{
	char *what;
	int r;

	if (!how->claims)
		return 0;
	if (asprintf(&what, "%s %s", how->option, how->path) < 0)
		return -ENOMEM;
	r = claim_read(how->claims, what, f->fd, false, &f->claim);
	free(what);
	return r;
}

static int file_open(const struct block_open *how, struct block **block)
{
	struct file *f;
	int r;

	if (!how->path || !*how->path) {
		log_err("file= is missing: which image?");
		return -EUSAGE;
	}
	if (how->size) {
		log_err("%s: size= is for store=null; a file's size is its own", how->path);
		return -EUSAGE;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->fd = f->below = -1;
	f->align = (struct step_align){ 1, 1 };
	f->block.readonly = how->readonly;
	f->block.path = strdup(how->path);
	r = f->block.path ? file_open_path(f, how->direct) : -ENOMEM;
	if (!r)
		r = file_claim(f, how);
	if (!r)
		r = lock_image(f->fd, how->path, !how->readonly);
	if (!r)
		r = lock_below(f->fd, how->path, !how->readonly, &f->below);
	if (!r)
		r = file_facts(f);
	if (!r && !f->regular && !how->readonly)
		r = device_claim(f);
	if (!r && how->format == BLOCK_FORMAT_AUTO)
		r = check_format(f);
	f->block.fd = f->fd;
	if (!r && how->direct)
		r = go_direct(f, how);
	if (!r)
		r = choose_engine(f, how);
	if (r < 0) {
		file_free(f);
		return r;
	}
	*block = &f->block;
	return 0;
}

static struct block_chan *file_chan_open(struct block *block, struct loop *loop)
{
	struct file *f = container_of(block, struct file, block);
	struct block_chan *chan;
	bool first;

	if (f->engine != BLOCK_ENGINE_THREADS) {
		chan = uring_open(f, loop, &first);
		if (chan)
			return chan;
		if (first)
			log_note("%s: disks are read and written by threads: %s", loop_name(loop),
				 uring_why(-errno));
	}
	return pool_open(block, loop, file_run);
}

/* A device has the size that it has; what changes it there is not for us. */
static int device_resize(const struct file *f, uint64_t size)
{
	uint64_t there;

	if (ioctl(f->fd, BLKGETSIZE64, &there) < 0)
		return open_error(f->block.path, f->block.readonly, errno);
	if (there == size)
		return 0;
	log_err("%s: is a block device of %llu bytes, not of %llu; resize that first",
		f->block.path, (unsigned long long)there, (unsigned long long)size);
	return -EOPNOTSUPP;
}

static int file_resize(struct block *block, uint64_t size)
{
	const struct file *f = container_of(block, struct file, block);
	int r;

	if (!f->regular)
		return device_resize(f, size);
	if (block->readonly) {
		log_err("%s: cannot be resized: it is open for reading only", block->path);
		return -EROFS;
	}
	if (size > INT64_MAX || ftruncate(f->fd, size) < 0) {
		r = size > INT64_MAX ? -EFBIG : -errno;
		log_err("%s: cannot be made %llu bytes long: %s", block->path,
			(unsigned long long)size, strerror(-r));
		return r;
	}
	return 0;
}

/* Of a block device lseek() knows nothing, and a hole may be the last thing in a file (ENXIO). */
static bool file_is_mapped(struct block *block, uint64_t off, uint64_t *end)
{
	const struct file *f = container_of(block, struct file, block);
	off_t data = lseek(f->fd, off, SEEK_DATA), edge = data;

	if (data < 0)
		return errno != ENXIO;
	if ((uint64_t)data == off)
		edge = lseek(f->fd, off, SEEK_HOLE);
	if (edge > 0 && (uint64_t)edge > off)
		*end = min_u64(*end, edge);
	return (uint64_t)data == off;
}

static const char *file_hint(struct block *block, int err)
{
	const struct file *f = container_of(block, struct file, block);

	(void)err;
	return file_check(f) < 0 ? "somebody has cut the file short" : NULL;
}

const struct block_ops block_file = {
	.name = "file",
	.help = "a file or a block device",
	.open = file_open,
	.close = file_close,
	.chan_open = file_chan_open,
	.resize = file_resize,
	.is_mapped = file_is_mapped,
	.hint = file_hint,
};
