/* SPDX-License-Identifier: MIT */
#include "devices/lio.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "devices/lio_sweep.h"
#include "devices/scsi/scsi.h"

#define CONFIGFS_MAGIC 0x62656570 /* in no header for programs */
#define INITIATOR "naa.3000000000000001" /* any will do: there is one for each target */

#define LOOP_TRIES 100 /* for a loop device that nobody else is about to take */
#define LUN_MAX 255 /* with peripheral device addressing, SAM-5 4.7.7.2 */

struct lio {
	const struct lio_tree *tree;
	char wwn[LIO_PATH / 2];
};

static const char *lio_name(const struct lio *lio)
{
	return lio->wwn + strlen(LIO_PORT);
}

const char *lio_wwn(const struct lio *lio)
{
	return lio->wwn;
}

/* The kernel's tree. */

static int configfs_make(const char *path)
{
	return mkdir(path, 0755) < 0 ? -errno : 0;
}

static int configfs_remove(const char *path)
{
	return rmdir(path) < 0 ? -errno : 0;
}

/* An attribute takes what one call writes. */
static int configfs_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int configfs_link(const char *to, const char *path)
{
	return symlink(to, path) < 0 ? -errno : 0;
}

static int configfs_unlink(const char *path)
{
	return unlink(path) < 0 ? -errno : 0;
}

const struct lio_tree lio_configfs = {
	.root = "/sys/kernel/config/target",
	.make = configfs_make,
	.remove = configfs_remove,
	.write = configfs_write,
	.link = configfs_link,
	.unlink = configfs_unlink,
};

struct making {
	struct lio *lio;
	struct scsi_lun *lun;
	char store[LIO_PATH]; /* the LUN's */
	struct why *why;
};

static const char *cure(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return "it takes root, who can also make a target for vhost=WWN";
	case ENOENT:
		return "it takes a newer kernel";
	case EBUSY:
		return "it is in use: unmount it, or end the program that has it open";
	default:
		return "the kernel's log may tell more";
	}
}

static int make(struct making *m, const char *path)
{
	int r = m->lio->tree->make(path);

	return r < 0 ? why_not(m->why, r, "%s: %s; %s", path, strerror(-r), cure(-r)) : 0;
}

/* Others may have made it, or we for another disk. @module: without it, it is EINVAL. */
static int make_shared(struct making *m, const char *path, const char *module)
{
	int r = m->lio->tree->make(path);

	if (!r || r == -EEXIST)
		return 0;
	if (r == -EINVAL)
		return why_not(m->why, r, "%s: cannot be made; modprobe %s", path, module);
	return why_not(m->why, r, "%s: %s; %s", path, strerror(-r), cure(-r));
}

