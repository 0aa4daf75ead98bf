/* SPDX-License-Identifier: MIT */
#include "vmm/run/files/guestpath.h"

#include <limits.h>
#include <string.h>

#include "vmm/core/util.h"

/* What the guest's own system needs: itself, and with what is below it. */
static const struct {
	const char *path;
	bool below;
} own[] = {
	{ "/", false }, { "/usr", false }, { "/etc", false }, { "/run", false },
	{ "/var", false }, { "/init", true }, { "/proc", true }, { "/sys", true }, { "/dev", true },
	{ "/bin", true }, { "/sbin", true }, { "/lib", true }, { "/lib32", true },
	{ "/lib64", true }, { "/libx32", true }, { "/usr/bin", true }, { "/usr/sbin", true },
	{ "/usr/lib", true }, { "/usr/lib32", true }, { "/usr/lib64", true },
	{ "/usr/libx32", true },
};

/* NULL, or what is wrong with a name. */
static const char *make_plain(char *path)
{
	char *from = path, *to = path;
	size_t len;

	for (; *from; from += len) {
		from += strspn(from, "/");
		len = strcspn(from, "/");
		if (len > NAME_MAX)
			return "a name is too long";
		if (len == 2 && !strncmp(from, "..", 2))
			return "'..' leads somewhere else";
		if (!len || (len == 1 && *from == '.'))
			continue;
		*to++ = '/';
		memmove(to, from, len);
		to += len;
	}
	if (to == path)
		*to++ = '/';
	*to = 0;
	return NULL;
}

const char *guestpath_check(char *path)
{
	const char *why = make_plain(path);
	unsigned i;

	if (!why && strlen(path) > GUESTPATH_MAX)
		why = "is too long";
	for (i = 0; !why && i < ARRAY_SIZE(own); i++) {
		if (own[i].below ? guestpath_is_in(path, own[i].path) : !strcmp(path, own[i].path))
			why = "the guest has files of its own there";
	}
	return why;
}

bool guestpath_is_in(const char *path, const char *outer)
{
	size_t len = strlen(outer);

	return !strcmp(outer, "/") ||
	       (!strncmp(path, outer, len) && (!path[len] || path[len] == '/'));
}
