#include "vmm/report/report_file.h"

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

#include "vmm/core/log.h"
#include "vmm/core/util.h"

/*
 * The descriptor that a path stands for; -1: none. To open such a path would give another offset,
 * or be refused.
 */
static int descriptor_of(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
	unsigned i;
	size_t len;

	if (!strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		len = strlen(folders[i]);
		if (!strncmp(path, folders[i], len) && path[len] &&
		    strlen(path + len) < 8 && !path[len + strspn(path + len, "0123456789")])
			return atoi(path + len);
	}
	return -1;
}

static int fail(const struct report_file *f, int err)
{
	log_err("%s %s: %s", f->option, f->path, strerror(err));
	return -err;
}

static int open_path(struct report_file *f)
{
	struct stat st;
	char *target;

	if (stat(f->path, &st) < 0)
		return errno == ENOENT ? 0 : fail(f, errno);
	if (S_ISDIR(st.st_mode))
		return fail(f, EISDIR);
	if (!S_ISREG(st.st_mode)) {
		f->fd = open(f->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return f->fd < 0 ? fail(f, errno) : 0;
	}
	target = realpath(f->path, NULL); /* a symbolic link is to stay one */
	if (!target)
		return fail(f, errno);
	free(f->path);
	f->path = target;
	return 0;
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

int report_file_open(struct report_file *f, const char *option, const char *path)
{
	int fd = descriptor_of(path), r;

	*f = (struct report_file){ .option = option, .path = strdup(path), .fd = -1 };
	if (!f->path) {
		log_err("%s %s: %s", option, path, strerror(ENOMEM));
		return -ENOMEM;
	}
	signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of write() */
	if (fd < 0) {
		r = open_path(f);
	} else {
		f->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		r = f->fd < 0 ? fail(f, errno) : 0;
	}
	if (r < 0)
		report_file_close(f);
	else if (f->fd < 0)
		sweep(f->path);
	return r;
}

void report_file_close(struct report_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	*f = (struct report_file){ .fd = -1 };
}

bool report_file_is_replaced(const struct report_file *f)
{
	return f->fd < 0;
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

	if (f->fd >= 0) {
		err = write_all(f->fd, text, len);
		return err ? fail(f, err) : 0;
	}
	err = replace(f->path, text, len);
	/* A file may be given to us without its folder: by its rights, or by being mounted. */
	if (err == EACCES || err == EPERM || err == EROFS || err == EBUSY)
		err = write_new(f->path, O_TRUNC, text, len);
	return err ? fail(f, err) : 0;
}
