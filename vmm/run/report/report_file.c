/* SPDX-License-Identifier: MIT */
#include "vmm/run/report/report_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/log.h"

static int fail(const struct report_file *f, int err)
{
	log_err("%s %s: %s", f->option, f->path, strerror(err));
	return -err;
}

/* Its folder has to be writable, or a file that is there. */
static int check_place(const struct report_file *f)
{
	char *copy = strdup(f->path);
	int r = -ENOMEM;

	if (copy)
		r = access(dirname(copy), W_OK) < 0 && access(f->path, W_OK) < 0 ? -errno : 0;
	free(copy);
	return r < 0 ? fail(f, -r) : 0;
}

static int open_regular(struct report_file *f, struct claims *claims, const char *what)
{
	int r = check_place(f);
	char *target;

	if (r == 0)
		r = claim_replace(claims, what, f->path, &f->claim);
	if (r < 0 || (r >= 0 && !claim_path(f->claim)))
		return r < 0 ? r : fail(f, ENOENT);
	target = strdup(claim_path(f->claim)); /* a symbolic link is to stay one */
	if (!target)
		return fail(f, ENOMEM);
	free(f->path);
	f->path = target;
	return 0;
}

static int open_file(struct report_file *f, struct claims *claims, const char *what)
{
	struct stat st = { 0 };

	if (claim_descriptor(f->path) < 0) {
		if (stat(f->path, &st) < 0 && errno != ENOENT)
			return fail(f, errno);
		if (S_ISDIR(st.st_mode))
			return fail(f, EISDIR);
		if (!st.st_mode || S_ISREG(st.st_mode))
			return open_regular(f, claims, what);
	}
	f->fd = claim_open(claims, what, f->path, 0, &f->claim);
	return f->fd < 0 ? f->fd : 0;
}

/* Is @name BASE.PID.part, of a process that is no more? */
static bool is_rest(const char *name, const char *base)
{
	size_t len = strlen(base);
	int pid, end = 0;

	return !strncmp(name, base, len) && sscanf(name + len, ".%d.part%n", &pid, &end) == 1 &&
	       end && !name[len + end] && pid > 0 && kill(pid, 0) < 0 && errno == ESRCH;
}

/* Removes what those have left who were killed while they replaced this file. */
static void sweep(const char *path)
{
	char *of_dir = strdup(path), *of_base = strdup(path), *base;
	DIR *dir = of_dir && of_base ? opendir(dirname(of_dir)) : NULL;
	const struct dirent *entry;

	if (dir) {
		base = basename(of_base);
		while ((entry = readdir(dir))) {
			if (is_rest(entry->d_name, base))
				unlinkat(dirfd(dir), entry->d_name, 0);
		}
		closedir(dir);
	}
	free(of_dir);
	free(of_base);
}

int report_file_open(struct report_file *f, struct claims *claims, const char *option,
		     const char *path)
{
	char *what = NULL;
	int r = -ENOMEM;

	*f = (struct report_file){ .option = option, .path = strdup(path), .fd = -1 };
	signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of write() */
	signal(SIGXFSZ, SIG_IGN);
	if (!f->path || asprintf(&what, "%s %s", option, path) < 0)
		log_err("%s %s: %s", option, path, strerror(ENOMEM));
	else
		r = open_file(f, claims, what);
	free(what);
	if (r < 0)
		report_file_close(f);
	else if (f->fd < 0)
		sweep(f->path);
	return r;
}

void report_file_close(struct report_file *f)
{
	claim_drop(f->claim);
	free(f->path);
	*f = (struct report_file){ .fd = -1 };
}

bool report_file_is_replaced(const struct report_file *f)
{
	return f->fd < 0;
}

bool report_file_is_new(const struct report_file *f)
{
	return f->fd < 0 && claim_made(f->claim);
}

/* Returns 0, or an errno. */
static int write_all(int fd, const char *text, size_t len)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	while (len) {
		n = write(fd, text, len);
		if (n < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			text += n;
			len -= n;
		}
	}
	return 0;
}

static int write_new(const char *path, int flags, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, 0666), err;

	if (fd < 0)
		return errno;
	err = write_all(fd, text, len);
	if (close(fd) < 0 && !err)
		err = errno;
	return err;
}

/* By a file beside it that takes its place. */
static int replace(const char *path, const char *text, size_t len)
{
	char *beside;
	int err;

	if (asprintf(&beside, "%s.%d.part", path, (int)getpid()) < 0)
		return ENOMEM;
	unlink(beside); /* of a process that was killed, and had our number */
	err = write_new(beside, O_CREAT | O_EXCL, text, len);
	if (!err && rename(beside, path) < 0)
		err = errno;
	if (err)
		unlink(beside);
	free(beside);
	return err;
}

int report_file_write(const struct report_file *f, const char *text, size_t len)
{
	int err;

	if (claim_refused(f->claim))
		return 0;
	if (f->fd >= 0) {
		err = write_all(f->fd, text, len);
		return err ? fail(f, err) : 0;
	}
	err = replace(f->path, text, len);
	/* A file may be given to us without its folder: by its rights, or by being mounted. */
	if (err == EACCES || err == EPERM || err == EROFS || err == EBUSY)
		err = write_new(f->path, O_TRUNC, text, len);
	claim_renew(f->claim, -1);
	claim_keep(f->claim);
	return err ? fail(f, err) : 0;
}
