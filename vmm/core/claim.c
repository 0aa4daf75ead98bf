/* SPDX-License-Identifier: MIT */
#include "vmm/core/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/below.h"
#include "vmm/core/fail.h"
#include "vmm/core/lock.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

/* What a file is compared by. */
struct identity {
	mode_t type; /* S_IFREG, S_IFBLK; 0: it may be shared, or there is none */
	dev_t dev;
	ino_t ino;
	dev_t file_dev; /* the file that it is, or that a loop device makes a disk of */
	ino_t file_ino; /* 0: there is none */
};

struct claim {
	struct claims *list;
	char *what, *path; /* ->path NULL: it has none */
	int fd;            /* the list's; -1: none */
	struct identity id;
	bool output;
	bool given;   /* lunette was started with it: it is shared, and never emptied */
	bool replace; /* it is not written in place */
	bool made, folder, kept, refused;
	bool past; /* it was read, and may have other uses now */
	struct claim *next;
};

struct claims {
	pthread_mutex_t lock; /* of what follows: a log changes its file while a disk is plugged */
	struct claim *newest;
	bool dry, begun;
};

static struct identity identity_of(const struct stat *st)
{
	struct identity id = { 0 };
	char path[PATH_MAX];
	struct stat file;

	if (S_ISREG(st->st_mode))
		id = (struct identity){ .type = S_IFREG, .dev = st->st_dev, .ino = st->st_ino };
	else if (S_ISBLK(st->st_mode))
		id = (struct identity){ .type = S_IFBLK, .dev = st->st_rdev };
	if (!below_find(st, path, &file))
		file = *st;
	if (S_ISREG(file.st_mode)) {
		id.file_dev = file.st_dev;
		id.file_ino = file.st_ino;
	}
	return id;
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	if (!a->type || !b->type)
		return false;
	return (a->type == b->type && a->dev == b->dev && a->ino == b->ino) ||
	       (a->file_ino && a->file_ino == b->file_ino && a->file_dev == b->file_dev);
}

static int fail(const char *what, int err)
{
	log_err("%s: %s", what, strerror(err));
	return -err;
}

static struct claim *new_claim(struct claims *l, const char *what)
{
	struct claim *c = calloc(1, sizeof(*c));

	if (c)
		c->what = strdup(what);
	if (!c || !c->what) {
		free(c);
		fail(what, ENOMEM);
		return NULL;
	}
	c->list = l;
	c->fd = -1;
	return c;
}

/* Removes what it has made, unless somebody else has put another file there. */
static void unmake(const struct claim *c)
{
	struct identity id;
	struct stat st;

	if (c->folder) {
		rmdir(c->path);
		return;
	}
	if (c->path && lstat(c->path, &st) == 0) {
		id = identity_of(&st);
		if (is_same(&id, &c->id))
			unlink(c->path);
	}
}

static void free_claim(struct claim *c)
{
	if (c->made && (c->refused || (!c->kept && !c->list->begun)))
		unmake(c);
	if (c->fd >= 0)
		close(c->fd);
	free(c->what);
	free(c->path);
	free(c);
}

/* A claim that this one cannot stand beside; NULL: there is none. */
static struct claim *find_clash(const struct claims *l, const struct claim *c)
{
	struct claim *other;

	for (other = l->newest; other; other = other->next) {
		if (other != c && !other->past && is_same(&other->id, &c->id) &&
		    (other->output || c->output) && !(other->given && c->given))
			return other;
	}
	return NULL;
}

/* -EUSAGE after one line: it cannot be. Before the run, none of the two is worth anything. */
static int refuse(struct claims *l, struct claim *c, struct claim *other)
{
	c->refused = true;
	other->refused |= !l->begun;
	log_err("%s: is the same file as %s; what is written needs a file of its own",
		c->output ? c->what : other->what, c->output ? other->what : c->what);
	return -EUSAGE;
}

/* Puts it on the list, which then owns it; or frees it. */
static int add(struct claims *l, struct claim *c)
{
	struct claim *other;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	other = find_clash(l, c);
	if (other) {
		r = refuse(l, c, other);
	} else {
		c->next = l->newest;
		l->newest = c;
	}
	pthread_mutex_unlock(&l->lock);
	if (r < 0)
		free_claim(c);
	return r;
}

static int identify(struct claim *c, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(c->what, errno);
	c->id = identity_of(&st);
	return 0;
}

/* Compares, locks, and empties where it is time for it. As add(). */
static int add_output(struct claims *l, struct claim *c)
{
	int r = c->fd >= 0 ? identify(c, c->fd) : 0;

	c->output = true;
	if (r == 0) {
		r = add(l, c);
		if (r < 0)
			return r;
		if (c->id.type && c->fd >= 0)
			r = lock_output(c->fd, c->what, !c->given);
		if (r == 0 && l->begun && c->id.type == S_IFREG && !c->given &&
		    ftruncate(c->fd, 0) < 0)
			r = fail(c->what, errno);
		if (r < 0)
			claim_drop(c);
		return r;
	}
	free_claim(c);
	return r;
}

