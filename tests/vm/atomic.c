/* SPDX-License-Identifier: MIT */
/*
 * atomic.c - in a guest: atomic writes to a block device. Prints what has become of each.
 *
 *	usage: atomic DEVICE LENGTH OFFSET [BYTE]     by pwritev2() with RWF_ATOMIC, and read back
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_ATOMIC
#define RWF_ATOMIC 0x40
#endif

int main(int argc, char **argv)
{
	size_t len = argc > 3 ? strtoul(argv[2], NULL, 0) : 0;
	off_t off = argc > 3 ? strtol(argv[3], NULL, 0) : 0;
	char *data = aligned_alloc(4096, len), *back = aligned_alloc(4096, len);
	int fd = argc > 3 ? open(argv[1], O_RDWR | O_DIRECT) : -1;
	struct iovec iov = { data, len };

	if (fd < 0 || !data || !back)
		return 2;
	memset(data, argc > 4 ? atoi(argv[4]) : 0x5a, len);
	if (pwritev2(fd, &iov, 1, off, RWF_ATOMIC) != (ssize_t)len) {
		printf("not written: %s\n", strerror(errno));
		return 1;
	}
	if (pread(fd, back, len, off) != (ssize_t)len || memcmp(data, back, len)) {
		printf("reads otherwise\n");
		return 1;
	}
	printf("written\n");
	return 0;
}
