/* SPDX-License-Identifier: MIT */
/*
 * fstree.h - a tree of files in memory, as layers of archives make it one after the other.
 *
 * Names come from who is not trusted, and never reach a file system of the host's: they are looked
 * up here alone. A ".." is refused in a name; a symbolic link on the way is followed, as the later
 * system would do it, from the tree's own top and never out of it.
 *
 * Contents are not here: a node says where they begin (erofs.h). One thread. Functions that return
 * int return 0 or -errno; fstree_why() has it in words.
 */
#ifndef RUN_FSTREE_H
#define RUN_FSTREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FSTREE_PATH_MAX 4095 /* bytes of a name, and of what a link says */
#define FSTREE_DEPTH_MAX 1024

struct fstree_entry;

/* What an inode is. */
struct fstree_node {
	mode_t mode; /* with its type */
	uint32_t uid, gid, rdev, mtime_nsec;
	int64_t mtime;
	uint64_t size;
	uint64_t block; /* of a file: where its bytes begin */
	char *target;   /* of a symbolic link */
	uint8_t cap[24]; /* its file capabilities, as the kernel keeps them */
	uint8_t cap_len;

	/* The tree's own. */
	unsigned layer; /* that it is from */
	unsigned depth; /* below the top */
	uint32_t links; /* names of it; of a folder that is there, 1 */
	struct fstree_node *parent;     /* of a folder; the top's is itself */
	struct fstree_entry *first;     /* in a folder, in no order */
	struct fstree_node *next;       /* of all that there ever were */
	uint64_t place;               /* for who writes it */
};

struct fstree_entry {
	char *name;
	struct fstree_node *node, *folder; /* node NULL: it was removed */
	struct fstree_entry *next, *chain;
};

struct fstree;

/* With an empty folder at the top, root's, 0755; @entries at most. NULL: no memory. */
struct fstree *fstree_create(uint64_t entries);
void fstree_destroy(struct fstree *t);
/* Hears of each file that nothing names any more. */
void fstree_on_drop(struct fstree *t, void (*fn)(void *arg, const struct fstree_node *node),
		    void *arg);

struct fstree_node *fstree_top(struct fstree *t);
/* What comes now is of another layer than all before. */
void fstree_next_layer(struct fstree *t);

/*
 * Makes @path, of @mode's type, in folders that are made if they are missing. It replaces what had
 * the name; only a folder stays, and gets the mode. *@node is for the caller to fill in.
 */
int fstree_put(struct fstree *t, const char *path, mode_t mode, struct fstree_node **node);
/* @path is another name of @target, which is no folder. -ENOENT: there is none. */
int fstree_link(struct fstree *t, const char *path, const char *target);
/* Takes away what earlier layers have there, or in there. That it is not there is no error. */
int fstree_white_out(struct fstree *t, const char *path);
int fstree_white_out_below(struct fstree *t, const char *folder);

/* What is at @path, links followed; NULL: nothing. */
struct fstree_node *fstree_look(struct fstree *t, const char *path);

const char *fstree_why(int err);

#endif
