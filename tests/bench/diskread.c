/* SPDX-License-Identifier: MIT */
/*
 * diskread.c - for guests: reads from a disk, past the page cache, and what one takes.
 *
 *	usage: diskread DEVICE random|sequential BYTES DEPTH COUNT
 *
 * After a quarter as many that are not counted, COUNT reads of BYTES, DEPTH at a time: by pread()
 * one after the other, otherwise by Linux AIO, where every read that ends is replaced by the next.
 * The order of random ones is the same in every run. Prints nanoseconds per read. Static, as guests
 * have no libraries.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 256
#define BYTES_MAX (16u << 20)
#define HUGE_PAGE (2u << 20)

struct load {
	int fd;
	bool is_random;
	uint64_t blocks; /* on the disk */
	size_t bytes;    /* of a block */
	unsigned depth, count, made; /* of this run */
	uint64_t seed, next;
	char *buffer; /* depth blocks */
	aio_context_t aio;
};

static _Noreturn void fail(const char *what)
{
	printf("diskread: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t next_offset(struct load *l)
{
	uint64_t block = l->next++;

	l->made++;
	if (l->is_random) {
		l->seed ^= l->seed << 13;
		l->seed ^= l->seed >> 7;
		l->seed ^= l->seed << 17;
		block = l->seed;
	}
	return block % l->blocks * l->bytes;
}

static void read_in_turn(struct load *l)
{
	while (l->made < l->count) {
		if (pread(l->fd, l->buffer, l->bytes, next_offset(l)) != (ssize_t)l->bytes)
			fail("pread");
	}
}

static void submit(struct load *l, const unsigned *slot, unsigned n)
{
	struct iocb cb[DEPTH_MAX], *list[DEPTH_MAX];
	unsigned i;

	for (i = 0; i < n && l->made < l->count; i++) {
		cb[i] = (struct iocb){ .aio_data = slot[i],
				       .aio_fildes = l->fd,
				       .aio_lio_opcode = IOCB_CMD_PREAD,
				       .aio_buf = (uintptr_t)(l->buffer + slot[i] * l->bytes),
				       .aio_nbytes = l->bytes,
				       .aio_offset = next_offset(l) };
		list[i] = &cb[i];
	}
	if (i && syscall(SYS_io_submit, l->aio, (long)i, list) != i)
		fail("io_submit");
}

static void read_at_depth(struct load *l)
{
	struct io_event event[DEPTH_MAX];
	unsigned slot[DEPTH_MAX], done = 0, i;
	long n;

	for (i = 0; i < l->depth; i++)
		slot[i] = i;
	submit(l, slot, l->depth);
	for (; done < l->count; done += n) {
		n = syscall(SYS_io_getevents, l->aio, 1L, (long)l->depth, event, NULL);
		if (n < 1)
			fail("io_getevents");
		for (i = 0; i < n; i++) {
			if (event[i].res != (int64_t)l->bytes)
				fail("a read came short");
			slot[i] = event[i].data;
		}
		submit(l, slot, n);
	}
}

static void load_open(struct load *l, const char *device)
{
	size_t room = l->depth * l->bytes;
	uint64_t size;

	l->fd = open(device, O_RDONLY | O_DIRECT);
	if (l->fd < 0 || ioctl(l->fd, BLKGETSIZE64, &size) < 0)
		fail(device);
	l->blocks = size / l->bytes;
	/* Huge pages, or the number of a request's segments would be a matter of luck; the small
	 * kernel has none. */
	l->buffer = aligned_alloc(HUGE_PAGE, (room + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
	if (!l->blocks || !l->buffer)
		fail("buffers");
	madvise(l->buffer, room, MADV_HUGEPAGE);
	memset(l->buffer, 0, room);
	/* Its end is the process's: the kernel lets a context go at one of its ticks, and who waits
	 * for that within the measured time has a part of a tick in each read. */
	if (syscall(SYS_io_setup, l->depth, &l->aio))
		fail("io_setup");
}

static void run(struct load *l, unsigned count)
{
	l->count = count;
	l->made = 0;
	if (l->depth == 1)
		read_in_turn(l);
	else
		read_at_depth(l);
}

static bool in_range(uint64_t value, uint64_t max)
{
	return value && value <= max;
}

int main(int argc, char **argv)
{
	struct load l = { .seed = 88172645463325252ull };
	unsigned count = 0;
	uint64_t start;

	if (argc == 6) {
		l.is_random = !strcmp(argv[2], "random");
		l.bytes = strtoul(argv[3], NULL, 0);
		l.depth = strtoul(argv[4], NULL, 0);
		count = strtoul(argv[5], NULL, 0);
	}
	if (!in_range(l.bytes, BYTES_MAX) || !in_range(l.depth, DEPTH_MAX) || !count) {
		fprintf(stderr, "usage: diskread DEVICE random|sequential BYTES DEPTH COUNT\n");
		return 2;
	}
	load_open(&l, argv[1]);
	run(&l, (count + 3) / 4);
	start = now_ns();
	run(&l, count);
	printf("%llu\n", (unsigned long long)(now_ns() - start) / count);
	return 0;
}
