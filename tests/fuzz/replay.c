/* SPDX-License-Identifier: MIT */
/* Feeds a fuzz target with the files of its corpus: replay_NAME reads tests/fuzz/corpus/NAME. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

static void replay(const char *path)
{
	static uint8_t buf[1 << 16];
	ssize_t n;
	int fd = open(path, O_RDONLY);

	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (n < 0) {
		perror(path);
		exit(1);
	}
	close(fd);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(buf, n);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '_') + 1;
	char folder[256], path[512];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name);
	dir = opendir(argc > 1 ? argv[1] : folder);
	if (!dir) {
		perror(folder);
		return 1;
	}
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argc > 1 ? argv[1] : folder, e->d_name);
		replay(path);
		n++;
	}
	closedir(dir);
	printf("Checks: %u, Failures: 0, Errors: 0\n", n);
	return n ? 0 : 1;
}
