/* SPDX-License-Identifier: MIT */
/*
 * A tar archive that a guest has written, unpacked into a folder where things are already: a file
 * with a second name outside, and links to the outside. There nothing may come, go or change. It is
 * unpacked in this process, where the fuzzer sees which way it goes.
 */
#define extract_tar extract_tar_here
#define apart_run apart_run_here
#include "vmm/run/files/extract.c"

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>


int apart_run_here(struct apart *a)
{
	a->fn(a->arg);
	return 0;
}

static char top[64];

static const char canary[] = "canary";

static void make_top(void)
{
	int fd;

	snprintf(top, sizeof(top), "/tmp/lunette-fuzz-XXXXXX");
	BUG_ON(!mkdtemp(top) || chdir(top) || mkdir("in", 0755) || mkdir("out", 0755));
	fd = open("out/canary", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	BUG_ON(fd < 0 || write(fd, canary, sizeof(canary)) < 0 || close(fd));
	BUG_ON(link("out/canary", "in/a") || symlink("../out", "in/b") ||
	       symlink("../out/canary", "in/c") || mkdir("in/d", 0755));
}

static int open_folder(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)ftw;
	return type == FTW_SL ? 0 : chmod(path, 0700);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* One file, with one line and the rights that it had. */
static void check_outside(void)
{
	char text[16] = "";
	struct dirent *e;
	struct stat st;
	unsigned n = 0;
	DIR *dir = opendir("out");
	int fd = open("out/canary", O_RDONLY | O_CLOEXEC);

	BUG_ON(!dir || fd < 0 || fstat(fd, &st) || (st.st_mode & 07777) != 0644);
	BUG_ON(read(fd, text, sizeof(text)) != sizeof(canary) || strcmp(text, canary));
	close(fd);
	while ((e = readdir(dir)))
		n++;
	closedir(dir);
	BUG_ON(n != 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct extract_cfg cfg = { .what = "--out", .size = len, .limit = 1 << 20, .entries = 100 };
	struct timespec t;
	int sig, home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	BUG_ON(home < 0);
	make_top();
	clock_gettime(CLOCK_MONOTONIC, &t);
	cfg.deadline = (t.tv_sec + 20) * 1000ull;
	cfg.archive = memfd_create("archive", MFD_CLOEXEC);
	cfg.folder = open("in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	BUG_ON(cfg.archive < 0 || cfg.folder < 0 || write(cfg.archive, data, len) != (ssize_t)len);
	extract_tar(&cfg, &sig);
	close(cfg.archive);
	close(cfg.folder);
	check_outside();
	BUG_ON(fchdir(home) || close(home));
	BUG_ON(nftw(top, open_folder, 8, FTW_PHYS));
	BUG_ON(nftw(top, remove_one, 8, FTW_PHYS | FTW_DEPTH));
	return 0;
}
