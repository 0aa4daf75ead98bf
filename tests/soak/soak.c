/* SPDX-License-Identifier: MIT */
/*
 * soak.c - the writes of plan.h by a guest's kernel, and the check of what a killed VMM has left.
 *
 *	usage: soak write DEVICE flush|fua SEED
 *	       soak check IMAGE REPORTS SEED
 *
 * write: until it is killed; reports on stdout. flush: by way of the page cache and fdatasync();
 * fua: past it, by O_DSYNC, which is FUA where the disk has that.
 *
 * check: each sector of IMAGE must be from a write that may have been made, and from none older
 * than the last one reported durable in the file REPORTS. Prints the number of that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tests/soak/plan.h"

static _Noreturn void fail(const char *what, const char *why)
{
	printf("soak: %s: %s\n", what, why);
	exit(1);
}

static void write_one(int fd, uint32_t seed, uint32_t number)
{
	static uint64_t sectors[SOAK_WRITE_MAX][SOAK_SECTOR / 8] __attribute__((aligned(4096)));
	struct soak_write w = soak_write(seed, number);
	ssize_t len = w.sectors * SOAK_SECTOR;
	uint32_t i;

	for (i = 0; i < w.sectors; i++)
		soak_fill(sectors[i], seed, number, w.lba + i);
	if (pwrite(fd, sectors, len, (off_t)w.lba * SOAK_SECTOR) != len)
		fail("a write", strerror(errno));
}

static _Noreturn void write_on(const char *path, bool fua, uint32_t seed)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (fua ? O_DIRECT | O_DSYNC : 0));
	uint32_t n;

	if (fd < 0)
		fail(path, strerror(errno));
	for (n = 1;; n++) {
		write_one(fd, seed, n);
		if (n % SOAK_BATCH)
			continue;
		if (!fua && fdatasync(fd) < 0)
			fail("a flush", strerror(errno));
		printf("acked %u\n", n);
		fflush(stdout);
		tcdrain(STDOUT_FILENO); /* the next batch is not begun before this has been told */
	}
}

/* The last write reported; the line that the killing has cut short does not count. */
static uint32_t read_reports(const char *path)
{
	FILE *f = fopen(path, "re");
	uint32_t n = 0, next;
	char line[256];

	if (!f)
		fail(path, strerror(errno));
	while (fgets(line, sizeof(line), f) && strchr(line, '\n')) {
		if (!strncmp(line, "soak: ", 6))
			fail("the writer", line);
		if (sscanf(line, "acked %u", &next) != 1)
			continue; /* another's */
		if (next != n + SOAK_BATCH)
			fail(path, "reports are missing");
		n = next;
	}
	fclose(f);
	return n;
}

/* For each sector the last write that it must have seen; 0: none. */
static void find_oldest(uint32_t *oldest, uint32_t seed, uint32_t acked)
{
	struct soak_write w;
	uint32_t n, i;

	for (n = 1; n <= acked; n++) {
		w = soak_write(seed, n);
		for (i = 0; i < w.sectors; i++)
			oldest[w.lba + i] = n;
	}
}

/* From which write a sector is; 0 when nothing was written, UINT32_MAX when it is from none. */
static uint32_t find_write(const uint64_t *sector, uint32_t seed, uint32_t lba)
{
	static const uint64_t zeroes[SOAK_SECTOR / 8];
	uint64_t wanted[SOAK_SECTOR / 8];
	struct soak_write w;

	if (!memcmp(sector, zeroes, SOAK_SECTOR))
		return 0;
	w = soak_write(seed, sector[0]);
	soak_fill(wanted, seed, sector[0], lba);
	if (lba < w.lba || lba >= w.lba + w.sectors || memcmp(sector, wanted, SOAK_SECTOR))
		return UINT32_MAX;
	return sector[0];
}

static int check(const char *image, const char *reports, uint32_t seed)
{
	static uint32_t oldest[SOAK_SECTORS];
	uint32_t lba, found, bad = 0, acked = read_reports(reports);
	uint64_t sector[SOAK_SECTOR / 8];
	FILE *f = fopen(image, "re");

	if (!f)
		fail(image, strerror(errno));
	find_oldest(oldest, seed, acked);
	for (lba = 0; lba < SOAK_SECTORS; lba++) {
		if (fread(sector, SOAK_SECTOR, 1, f) != 1)
			fail(image, "cut short");
		found = find_write(sector, seed, lba);
		if (found >= oldest[lba] && found <= acked + SOAK_AHEAD)
			continue;
		if (bad++ < 10)
			printf("soak: sector %u: write %d (-1: none), not %u to %u\n", lba,
			       (int)found, oldest[lba], acked + SOAK_AHEAD);
	}
	fclose(f);
	printf("%u\n", acked);
	return bad > 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "write"))
		write_on(argv[2], !strcmp(argv[3], "fua"), strtoul(argv[4], NULL, 10));
	if (argc == 5 && !strcmp(argv[1], "check"))
		return check(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	return 2;
}