static int set(struct making *m, const char *dir, const char *attribute, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int set(struct making *m, const char *dir, const char *attribute, const char *fmt, ...)
{
	char path[LIO_PATH + 64], text[256];
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", dir, attribute);
	r = m->lio->tree->write(path, text);
	if (r < 0)
		why_not(m->why, r, "%s: %s: %s; %s", m->lun ? m->lun->block->path : dir, attribute,
			strerror(-r), cure(-r));
	return r;
}

/*
 * Can the kernel show the names that we show? It makes the NAA name of the serial number, and takes
 * blanks off its ends; and it reports large LUNs in another form than SAM-5 has for them, so that a
 * guest counts them differently.
 */
static int check_names(const struct scsi_lun *lun, struct why *why)
{
	char naa[SCSI_NAA_MAX + 1];
	size_t len = strlen(lun->serial);

	if (lun->lun > LUN_MAX)
		return why_not(why, -ENOTSUP, "lun=%u: the kernel's target takes numbers up to %d",
			       lun->lun, LUN_MAX);
	scsi_naa_from_serial(naa, scsi_naa_company(lun->naa), lun->serial);
	if (strcmp(naa, lun->naa))
		return why_not(why, -ENOTSUP, "wwn=%s: the kernel's target makes its own of the "
			       "serial number; leave wwn= out", lun->naa);
	if (isspace((unsigned char)lun->serial[0]) || isspace((unsigned char)lun->serial[len - 1]))
		return why_not(why, -ENOTSUP, "serial=%s: the kernel's target takes the blank at "
			       "its end away; choose another", lun->serial);
	return 0;
}

/* What the kernel's target has no like of, or not the way that we make it. */
static int check_kind(struct scsi_lun *lun, struct why *why)
{
	if (lun->type != SCSI_DISK || lun->removable)
		return why_not(why, -ENOTSUP, "lun=%u: the kernel's target has no removable media",
			       lun->lun);
	if (lun->target)
		return why_not(why, -ENOTSUP, "target=%u: the kernel's target is made with one "
			       "target", lun->target);
	if (scsi_lun_is_shared(lun))
		return why_not(why, -ENOTSUP, "lun=%u: is on several buses, whose reservations are "
			       "kept in process", lun->lun);
	return 0;
}

/* A loop device that cannot be written, and that goes when the last one who has it open does. */
static int open_readonly_loop(const struct scsi_lun *lun)
{
	struct loop_config config = { .fd = lun->block->fd, .block_size = lun->block_size };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, fd, err;
	unsigned tries = LOOP_TRIES;
	char path[32];

	if (control < 0)
		return -errno;
	config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
	do {
		fd = n = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(path, sizeof(path), "/dev/loop%d", n);
		if (n >= 0)
			fd = open(path, O_RDONLY | O_CLOEXEC);
		err = fd < 0 || ioctl(fd, LOOP_CONFIGURE, &config) < 0 ? errno : 0;
		if (err && fd >= 0)
			close(fd);
	} while (err == EBUSY && --tries); /* somebody else was quicker */
	close(control);
	return err ? -err : fd;
}

/* The kernel opens what we have open, under a name that nobody can change meanwhile. */
static int enable(struct making *m, const char *kind, int fd)
{
	const struct scsi_lun *lun = m->lun;
	int r;

	/* Buffered: with a write cache, and SYNCHRONIZE CACHE to empty it; the other way every
	 * write would wait for the disk. */
	if (!strcmp(kind, "fileio"))
		r = set(m, m->store, "control",
			"fd_dev_name=/proc/self/fd/%d,fd_dev_size=%llu,fd_buffered_io=1", fd,
			(unsigned long long)lun->block->size);
	else
		r = set(m, m->store, "control", "udev_path=/proc/self/fd/%d,readonly=%d", fd,
			lun->readonly);
	return r < 0 ? r : set(m, m->store, "enable", "1");
}

static int set_names(struct making *m)
{
	const struct scsi_lun *lun = m->lun;
	int r;

	r = set(m, m->store, "wwn/vendor_id", "%s", lun->vendor);
	if (!r)
		r = set(m, m->store, "wwn/product_id", "%s", lun->product);
	if (!r)
		r = set(m, m->store, "wwn/revision", "%s", lun->revision);
	if (!r)
		r = set(m, m->store, "wwn/company_id", "0x%06x", scsi_naa_company(lun->naa));
	return r ? r : set(m, m->store, "wwn/vpd_unit_serial", "%s", lun->serial);
}

static int set_facts(struct making *m, bool zeroes)
{
	const struct scsi_lun *lun = m->lun;
	int r;

	r = set(m, m->store, "attrib/block_size", "%u", lun->block_size);
	if (!r)
		r = set(m, m->store, "attrib/is_nonrot", "%d", !lun->block->rotational);
	if (!r)
		r = set(m, m->store, "attrib/emulate_tpu", "%d", lun->discard);
	if (!r)
		r = set(m, m->store, "attrib/emulate_tpws", "%d", lun->discard);
	if (!r && zeroes)
		r = set(m, m->store, "attrib/unmap_zeroes_data", "1");
	/* EXTENDED COPY is nothing that we know. */
	return r ? r : set(m, m->store, "attrib/emulate_3pc", "0");
}

static int make_store_of(struct making *m, const char *kind, int fd)
{
	const struct lio *l = m->lio;
	bool file = !strcmp(kind, "fileio");
	char hba[LIO_PATH / 2];
	int r;

	snprintf(hba, sizeof(hba), "%s/core/%s_%u", l->tree->root, kind, LIO_HBA_BASE + getpid());
	r = make_shared(m, hba, file ? "target_core_file" : "target_core_iblock");
	if (r < 0)
		return r;
	snprintf(m->store, sizeof(m->store), "%s/%s:%u", hba, lio_name(l), m->lun->lun);
	r = make(m, m->store);
	if (!r)
		r = enable(m, kind, fd);
	if (!r)
		r = set_names(m);
	return r ? r : set_facts(m, file && m->lun->discard && m->lun->block->discard_zeroes);
}

/* fileio writes to its file, always. */
static int make_readonly_store(struct making *m)
{
	int fd = open_readonly_loop(m->lun), r;

	if (fd < 0)
		return why_not(m->why, fd, "%s: a read-only loop device: %s; it takes root and "
			       "'modprobe loop'", m->lun->block->path, strerror(-fd));
	r = make_store_of(m, "iblock", fd);
	close(fd);
	return r;
}

static int make_store(struct making *m)
{
	const struct block *block = m->lun->block;
	unsigned sector = 0;
	struct stat st;
	int r;

	if (!block->fd)
		return why_not(m->why, -ENOTSUP, "%s: %s; the kernel's target takes files and "
			       "block devices", block->path,
			       block->ours ? block->ours : "its store is ours alone");
	r = check_kind(m->lun, m->why);
	if (!r)
		r = check_names(m->lun, m->why);
	if (r < 0)
		return r;
	if (fstat(block->fd, &st) == 0 && S_ISREG(st.st_mode))
		return m->lun->readonly ? make_readonly_store(m)
					: make_store_of(m, "fileio", block->fd);
	if (ioctl(block->fd, BLKSSZGET, &sector) == 0 && sector > m->lun->block_size)
		return why_not(m->why, -ENOTSUP, "%s: the device has blocks of %u bytes, the LUN "
			       "of %u; give block-size=%u", block->path, sector, m->lun->block_size,
			       sector);
	return make_store_of(m, "iblock", block->fd);
}

static int make_lun(struct making *m, const char *group)
{
	char path[LIO_PATH + 32];
	int r;

	r = make_store(m);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/lun/lun_%u", group, m->lun->lun);
	r = make(m, path);
	if (r < 0)
		return r;
	strcat(path, "/disk");
	r = m->lio->tree->link(m->store, path);
	return r < 0 ? why_not(m->why, r, "%s: %s; %s", path, strerror(-r), cure(-r)) : 0;
}

static int make_target(struct making *m, const struct scsi_port *port)
{
	const char *root = m->lio->tree->root;
	char path[LIO_PATH];
	unsigned i;
	int r;

	snprintf(path, sizeof(path), "%s/vhost", root);
	r = make_shared(m, path, "vhost_scsi");
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/vhost/%s", root, m->lio->wwn);
	r = make(m, path);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/vhost/%s/tpgt_0", root, m->lio->wwn);
	r = make(m, path);
	if (!r)
		r = set(m, path, "nexus", INITIATOR);
	/* The last one first: REPORT LUNS lists the youngest first, and guests count so. */
	for (i = port->count; !r && i; i--) {
		m->lun = port->nexus[i - 1]->lun;
		r = make_lun(m, path);
	}
	return r;
}

/* Configfs has the folder as soon as its module is there. */
static int check_root(const struct lio_tree *tree, struct why *why)
{
	char above[LIO_PATH];
	struct statfs fs;
	struct stat st;

	if (stat(tree->root, &st) == 0)
		return 0;
	snprintf(above, sizeof(above), "%.*s", (int)(strrchr(tree->root, '/') - tree->root),
		 tree->root);
	if (statfs(above, &fs) == 0 && fs.f_type == CONFIGFS_MAGIC)
		return why_not(why, -ENODEV, "%s: it is not there; modprobe target_core_mod",
			       tree->root);
	return why_not(why, -ENODEV, "%s: configfs is not mounted; mount -t configfs none %s",
		       above, above);
}

/* The folder of the kernel's files; "" if it does not tell. */
static void read_dbroot(const struct lio_tree *tree, char *dir, size_t size)
{
	char path[LIO_PATH];
	FILE *f;

	snprintf(path, sizeof(path), "%s/dbroot", tree->root);
	*dir = 0;
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(dir, (int)size, f))
		*dir = 0;
	fclose(f);
	dir[strcspn(dir, "\n")] = 0;
}

