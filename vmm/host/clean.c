/* SPDX-License-Identifier: MIT */
/*
 * clean.c - "lunette clean": removes what runs that were killed have left, in
 * the kernel and in files.
 *
 * lunette's own temporary files have no names. Those of its scripts have the
 * owner's number in theirs, and that of its PID namespace, in which alone the
 * number means something. What is removed belongs to a process that is
 * certainly no more.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/devices.h"
#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/utf8.h"
#include "vmm/core/util.h"
#include "vmm/machine/cause.h"
#include "vmm/run/run.h"

/* Where there may be something, and what it is called: PID, namespace, and the end of the name. */
static const struct {
	const char *variable, *below; /* a folder in there, ... */
	const char *otherwise;        /* ... or, where that is not set, in $HOME or absolute */
	const char *name;             /* for sscanf() */
} places[] = {
	{ "TMPDIR", "", "/tmp", "lunette-%ld-%llu.%*6[A-Za-z0-9]%n" },
	{ "XDG_CACHE_HOME", "/lunette", ".cache/lunette", "initramfs-%*[0-9].cpio.%ld-%llu%n" },
};

static void find_place(unsigned i, char path[PATH_MAX])
{
	const char *given = getenv(places[i].variable), *home = getenv("HOME");

	if (given && *given)
		snprintf(path, PATH_MAX, "%s%s", given, places[i].below);
	else if (*places[i].otherwise == '/')
		snprintf(path, PATH_MAX, "%s", places[i].otherwise);
	else
		snprintf(path, PATH_MAX, "%s/%s", home ? home : "", places[i].otherwise);
}

static bool is_of_the_dead(const char *format, const char *name)
{
	unsigned long long space;
	struct stat ours;
	int end = 0;
	long pid;

	if (sscanf(name, format, &pid, &space, &end) != 2 || !end || name[end] || pid < 1)
		return false;
	return stat("/proc/self/ns/pid", &ours) == 0 && ours.st_ino == space &&
	       kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Returns 0, or -1 after one line. */
static int clean_place(unsigned i)
{
	char dir[PATH_MAX], path[2 * PATH_MAX];
	const struct dirent *entry;
	struct stat st;
	int result = 0;
	DIR *d;

	find_place(i, dir);
	d = opendir(dir);
	while (d && (entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		if (!is_of_the_dead(places[i].name, entry->d_name) || lstat(path, &st) < 0 ||
		    st.st_uid != geteuid())
			continue;
		if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0) {
			utf8_line(stdout, "removed %s", path);
			continue;
		}
		log_err("%s: cannot be removed: %s", path, strerror(errno));
		result = -1;
	}
	if (d)
		closedir(d);
	return result;
}

void clean_help(FILE *out)
{
	fputs("usage: lunette clean\n\n"
	      "Removes what runs that were killed have left: in the kernel, what serves their\n"
	      "disks; in folders, the temporary files of scripts, and sockets of shared disks\n"
	      "at which nobody listens any more. A line for each.\n", out);
}

int clean_main(int argc, char **argv)
{
	unsigned i;
	int err;

	if (argc && help_wanted(argv[0])) {
		clean_help(stdout);
		return 0;
	}
	if (argc) {
		log_err("clean: '%s': it takes no arguments", argv[0]);
		return causes[CAUSE_USAGE].status;
	}
	err = device_clean_all(stdout);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (clean_place(i) < 0)
			err = -1;
	}
	return causes[err < 0 ? CAUSE_SETUP : CAUSE_POWEROFF].status;
}
