/* SPDX-License-Identifier: MIT */
/*
 * virtiofsd_fixture.h - a script in place of virtiofsd, in a PATH that has it first.
 */
#ifndef TESTS_VIRTIOFSD_FIXTURE_H
#define TESTS_VIRTIOFSD_FIXTURE_H

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/run/files/virtiofsd.h"

#define HELP_NEW "--shared-dir <DIR> --readonly --no-announce-submounts --translate-uid <MAP>"
#define HELP_OLD "-o source=PATH --fd=FDNUM"

/* It keeps what it was called with and what it sees, as $top/args and $top/sees; then it serves. */
#define FAKE_SERVES "echo \"$*\" | tr '\\n' ' ' >$top/args; " \
	"ls /sys/folder | tr '\\n' ' ' >$top/sees; " \
	"echo '[now INFO virtiofsd] Waiting for vhost-user socket connection...' >&2; " \
	"exec sleep 1000"

static char fake_top[64], fake_dir[80], fake_path[4200];

static void virtiofsd_fixture(void)
{
	const char *path = getenv("PATH");
	char line[300];

	strcpy(fake_top, "/tmp/lunette-virtiofsd-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(fake_top));
	snprintf(fake_dir, sizeof(fake_dir), "%s/folder", fake_top);
	snprintf(line, sizeof(line), "mkdir %s/path %s && echo >%s/note", fake_top, fake_dir,
		 fake_dir);
	ck_assert_int_eq(system(line), 0);
	snprintf(fake_path, sizeof(fake_path), "%s/path:%s", fake_top, path ? path : "/bin");
	setenv("PATH", fake_path, 1);
}

static void virtiofsd_fixture_end(void)
{
	char line[100];

	setenv("PATH", strchr(fake_path, ':') + 1, 1);
	snprintf(line, sizeof(line), "rm -rf %s", fake_top);
	ck_assert_int_eq(system(line), 0);
}

/* It says @help, and otherwise does @serves. */
static void virtiofsd_fake(const char *help, const char *serves)
{
	char name[100];
	FILE *f;

	snprintf(name, sizeof(name), "%s/path/virtiofsd", fake_top);
	f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "#!/bin/sh\ntop=%s\n[ \"$1\" != --help ] || { echo '%s'; exit; }\n%s\n",
		fake_top, help, serves);
	fclose(f);
	ck_assert_int_eq(chmod(name, 0755), 0);
}

/* False: there are no namespaces to be had here, and that is what it said. */
static inline bool virtiofsd_begins(struct virtiofsd *v, const struct virtiofsd_cfg *cfg, char *why,
				    size_t size)
{
	int r;

	*v = VIRTIOFSD_NONE;
	r = virtiofsd_start(v, cfg, why, size);
	if (r == 0)
		return true;
	ck_assert_msg(strstr(why, "user namespaces are wanted"), "%s", why);
	return false;
}

static inline const char *fake_text(const char *name, char *text, size_t size)
{
	char path[100];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", fake_top, name);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, size - 1, f);
	text[n] = 0;
	fclose(f);
	return text;
}

#endif
