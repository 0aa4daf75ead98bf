/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/clock.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/nameless.h"
#include "vmm/core/util.h"
#include "vmm/run/files/extract.h"
#include "vmm/run/files/guestpath.h"
#include "vmm/run/files/host_root.h"
#include "vmm/run/files/live.h"
#include "vmm/run/files/root.h"
#include "vmm/run/files/share.h"

#define SERIAL "lunette-" /* of all these disks; a "share0" or "out" follows */
#define OUT_PATH "/out"
#define BLOCK 512
#define UNPACK_MS (30 * 60 * 1000) /* where the run has no deadline */

/* What an option says: DIR[:PATH], and of a folder that is shared perhaps how. */
struct folder {
	const char *option, *text;
	char *dir, *path; /* here, and in the guest */
	struct live_options how;
	struct live live; /* LIVE_NONE: it is a copy */
};

struct files {
	const struct files_cfg *cfg;
	struct folder folder[FILES_SHARES_MAX + 1]; /* those that are shared, then --out's */
	unsigned folders, shares;
	unsigned disks, records;
	char *disk[FILES_SHARES_MAX + 1], *record[FILES_SHARES_MAX + 1];

	struct root root;
	char *root_disk; /* NULL: it is on none of ours */

	/* What comes out. */
	int out, archive;
	bool told, lost;
	uint64_t size;
};

/* DIR[:PATH], where DIR may have a colon, too. The path is NULL if there is none. -ENOMEM. */
static int split(struct folder *to, const char *text)
{
	const char *colon = NULL, *next = text;

	while ((next = strstr(next, ":/")))
		colon = next++;
	to->dir = colon ? strndup(text, colon - text) : strdup(text);
	to->path = colon ? strdup(colon + 1) : NULL;
	return to->dir && (to->path || !colon) ? 0 : -ENOMEM;
}

/* As the shell shows where we are, so that --cwd "$PWD" is the same place. */
static char *own_path(const char *dir)
{
	size_t len = strlen(dir);

	if (!strcmp(dir, ".") || !strcmp(dir, "./"))
		return get_current_dir_name();
	if (*dir != '/')
		return realpath(dir, NULL);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	return strndup(dir, len);
}

/* A comma in the value of an option is written twice. */
static char *escape(const char *path)
{
	char *text = malloc(2 * strlen(path) + 1), *to = text;

	for (; to && *path; *to++ = *path++) {
		if (*path == ',')
			*to++ = ',';
	}
	if (to)
		*to = 0;
	return text;
}

static int add_record(struct files *f, const char *verb, const char *name, const char *path)
{
	if (asprintf(&f->record[f->records], "%s=" SERIAL "%s:%s", verb, name, path) < 0)
		return -ENOMEM;
	f->records++;
	return 0;
}

/* Takes @file, an option's value with its own ones behind it. */
static int add_disk(struct files *f, char *file, const char *name, const char *verb,
		    const char *path, const char *more)
{
	int r = -ENOMEM;

	if (file &&
	    asprintf(&f->disk[f->disks], "%s,serial=" SERIAL "%s%s", file, name, more) >= 0) {
		f->disks++;
		r = add_record(f, verb, name, path);
	}
	free(file);
	return r;
}

static int refuse(const struct folder *f, const char *why)
{
	log_err("%s %s: %s: %s; another PATH: %s DIR:PATH", f->option, f->text, f->path, why,
		f->option);
	return -EUSAGE;
}

/* An option's text, and where its folder is in the guest: as @def has it, or where it is here. */
static int parse(struct folder *f, const char *option, const char *text, const char *def)
{
	char *copy = strdup(text);
	const char *why;
	int r = copy ? 0 : -ENOMEM;

	*f = (struct folder){ .option = option, .text = text, .live = LIVE_NONE };
	if (copy && !def)
		r = live_options(option, copy, &f->how);
	r = r ? r : split(f, copy);
	free(copy);
	if (r < 0)
		return r;
	if (!*f->dir) {
		log_err("%s %s: DIR is missing: %s DIR or DIR:PATH", option, text, option);
		return -EUSAGE;
	}
	if (!f->path)
		f->path = def ? strdup(def) : own_path(f->dir);
	if (!f->path) {
		r = -errno;
		log_err("%s %s: %s", option, text, strerror(-r));
		return r;
	}
	why = guestpath_check(f->path);
	return why ? refuse(f, why) : 0;
}

