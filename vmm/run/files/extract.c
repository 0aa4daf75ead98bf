/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/extract.h"

#include <archive.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/files/apart.h"
#include "vmm/run/files/entry.h"
#include "vmm/run/files/place.h"

#define BLOCK 512 /* of tar; two of zeroes are its end */

/* What the process has to say of it. */
struct found {
	unsigned entries; /* seen */
	unsigned missing; /* of them */
	unsigned left_out;
	char why[300]; /* the first of them is missing */
};

struct extract {
	const struct extract_cfg *cfg;
	struct found *found; /* shared */
	uint64_t at;         /* read of it */
	uint64_t left, span; /* bytes that files may still have, without and with holes */
	struct archive *in;
	struct place *place;
	char buf[64 << 10];
};

/* Notes that an entry is missing. */
static void miss(struct extract *x, const char *path, const char *why)
{
	if (!x->found->missing++)
		snprintf(x->found->why, sizeof(x->found->why), "%.200s: %s",
			 path ? path : "the archive", why ? why : "no reason is known");
}

static la_ssize_t read_more(struct archive *a, void *arg, const void **data)
{
	struct extract *x = arg;
	ssize_t n = pread(x->cfg->archive, x->buf,
			  min_u64(sizeof(x->buf), x->cfg->size - x->at), x->at);

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
static bool stays_inside(const char *path, const char *target, unsigned above)
{
	int up = 0, depth = depth_of(path) - (int)above;
	bool down = false;
	size_t len;

	if (*target == '/' || !*target || depth < 0)
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

/* What becomes of an entry that is no file. */
enum { PLACED = 0, LEFT_OUT = 1 }; /* or -errno */

static int place_a_link(struct extract *x, const char *path, const char *target)
{
	int r = *target == '/' ? -ENOENT : place_link(x->place, path, target);

	return r == -ENOENT ? LEFT_OUT : r;
}

static int place_a_symlink(struct extract *x, struct archive_entry *e, const char *path)
{
	const char *target = entry_symlink(e);
	struct timespec mtime = entry_mtime(e);

	if (!target || !stays_inside(path, target, x->cfg->above))
		return LEFT_OUT;
	return place_symlink(x->place, path, target, &mtime);
}

/* The folder at the top is the user's, and stays as it is. */
static int place_a_folder(struct extract *x, struct archive_entry *e, const char *path)
{
	struct timespec mtime = entry_mtime(e);

	if (*path && *path != '/' && depth_of(path) < 0)
		return PLACED;
	return place_folder(x->place, path, archive_entry_perm(e), &mtime);
}

/* NULL, or why it is not to be. */
static const char *take(struct extract *x, uint64_t size, uint64_t off, size_t len)
{
	if (off > size || len > size - off)
		return "it is damaged";
	if (len > x->left)
		return "the files are larger than --out-limit allows";
	x->left -= len;
	return NULL;
}

/* The entry's bytes. NULL, or what is wrong; *@more: other entries can be had. */
static const char *copy_data(struct extract *x, uint64_t size, bool *more)
{
	const void *data;
	const char *why;
	la_int64_t off;
	size_t len;
	int r;

	for (;;) {
		r = archive_read_data_block(x->in, &data, &len, &off);
		*more = r != ARCHIVE_FATAL;
		if (r == ARCHIVE_EOF)
			return NULL;
		if (r != ARCHIVE_OK)
			return "it is cut short, or damaged";
		why = take(x, size, off, len);
		if (why)
			return why;
		r = place_write(x->place, data, len, off);
		*more = r != -ENOSPC;
		if (r < 0)
			return place_why(r);
	}
}

/* A file is there as a whole, or not at all. False: nothing more can be had. */
static bool extract_file(struct extract *x, struct archive_entry *e, const char *path)
{
	uint64_t size = archive_entry_size(e);
	struct timespec mtime = entry_mtime(e);
	const char *why;
	bool more = true;
	int r;

	if (size > x->span) {
		miss(x, path, "the files would be larger, with their holes, than 16 TiB");
		return true;
	}
	r = place_begin(x->place, path, archive_entry_perm(e));
	if (r < 0) {
		miss(x, path, place_why(r));
		return true;
	}
	x->span -= size;
	why = size ? copy_data(x, size, &more) : NULL;
	if (why) {
		place_drop(x->place);
	} else {
		r = place_commit(x->place, size, &mtime);
		why = r < 0 ? place_why(r) : NULL;
		more = r != -ENOSPC;
	}
	if (why)
		miss(x, path, why);
	return more;
}

/* False: nothing more can be had. */
static bool extract_entry(struct extract *x, struct archive_entry *e)
{
	const char *path = entry_path(e), *link = entry_hardlink(e);
	int r = LEFT_OUT;

	if (!path) {
		miss(x, NULL, "an entry has no name, or is damaged");
		return true;
	}
	if (link && archive_entry_size(e) > 0) {
		miss(x, path, "it is a hard link, but has data");
		return true;
	}
	if (link)
		r = place_a_link(x, path, link);
	else if (archive_entry_filetype(e) == AE_IFREG)
		return extract_file(x, e, path);
	else if (archive_entry_filetype(e) == AE_IFDIR)
		r = place_a_folder(x, e, path);
	else if (archive_entry_filetype(e) == AE_IFLNK)
		r = place_a_symlink(x, e, path);
	if (r == LEFT_OUT)
		x->found->left_out++;
	else if (r < 0)
		miss(x, path, place_why(r));
	return r != -ENOSPC;
}

static bool is_too_much(struct extract *x)
{
	if (++x->found->entries + place_folders(x->place) <= x->cfg->entries)
		return false;
	miss(x, NULL, "it has more files and folders than are allowed (1,048,576)");
	return true;
}

static void extract_all(struct extract *x)
{
	struct archive_entry *e;
	int r;

	do {
		r = archive_read_next_header(x->in, &e);
		if (r == ARCHIVE_EOF)
			return;
		if (r < ARCHIVE_WARN)
			miss(x, NULL, archive_error_string(x->in));
		if (r == ARCHIVE_FATAL || is_too_much(x))
			return;
	} while (r < ARCHIVE_WARN || extract_entry(x, e));
}

static bool has_end(const struct extract_cfg *cfg)
{
	static const char zeroes[2 * BLOCK];
	char end[2 * BLOCK];

	return cfg->size >= sizeof(end) && cfg->size % BLOCK == 0 &&
	       pread(cfg->archive, end, sizeof(end), cfg->size - sizeof(end)) == sizeof(end) &&
	       !memcmp(end, zeroes, sizeof(end));
}

/* All of it, in a process of its own. */
static void run(void *arg)
{
	struct extract *x = arg;

	x->in = archive_read_new();
	x->place = place_create(x->cfg->folder);
	if (!x->in || !x->place) {
		miss(x, NULL, strerror(ENOMEM));
		return;
	}
	place_spare(x->place, x->cfg->claims);
	if (archive_read_support_format_tar(x->in) != ARCHIVE_OK ||
	    archive_read_open(x->in, x, NULL, read_more, NULL) != ARCHIVE_OK)
		miss(x, NULL, archive_error_string(x->in));
	else
		extract_all(x);
	if (!x->found->missing && !has_end(x->cfg))
		miss(x, NULL, "it has no end");
	place_destroy(x->place);
	archive_read_free(x->in);
}

/* In the words of that process, whose memory is not to be trusted either. */
static int report_found(const struct extract_cfg *cfg, struct found *found)
{
	char *c;

	found->why[sizeof(found->why) - 1] = 0;
	for (c = found->why; *c; c++) { /* it may go to a terminal */
		if (iscntrl((unsigned char)*c))
			*c = '?';
	}
	if (found->left_out)
		log_warn("%s: %u entr%s left out: devices, pipes, or links that lead out of it",
			 cfg->what, found->left_out, found->left_out == 1 ? "y is" : "ies are");
	if (!found->missing)
		return 0;
	log_err("%s: %u or more entries are missing; the first is %s", cfg->what, found->missing,
		found->why);
	return -EIO;
}

static int report(const struct extract_cfg *cfg, struct found *found, int r, int sig)
{
	const char *had = "what was unpacked by then is there, each file as a whole";

	if (r == 0)
		return report_found(cfg, found);
	if (r == -ETIMEDOUT)
		log_err("%s: its time is over after %u entries; %s", cfg->what, found->entries,
			had);
	else if (r == -EINTR)
		log_err("%s: SIG%s ends it after %u entries; %s", cfg->what, sigabbrev_np(sig),
			found->entries, had);
	else if (r == -ECHILD)
		log_err("%s: the archive makes no sense after %u entries, or takes more memory "
			"than it may; %s", cfg->what, found->entries, had);
	else
		log_err("%s: no process to unpack it: %s", cfg->what, strerror(-r));
	return r == -ETIMEDOUT || r == -EINTR ? r : -EIO;
}

int extract_tar(const struct extract_cfg *cfg, int *sig)
{
	struct found *found = mmap(NULL, sizeof(*found), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct extract *x = calloc(1, sizeof(*x));
	struct apart apart = {
		.fn = run, .arg = x, .fd = { cfg->archive, cfg->folder },
		.memory = EXTRACT_MEMORY_MAX, .file_max = EXTRACT_SPAN_MAX,
		.deadline = cfg->deadline,
	};
	int r = -ENOMEM;

	if (x && found != MAP_FAILED) {
		x->cfg = cfg;
		x->found = found;
		x->left = cfg->limit;
		x->span = EXTRACT_SPAN_MAX;
		r = apart_run(&apart);
	}
	if (r == -EINTR)
		*sig = apart.signal;
	r = report(cfg, found, r, apart.signal);
	if (found != MAP_FAILED)
		munmap(found, sizeof(*found));
	free(x);
	return r;
}
