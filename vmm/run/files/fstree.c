/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/fstree.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/core/util.h"

#define FOLLOW_MAX 40 /* links on the way, as in Linux */

struct fstree {
	struct fstree_node *top, *all;
	struct fstree_entry **bucket;
	uint64_t buckets, entries, entries_max;
	unsigned layer;
	void (*dropped)(void *arg, const struct fstree_node *node);
	void *arg;
};

static struct fstree_node *new_node(struct fstree *t, mode_t mode)
{
	struct fstree_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->mode = mode;
	node->layer = t->layer;
	node->next = t->all;
	t->all = node;
	return node;
}

struct fstree *fstree_create(uint64_t entries)
{
	struct fstree *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->entries_max = entries;
	t->buckets = 1024;
	t->bucket = calloc(t->buckets, sizeof(*t->bucket));
	t->top = new_node(t, S_IFDIR | 0755);
	if (!t->bucket || !t->top) {
		fstree_destroy(t);
		return NULL;
	}
	t->top->parent = t->top;
	t->top->links = 1;
	return t;
}

static void free_entries(struct fstree_node *folder)
{
	struct fstree_entry *e, *next;

	for (e = folder->first; e; e = next) {
		next = e->next;
		free(e->name);
		free(e);
	}
}

void fstree_destroy(struct fstree *t)
{
	struct fstree_node *node, *next;

	if (!t)
		return;
	for (node = t->all; node; node = next) {
		next = node->next;
		free_entries(node);
		free(node->target);
		free(node);
	}
	free(t->bucket);
	free(t);
}

void fstree_on_drop(struct fstree *t, void (*fn)(void *arg, const struct fstree_node *node),
		    void *arg)
{
	t->dropped = fn;
	t->arg = arg;
}

struct fstree_node *fstree_top(struct fstree *t)
{
	return t->top;
}

void fstree_next_layer(struct fstree *t)
{
	t->layer++;
}

/* Names in folders. */

static struct fstree_entry **bucket_of(const struct fstree *t, const struct fstree_node *folder,
				     const char *name, size_t len)
{
	uint64_t hash = (uintptr_t)folder * 0x9e3779b97f4a7c15ull;

	while (len--)
		hash = (hash ^ (uint8_t)*name++) * 0x100000001b3ull;
	return &t->bucket[(hash ^ hash >> 32) & (t->buckets - 1)];
}

static struct fstree_entry *find(const struct fstree *t, const struct fstree_node *folder,
			       const char *name, size_t len)
{
	struct fstree_entry *e;

	for (e = *bucket_of(t, folder, name, len); e; e = e->chain)
		if (e->folder == folder && !strncmp(e->name, name, len) && !e->name[len])
			return e;
	return NULL;
}

static int grow(struct fstree *t)
{
	struct fstree_entry **old = t->bucket, *e, *next, **to;
	uint64_t i, n = t->buckets;

	t->bucket = calloc(2 * n, sizeof(*t->bucket));
	if (!t->bucket) {
		t->bucket = old;
		return -ENOMEM;
	}
	t->buckets = 2 * n;
	for (i = 0; i < n; i++) {
		for (e = old[i]; e; e = next) {
			next = e->chain;
			to = bucket_of(t, e->folder, e->name, strlen(e->name));
			e->chain = *to;
			*to = e;
		}
	}
	free(old);
	return 0;
}

/* A new name for @node, which may be NULL: for the caller to set. */
static int add(struct fstree *t, struct fstree_node *folder, const char *name, size_t len,
	       struct fstree_entry **entry)
{
	struct fstree_entry *e, **to;

	if (t->entries == t->entries_max)
		return -EDQUOT;
	if (t->entries == t->buckets && grow(t) < 0)
		return -ENOMEM;
	e = calloc(1, sizeof(*e));
	if (e)
		e->name = strndup(name, len);
	if (!e || !e->name) {
		free(e);
		return -ENOMEM;
	}
	t->entries++; /* also those that are removed later: their memory is in use */
	e->folder = folder;
	e->next = folder->first;
	folder->first = e;
	to = bucket_of(t, folder, name, len);
	e->chain = *to;
	*to = e;
	*entry = e;
	return 0;
}