/* One may lie in another: the outer one is mounted first. */
static int check_places(const struct files *f)
{
	const struct folder *a, *b, *end = f->folder + f->folders;

	for (a = f->folder; a < end; a++) {
		for (b = a + 1; b < end; b++)
			if (!strcmp(a->path, b->path))
				return refuse(b, "another folder is there");
		if (f->cfg->out && a + 1 < end && guestpath_is_in(a->path, end[-1].path))
			return refuse(a, "what is in --out's folder comes out, and begins empty");
	}
	return 0;
}

static int parse_all(struct files *f)
{
	const struct opt_list *shares = &f->cfg->shares;
	unsigned i;
	int r = 0;

	if (shares->count > FILES_SHARES_MAX) {
		log_err("--share %s: %u folders are possible", shares->item[FILES_SHARES_MAX],
			FILES_SHARES_MAX);
		return -EUSAGE;
	}
	for (i = 0; r == 0 && i < shares->count; i++)
		r = parse(&f->folder[f->folders++], "--share", shares->item[i], NULL);
	f->shares = f->folders;
	if (r == 0 && f->cfg->out)
		r = parse(&f->folder[f->folders++], "--out", f->cfg->out, OUT_PATH);
	return r < 0 ? r : check_places(f);
}

static int add_copy(struct files *f, unsigned i, const char *name)
{
	char *image = share_image("--share", f->folder[i].dir, false);
	int r = -EIO;

	if (image)
		r = add_disk(f, escape(image), name, "mount", f->folder[i].path, ",readonly=on");
	free(image);
	return r;
}

/* 1: it cannot be had, and a copy is to do. */
static int add_live(struct files *f, struct folder *folder, const char *name)
{
	char *dir = realpath(folder->dir, NULL), tag[32], what[PATH_MAX + 16], why[600];
	const struct virtiofsd_cfg cfg = { .dir = dir, .readonly = !folder->how.rw };
	int r;

	if (!dir)
		return 1; /* whoever makes the copy says so */
	snprintf(what, sizeof(what), "--share %s", folder->dir);
	snprintf(tag, sizeof(tag), SERIAL "%s", name);
	r = live_open(&folder->live, what, tag, &cfg, why, sizeof(why));
	free(dir);
	if (r == 0)
		return add_record(f, folder->how.rw ? "live" : "seen", name, folder->path);
	if (folder->how.rw) {
		log_err("%s: rw=on: %s", what, why);
		return r;
	}
	log_warn("%s: the guest gets a copy, and not the folder itself: %s", what, why);
	return 1;
}

static int add_share(struct files *f, unsigned i)
{
	struct folder *folder = &f->folder[i];
	char name[16];
	int r;

	snprintf(name, sizeof(name), "share%u", i);
	r = folder->how.live ? add_live(f, folder, name) : 1;
	return r == 1 ? add_copy(f, i, name) : r;
}

static int by_length_of_path(const void *a, const void *b)
{
	const char *const *p = a, *const *q = b;
	size_t x = strlen(strchr(*p, ':')), y = strlen(strchr(*q, ':'));

	return x == y ? 0 : x < y ? -1 : 1;
}

/* In the order in which they are mounted, while the disks keep that of the options. */
static void sort_records(struct files *f)
{
	if (f->shares && f->records == f->shares)
		qsort(f->record, f->shares, sizeof(f->record[0]), by_length_of_path);
}

/* A file without a name, where the results will be: so there is room for them, or for none. */
static int open_archive(struct files *f, const char *dir)
{
	f->out = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->out < 0)
		return -errno;
	f->archive = nameless_open(dir);
	if (f->archive < 0)
		return f->archive;
	return ftruncate(f->archive, f->cfg->out_limit & -4096ull) < 0 ? -errno : 0;
}

static int add_out(struct files *f)
{
	const struct folder *out = &f->folder[f->shares];
	int r = claim_folder(f->cfg->claims, "--out", out->dir);
	char *file;

	if (r < 0)
		return r;
	r = open_archive(f, out->dir);
	if (r < 0) {
		log_err("--out %s: %s", out->dir, strerror(-r));
		return r;
	}
	if (asprintf(&file, "/proc/self/fd/%d", f->archive) < 0)
		return -ENOMEM;
	return add_disk(f, file, "out", "out", out->path, ",overlay=off");
}

/* The guest's kernel is told of it by its command line, and no record is needed. */
static int add_root(struct files *f)
{
	int r = root_open(f->cfg->root, f->cfg->claims, &f->root);
	char *file = f->root.image ? escape(f->root.image) : NULL;

	if (r == 0 && f->root.live.device)
		return 0;
	if (r == 0 && (!file || asprintf(&f->root_disk, "%s,serial=" FILES_ROOT ",readonly=on",
					 file) < 0)) {
		f->root_disk = NULL;
		r = -ENOMEM;
	}
	free(file);
	return r;
}

