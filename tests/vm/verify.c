/* SPDX-License-Identifier: MIT */
/*
 * verify.c - for guests: random writes to a disk that are read back, or many reads.
 *
 *	usage: verify write DEVICE SEED COUNT
 *	       verify read DEVICE COUNT
 *
 * write: PROCESSES at a time, each on its part of the disk, make COUNT writes past the page cache,
 * of random sizes at random places, whose bytes depend on place, SEED and number; every one is read
 * back at once. The same arguments leave the same bytes on every disk. Static, as guests have no
 * libraries.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 4
#define BLOCK 4096u
#define BLOCKS_MAX 32u /* of one write */

static uint8_t wanted[BLOCK * BLOCKS_MAX] __attribute__((aligned(BLOCK)));
static uint8_t got[BLOCK * BLOCKS_MAX] __attribute__((aligned(BLOCK)));

static _Noreturn void fail(const char *what, uint64_t at)
{
	printf("verify: %s at %llu\n", what, (unsigned long long)at);
	exit(1);
}

static uint32_t random_next(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void fill(uint64_t at, size_t len, uint32_t seed)
{
	uint32_t state = (seed * 2654435761u ^ (uint32_t)(at / BLOCK)) | 1;
	size_t i;

	for (i = 0; i < len; i += 4) {
		random_next(&state);
		memcpy(wanted + i, &state, 4);
	}
}

static void write_part(int fd, uint64_t first, uint64_t blocks, uint32_t seed, unsigned count)
{
	uint32_t state = seed * 40503u + (uint32_t)first + 1;

	for (; count; count--) {
		size_t len = (1 + random_next(&state) % BLOCKS_MAX) * BLOCK;
		uint64_t at = (first + random_next(&state) % (blocks - BLOCKS_MAX)) * BLOCK;

		fill(at, len, seed + count);
		if (pwrite(fd, wanted, len, at) != (ssize_t)len)
			fail("cannot write", at);
		memset(got, 0, len);
		if (pread(fd, got, len, at) != (ssize_t)len)
			fail("cannot read", at);
		if (memcmp(got, wanted, len))
			fail("other bytes than were written", at);
	}
}

static int write_all(int fd, uint64_t blocks, uint32_t seed, unsigned count)
{
	int i, status, bad = 0;

	fflush(stdout);
	for (i = 0; i < PROCESSES; i++) {
		if (fork())
			continue;
		write_part(fd, blocks / PROCESSES * i, blocks / PROCESSES, seed, count / PROCESSES);
		exit(0);
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad || fsync(fd) < 0;
}

static int read_all(int fd, uint64_t blocks, unsigned count)
{
	uint32_t state = 1;

	for (; count; count--) {
		uint64_t at = random_next(&state) % blocks * BLOCK;

		if (pread(fd, got, BLOCK, at) != BLOCK)
			fail("cannot read", at);
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t bytes;
	int fd;

	if (argc < 4)
		return 2;
	fd = open(argv[2], O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		fail("cannot open the device", 0);
	if (!strcmp(argv[1], "write") && argc == 5)
		return write_all(fd, bytes / BLOCK, atoi(argv[3]), atoi(argv[4]));
	return read_all(fd, bytes / BLOCK, atoi(argv[3]));
}