/* Removes what earlier layers than @layer have in there; depth is bounded by FSTREE_DEPTH_MAX. */
static void remove_below(struct fstree *t, struct fstree_node *folder, unsigned layer);

static void let_go(struct fstree *t, struct fstree_entry *e)
{
	struct fstree_node *node = e->node;

	e->node = NULL;
	if (node && !--node->links && S_ISREG(node->mode) && t->dropped)
		t->dropped(t->arg, node);
}

/* True: nothing of it is left. */
static bool remove_entry(struct fstree *t, struct fstree_entry *e, unsigned layer)
{
	struct fstree_entry *in;

	if (!e->node)
		return true;
	if (S_ISDIR(e->node->mode)) {
		remove_below(t, e->node, layer);
		for (in = e->node->first; in; in = in->next)
			if (in->node)
				return false;
	}
	if (e->node->layer >= layer)
		return false;
	let_go(t, e);
	return true;
}

static void remove_below(struct fstree *t, struct fstree_node *folder, unsigned layer)
{
	struct fstree_entry *e;

	for (e = folder->first; e; e = e->next)
		remove_entry(t, e, layer);
}

static void put_in(struct fstree_entry *e, struct fstree_node *folder, struct fstree_node *node)
{
	node->parent = folder;
	node->depth = folder->depth + 1;
	node->links = 1;
	e->node = node;
}

/* Walks. */

struct walk {
	struct fstree *t;
	struct fstree_node *at;
	unsigned follows;
	bool make; /* folders that are missing */
};

static int walk_path(struct walk *w, const char *path);

static int make_folder(struct walk *w, const char *name, size_t len)
{
	struct fstree_entry *e = find(w->t, w->at, name, len);
	struct fstree_node *node;
	int r = w->at->depth == FSTREE_DEPTH_MAX ? -ENAMETOOLONG : 0;

	if (r == 0 && !e)
		r = add(w->t, w->at, name, len, &e);
	if (r < 0)
		return r;
	node = new_node(w->t, S_IFDIR | 0755);
	if (!node)
		return -ENOMEM;
	put_in(e, w->at, node);
	w->at = node;
	return 0;
}

/* In a link, ".." leads up, and at the top nowhere. */
static int step(struct walk *w, const char *name, size_t len)
{
	struct fstree_entry *e;
	const char *target;

	if (!len || (len == 1 && *name == '.'))
		return 0;
	if (len == 2 && !strncmp(name, "..", 2)) {
		w->at = w->at->parent;
		return 0;
	}
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	e = find(w->t, w->at, name, len);
	if (!e || !e->node)
		return w->make ? make_folder(w, name, len) : -ENOENT;
	if (S_ISLNK(e->node->mode)) {
		if (++w->follows > FOLLOW_MAX)
			return -ELOOP;
		target = e->node->target ? e->node->target : "";
		if (*target == '/')
			w->at = w->t->top;
		return walk_path(w, target);
	}
	if (!S_ISDIR(e->node->mode) && w->make) { /* something else is in the way */
		let_go(w->t, e);
		return make_folder(w, name, len);
	}
	if (!S_ISDIR(e->node->mode))
		return -ENOTDIR;
	w->at = e->node;
	return 0;
}

static int walk_path(struct walk *w, const char *path)
{
	size_t len;
	int r = 0;

	for (; r == 0 && *path; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		r = step(w, path, len);
	}
	return r;
}

/* The last part that is a name. NULL: it is the top; -EINVAL: it has "..". */
static int last_part(const char *path, const char **name, size_t *len)
{
	size_t n;

	*name = NULL;
	if (strlen(path) > FSTREE_PATH_MAX)
		return -ENAMETOOLONG;
	for (; *path; path += n) {
		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 2 && !strncmp(path, "..", 2))
			return -EINVAL;
		if (!n || (n == 1 && *path == '.'))
			continue;
		*name = path;
		*len = n;
	}
	return *name && *len > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* The folder that @path is in, and its last part. */