/* Descriptors. */

int claim_descriptor(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
	static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
	unsigned i;
	size_t len;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(path, names[i]))
			return (int)i;
	}
	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		len = strlen(folders[i]);
		if (!strncmp(path, folders[i], len) && path[len] && strlen(path + len) < 8 &&
		    !path[len + strspn(path + len, "0123456789")])
			return atoi(path + len);
	}
	return -1;
}

/* Those of lunette's own are closed on exec. */
static int open_descriptor(struct claim *c, int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || flags & FD_CLOEXEC || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		return fail(c->what, EBADF);
	c->given = true;
	c->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return c->fd < 0 ? fail(c->what, errno) : 0;
}

int claim_given(struct claims *l, const char *what, int fd)
{
	struct claim *c = new_claim(l, what);
	int r;

	if (!c)
		return -ENOMEM;
	c->given = c->output = true;
	r = identify(c, fd);
	if (r < 0) {
		free_claim(c);
		return r;
	}
	r = add(l, c);
	return r < 0 || !c->id.type ? r : lock_output(fd, what, false);
}

/* Files. */

static int open_flags(const struct claims *l, unsigned flags, bool there, mode_t mode)
{
	int how = O_CLOEXEC | O_NOCTTY;

	how |= l->dry && S_ISFIFO(mode) ? O_RDWR | O_NONBLOCK :
	       flags & CLAIM_BACK ? O_RDWR : O_WRONLY;
	how |= flags & CLAIM_REGULAR ? O_NONBLOCK : 0; /* a pipe is not wanted anyway */
	how |= flags & CLAIM_APPEND ? O_APPEND : 0;
	how |= flags & CLAIM_HERE ? O_NOFOLLOW : 0;
	how |= there ? 0 : O_CREAT;
	return how | (S_ISBLK(mode) ? O_EXCL : 0); /* not one that is mounted */
}

static int open_file(struct claim *c, const char *path, unsigned flags)
{
	struct stat st = { 0 };
	bool there = stat(path, &st) == 0;

	if (!there && errno != ENOENT)
		return fail(c->what, errno);
	if (S_ISDIR(st.st_mode))
		return fail(c->what, EISDIR);
	if (there && flags & CLAIM_REGULAR && !S_ISREG(st.st_mode)) {
		log_err("%s: a regular file is wanted, so that its size can be kept within a limit",
			c->what);
		return -ENOTSUP;
	}
	c->fd = open(path, open_flags(c->list, flags, there, st.st_mode), 0666);
	if (c->fd < 0 && !(c->replace && there))
		return fail(c->what, errno);
	c->made = !there;
	c->id = identity_of(&st);
	c->path = S_ISREG(st.st_mode) || !there ? realpath(path, NULL) : NULL;
	return 0;
}

static int open_output(struct claims *l, struct claim *c, const char *path, unsigned flags,
		       struct claim **claim)
{
	int fd = flags & CLAIM_REGULAR ? -1 : claim_descriptor(path), r;

	r = fd >= 0 ? open_descriptor(c, fd) : open_file(c, path, flags);
	if (r < 0) {
		free_claim(c);
		return r;
	}
	r = add_output(l, c);
	*claim = r < 0 ? NULL : c;
	return r;
}

int claim_open(struct claims *l, const char *what, const char *path, unsigned flags,
	       struct claim **claim)
{
	struct claim *c = new_claim(l, what);
	int r = c ? open_output(l, c, path, flags, claim) : -ENOMEM;

	return r < 0 ? r : c->fd;
}

int claim_replace(struct claims *l, const char *what, const char *path, struct claim **claim)
{
	struct claim *c = new_claim(l, what);
	int r;

	if (!c)
		return -ENOMEM;
	c->replace = true;
	r = open_output(l, c, path, 0, claim);
	return r < 0 ? r : c->fd;
}

int claim_name(struct claims *l, const char *what, const char *path, struct claim **claim)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), r;
	struct claim *c = new_claim(l, what);
	struct stat st;

	*claim = NULL;
	if (c && stat(path, &st) == 0)
		c->id = identity_of(&st);
	if (c) {
		c->output = c->replace = true;
		c->path = strdup(path);
	}
	r = c ? add(l, c) : -ENOMEM;
	if (r == 0 && fd >= 0 && c->id.type)
		r = lock_output(fd, what, false);
	if (fd >= 0)
		close(fd);
	if (r == 0)
		*claim = c;
	return r;
}