struct files *files_create(const struct files_cfg *cfg)
{
	struct files *f = calloc(1, sizeof(*f));
	unsigned i;
	int r;

	if (!f)
		return NULL;
	f->cfg = cfg;
	f->out = f->archive = -1;
	f->root = ROOT_NONE;
	r = parse_all(f);
	if (r == 0 && root_is_files(cfg->root))
		r = add_root(f);
	for (i = 0; r == 0 && i < f->shares; i++)
		r = add_share(f, i);
	sort_records(f);
	if (r == 0 && cfg->out)
		r = add_out(f);
	if (r == 0)
		return f;
	files_destroy(f);
	errno = -r;
	return NULL;
}

void files_destroy(struct files *f)
{
	unsigned i;

	if (!f)
		return;
	for (i = 0; i < f->disks; i++)
		free(f->disk[i]);
	for (i = 0; i < f->records; i++)
		free(f->record[i]);
	for (i = 0; i < f->folders; i++) {
		live_close(&f->folder[i].live);
		free(f->folder[i].dir);
		free(f->folder[i].path);
	}
	root_close(&f->root);
	free(f->root_disk);
	if (f->out >= 0)
		close(f->out);
	if (f->archive >= 0)
		close(f->archive);
	free(f);
}

const char *files_disk(const struct files *f, unsigned i)
{
	return f && i < f->disks ? f->disk[i] : NULL;
}

/* The @k-th folder that is live, or NULL; the root file system is behind those that are shared. */
static struct live *live_of(struct files *f, unsigned k)
{
	struct live *live = k < f->shares ? &f->folder[k].live : &f->root.live;

	return live->device ? live : NULL;
}

const char *files_device(struct files *f, unsigned i)
{
	unsigned k;

	for (k = 0; f && k <= f->shares; k++) {
		if (live_of(f, k) && !i--)
			return live_of(f, k)->device;
	}
	return NULL;
}

int files_watch(struct files *f, struct loop *loop, void (*gone)(void *arg), void *arg)
{
	unsigned k;
	int r = 0;

	for (k = 0; !r && f && k <= f->shares; k++) {
		if (live_of(f, k))
			r = live_watch(live_of(f, k), loop, gone, arg);
	}
	return r;
}

void files_unwatch(struct files *f)
{
	unsigned k;

	for (k = 0; f && k <= f->shares; k++) {
		if (live_of(f, k))
			live_unwatch(live_of(f, k));
	}
}

const char *files_root_disk(const struct files *f)
{
	return f ? f->root_disk : NULL;
}

const char *files_root_word(const struct files *f)
{
	if (f && f->root.live.device)
		return "virtiofs:" HOST_ROOT_TAG;
	return f && f->root_disk ? "serial:" FILES_ROOT : NULL;
}

const struct oci *files_oci(const struct files *f)
{
	return f && (f->root.oci.folder >= 0 || f->root.live.device) ? &f->root.oci : NULL;
}

const char *files_record(const struct files *f, unsigned i)
{
	return f && i < f->records ? f->record[i] : NULL;
}

const char *files_cwd(const struct files *f)
{
	return f && f->shares == 1 ? f->folder[0].path : NULL;
}

void files_heard_out(struct files *f, unsigned blocks)
{
	if (!f || f->archive < 0 || f->told)
		return;
	f->told = true;
	f->size = min_u64((uint64_t)blocks * BLOCK, f->cfg->out_limit);
}

void files_heard_lost(struct files *f)
{
	if (f)
		f->lost = true;
}

int files_collect(struct files *f, uint64_t deadline, int *sig)
{
	char what[PATH_MAX + 16];
	struct extract_cfg cfg;
	int r;

	if (!f || f->archive < 0)
		return 0;
	snprintf(what, sizeof(what), "--out %s", f->folder[f->shares].dir);
	if (!f->told && !f->lost) {
		log_warn("%s: nothing: the guest went down before it gave its results", what);
		return 0;
	}
	cfg = (struct extract_cfg){
		.what = what, .archive = f->archive, .size = f->size, .folder = f->out,
		.claims = f->cfg->claims,
		.limit = f->cfg->out_limit, .entries = EXTRACT_ENTRIES_MAX,
		.deadline = deadline ? deadline : now_ms() + UNPACK_MS,
	};
	r = extract_tar(&cfg, sig);
	return r == 0 && f->lost ? -EIO : r;
}
