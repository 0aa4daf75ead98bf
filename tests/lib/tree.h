/* SPDX-License-Identifier: MIT */
/*
 * tree.h - a folder that stands for /, with the files of /dev, /proc and /sys that a test wants.
 */
#ifndef TESTS_TREE_H
#define TESTS_TREE_H

struct tree {
	char root[64];
};

void tree_create(struct tree *t);
/* With all that is in it. */
void tree_remove(struct tree *t);
/* A file that anybody may execute, and the folders on the way; in place of one that is there. */
void tree_put(struct tree *t, const char *path, const char *text);

#endif
