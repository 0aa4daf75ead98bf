#include "vmm/files/extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define BLOCK 512 /* of tar; two of zeroes are its end */

/* What libarchive is to see to. Without ARCHIVE_EXTRACT_PERM the umask holds. */
#define RULES                                                                       \
	(ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_SYMLINKS |                   \
	 ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS)

struct extract {
	const char *what;
	int fd;
	uint64_t at, size; /* read of it, and to be read */
	uint64_t left;     /* bytes that files may still have */
	struct archive *in, *disk;
	unsigned missing; /* entries */
	unsigned left_out;
	char why[300]; /* the first of them is missing */
	char buf[64 << 10];
};

/* Notes that an entry is missing. */
static void miss(struct extract *x, struct archive_entry *e, const char *why)
{
	const char *path = e ? archive_entry_pathname(e) : NULL;
	char *c;

	if (!x->missing++)
		snprintf(x->why, sizeof(x->why), "%.200s: %s", path ? path : "the archive",
			 why ? why : "no reason is known");
	for (c = x->why; *c; c++) { /* it may go to a terminal */
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
}

static la_ssize_t read_more(struct archive *a, void *arg, const void **data)
{
	struct extract *x = arg;
	ssize_t n = pread(x->fd, x->buf, min_u64(sizeof(x->buf), x->size - x->at), x->at);

	if (n < 0) {
		archive_set_error(a, errno, "%s", strerror(errno));
		return -1;
	}
	x->at += n;
	*data = x->buf;
	return n;
}

/* Folders between an entry's name and the top; names with ".." are refused elsewhere. */
static int depth_of(const char *path)
{
	int depth = -1;
	size_t len;

	for (; *path; path += len + (path[len] == '/')) {
		len = strcspn(path, "/");
		depth += len && !(len == 1 && *path == '.');
	}
	return depth;
}

/*
 * May stand there: relative, and up only at its beginning and no further than the top. Behind a
 * name that may itself be a link, a ".." could lead anywhere.
 */
static bool stays_inside(const char *path, const char *target)
{
	int up = 0, depth = depth_of(path);
	bool down = false;
	size_t len;

	if (*target == '/' || !*target)
		return false;
	for (; *target; target += len + (target[len] == '/')) {
		len = strcspn(target, "/");
		if (len == 2 && !strncmp(target, "..", 2)) {
			if (down || ++up > depth)
				return false;
		} else {
			down = true;
		}
	}
	return true;
}

/* What else a link may name could be a link in turn, which leads elsewhere from another folder. */
static bool is_file(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The folder itself, which is the user's. */
static bool is_top(struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e);

	return path && *path && depth_of(path) < 0 && !archive_entry_hardlink(e);
}

static bool is_wanted(struct archive_entry *e)
{
	const char *path = archive_entry_pathname(e), *link = archive_entry_hardlink(e);

	if (!path)
		return true; /* an error, and not ours to choose */
	if (link)
		return *link != '/' && is_file(link);
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
	case AE_IFDIR:
		return true;
	case AE_IFLNK:
		link = archive_entry_symlink(e);
		return link && stays_inside(path, link);
	}
	return false;
}

/* The entry's bytes. ARCHIVE_OK, or what @*whose says: a full disk is a warning to it. */
static int copy_data(struct extract *x, struct archive **whose)
{
	const void *data;
	la_int64_t off;
	size_t len;
	int r;

	for (;;) {
		*whose = x->in;
		r = archive_read_data_block(x->in, &data, &len, &off);
		if (r != ARCHIVE_OK)
			return r == ARCHIVE_EOF ? ARCHIVE_OK : r;
		*whose = x->disk;
		r = (int)archive_write_data_block(x->disk, data, len, off);
		if (r < ARCHIVE_OK)
			return r;
	}
}

/* A file is there as a whole, or not at all. False: nothing more can be had. */
static bool copy_file(struct extract *x, struct archive_entry *e)
{
	struct archive *whose = x->disk;
	int r = archive_entry_size(e) ? copy_data(x, &whose) : ARCHIVE_OK;
	bool full = archive_errno(whose) == ENOSPC;
	const char *reason;
	char why[200];

	if (r == ARCHIVE_OK) {
		r = archive_write_finish_entry(x->disk);
		if (r >= ARCHIVE_WARN) /* its time, perhaps */
			return true;
	}
	reason = whose == x->disk ? strerror(archive_errno(whose)) : "it is cut short, or damaged";
	snprintf(why, sizeof(why), "%s: %s", archive_error_string(whose), reason);
	miss(x, e, why);
	archive_write_finish_entry(x->disk);
	unlink(archive_entry_pathname(e));
	return r > ARCHIVE_FATAL && !full;
}

