/* SPDX-License-Identifier: MIT */
#include "guest/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* False: it is no number of an ID. */
static bool number_of(const char *text, unsigned *id)
{
	unsigned long long value;
	char *end;

	if (!*text || text[strspn(text, "0123456789")])
		return false;
	value = strtoull(text, &end, 10);
	*id = value;
	return value < (unsigned)-1;
}

/* Of the user named, or of that number; false: the file has none. */
static bool find_user(const char *name, const char *passwd, struct user *u, char *own, size_t size)
{
	FILE *file = fopen(passwd, "re");
	struct passwd *p = NULL;
	unsigned id = 0;
	bool number = number_of(name, &id);

	while (file && (p = fgetpwent(file)))
		if (number ? p->pw_uid == id : !strcmp(p->pw_name, name))
			break;
	if (p) {
		u->uid = p->pw_uid;
		u->gid = p->pw_gid;
		snprintf(u->home, sizeof(u->home), "%s", p->pw_dir);
		snprintf(own, size, "%s", p->pw_name);
	} else if (number) {
		u->uid = id;
	}
	if (file)
		fclose(file);
	return p || number;
}

static bool lists(const struct group *g, const char *user)
{
	char **member = g->gr_mem;

	while (*member && strcmp(*member, user))
		member++;
	return *member;
}

/* The groups of the user @own, or the one that @name says. */
static bool find_groups(const char *name, const char *own, const char *group, struct user *u)
{
	FILE *file = fopen(group, "re");
	unsigned id = 0;
	bool number = name && number_of(name, &id), found = !name || number;
	struct group *g;

	if (number)
		u->gid = id;
	while (file && (g = fgetgrent(file))) {
		if (name && !number && !strcmp(g->gr_name, name)) {
			u->gid = g->gr_gid;
			found = true;
		} else if (!name && *own && lists(g, own) && u->ngroups < USER_GROUPS_MAX) {
			u->groups[u->ngroups++] = g->gr_gid;
		}
	}
	if (file)
		fclose(file);
	return found;
}

int user_find(const char *text, const char *passwd, const char *group, struct user *u)
{
	char copy[512], own[256] = "", *colon;

	*u = (struct user){ .home = "/" };
	snprintf(copy, sizeof(copy), "%s", text);
	colon = strchr(copy, ':');
	if (colon)
		*colon++ = 0;
	if (!find_user(copy, passwd, u, own, sizeof(own)) ||
	    !find_groups(colon, own, group, u))
		return -ENOENT;
	return 0;
}

int user_become(const struct user *u)
{
	if (setgroups(u->ngroups, u->groups) < 0 || setgid(u->gid) < 0 || setuid(u->uid) < 0)
		return -errno;
	return 0;
}
