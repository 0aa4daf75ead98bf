/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <sha2.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/files/cache.h"

#define TRIES 3
#define SUFFIX ".erofs"
#define TICK_NS 20000000ll         /* more than the clock of ctimes takes for a step, at 100 Hz */
#define CACHE_BYTES (8ull << 30)   /* of all images; the longest unused go first, ... */
#define CACHE_SECONDS (30 * 86400) /* ... and those that nobody has used for so long, ... */
#define FRESH_SECONDS 60           /* ... but not one that a run may be about to open */
#define HOLES_BYTES (1 << 20)      /* in a file: it is worth while not to write them */

/* @folder, where images are, may be in @dir, and is left out then. Both without links. */
struct share {
	const char *dir, *folder;
};

/* What a folder is like. */
struct state {
	char digest[SHA256_DIGEST_STRING_LENGTH];
	int64_t newest; /* ctime, ns */
	bool sparse;    /* it has a file with large holes */
};

extern char **environ;

static int64_t ns_of(const struct timespec *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return ns_of(&t);
}

/* The digest. */

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* -errno: it is a file that cannot be read. */
static int take_entry(SHA2_CTX *sha, const FTSENT *e, const char *path, struct state *state)
{
	const struct stat *st = e->fts_statp;
	uint64_t facts[] = { st->st_mode, st->st_size, st->st_dev, st->st_ino, st->st_nlink,
			     ns_of(&st->st_mtim), ns_of(&st->st_ctim) };
	char target[4096];
	ssize_t n = S_ISLNK(st->st_mode) ? readlink(e->fts_accpath, target, sizeof(target)) : 0;

	SHA256Update(sha, (const uint8_t *)path, strlen(path) + 1);
	SHA256Update(sha, (const uint8_t *)facts, sizeof(facts));
	SHA256Update(sha, (const uint8_t *)target, n < 0 ? 0 : n);
	if (ns_of(&st->st_ctim) > state->newest)
		state->newest = ns_of(&st->st_ctim);
	if (!S_ISREG(st->st_mode))
		return 0;
	if (st->st_size - st->st_blocks * 512ll >= HOLES_BYTES)
		state->sparse = true;
	return faccessat(AT_FDCWD, e->fts_accpath, R_OK, AT_EACCESS) < 0 ? -errno : 0;
}

static int take_state(const struct share *s, struct state *state)
{
	char *roots[] = { (char *)s->dir, NULL };
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_name);
	size_t root = strlen(s->dir);
	int err = 0;
	SHA2_CTX sha;
	FTSENT *e;

	if (!fts)
		return -errno;
	SHA256Init(&sha);
	*state = (struct state){ 0 };
	while (!err && (e = fts_read(fts))) {
		if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
			err = e->fts_errno;
		} else if (!strcmp(e->fts_path, s->folder)) {
			fts_set(fts, e, FTS_SKIP);
		} else if (e->fts_info != FTS_DP) {
			err = -take_entry(&sha, e, e->fts_path + root, state);
		}
		if (err)
			log_err("--share %s: %s: %s", s->dir, e->fts_path, strerror(err));
	}
	SHA256End(&sha, state->digest);
	fts_close(fts);
	return -err;
}

/* Two changes in one tick of the clock would look like one; so that tick is to be over. */
static int take_settled_state(const struct share *s, struct state *state)
{
	static const struct timespec tick = { .tv_nsec = TICK_NS };
	int64_t begun = now_ns(CLOCK_REALTIME);
	int r = take_state(s, state);

	if (r < 0 || state->newest < begun - TICK_NS || state->newest > begun + 1000000000ll)
		return r;
	nanosleep(&tick, NULL);
	return take_state(s, state);
}

/* The tool. */

/* The last line of what it said. */
static void last_words(int said, char *text, size_t size)
{
	off_t end = lseek(said, 0, SEEK_END), from = end < (off_t)size ? 0 : end - (off_t)size + 1;
	ssize_t n = pread(said, text, size - 1, from);
	char *line;

	for (n = n < 0 ? 0 : n; n && text[n - 1] == '\n'; n--)
		;
	text[n] = 0;
	line = strrchr(text, '\n');
	if (line)
		memmove(text, line + 1, strlen(line));
}