/*
 * The kernel writes down each change of a persistent reservation, in "pr" below that folder, and
 * refuses the change if that is not there. It stays: it is no run's own.
 */
static void make_reservations(const struct lio_tree *tree)
{
	char dir[LIO_PATH], path[LIO_PATH + 8];
	int err;

	read_dbroot(tree, dir, sizeof(dir));
	if (!*dir)
		return;
	snprintf(path, sizeof(path), "%s/pr", dir);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		err = errno;
	else
		err = mkdir(path, 0700) < 0 && errno != EEXIST ? errno : 0;
	if (err)
		log_warn("%s: cannot be made: %s; without it the kernel's target refuses "
			 "PERSISTENT RESERVE OUT: sudo mkdir -p %s", path, strerror(err), path);
}

static int lio_init(struct lio *l, const struct lio_tree *tree, const char *id, struct why *why)
{
	size_t len = snprintf(l->wwn, sizeof(l->wwn), LIO_PORT);

	l->tree = tree;
	if (lio_owner_name(l->wwn + len, sizeof(l->wwn) - len, id) < 0)
		return why_not(why, -ENOENT, "/proc: is not mounted; mount -t proc proc /proc");
	return check_root(tree, why);
}

int lio_create(const struct lio_tree *tree, const char *id, const struct scsi_port *port,
	       struct lio **lio, struct why *why)
{
	struct making m = { .why = why };
	int r;

