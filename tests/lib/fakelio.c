/* SPDX-License-Identifier: MIT */
#include "tests/lib/fakelio.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"

static struct fakelio fake;

/* What a folder is, by its place, and what the kernel puts into it. */
static const struct kind {
	const char *pattern;
	const char *children[3];
} kinds[] = {
	{ "core/fileio_*/*", { "attrib", "wwn" } },
	{ "core/iblock_*/*", { "attrib", "wwn" } },
	{ "core/fileio_*", { 0 } },
	{ "core/iblock_*", { 0 } },
	{ "vhost/*/tpgt_*/lun/lun_*", { "statistics" } },
	{ "vhost/*/tpgt_*", { "lun", "attrib" } },
	{ "vhost/*", { 0 } },
	{ "vhost", { 0 } },
};

static const struct kind *kind_of(const char *path)
{
	size_t i, skip = strlen(fake.root) + 1;

	BUG_ON(strncmp(path, fake.root, skip - 1));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!fnmatch(kinds[i].pattern, path + skip, FNM_PATHNAME))
			return &kinds[i];
	}
	return NULL;
}

static int visit_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int remove_tree(const char *path)
{
	return nftw(path, visit_remove, 8, FTW_DEPTH | FTW_PHYS) ? -errno : 0;
}

static bool fails(void)
{
	return ++fake.made == fake.fail_at;
}

static int fake_make(const char *path)
{
	const struct kind *k = kind_of(path);
	char child[600];
	unsigned i;

	if (fails())
		return -fake.fail_with;
	if (!k)
		return -EINVAL;
	if (mkdir(path, 0755) < 0)
		return -errno;
	for (i = 0; k->children[i]; i++) {
		snprintf(child, sizeof(child), "%s/%s", path, k->children[i]);
		BUG_ON(mkdir(child, 0755) < 0);
	}
	return 0;
}

/* Entries of a folder whose names begin so, or links. */
static unsigned entries(const char *dir, const char *prefix, bool links)
{
	DIR *d = opendir(dir);
	unsigned n = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.' && (links ? e->d_type == DT_LNK
						  : !strncmp(e->d_name, prefix, strlen(prefix))))
			n++;
	}
	if (d)
		closedir(d);
	return n;
}

static const char *linked_to; /* what visit_links() looks for */

static int visit_links(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	char to[600];
	ssize_t len = flag == FTW_SL ? readlink(path, to, sizeof(to) - 1) : -1;

	(void)st;
	(void)ftw;
	if (len < 0)
		return 0;
	to[len] = 0;
	return !strcmp(to, linked_to);
}

static bool is_busy(const char *path, const struct kind *k)
{
	char below[600];

	if (!strncmp(k->pattern, "core", 4)) {
		linked_to = path;
		return strchr(k->pattern + 5, '/') ? nftw(fake.root, visit_links, 8, FTW_PHYS)
						   : entries(path, "", false) != 0;
	}
	if (strstr(k->pattern, "lun_"))
		return entries(path, "", true);
	snprintf(below, sizeof(below), "%s/lun", path);
	return entries(path, "nexus", false) || entries(path, "tpgt_", false) ||
	       entries(below, "lun_", false) || !strcmp(k->pattern, "vhost");
}

static int fake_remove(const char *path)
{
	const struct kind *k = kind_of(path);

	if (access(path, F_OK) < 0)
		return -errno;
	if (!k || fake.stuck || is_busy(path, k))
		return -EBUSY;
	return remove_tree(path);
}

static int take_nexus_away(const char *path)
{
	char luns[600];

	snprintf(luns, sizeof(luns), "%.*s/lun", (int)(strrchr(path, '/') - path), path);
	if (entries(luns, "lun_", false))
		return -EBUSY;
	return unlink(path) < 0 ? -ENODEV : 0;
}