/* Returns its status, as wait() does, or -errno. It has no descriptor of ours. */
static int run_tool(char *const argv[], const char *dir, int said)
{
	posix_spawn_file_actions_t todo;
	int r, status;
	pid_t pid;

	r = posix_spawn_file_actions_init(&todo);
	if (r)
		return -r;
	posix_spawn_file_actions_addopen(&todo, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&todo, said, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&todo, said, STDERR_FILENO);
	posix_spawn_file_actions_addclosefrom_np(&todo, STDERR_FILENO + 1);
	posix_spawn_file_actions_addchdir_np(&todo, dir);
	r = posix_spawnp(&pid, argv[0], &todo, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&todo);
	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status;
}

/* A write that failed: there may have been room again later, and it has ended well. */
static bool has_complained(int said)
{
	char text[64 << 10];
	ssize_t n = pread(said, text, sizeof(text), 0);

	return n > 0 && memmem(text, n, "<E>", 3);
}

/* Why it failed: what is behind "[Error N]", where it says that. */
static const char *reason(const char *text)
{
	const char *number = strstr(text, "[Error "), *end = number ? strchr(number, ']') : NULL;

	return end && end[1] == ' ' ? end + 2 : text;
}

/*
 * Holes are not left out by mkfs.erofs, but compressed they are next to nothing. All else is then
 * compressed, too, but files that do not get smaller by it.
 */
static int make_image(const struct share *s, const char *image, bool sparse)
{
	size_t root = strlen(s->dir);
	bool inside = !strncmp(s->folder, s->dir, root) && s->folder[root] == '/';
	char leave[PATH_MAX + 32], text[512], *const argv[] = {
		"mkfs.erofs", "--quiet", "--all-root", "--preserve-mtime", "-x-1", leave,
		sparse ? "-zlz4" : "-x-1", sparse ? "-C65536" : "-x-1", (char *)image, ".", NULL
	};
	int said = memfd_create("mkfs.erofs", MFD_CLOEXEC), r;
	const char *dir = s->dir;

	if (said < 0)
		return -errno;
	snprintf(leave, sizeof(leave), "--exclude-path=%s", inside ? s->folder + root + 1 : "/");
	r = run_tool(argv, dir, said);
	last_words(said, text, sizeof(text));
	if (r == 0 && has_complained(said))
		r = 1; /* as if it had said so */
	close(said);
	if (r == 0)
		return 0;
	if (r == -ENOENT)
		log_err("--share %s: mkfs.erofs is missing; 'apt-get install erofs-utils' brings "
			"it", dir);
	else if (r < 0)
		log_err("--share %s: mkfs.erofs: %s", dir, strerror(-r));
	else
		log_err("--share %s: mkfs.erofs cannot make %s: %s", dir, image, reason(text));
	return -EIO;
}

/* The cache. */

struct kept {
	char name[NAME_MAX + 1];
	time_t used;
	uint64_t bytes;
};

static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->used == y->used ? 0 : x->used < y->used ? 1 : -1;
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len > n && !strcmp(name + len - n, end);
}

/* All images, malloc()ed; what a killed run has left unfinished is removed. [locked] */
static struct kept *list_images(DIR *dir, size_t *count)
{
	struct kept *list = NULL, *more;
	struct dirent *e;
	struct stat st;

	for (*count = 0; (e = readdir(dir));) {
		if (ends_with(e->d_name, ".tmp"))
			unlinkat(dirfd(dir), e->d_name, 0);
		if (!ends_with(e->d_name, SUFFIX) || fstatat(dirfd(dir), e->d_name, &st, 0) < 0)
			continue;
		more = realloc(list, (*count + 1) * sizeof(*list));
		if (!more)
			break;
		list = more;
		snprintf(list[*count].name, sizeof(list->name), "%s", e->d_name);
		list[*count].used = st.st_mtime;
		list[(*count)++].bytes = st.st_blocks * 512ull;
	}
	return list;
}

