/* SPDX-License-Identifier: MIT */
/*
 * user.h - who runs a command, by the names that the root file system has for users.
 */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 64

struct user {
	uid_t uid;
	gid_t gid, groups[USER_GROUPS_MAX];
	size_t ngroups;
	char home[1024];
};

/*
 * @text is "NAME" or "NUMBER", with ":GROUP" behind it, a name or a number; @passwd and @group are
 * the files. Without a group it is the user's own, with those that list the user. A number that is
 * nobody's is its own group 0, at home in "/". -ENOENT: there is no such name.
 */
int user_find(const char *text, const char *passwd, const char *group, struct user *u);

/* Becomes that one, for good. -errno. */
int user_become(const struct user *u);

#endif