static int fake_write(const char *path, const char *text)
{
	const char *name = strrchr(path, '/') + 1;
	char control[600];
	FILE *f;

	if (!strcmp(name, "nexus") && !strcmp(text, "NULL"))
		return take_nexus_away(path);
	if (fails())
		return -fake.fail_with;
	snprintf(control, sizeof(control), "%.*s/control", (int)(name - 1 - path), path);
	if (!strcmp(name, "enable") && access(control, F_OK) < 0)
		return -EINVAL;
	f = fopen(path, "we");
	if (!f)
		return -errno;
	fputs(text, f);
	fclose(f);
	return 0;
}

static int fake_link(const char *to, const char *path)
{
	char enable[600];

	snprintf(enable, sizeof(enable), "%s/enable", to);
	if (fails())
		return -fake.fail_with;
	if (access(enable, F_OK) < 0)
		return -ENODEV;
	return symlink(to, path) < 0 ? -errno : 0;
}

static int fake_unlink(const char *path)
{
	return fake.stuck ? -EBUSY : unlink(path) < 0 ? -errno : 0;
}

struct fakelio *fakelio_open(void)
{
	fake = (struct fakelio){ .root = "/tmp/lunette-lio-XXXXXX" };
	BUG_ON(!mkdtemp(fake.root) || mkdir(fakelio_path(&fake, "core"), 0755) < 0 ||
	       mkdir(fakelio_path(&fake, "core/alua"), 0755) < 0);
	fake.tree = (struct lio_tree){ .root = fake.root, .make = fake_make,
				       .remove = fake_remove, .write = fake_write,
				       .link = fake_link, .unlink = fake_unlink };
	return &fake;
}

void fakelio_close(struct fakelio *f)
{
	BUG_ON(remove_tree(f->root) < 0);
}

const char *fakelio_path(struct fakelio *f, const char *fmt, ...)
{
	static char path[600];
	size_t len = snprintf(path, sizeof(path), "%s/", f->root);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path + len, sizeof(path) - len, fmt, ap);
	va_end(ap);
	return path;
}

bool fakelio_has(struct fakelio *f, const char *path)
{
	struct stat st;

	return !lstat(fakelio_path(f, "%s", path), &st);
}

const char *fakelio_text(struct fakelio *f, const char *path)
{
	static char text[600];
	FILE *file = fopen(fakelio_path(f, "%s", path), "re");
	size_t len;

	if (!file)
		return "";
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = 0;
	return text;
}

static unsigned counted;

static int visit_count(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (flag == FTW_SL || (flag == FTW_D && strcmp(path, fake.root) && kind_of(path)))
		counted++;
	return 0;
}

unsigned fakelio_count(struct fakelio *f)
{
	counted = 0;
	nftw(f->root, visit_count, 8, FTW_PHYS);
	/* That folder stays, as a module does. */
	return counted - fakelio_has(f, "vhost");
}

void fakelio_add(struct fakelio *f, const char *hba, const char *store, const char *wwn)
{
	char path[600], to[600];

	fake_make(fakelio_path(f, "vhost"));
	fake_make(fakelio_path(f, "core/%s", hba));
	snprintf(to, sizeof(to), "%s", fakelio_path(f, "core/%s/%s", hba, store));
	BUG_ON(fake_make(to));
	BUG_ON(fake_write(fakelio_path(f, "core/%s/%s/control", hba, store), "x"));
	BUG_ON(fake_write(fakelio_path(f, "core/%s/%s/enable", hba, store), "1"));
	BUG_ON(fake_make(fakelio_path(f, "vhost/%s", wwn)));
	BUG_ON(fake_make(fakelio_path(f, "vhost/%s/tpgt_1", wwn)));
	BUG_ON(fake_write(fakelio_path(f, "vhost/%s/tpgt_1/nexus", wwn), "naa.1"));
	BUG_ON(fake_make(fakelio_path(f, "vhost/%s/tpgt_1/lun/lun_0", wwn)));
	snprintf(path, sizeof(path), "%s", fakelio_path(f, "vhost/%s/tpgt_1/lun/lun_0/x", wwn));
	BUG_ON(fake_link(to, path));
}