/* Its owner can read and change it, whatever the guest has thought. */
static void set_rights(struct archive_entry *e)
{
	mode_t least = archive_entry_filetype(e) == AE_IFDIR ? 0700 : 0600;

	archive_entry_set_perm(e, (archive_entry_perm(e) & 0777) | least);
}

/* False: nothing more can be had. */
static bool extract_entry(struct extract *x, struct archive_entry *e)
{
	uint64_t size = archive_entry_size(e);
	int r;

	if (is_top(e))
		return true;
	if (!is_wanted(e)) {
		x->left_out++;
		return true;
	}
	if (size > x->left) {
		miss(x, e, "the files are larger than --out-limit allows");
		return true;
	}
	x->left -= size;
	set_rights(e);
	r = archive_write_header(x->disk, e);
	if (r < ARCHIVE_WARN) {
		miss(x, e, archive_error_string(x->disk));
		return r > ARCHIVE_FATAL;
	}
	return copy_file(x, e);
}

static void extract_all(struct extract *x)
{
	unsigned n = EXTRACT_ENTRIES_MAX;
	struct archive_entry *e;
	int r;

	for (;;) {
		r = archive_read_next_header(x->in, &e);
		if (r == ARCHIVE_EOF)
			return;
		if (r < ARCHIVE_WARN) {
			miss(x, NULL, archive_error_string(x->in));
			if (r == ARCHIVE_FATAL)
				return;
			continue;
		}
		if (!n--) {
			miss(x, e, "there are too many files");
			return;
		}
		if (!extract_entry(x, e))
			return;
	}
}

static bool has_end(const struct extract *x)
{
	static const char zeroes[2 * BLOCK];
	char end[2 * BLOCK];

	return x->size >= sizeof(end) && x->size % BLOCK == 0 &&
	       pread(x->fd, end, sizeof(end), x->size - sizeof(end)) == sizeof(end) &&
	       !memcmp(end, zeroes, sizeof(end));
}

static int report(struct extract *x)
{
	if (x->left_out)
		log_warn("%s: %u entr%s left out: devices, pipes, or links that lead out of it",
			 x->what, x->left_out, x->left_out == 1 ? "y is" : "ies are");
	if (!x->missing && !has_end(x))
		miss(x, NULL, "it has no end");
	if (!x->missing)
		return 0;
	log_err("%s: %u or more entries are missing; the first is %s", x->what, x->missing,
		x->why);
	return -EIO;
}

static int run(struct extract *x)
{
	x->in = archive_read_new();
	x->disk = archive_write_disk_new();
	if (!x->in || !x->disk)
		return -ENOMEM;
	archive_write_disk_set_options(x->disk, RULES);
	if (archive_read_support_format_tar(x->in) != ARCHIVE_OK ||
	    archive_read_open(x->in, x, NULL, read_more, NULL) != ARCHIVE_OK)
		miss(x, NULL, archive_error_string(x->in));
	else
		extract_all(x);
	if (archive_write_close(x->disk) != ARCHIVE_OK)
		miss(x, NULL, archive_error_string(x->disk));
	return report(x);
}

int extract_tar(const char *what, int archive, uint64_t size, int folder, uint64_t limit)
{
	struct extract *x = calloc(1, sizeof(*x));
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), r = -EIO;

	if (!x || here < 0 || fchdir(folder) < 0) {
		log_err("%s: cannot be entered: %s", what, strerror(errno));
	} else {
		*x = (struct extract){ .what = what, .fd = archive, .size = size, .left = limit };
		r = run(x);
		archive_read_free(x->in);
		archive_write_free(x->disk);
		if (fchdir(here) < 0)
			log_warn("%s: the current directory is lost: %s", what, strerror(errno));
	}
	if (here >= 0)
		close(here);
	free(x);
	return r;
}
