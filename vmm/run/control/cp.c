/* SPDX-License-Identifier: MIT */
/*
 * cp.c - "lunette ctl SOCKET cp": files to and from a guest that runs, by its own tar.
 *
 * What comes from the guest is not trusted: its archive is kept in a file without a name, within
 * bounds, unpacked by extract.h's rules into a new folder, and the one thing in it that was asked
 * for gets its place by a rename that replaces nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/clock.h"
#include "vmm/core/log.h"
#include "vmm/core/nameless.h"
#include "vmm/core/thread.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/run/control/remote.h"
#include "vmm/run/control/verbs.h"
#include "vmm/run/files/bundle.h"
#include "vmm/run/files/extract.h"

#define WHAT "ctl cp"
#define LIMIT GIB(16)	       /* bytes of an archive from a guest, and of its files */
#define TIME_MS (1800 * 1000ull) /* to unpack it */

static int cannot(const char *path, int err)
{
	log_err(WHAT ": %s: %s", path, strerror(err));
	return 1;
}

static bool has_name(const char *path)
{
	const char *last = strrchr(path, '/');

	last = last ? last + 1 : path;
	return *last && strcmp(last, ".") && strcmp(last, "..");
}

/* Its last name, and the folder that is in; malloc()ed. False after one line: it has none. */
static bool split(const char *path, char **folder, char **name)
{
	char *one = strdup(path), *two = strdup(path);

	*folder = one ? strdup(dirname(one)) : NULL;
	*name = two ? strdup(basename(two)) : NULL;
	free(one);
	free(two);
	if (*folder && *name && strcmp(*name, "/") && strcmp(*name, ".") && strcmp(*name, ".."))
		return true;
	log_err(WHAT ": %s: has no name of its own", path);
	free(*folder);
	free(*name);
	*folder = *name = NULL;
	return false;
}

/* A program in the guest. Its errors are on stderr. */
static int run(const char *socket, char *const *argv, int in, int out)
{
	const struct remote_cfg cfg = { .what = WHAT, .argv = argv, .in = in, .out = out,
					.err = STDERR_FILENO };

	return verbs_remote(socket, &cfg);
}

/* To the guest. */

struct pack {
	const char *path, *name;
	int to, r;
	unsigned left_out;
	char why[PATH_MAX + 100];
};

static void pack(void *arg)
{
	struct pack *p = arg;

	p->r = bundle_write(p->path, p->name, p->to, &p->left_out, p->why, sizeof(p->why));
	close(p->to);
}

/* Returns the exit status. */
static int send_as(const char *socket, const char *path, const char *folder, const char *name)
{
	char *const argv[] = { "tar", "-x", "-f", "-", "-C", (char *)folder, NULL };
	struct pack p = { .path = path, .name = name };
	struct thread thread;
	int fd[2], status, r;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return cannot(path, errno);
	p.to = fd[1];
	r = thread_start(&thread, THREAD_STORE, "pack", pack, &p);
	if (r < 0) {
		close(fd[0]);
		close(fd[1]);
		return cannot(path, -r);
	}
	status = run(socket, argv, fd[0], STDOUT_FILENO);
	close(fd[0]);
	thread_join(&thread);
	if (p.left_out)
		log_warn(WHAT ": %u left out: devices, pipes or sockets", p.left_out);
	if (p.r < 0 && (p.r != -EPIPE || !status)) /* that is its end's, which has been said */
		log_err(WHAT ": %s", p.why);
	return status ? status : p.r < 0;
}

static int to_guest(const char *socket, const char *path, const char *there)
{
	enum { IS_FOLDER = 3 };
	char *const argv[] = { "sh", "-c", "[ ! -d \"$1\" ] || exit 3", "sh", (char *)there, NULL };
	char *folder = NULL, *name = NULL, *real = realpath(path, NULL);
	int status = real ? run(socket, argv, -1, STDOUT_FILENO) : cannot(path, errno);

	if (real && status == IS_FOLDER) {
		status = 1;
		if (split(has_name(path) ? path : real, &folder, &name))
			status = send_as(socket, real, there, name);
	} else if (real && status == 0) {
		status = 1;
		if (split(there, &folder, &name))
			status = send_as(socket, real, folder, name);
	}
	free(folder);
	free(name);
	free(real);
	return status;
}