	m.lio = calloc(1, sizeof(*m.lio));
	if (!m.lio)
		return why_not(why, -ENOMEM, "out of memory");
	r = lio_init(m.lio, tree, id, why);
	if (r < 0) {
		free(m.lio);
		return r;
	}
	lio_sweep(tree, NULL, LOG_INFO, NULL);
	make_reservations(tree);
	r = make_target(&m, port);
	if (r < 0)
		lio_destroy(m.lio);
	else
		*lio = m.lio;
	return r;
}

int lio_add(struct lio *lio, struct scsi_lun *lun, struct why *why)
{
	struct making m = { .lio = lio, .lun = lun, .why = why };
	char group[LIO_PATH];
	int r;

	snprintf(group, sizeof(group), "%s/vhost/%s/tpgt_0", lio->tree->root, lio->wwn);
	r = make_lun(&m, group);
	if (r < 0)
		lio_remove(lio, lun);
	return r;
}

int lio_remove(struct lio *lio, const struct scsi_lun *lun)
{
	return lio_sweep_lun(lio->tree, lio_name(lio), lun->lun);
}

void lio_destroy(struct lio *lio)
{
	if (!lio)
		return;
	lio_sweep(lio->tree, lio_name(lio), LOG_ERR, NULL);
	free(lio);
}

int lio_clean(const struct lio_tree *tree, FILE *out)
{
	return lio_sweep(tree, NULL, LOG_ERR, out);
}
