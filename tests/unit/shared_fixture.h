/* SPDX-License-Identifier: MIT */
/*
 * shared_fixture.h - a disk that guests share: an image, a folder in which they meet,
 * and this program as the server that they start.
 */
#ifndef TESTS_SHARED_FIXTURE_H
#define TESTS_SHARED_FIXTURE_H

#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/shared_broker.h"
#include "devices/shared_join.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

#define IMAGE_SIZE (1u << 20)
#define PATIENCE 20000 /* ms */

static char folder[40], image[64], meeting[64];

static inline void be_shared_server(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], SHARED_PROGRAM))
		exit(shared_broker(argc - 2, argv + 2, NULL) < 0);
}

static inline void make_image(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, IMAGE_SIZE), 0);
	close(fd);
}

static inline void set_up_folder(void)
{
	strcpy(folder, "/tmp/lunette-shared-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(image, sizeof(image), "%s/disk.img", folder);
	snprintf(meeting, sizeof(meeting), "%s/lunette", folder);
	make_image(image);
	setenv("XDG_RUNTIME_DIR", folder, 1);
}

/* How many files are where guests meet. */
static inline unsigned left(void)
{
	DIR *d = opendir(meeting);
	const struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* Until there are @n. */
static inline void await_left(unsigned n)
{
	unsigned ms = 0;

	for (; left() != n && ms < PATIENCE; ms += 10)
		usleep(10000);
	ck_assert_uint_eq(left(), n);
}

/* The server has gone, and has left nothing. */
static inline void tear_down_folder(void)
{
	await_left(0);
	unlink(image);
	rmdir(meeting);
	rmdir(folder);
}

static inline struct shared_hello hello_of(const char *file, const char *initiator)
{
	struct shared_hello h = { .block_size = 512, .discard = 1 };
	struct stat st;

	memcpy(h.magic, SHARED_MAGIC, sizeof(h.magic));
	snprintf(h.file, sizeof(h.file), "%s", file);
	snprintf(h.initiator, sizeof(h.initiator), "%s", initiator);
	if (stat(file, &st) == 0) {
		h.dev = st.st_dev;
		h.ino = st.st_ino;
	}
	return h;
}

#endif
