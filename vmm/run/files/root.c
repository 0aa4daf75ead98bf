/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sha2.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/clock.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/files/host_root.h"
#include "vmm/run/files/kept.h"
#include "vmm/run/files/layers.h"
#include "vmm/run/files/share.h"

#define OCI "oci:"
#define UNPACK_MS (30 * 60 * 1000)
#define FORMAT "1" /* of the images that are made here: another one has other names */

bool root_is_files(const char *text)
{
	return text && strncmp(text, "lun:", 4) && strncmp(text, "blk:", 4);
}

bool root_has_command(const char *text)
{
	return text && !strncmp(text, OCI, strlen(OCI));
}

/* As kept_make(). A signal that has ended the work ends this process, too. */
static int make(void *arg, const char *path)
{
	struct layers_cfg *cfg = arg;
	int sig = 0, r;

	cfg->image = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (cfg->image < 0) {
		r = -errno;
		log_err("%s: %s: %s", cfg->what, path, strerror(-r));
		return r;
	}
	cfg->deadline = now_ms() + UNPACK_MS;
	r = layers_write(cfg, &sig);
	close(cfg->image);
	if (r == -EINTR) {
		unlink(path);
		raise(sig);
	}
	return r == 0 ? 1 : r;
}

/* The image of @cfg's archives, which @name stands for. */
static int keep(struct layers_cfg *cfg, const char *name, struct root *root)
{
	char *folder = kept_folder(cfg->what);
	int r = folder ? kept_image(cfg->what, folder, name, make, cfg, &root->image) : -EIO;

	free(folder);
	if (r == 1)
		return 0;
	root->image = NULL;
	return r;
}

/* One that changes has another name, as nobody can set back its ctime. */
static int open_archive(const char *what, int fd, const struct stat *st, struct root *root)
{
	struct layers_cfg cfg = { .what = what, .from = fd, .layers = 1 };
	uint64_t facts[] = { st->st_dev, st->st_ino, st->st_size, st->st_mtim.tv_sec,
			     st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec };
	char digest[SHA256_DIGEST_STRING_LENGTH], name[sizeof(digest) + 16];

	SHA256Data((const uint8_t *)facts, sizeof(facts), digest);
	snprintf(name, sizeof(name), "tar" FORMAT "-%s", digest);
	return keep(&cfg, name, root);
}

static int open_oci(const char *what, const char *text, struct root *root)
{
	struct layers_cfg cfg = { .what = what };
	char name[LAYERS_DIGEST + 16];
	int r = oci_open(what, text, &root->oci);

	if (r < 0)
		return r;
	cfg.from = root->oci.folder;
	cfg.digest = (const char (*)[LAYERS_DIGEST + 1])root->oci.layer;
	cfg.layers = root->oci.layers;
	cfg.workdir = root->oci.workdir;
	snprintf(name, sizeof(name), "oci" FORMAT "-%s", root->oci.manifest);
	return keep(&cfg, name, root);
}

/* A folder, or an archive. */
static int open_path(const char *what, const char *path, struct claims *claims, struct root *root)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	struct claim *claim;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		log_err("%s: %s", what, strerror(-r));
	} else if (S_ISDIR(st.st_mode)) {
		root->image = share_image("--root", path, true);
		r = root->image ? 0 : -EIO;
	} else {
		r = claim_read(claims, what, fd, false, &claim);
		r = r < 0 ? r : open_archive(what, fd, &st, root);
	}
	if (fd >= 0)
		close(fd);
	return r;
}

int root_check(const char *text, bool command)
{
	const char *why = NULL;
	char *full = NULL;
	struct stat st;

	if (!root_is_files(text) || root_has_command(text))
		return 0;
	if (host_root_is_one(text))
		return host_root_check(text, command);
	if (stat(text, &st) < 0) {
		log_err("--root %s: %s; a disk, lun:N or blk:N, a folder, an archive (tar), "
			"oci:DIR[:TAG] or host is wanted", text, strerror(errno));
		return -EUSAGE;
	}
	if (S_ISDIR(st.st_mode))
		full = realpath(text, NULL);
	else if (!S_ISREG(st.st_mode))
		why = "is neither a folder nor an archive; a disk is given by --disk, and --root "
		      "lun:0 is the first one";
	if (full && !strcmp(full, "/"))
		why = "is this whole system: --root host; or a folder with another one is wanted";
	free(full);
	if (!why)
		return 0;
	log_err("--root %s: %s", text, why);
	return -EUSAGE;
}

int root_open(const char *text, struct claims *claims, struct root *root)
{
	char what[PATH_MAX + 16];

	*root = ROOT_NONE;
	snprintf(what, sizeof(what), "--root %s", text);
	if (host_root_is_one(text))
		return host_root_open(what, text, &root->live, &root->oci);
	if (root_has_command(text))
		return open_oci(what, text + strlen(OCI), root);
	return open_path(what, text, claims, root);
}

void root_close(struct root *root)
{
	free(root->image);
	live_close(&root->live);
	oci_close(&root->oci);
	root->image = NULL;
}