static int walk_to(struct walk *w, const char *path, const char **name, size_t *len)
{
	int r = last_part(path, name, len);
	char *before;

	if (r < 0 || !*name)
		return r;
	before = strndup(path, *name - path);
	if (!before)
		return -ENOMEM;
	r = walk_path(w, before);
	free(before);
	return r == 0 && w->at->depth == FSTREE_DEPTH_MAX ? -ENAMETOOLONG : r;
}

/* What can be done. */

int fstree_put(struct fstree *t, const char *path, mode_t mode, struct fstree_node **node)
{
	struct walk w = { .t = t, .at = t->top, .make = true };
	struct fstree_entry *e;
	const char *name;
	size_t len;
	int r = walk_to(&w, path, &name, &len);

	if (r < 0)
		return r;
	if (!name) {
		*node = t->top;
		t->top->mode = mode;
		return S_ISDIR(mode) ? 0 : -EISDIR;
	}
	e = find(t, w.at, name, len);
	if (e && e->node && S_ISDIR(e->node->mode) && S_ISDIR(mode)) {
		e->node->mode = mode;
		e->node->layer = t->layer;
		*node = e->node;
		return 0;
	}
	r = e ? 0 : add(t, w.at, name, len, &e);
	*node = r < 0 ? NULL : new_node(t, mode);
	if (!*node)
		return r < 0 ? r : -ENOMEM;
	remove_entry(t, e, UINT_MAX);
	put_in(e, w.at, *node);
	return 0;
}

int fstree_link(struct fstree *t, const char *path, const char *target)
{
	struct walk from = { .t = t, .at = t->top };
	struct walk to = { .t = t, .at = t->top, .make = true };
	struct fstree_entry *e, *old;
	struct fstree_node *node;
	const char *name;
	size_t len;
	int r = walk_to(&from, target, &name, &len);

	old = r == 0 && name ? find(t, from.at, name, len) : NULL;
	if (!old || !old->node)
		return r < 0 && r != -ENOTDIR ? r : -ENOENT;
	node = old->node;
	if (S_ISDIR(node->mode))
		return -EISDIR;
	r = walk_to(&to, path, &name, &len);
	if (r < 0)
		return r;
	if (!name)
		return -EISDIR;
	e = find(t, to.at, name, len);
	if (e && e->node == node)
		return 0;
	r = e ? 0 : add(t, to.at, name, len, &e);
	if (r < 0)
		return r;
	remove_entry(t, e, UINT_MAX);
	if (old->node != node) /* it was in the way, and is gone */
		return -ENOENT;
	e->node = node;
	node->links++;
	return 0;
}

int fstree_white_out(struct fstree *t, const char *path)
{
	struct walk w = { .t = t, .at = t->top };
	struct fstree_entry *e;
	const char *name;
	size_t len;
	int r = walk_to(&w, path, &name, &len);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return r;
	e = name ? find(t, w.at, name, len) : NULL;
	if (e)
		remove_entry(t, e, t->layer);
	return 0;
}

int fstree_white_out_below(struct fstree *t, const char *folder)
{
	struct fstree_node *node = fstree_look(t, folder);

	if (node && S_ISDIR(node->mode))
		remove_below(t, node, t->layer);
	return 0;
}

struct fstree_node *fstree_look(struct fstree *t, const char *path)
{
	struct walk w = { .t = t, .at = t->top };
	struct fstree_entry *e;
	const char *name;
	size_t len;

	if (walk_to(&w, path, &name, &len) < 0)
		return NULL;
	if (!name)
		return t->top;
	e = find(t, w.at, name, len);
	if (e && e->node && S_ISLNK(e->node->mode)) {
		if (step(&w, name, len) < 0)
			return NULL;
		return w.at;
	}
	return e ? e->node : NULL;
}

const char *fstree_why(int err)
{
	switch (-err) {
	case EINVAL:
		return "its name has '..'";
	case ENAMETOOLONG:
		return "its name is too long, or too deep";
	case ELOOP:
		return "links on the way lead in a circle";
	case EDQUOT:
		return "there are too many files and folders";
	case EISDIR:
		return "it would replace a folder, or be a hard link to one";
	case ENOENT:
		return "it is a hard link to what is not there";
	default:
		return strerror(-err);
	}
}
