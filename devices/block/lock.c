#include "devices/block/lock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"

/*
 * A process that was killed leaves its last writes to the kernel, which keeps the file open for
 * them, and locked; so a lock that nobody is seen to hold is waited for a little.
 */
#define NOBODY_MS 500

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

static void report_busy(long pid, const char *path, bool exclusive)
{
	char who[64], name[32] = "";
	FILE *f;

	if (pid == getpid()) {
		log_err("%s: is attached twice%s", path,
			exclusive ? "" : "; both need readonly=on to share it");
		return;
	}
	snprintf(who, sizeof(who), "/proc/%ld/comm", pid);
	f = pid ? fopen(who, "re") : NULL;
	if (f) {
		if (fgets(name, sizeof(name), f))
			name[strcspn(name, "\n")] = 0;
		fclose(f);
	}
	if (pid)
		snprintf(who, sizeof(who), "process %ld (%s)", pid, name);
	else
		snprintf(who, sizeof(who), "another process");
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

int lock_image(int fd, const char *path, bool exclusive)
{
	int err = try_lock(fd, exclusive), left;
	long pid = is_held(err) ? find_holder(fd) : 0;

	for (left = NOBODY_MS; is_held(err) && !pid && left; left--) {
		usleep(1000);
		err = try_lock(fd, exclusive);
	}
	if (is_held(err)) {
		report_busy(pid, path, exclusive);
		return -EBUSY;
	}
	if (err)
		log_err("%s: cannot be locked: %s", path, strerror(err));
	return -err;
}

void unlock_image(int fd)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	fcntl(fd, F_OFD_SETLK, &lock);
}
