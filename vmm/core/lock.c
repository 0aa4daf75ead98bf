/* SPDX-License-Identifier: MIT */
#include "vmm/core/lock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/below.h"
#include "vmm/core/log.h"

/*
 * A process that was killed leaves its last writes to the kernel, which keeps the file open for
 * them, and locked; so a lock that nobody is seen to hold is waited for a little.
 */
#define NOBODY_MS 3000

/* Has the descriptor of this name under /proc/PID/fdinfo a lock, and is it on our file? */
static bool fd_is_holder(long pid, const char *name, const struct stat *ours)
{
	char path[64], line[128];
	bool locked = false;
	struct stat theirs;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%.16s", pid, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!locked && fgets(line, sizeof(line), f))
		locked = !strncmp(line, "lock:", 5);
	fclose(f);
	snprintf(path, sizeof(path), "/proc/%ld/fd/%.16s", pid, name);
	return locked && !stat(path, &theirs) && theirs.st_dev == ours->st_dev &&
	       theirs.st_ino == ours->st_ino;
}

static bool process_is_holder(long pid, const struct stat *ours)
{
	char path[64];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%ld/fdinfo", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir)))
		found = isdigit((unsigned char)e->d_name[0]) && fd_is_holder(pid, e->d_name, ours);
	closedir(dir);
	return found;
}

/*
 * The kernel does not tell who holds a lock of this kind, and /proc/locks has no process for it
 * either; the lock shows in the holder's fdinfo only. Returns 0 when it may not be looked at.
 */
static long find_holder(int fd)
{
	struct stat ours;
	struct dirent *e;
	long pid = 0;
	DIR *proc;

	if (fstat(fd, &ours) < 0)
		return 0;
	proc = opendir("/proc");
	if (!proc)
		return 0;
	while (!pid && (e = readdir(proc))) {
		if (isdigit((unsigned char)e->d_name[0]) &&
		    process_is_holder(strtol(e->d_name, NULL, 10), &ours))
			pid = strtol(e->d_name, NULL, 10);
	}
	closedir(proc);
	return pid;
}

static void describe_holder(long pid, char *who, size_t size)
{
	char name[32] = "";
	FILE *f;

	snprintf(who, size, "/proc/%ld/comm", pid);
	f = pid ? fopen(who, "re") : NULL;
	if (f) {
		if (fgets(name, sizeof(name), f))
			name[strcspn(name, "\n")] = 0;
		fclose(f);
	}
	if (pid)
		snprintf(who, size, "process %ld (%s)", pid, name);
	else
		snprintf(who, size, "another process");
}

static void report_busy(long pid, const char *path, bool exclusive)
{
	char who[64];

	if (pid == getpid()) {
		log_err("%s: is attached twice%s", path,
			exclusive ? "" : "; both need readonly=on to share it");
		return;
	}
	describe_holder(pid, who, sizeof(who));
	log_err("%s: in use by %s%s", path, who,
		exclusive ? "" : ", which may write to it; both need readonly=on to share it");
}

static int try_lock(int fd, bool exclusive)
{
	struct flock lock = { .l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? errno : 0;
}

static bool is_held(int err)
{
	return err == EAGAIN || err == EACCES;
}

/* An errno; @pid: who holds it, 0 if that is not known. */
static int wait_for_lock(int fd, bool exclusive, long *pid)
{
	int err = try_lock(fd, exclusive), left;

	*pid = is_held(err) ? find_holder(fd) : 0;
	for (left = NOBODY_MS; is_held(err) && !*pid && left; left--) {
		usleep(1000);
		err = try_lock(fd, exclusive);
	}
	return err;
}

int lock_image(int fd, const char *path, bool exclusive)
{
	long pid;
	int err = wait_for_lock(fd, exclusive, &pid);

	if (is_held(err)) {
		report_busy(pid, path, exclusive);
		return -EBUSY;
	}
	if (err)
		log_err("%s: cannot be locked: %s", path, strerror(err));
	return -err;
}

/* Who has the file open for reading only, or has it from somebody, may ask all the same. */
static bool is_held_by_others(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Who may not write to it may ask who does. Returns an errno. */
static int lock_or_ask(int fd, bool exclusive, long *pid)
{
	int err = wait_for_lock(fd, exclusive, pid);

	if (err != EBADF)
		return err;
	*pid = find_holder(fd);
	return is_held_by_others(fd) ? EAGAIN : 0;
}

int lock_below(int fd, const char *path, bool exclusive, int *below)
{
	char name[PATH_MAX], both[PATH_MAX + 80];
	struct stat st, file;
	int err;
	long pid;

	*below = -1;
	if (fstat(fd, &st) < 0 || !below_find(&st, name, &file))
		return 0;
	*below = open(name, (exclusive ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*below < 0)
		*below = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	err = *below < 0 ? 0 : lock_or_ask(*below, exclusive, &pid);
	if (!is_held(err)) /* where locks do not work there are no others */
		return 0;
	close(*below);
	*below = -1;
	snprintf(both, sizeof(both), "%.60s, which is %s", path, name);
	report_busy(pid, both, exclusive);
	return -EBUSY;
}

int lock_output(int fd, const char *what, bool keep)
{
	char who[64];
	long pid = 0;
	bool held;

	if (keep) {
		held = is_held(wait_for_lock(fd, true, &pid));
	} else {
		held = is_held_by_others(fd);
		pid = held ? find_holder(fd) : 0;
	}
	if (!held)
		return 0;
	describe_holder(pid, who, sizeof(who));
	log_err("%s: the file is in use by %s; give it another one", what, who);
	return -EBUSY;
}

void unlock_image(int fd)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(fd, F_OFD_SETLK, &lock);
}
