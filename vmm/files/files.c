#include "vmm/files/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/files/extract.h"
#include "vmm/files/share.h"

#define SERIAL "lunette-" /* of all these disks; a "share0" or "out" follows */
#define OUT_PATH "/out"
#define BLOCK 512

struct files {
	const struct files_cfg *cfg;
	unsigned count; /* of disks, each with a record */
	char *disk[FILES_SHARES_MAX + 1], *record[FILES_SHARES_MAX + 1];
	unsigned shares;
	char *cwd;

	/* What comes out. */
	char *dir;
	int folder, archive;
	bool told, lost;
	uint64_t size;
};

/* DIR[:PATH], where DIR may have a colon, too. *@path points into @text; NULL: there is none. */
static char *split(const char *text, const char **path)
{
	const char *colon = NULL, *next = text;

	while ((next = strstr(next, ":/")))
		colon = next++;
	*path = colon ? colon + 1 : NULL;
	return colon ? strndup(text, colon - text) : strdup(text);
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

/* Takes @file, an option's value with its own ones behind it. */
static int add_disk(struct files *f, char *file, const char *name, const char *verb,
		    const char *path, const char *more)
{
	unsigned i = f->count;
	int r = -ENOMEM;

	if (file && asprintf(&f->disk[i], "%s,serial=" SERIAL "%s%s", file, name, more) >= 0) {
		if (asprintf(&f->record[i], "%s=" SERIAL "%s:%s", verb, name, path) >= 0)
			r = 0;
		else
			free(f->disk[i]);
	}
	if (r == 0)
		f->count++;
	free(file);
	return r;
}

static int check_path(const char *option, const char *text, const char *path)
{
	if (path[1])
		return 0;
	log_err("%s %s: / in the guest is where its own files are; give another PATH: %s DIR:PATH",
		option, text, option);
	return -EINVAL;
}

static int share_folder(struct files *f, const char *dir, const char *path)
{
	char *image = share_image(dir), name[16];
	int r = -EIO;

	snprintf(name, sizeof(name), "share%u", f->shares++);
	if (image)
		r = add_disk(f, escape(image), name, "mount", path, ",readonly=on");
	free(image);
	return r;
}

static int add_share(struct files *f, const char *text)
{
	const char *path;
	char *dir = split(text, &path), *own = NULL;
	int r;

	if (f->shares == FILES_SHARES_MAX) {
		log_err("--share %s: %u folders are possible", text, FILES_SHARES_MAX);
		free(dir);
		return -EINVAL;
	}
	if (dir && !path)
		path = own = own_path(dir);
	if (!path)
		log_err("--share %s: %s", text, strerror(errno));
	r = path ? check_path("--share", text, path) : -EIO;
	if (r == 0)
		r = share_folder(f, dir, path);
	if (r == 0)
		f->cwd = f->cwd ? f->cwd : strdup(path);
	free(own);
	free(dir);
	return r;
}

/* Where the file system cannot make it so, it has a name for a moment. */
static int nameless_file(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *path;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR) ||
	    asprintf(&path, "%s/.lunette-XXXXXX", dir) < 0)
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

/* A file without a name, where the results will be: so there is room for them, or for none. */
static int open_archive(struct files *f)
{
	if (mkdir(f->dir, 0777) < 0 && errno != EEXIST)
		return -errno;
	f->folder = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->folder < 0)
		return -errno;
	f->archive = nameless_file(f->dir);
	if (f->archive < 0 || ftruncate(f->archive, f->cfg->out_limit & -4096ull) < 0)
		return -errno;
	return 0;
}

static int add_out(struct files *f)
{
	const char *path, *text = f->cfg->out;
	char *file;
	int r;

	f->dir = split(text, &path);
	if (!f->dir)
		return -ENOMEM;
	r = path ? check_path("--out", text, path) : 0;
	if (r < 0)
		return r;
	r = open_archive(f);
	if (r < 0) {
		log_err("--out %s: %s", f->dir, strerror(-r));
		return r == -EINVAL ? -EIO : r;
	}
	if (asprintf(&file, "/proc/self/fd/%d", f->archive) < 0)
		return -ENOMEM;
	return add_disk(f, file, "out", "out", path ? path : OUT_PATH, ",overlay=off");
}

struct files *files_create(const struct files_cfg *cfg)
{
	struct files *f = calloc(1, sizeof(*f));
	unsigned i;
	int r = 0;

	if (!f)
		return NULL;
	f->cfg = cfg;
	f->folder = f->archive = -1;
	for (i = 0; r == 0 && i < cfg->shares.count; i++)
		r = add_share(f, cfg->shares.item[i]);
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
	if (!f)
		return;
	while (f->count) {
		f->count--;
		free(f->disk[f->count]);
		free(f->record[f->count]);
	}
	if (f->folder >= 0)
		close(f->folder);
	if (f->archive >= 0)
		close(f->archive);
	free(f->dir);
	free(f->cwd);
	free(f);
}

const char *files_disk(const struct files *f, unsigned i)
{
	return f && i < f->count ? f->disk[i] : NULL;
}

const char *files_record(const struct files *f, unsigned i)
{
	return f && i < f->count ? f->record[i] : NULL;
}

const char *files_cwd(const struct files *f)
{
	return f && f->shares == 1 ? f->cwd : NULL;
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

int files_collect(struct files *f)
{
	char what[PATH_MAX + 16];
	int r;

	if (!f || f->archive < 0)
		return 0;
	snprintf(what, sizeof(what), "--out %s", f->dir);
	if (!f->told && !f->lost) {
		log_warn("%s: nothing: the guest went down before it gave its results", what);
		return 0;
	}
	r = extract_tar(what, f->archive, f->size, f->folder, f->cfg->out_limit);
	return f->lost ? -EIO : r;
}
