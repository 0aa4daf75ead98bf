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

#include "vmm/core/libc.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/files/kept.h"

#define TRIES 3
#define TICK_NS 20000000ll         /* more than the clock of ctimes takes for a step, at 100 Hz */
#define HOLES_BYTES (1 << 20)      /* in a file: it is worth while not to write them */

/* What a folder is like. */
struct state {
	char digest[SHA256_DIGEST_STRING_LENGTH];
	int64_t newest; /* ctime, ns */
	bool sparse;    /* it has a file with large holes */
};

/* @folder, where images are, may be in @dir, and is left out then. Both without links. */
struct share {
	const char *what; /* begins lines: the option, and the folder */
	const char *dir, *folder;
	bool root; /* it is to be a root file system */
	struct state state;
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

/* What another file system of the guest's will be mounted on; of a running system it is no end. */
static bool is_the_kernels(const struct share *s, const FTSENT *e)
{
	return s->root && e->fts_level == 1 && (!strcmp(e->fts_name, "proc") ||
		!strcmp(e->fts_name, "sys") || !strcmp(e->fts_name, "dev"));
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
		if (is_the_kernels(s, e)) {
			fts_set(fts, e, FTS_SKIP);
		} else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR ||
			   e->fts_info == FTS_NS) {
			err = e->fts_errno;
		} else if (!strcmp(e->fts_path, s->folder)) {
			fts_set(fts, e, FTS_SKIP);
		} else if (e->fts_info != FTS_DP) {
			err = -take_entry(&sha, e, e->fts_path + root, state);
		}
		if (err)
			log_err("%s: %s: %s", s->what, e->fts_path, strerror(err));
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

static int say_tool(const struct share *s, const char *image, int r, const char *text)
{
	if (r == -ENOENT)
		log_err("%s: mkfs.erofs is missing; 'apt-get install erofs-utils' brings it",
			s->what);
	else if (r < 0)
		log_err("%s: mkfs.erofs: %s", s->what, strerror(-r));
	else
		log_err("%s: mkfs.erofs cannot make %s: %s", s->what, image, reason(text));
	return -EIO;
}

/*
 * Holes are not left out by mkfs.erofs, but compressed they are next to nothing. All else is then
 * compressed, too, but files that do not get smaller by it. Of a root file system that its owner
 * packs, who is root, owners and file capabilities stay.
 */
static int make_image(const struct share *s, const char *image)
{
	size_t root = strlen(s->dir);
	bool inside = !strncmp(s->folder, s->dir, root) && s->folder[root] == '/';
	bool owners = s->root && geteuid() == 0;
	const char *const plain = "--quiet"; /* in place of what is not to be said */
	char leave[PATH_MAX + 32], text[512], *const argv[] = {
		"mkfs.erofs", (char *)plain, owners ? (char *)plain : "--all-root",
		owners ? "-x1" : "-x-1", leave, s->root ? "--exclude-path=proc" : (char *)plain,
		s->root ? "--exclude-path=sys" : (char *)plain,
		s->root ? "--exclude-path=dev" : (char *)plain,
		s->state.sparse ? "-zlz4" : (char *)plain,
		s->state.sparse ? "-C65536" : (char *)plain, (char *)image, ".", NULL
	};
	int said = memfd_create("mkfs.erofs", MFD_CLOEXEC), r;

	if (said < 0)
		return say_tool(s, image, -errno, "");
	snprintf(leave, sizeof(leave), "--exclude-path=%s", inside ? s->folder + root + 1 : "/");
	r = run_tool(argv, s->dir, said);
	last_words(said, text, sizeof(text));
	if (r == 0 && has_complained(said))
		r = 1; /* as if it had said so */
	close(said);
	return r == 0 ? 0 : say_tool(s, image, r, text);
}

/* As kept_make(). */
static int make_kept(void *arg, const char *path)
{
	const struct share *s = arg;
	struct state after;
	int r = make_image(s, path);

	if (r == 0)
		r = take_state(s, &after);
	return r < 0 ? r : !strcmp(s->state.digest, after.digest);
}

/* As kept_image(). */
static int try_image(struct share *s, char **image)
{
	char name[sizeof(s->state.digest) + 8];
	int r = take_settled_state(s, &s->state);

	snprintf(name, sizeof(name), "%s%s", s->root ? "root-" : "", s->state.digest);
	return r < 0 ? r : kept_image(s->what, s->folder, name, make_kept, s, image);
}

char *share_image(const char *option, const char *dir, bool root)
{
	struct stat st;
	char *full = realpath(dir, NULL), *image = NULL, *folder, what[PATH_MAX + 16];
	struct share s = { .what = what, .dir = full, .root = root };
	int tries = TRIES, r = 0;

	snprintf(what, sizeof(what), "%s %s", option, dir);
	if (!full || stat(full, &st) < 0 || !S_ISDIR(st.st_mode)) {
		log_err("%s: %s", what, strerror(full ? ENOTDIR : errno));
		free(full);
		return NULL;
	}
	s.folder = folder = kept_folder(what);
	while (folder && r == 0 && tries--)
		r = try_image(&s, &image);
	if (folder && r == 0)
		log_err("%s: changes while it is read; try when nothing writes there", what);
	free(folder);
	free(full);
	return r == 1 ? image : NULL;
}
