/* SPDX-License-Identifier: MIT */
#include "vmm/host/host_check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/util.h"
#include "vmm/machine/memlimit.h"
#include "vmm/run/files/virtiofsd.h"

#define TYPICAL_RAM MIB(512) /* what --memory is when nobody says anything */

const char *const host_verdicts[HOST_VERDICTS] = { "ok", "warning", "missing" };

/* 0, or -errno of opening it for reading and writing. */
static int try_device(const char *root, const char *path)
{
	char name[PATH_MAX];
	int fd;

	snprintf(name, sizeof(name), "%s%s", root, path);
	fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* The number that a file begins with; @otherwise: there is none. */
static uint64_t number(const char *root, const char *path, uint64_t otherwise)
{
	char name[PATH_MAX];
	uint64_t v = otherwise;
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", root, path);
	f = fopen(name, "re");
	if (f && fscanf(f, "%" SCNu64, &v) != 1)
		v = otherwise;
	if (f)
		fclose(f);
	return v;
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH"), *end;
	char name[PATH_MAX];

	for (; path; path = *end ? end + 1 : NULL) {
		end = path + strcspn(path, ":");
		snprintf(name, sizeof(name), "%.*s/%s", (int)(end - path), path, program);
		if (access(name, X_OK) == 0)
			return true;
	}
	return false;
}

static enum host_verdict check_vhost(const char *root, FILE *out)
{
	int r = try_device(root, "/dev/vhost-scsi");

	if (r == 0) {
		fputs("the kernel can serve disks", out);
		return HOST_OK;
	}
	if (r == -EACCES || r == -EPERM) {
		fputs("/dev/vhost-scsi is root's, so lunette serves disks itself; it is the kernel "
		      "for who runs it by: sudo", out);
		return HOST_WARNING;
	}
	fputs("no /dev/vhost-scsi, so lunette serves disks itself; to have it: "
	      "sudo modprobe vhost_scsi", out);
	return HOST_MISSING;
}

/*
 * In "pr" below its folder the kernel's target writes down what becomes of persistent reservations.
 * False: that is not there; @dir is its name.
 */
static bool has_reservations(const char *root, char *dir, size_t size)
{
	char name[PATH_MAX], base[256] = "";
	FILE *f;

	snprintf(name, sizeof(name), "%s/sys/kernel/config/target/dbroot", root);
	f = fopen(name, "re");
	if (f && fscanf(f, "%255s", base) != 1)
		base[0] = 0;
	if (f)
		fclose(f);
	snprintf(dir, size, "%s/pr", base);
	snprintf(name, sizeof(name), "%s%s", root, dir);
	return !base[0] || access(name, F_OK) == 0;
}

static enum host_verdict check_target(const char *root, FILE *out)
{
	char name[PATH_MAX], dir[300];

	snprintf(name, sizeof(name), "%s/sys/kernel/config/target/core", root);
	if (access(name, W_OK) == 0) {
		fputs("targets for vhost-scsi can be made", out);
		if (has_reservations(root, dir, sizeof(dir)))
			return HOST_OK;
		fprintf(out, ", but refuse guests' PERSISTENT RESERVE OUT; to have it: "
			     "sudo mkdir -p %s", dir);
		return HOST_WARNING;
	}
	if (errno == EACCES || errno == EROFS) {
		fputs("/sys/kernel/config/target is root's: no targets for vhost-scsi but by: sudo",
		      out);
		return HOST_WARNING;
	}
	fputs("no targets for vhost-scsi; to have them: sudo modprobe target_core_mod && "
	      "{ mountpoint -q /sys/kernel/config || "
	      "sudo mount -t configfs none /sys/kernel/config; }", out);
	return HOST_MISSING;
}

static const char *why_no_uring(const char *root, int err)
{
	uint64_t off = number(root, "/proc/sys/kernel/io_uring_disabled", 0);

	if (off)
		return off == 1 ? "is for one group only: sudo sysctl kernel.io_uring_disabled=0" :
				  "is switched off: sudo sysctl kernel.io_uring_disabled=0";
	switch (err) {
	case ENOSYS:
		return "is not in this kernel; Linux 5.1 or newer has it";
	case ENOMEM:
		return "has too little memory that may be locked: ulimit -l unlimited";
	default:
		return "is refused, most likely by a container's filter of system calls: "
		       "docker run --security-opt seccomp=unconfined";
	}
}

static enum host_verdict check_uring(const char *root, FILE *out)
{
	struct io_uring ring;
	int r = io_uring_queue_init(2, &ring, 0);

	if (r == 0) {
		io_uring_queue_exit(&ring);
		fputs("disks are read and written by it", out);
		return HOST_OK;
	}
	fprintf(out, "threads are used in its place, as it %s", why_no_uring(root, -r));
	return HOST_WARNING;
}

/* The setting that lets programs shut themselves in by user namespaces; @confined: also where that
 * takes a profile of AppArmor's. NULL: none is known to be missing. */
static const char *no_namespaces(const char *root, bool confined)
{
	if (!number(root, "/proc/sys/user/max_user_namespaces", 1))
		return "user.max_user_namespaces=10000";
	if (geteuid() && !number(root, "/proc/sys/kernel/unprivileged_userns_clone", 1))
		return "kernel.unprivileged_userns_clone=1";
	if (geteuid() && confined &&
	    number(root, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0))
		return "kernel.apparmor_restrict_unprivileged_userns=0";
	return NULL;
}

static enum host_verdict check_passt(const char *root, FILE *out)
{
	const char *set = no_namespaces(root, false);

	if (!in_path("passt")) {
		fputs("not found; for --net user: sudo apt-get install passt", out);
		return HOST_MISSING;
	}
	if (set) {
		fprintf(out, "needs user namespaces: sudo sysctl %s", set);
		return HOST_WARNING;
	}
	fputs("a network without root can be had (--net user)", out);
	return HOST_OK;
}

static enum host_verdict check_tun(const char *root, FILE *out)
{
	int r = try_device(root, "/dev/net/tun");

	if (r == 0) {
		fputs("interfaces of the host can be used (--net tap=NAME)", out);
		return HOST_OK;
	}
	if (r == -EACCES || r == -EPERM) {
		fputs("/dev/net/tun may not be opened; for --net tap=NAME: "
		      "sudo chmod 666 /dev/net/tun", out);
		return HOST_WARNING;
	}
	fputs("no /dev/net/tun; for --net tap=NAME: sudo modprobe tun", out);
	return HOST_MISSING;
}

static enum host_verdict check_images(const char *root, FILE *out)
{
	(void)root;
	if (in_path("mkfs.erofs") || in_path("mksquashfs")) {
		fputs("a folder can be shared with a guest (--share)", out);
		return HOST_OK;
	}
	fputs("neither mkfs.erofs nor mksquashfs; for --share: sudo apt-get install erofs-utils",
	      out);
	return HOST_MISSING;
}

static enum host_verdict check_live(const char *root, FILE *out)
{
	const char *set = no_namespaces(root, true);
	struct virtiofsd_program p;
	char why[PATH_MAX + 300];

	if (virtiofsd_find(&p, why, sizeof(why)) < 0) {
		fprintf(out, "%s; for --share DIR,live=on", why);
		return HOST_MISSING;
	}
	if (set) {
		fprintf(out, "%s needs user namespaces: sudo sysctl %s", p.path, set);
		return HOST_WARNING;
	}
	fprintf(out, "a folder can be shared as it stays (--share DIR,live=on), by %s", p.path);
	return HOST_OK;
}

static enum host_verdict check_memory(const char *root, FILE *out)
{
	char where[MEMLIMIT_WHERE];
	uint64_t there = memlimit_left(root, where);

	fprintf(out, "%" PRIu64 " MiB can be had (%s)", there >> 20, where);
	if (there >= memlimit_need(TYPICAL_RAM, 1, 0))
		return HOST_OK;
	fputs("; a guest has 512 unless it is told --memory 256M", out);
	return HOST_WARNING;
}

static enum host_verdict check_terminal(const char *root, FILE *out)
{
	struct winsize size;

	(void)root;
	if (!isatty(STDIN_FILENO) || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0) {
		fputs("none, which is fine for commands; -t and a shell want one: "
		      "ssh -t, docker run -it", out);
		return HOST_OK;
	}
	fprintf(out, "%u columns, %u lines", size.ws_col, size.ws_row);
	return HOST_OK;
}

const struct host_check host_checks[] = {
	{ "vhost-scsi", check_vhost },
	{ "target", check_target },
	{ "io_uring", check_uring },
	{ "passt", check_passt },
	{ "tun", check_tun },
	{ "images", check_images },
	{ "virtiofsd", check_live },
	{ "memory", check_memory },
	{ "terminal", check_terminal },
	{ 0 }
};

void host_check_line(enum host_verdict verdict, const char *name, const char *text, FILE *out)
{
	fprintf(out, "%-8s %-10s %s\n", host_verdicts[verdict], name, text);
}

void host_check_all(const char *root, FILE *out)
{
	const struct host_check *check;
	enum host_verdict verdict;
	char text[2 * PATH_MAX];
	FILE *f;

	for (check = host_checks; check->name; check++) {
		text[0] = 0;
		f = fmemopen(text, sizeof(text), "w");
		if (!f)
			return;
		verdict = check->fn(root, f);
		fclose(f);
		host_check_line(verdict, check->name, text, out);
	}
}