/* [locked] */
static void sweep(const char *folder)
{
	DIR *dir = opendir(folder);
	time_t now = time(NULL);
	uint64_t bytes = 0;
	struct kept *list;
	size_t count, i;

	if (!dir)
		return;
	list = list_images(dir, &count);
	if (count)
		qsort(list, count, sizeof(*list), by_use);
	for (i = 0; i < count; i++) {
		bytes += list[i].bytes;
		if ((bytes > CACHE_BYTES || list[i].used < now - CACHE_SECONDS) &&
		    list[i].used < now - FRESH_SECONDS)
			unlinkat(dirfd(dir), list[i].name, 0);
	}
	free(list);
	closedir(dir);
}

/* It has been used now. False: it is not there. */
static bool is_kept(const char *image)
{
	return utimensat(AT_FDCWD, image, NULL, 0) == 0;
}

static void say_made(const char *dir, const char *image, int64_t begun)
{
	struct stat st;

	if (stat(image, &st) == 0)
		log_info("--share %s: an image of %lld KiB, made in %lld ms: %s", dir,
			 (long long)st.st_size >> 10,
			 (long long)(now_ns(CLOCK_MONOTONIC) - begun) / 1000000, image);
}

/* 1: it is there. 0: the folder has changed meanwhile. -errno after one line. [locked] */
static int make_kept(const struct share *s, const struct state *state, const char *image)
{
	int64_t begun = now_ns(CLOCK_MONOTONIC);
	struct state after;
	char *fresh;
	int r;

	if (is_kept(image)) /* by somebody else, while we waited */
		return 1;
	sweep(s->folder);
	if (asprintf(&fresh, "%s.tmp", image) < 0)
		return -ENOMEM;
	r = make_image(s, fresh, state->sparse);
	if (r == 0)
		r = take_state(s, &after);
	if (r == 0 && !strcmp(state->digest, after.digest)) {
		r = rename(fresh, image) < 0 ? -errno : 1;
		if (r < 0)
			log_err("--share %s: %s: %s", s->dir, image, strerror(-r));
		else
			say_made(s->dir, image, begun);
	}
	if (r != 1)
		unlink(fresh);
	free(fresh);
	return r;
}

/* Locked until it is closed. */
static int lock(const char *folder)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s/lock", folder) < 0)
		return -ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		log_err("--share: %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -EIO;
	}
	free(path);
	return fd;
}

/* As make_kept(); *@image is malloc()ed then. */
static int try_image(const struct share *s, char **image)
{
	struct state state;
	int fd, r = take_settled_state(s, &state);

	if (r < 0)
		return r;
	if (asprintf(image, "%s/%s" SUFFIX, s->folder, state.digest) < 0)
		return -ENOMEM;
	if (is_kept(*image))
		return 1;
	fd = lock(s->folder);
	r = fd < 0 ? fd : make_kept(s, &state, *image);
	if (fd >= 0)
		close(fd);
	if (r != 1)
		free(*image);
	return r;
}

/* The cache's folder, without links, malloc()ed. NULL after one line. */
static char *find_folder(const char *dir)
{
	char *path = NULL, *folder = NULL;
	int r = cache_folder("share", &path);

	if (r == 0) {
		folder = realpath(path, NULL);
		r = folder ? 0 : -errno;
	}
	if (r < 0)
		log_err("--share %s: %s: %s; XDG_CACHE_HOME names another place for images", dir,
			path ? path : "the cache", strerror(-r));
	free(path);
	return folder;
}

char *share_image(const char *dir)
{
	struct stat st;
	char *full = realpath(dir, NULL), *folder, *image = NULL;
	int tries = TRIES, r = 0;

	if (!full || stat(full, &st) < 0 || !S_ISDIR(st.st_mode)) {
		log_err("--share %s: %s", dir, strerror(full ? ENOTDIR : errno));
		free(full);
		return NULL;
	}
	folder = find_folder(dir);
	while (folder && r == 0 && tries--)
		r = try_image(&(struct share){ full, folder }, &image);
	if (folder && r == 0)
		log_err("--share %s: changes while it is read; try when nothing writes there", dir);
	free(folder);
	free(full);
	return r == 1 ? image : NULL;
}
