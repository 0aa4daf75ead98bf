/* SPDX-License-Identifier: MIT */
/*
 * libc.h - what glibc has and musl has not, by the same names. See also compat.h.
 */
#ifndef CORE_LIBC_H
#define CORE_LIBC_H

#include <features.h>

#ifndef __GLIBC__
#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define close_range(first, last, flags) syscall(SYS_close_range, first, last, flags)
#define __clone clone

#ifndef STATX_TYPE /* musl before 1.2.5; all of an offset is in one word of these machines */
#include <linux/stat.h>
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif
#define preadv2(fd, iov, n, off, flags) \
	syscall(SYS_preadv2, fd, iov, n, (long)(off), 0L, flags)
#define pwritev2(fd, iov, n, off, flags) \
	syscall(SYS_pwritev2, fd, iov, n, (long)(off), 0L, flags)
#define statx(fd, path, flags, mask, st) \
	((int)syscall(SYS_statx, fd, path, flags, mask, st))
#endif

/* A signal's name without SIG; of those that end a process by themselves. Any thread, any time. */
static inline const char *sigabbrev_np(int sig)
{
	static const char *const names[] = {
		[SIGHUP] = "HUP", [SIGINT] = "INT", [SIGQUIT] = "QUIT", [SIGILL] = "ILL",
		[SIGTRAP] = "TRAP", [SIGABRT] = "ABRT", [SIGBUS] = "BUS", [SIGFPE] = "FPE",
		[SIGKILL] = "KILL", [SIGSEGV] = "SEGV", [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM",
		[SIGTERM] = "TERM", [SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ", [SIGSYS] = "SYS",
	};
	unsigned n = (unsigned)sig;

	return n < sizeof(names) / sizeof(*names) && names[n] ? names[n] : "?";
}

/* Those that are open now; what other threads open meanwhile exec() closes. */
static inline int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *files,
							    int from)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int fd;

	while (dir && (entry = readdir(dir))) {
		fd = atoi(entry->d_name);
		if (fd >= from && fd != dirfd(dir))
			posix_spawn_file_actions_addclose(files, fd);
	}
	if (dir)
		closedir(dir);
	return 0;
}

#endif
#endif