int claim_folder(struct claims *l, const char *option, const char *path)
{
	struct claim *c;
	int err;

	if (mkdir(path, 0777) < 0) {
		err = errno;
		if (err != EEXIST)
			log_err("%s %s: %s", option, path, strerror(err));
		return err == EEXIST ? 0 : -err;
	}
	c = new_claim(l, option);
	if (!c)
		return -ENOMEM;
	c->made = c->folder = true;
	c->path = realpath(path, NULL);
	return add(l, c);
}

int claim_read(struct claims *l, const char *what, int fd, bool given, struct claim **claim)
{
	struct claim *c;
	int r;

	*claim = NULL;
	if (!l)
		return 0;
	c = new_claim(l, what);
	if (!c)
		return -ENOMEM;
	c->given = given;
	r = identify(c, fd);
	if (r < 0) {
		free_claim(c);
		return r;
	}
	r = add(l, c);
	*claim = r < 0 ? NULL : c;
	return r;
}

int claim_spare(struct claims *l, const char *what, int fd)
{
	struct claim c = { .list = l, .what = (char *)what, .fd = -1, .given = true }, *other;
	int r = identify(&c, fd);

	if (r < 0)
		return r;
	pthread_mutex_lock(&l->lock);
	other = find_clash(l, &c);
	r = other ? refuse(l, &c, other) : 0;
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* What becomes of them. */

void claim_drop(struct claim *claim)
{
	struct claim **at;

	if (!claim)
		return;
	if (!claim->output && claim->list->begun) {
		claim->past = true;
		return;
	}
	pthread_mutex_lock(&claim->list->lock);
	for (at = &claim->list->newest; *at != claim;)
		at = &(*at)->next;
	*at = claim->next;
	pthread_mutex_unlock(&claim->list->lock);
	free_claim(claim);
}

bool claims_have(struct claims *l, int folder, const char *name)
{
	struct identity id;
	struct claim *c;
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	id = identity_of(&st);
	pthread_mutex_lock(&l->lock);
	for (c = l->newest; c && !is_same(&c->id, &id);)
		c = c->next;
	pthread_mutex_unlock(&l->lock);
	return c;
}

void claim_renew(struct claim *claim, int fd)
{
	struct stat st;
	bool there = fd >= 0 ? fstat(fd, &st) == 0 : stat(claim->path, &st) == 0;

	pthread_mutex_lock(&claim->list->lock);
	claim->id = there ? identity_of(&st) : (struct identity){ 0 };
	if (claim->fd >= 0)
		close(claim->fd);
	claim->fd = fd;
	pthread_mutex_unlock(&claim->list->lock);
	if (fd >= 0)
		lock_output(fd, claim->what, true);
}

void claim_keep(struct claim *claim)
{
	claim->kept = true;
}

bool claim_made(const struct claim *claim)
{
	return claim->made;
}

bool claim_refused(const struct claim *claim)
{
	return claim->refused;
}

const char *claim_path(const struct claim *claim)
{
	return claim->path;
}

/* The list. */

static int claim_standard(struct claims *l)
{
	struct claim *in;
	int r = claim_read(l, "stdin", STDIN_FILENO, true, &in);

	if (r == 0)
		r = claim_given(l, "stdout", STDOUT_FILENO);
	return r < 0 ? r : claim_given(l, "stderr", STDERR_FILENO);
}

struct claims *claims_create(bool dry)
{
	struct claims *l = calloc(1, sizeof(*l));

	if (!l) {
		fail("files", ENOMEM);
		return NULL;
	}
	l->dry = dry;
	pthread_mutex_init(&l->lock, NULL);
	if (claim_standard(l) == 0)
		return l;
	claims_destroy(l);
	return NULL;
}

void claims_destroy(struct claims *l)
{
	struct claim *c;

	while (l && (c = l->newest)) {
		l->newest = c->next;
		free_claim(c);
	}
	if (l)
		pthread_mutex_destroy(&l->lock);
	free(l);
}

int claims_check(struct claims *l)
{
	struct claim *c, *other;
	struct stat st;
	int r = 0;

	pthread_mutex_lock(&l->lock);
	for (c = l->newest; c && r == 0; c = c->next) {
		if (c->id.type || !c->replace || !c->path || stat(c->path, &st) < 0)
			continue;
		c->id = identity_of(&st);
		other = find_clash(l, c);
		r = other ? refuse(l, c, other) : 0;
	}
	pthread_mutex_unlock(&l->lock);
	return r;
}

int claims_begin(struct claims *l)
{
	struct claim *c;

	l->begun = true;
	for (c = l->newest; c; c = c->next) {
		if (c->fd >= 0 && c->id.type == S_IFREG && !c->given && !c->replace &&
		    ftruncate(c->fd, 0) < 0)
			return fail(c->what, errno);
	}
	return 0;
}

bool claims_have_begun(const struct claims *l)
{
	return l->begun;
}