/* From the guest. */

/* The archive, in @spool. Returns the exit status. */
static int fetch(const char *socket, const char *folder, const char *name, int spool)
{
	char *const argv[] = { "tar", "-c", "-f", "-", "-C", (char *)folder, "--", (char *)name,
			       NULL };
	struct rlimit before, limit;
	int status;

	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = min_u64(before.rlim_cur, LIMIT);
	setrlimit(RLIMIT_FSIZE, &limit);
	status = run(socket, argv, -1, spool);
	setrlimit(RLIMIT_FSIZE, &before);
	return status;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

/* What is @name in the archive, as @path. */
static int unpack_in(int fd, int spool, const char *name, const char *path)
{
	struct stat st;
	struct extract_cfg cfg = {
		.what = WHAT, .archive = spool, .folder = fd, .limit = LIMIT,
		.entries = EXTRACT_ENTRIES_MAX, .above = 1, .deadline = now_ms() + TIME_MS,
	};
	int sig, r;

	if (fstat(spool, &st) < 0)
		return cannot(path, errno);
	cfg.size = st.st_size;
	r = extract_tar(&cfg, &sig);
	if (r == -EINTR)
		return 128 + sig;
	if (r < 0)
		return causes[CAUSE_HOST_IO].status;
	if (renameat2(fd, name, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == ENOENT)
		log_err(WHAT ": %s: is not in the archive that came", name);
	else
		cannot(path, errno);
	return 1;
}

static int unpack(int spool, const char *name, const char *path)
{
	char *folder, *last, temp[PATH_MAX];
	int fd, status;

	if (!split(path, &folder, &last))
		return 1;
	if (snprintf(temp, sizeof(temp), "%s/.lunette-XXXXXX", folder) >= (int)sizeof(temp))
		status = cannot(path, ENAMETOOLONG);
	else if (!mkdtemp(temp))
		status = cannot(folder, errno);
	else {
		fd = open(temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		status = fd < 0 ? cannot(temp, errno) : unpack_in(fd, spool, name, path);
		if (fd >= 0)
			close(fd);
		nftw(temp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	free(folder);
	free(last);
	return status;
}

/* Its place: in a folder that is there, or what is not. malloc()ed; NULL after one line. */
static char *place_for(const char *name, const char *here)
{
	struct stat st;
	char *path;
	bool inside = stat(here, &st) == 0 && S_ISDIR(st.st_mode);

	if (asprintf(&path, "%s%s%s", here, inside ? "/" : "", inside ? name : "") < 0)
		return NULL;
	if (lstat(path, &st) < 0 && errno == ENOENT)
		return path;
	log_err(WHAT ": %s: is there already", path);
	free(path);
	return NULL;
}

static int from_guest(const char *socket, const char *there, const char *here)
{
	char *folder, *name, *path = NULL;
	int spool = -1, status = 1;

	if (!split(there, &folder, &name))
		return causes[CAUSE_USAGE].status;
	path = place_for(name, here);
	if (path) {
		spool = nameless_open(nameless_folder());
		status = spool < 0 ? cannot("no file for the archive", -spool) :
			 fetch(socket, folder, name, spool);
	}
	if (path && spool >= 0 && status == 0)
		status = unpack(spool, name, path);
	if (spool >= 0)
		close(spool);
	free(path);
	free(folder);
	free(name);
	return status;
}

int cp_main(const char *socket, char **words)
{
	bool out = words[0] && words[0][0] == ':', in = words[0] && words[1] && words[1][0] == ':';

	if (!words[0] || !words[1] || words[2] || in == out) {
		log_err(WHAT ": SRC and DST are wanted, one of them in the guest: :PATH");
		return causes[CAUSE_USAGE].status;
	}
	signal(SIGPIPE, SIG_IGN);
	return out ? from_guest(socket, words[0] + 1, words[1]) :
		     to_guest(socket, words[0], words[1] + 1);
}
