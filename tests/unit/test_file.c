/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/block/uring.h"
#include "tests/lib/block_run.h"
#include "tests/lib/stderr.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *file_suite(void);

static struct stderr_text said;

#define SIZE MIB(4)

static char dir[64], path[128];
static struct loop *loop;
static struct block *block;
static struct block_chan *chan;
static uint8_t data[65536], back[65536], zeroes[65536];

static void make_file(off_t size)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void set_up_in(const char *parent)
{
	unsigned i;

	snprintf(dir, sizeof(dir), "%s/lunette-file-XXXXXX", parent);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	chmod(dir, 0755);
	snprintf(path, sizeof(path), "%s/disk.img", dir);
	make_file(SIZE);
	loop = loop_create("test");
	for (i = 0; i < sizeof(data); i++)
		data[i] = i * 7 + i / 251 + 1;
	memset(back, 0xee, sizeof(back));
}

/* How the tests of a case open their file. */
static struct block_open usual;

static void set_up(void)
{
	usual.engine = BLOCK_ENGINE_THREADS;
	set_up_in("/tmp");
}

static void set_up_shm(void)
{
	usual.engine = BLOCK_ENGINE_THREADS;
	set_up_in("/dev/shm");
}

static void set_up_uring(void)
{
	usual.engine = BLOCK_ENGINE_URING;
	set_up_in("/tmp");
}

static void set_up_uring_shm(void)
{
	usual.engine = BLOCK_ENGINE_URING;
	set_up_in("/dev/shm");
}

static void close_all(void)
{
	block_chan_close(chan);
	block_close(block);
	chan = NULL;
	block = NULL;
}

static void tear_down(void)
{
	close_all();
	loop_destroy(loop);
	unlink(path);
	rmdir(dir);
}

static int open_path(const char *p, bool readonly)
{
	struct block_open how = usual;
	int r;

	how.path = p;
	how.readonly = readonly;
	r = block_open(&how, &block);
	if (!r) {
		chan = block_chan_open(block, loop);
		ck_assert_ptr_nonnull(chan);
		ck_assert_str_eq(chan->ops->name, usual.engine == BLOCK_ENGINE_URING ? "io_uring"
										     : "threads");
	}
	return r;
}

/* What somebody else sees in the file. */
static void check_file(uint64_t off, const void *want, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, back, len, off), len);
	ck_assert_mem_eq(back, want, len);
	close(fd);
}

static blkcnt_t blocks_in_use(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_blocks;
}

START_TEST(facts)
{
	ck_assert_int_eq(open_path(path, false), 0);
	ck_assert_str_eq(block->path, path);
	ck_assert_uint_eq(block->size, SIZE);
	ck_assert(!block->readonly && block->can_discard && block->discard_zeroes);
	ck_assert(is_power_of_2(block->discard_granularity));
	ck_assert_uint_eq(block->physical_block, 4096);
}
END_TEST

static const unsigned write_flags[] = { 0, BLOCK_FUA };

START_TEST(written_is_in_the_file)
{
	ck_assert_int_eq(open_path(path, false), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, write_flags[_i], 513, data, 5000), 0);
	check_file(513, data, 5000);
	check_file(0, zeroes, 513);
	check_file(5513, zeroes, 512);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 513, back, 5000), 0);
	ck_assert_mem_eq(back, data, 5000);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, write_flags[_i], SIZE - 1, data, 1), 0);
	check_file(SIZE - 1, data, 1);
	ck_assert_uint_eq(blocks_in_use() > 0, true);
}
END_TEST

/* More pieces than one system call takes from us, some of them empty. */
START_TEST(many_pieces)
{
	struct iovec out[300], in[300];
	size_t at = 0;
	unsigned i;

	ck_assert_int_eq(open_path(path, false), 0);
	for (i = 0; i < 300; i++) {
		size_t len = i % 5 ? i : 0;

		out[i] = (struct iovec){ data + at, len };
		in[i] = (struct iovec){ back + at, len };
		at += len;
	}
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, 0, 100, out, 300), 0);
	ck_assert_int_eq(block_run_iov(chan, BLOCK_READ, 0, 100, in, 300), 0);
	ck_assert_mem_eq(back, data, at);
	check_file(100, data, at);
}
END_TEST

static const struct {
	enum block_io io;
	unsigned flags;
	bool frees;
} erasers[] = {
	{ BLOCK_DISCARD, 0, true },
	{ BLOCK_DISCARD, BLOCK_FUA, true },
	{ BLOCK_ZERO, BLOCK_MAY_UNMAP, true },
	{ BLOCK_ZERO, 0, false },
	{ BLOCK_ZERO, BLOCK_FUA, false },
};

/* Odd bounds: what is beside the range stays. */
START_TEST(erased_reads_as_zeroes)
{
	blkcnt_t before;
	unsigned i;

	ck_assert_int_eq(open_path(path, false), 0);
	for (i = 0; i < SIZE / sizeof(data); i++)
		ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, i * sizeof(data), data,
					   sizeof(data)), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	before = blocks_in_use();
	ck_assert_int_eq(block_run(chan, erasers[_i].io, erasers[_i].flags, 1000, NULL,
				   SIZE - 3000), 0);
	check_file(0, data, 1000);
	for (i = 0; i < 60; i++)
		check_file(1000 + i * sizeof(zeroes), zeroes, sizeof(zeroes));
	check_file(SIZE - 2000 - 4096, zeroes, 4096);
	check_file(SIZE - 2000, data + sizeof(data) - 2000, 2000);
	if (erasers[_i].frees)
		ck_assert_int_lt(blocks_in_use(), before / 4);
	ck_assert_int_eq(block_run(chan, erasers[_i].io, erasers[_i].flags, 0, NULL, 0), 0);
	check_file(0, data, 1000);
}
END_TEST

START_TEST(file_cut_off_under_us)
{
	ck_assert_int_eq(open_path(path, false), 0);
	ck_assert_int_eq(truncate(path, SIZE / 2), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, SIZE / 2 - 512, back, 512), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, SIZE / 2 - 512, back, 1024), -EIO);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, SIZE - 512, back, 512), -EIO);
}
END_TEST

START_TEST(readonly_shares_and_reads)
{
	struct block_open how = { .path = path, .readonly = true };
	struct block *other;

	chmod(path, 0444);
	ck_assert_int_eq(open_path(path, true), 0);
	ck_assert(block->readonly && !block->can_discard);
	ck_assert_int_eq(block_open(&how, &other), 0);
	block_close(other);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, back, 4096), 0);
	ck_assert_mem_eq(back, zeroes, 4096);
	how.readonly = false;
	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &other), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "disk.img: is attached twice"));
}
END_TEST

static struct flight {
	struct block_req req;
	struct iovec iov;
	uint8_t buf[4096];
} flight[128];
static unsigned landed;

static void on_landed(struct block_req *req, int err)
{
	(void)req;
	ck_assert_int_eq(err, 0);
	landed++;
}

static void fly(enum block_io io)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(flight); i++) {
		struct flight *f = &flight[i];

		f->iov = (struct iovec){ f->buf, sizeof(f->buf) };
		f->req = (struct block_req){ .io = io, .off = i * sizeof(f->buf),
					     .len = sizeof(f->buf), .iov = &f->iov, .niov = 1,
					     .done = on_landed };
		block_submit(chan, &f->req);
	}
	block_drain(chan);
}

START_TEST(many_in_flight)
{
	unsigned i;

	ck_assert_int_eq(open_path(path, false), 0);
	for (i = 0; i < ARRAY_SIZE(flight); i++)
		memset(flight[i].buf, i + 1, sizeof(flight[i].buf));
	fly(BLOCK_WRITE);
	for (i = 0; i < ARRAY_SIZE(flight); i++)
		memset(flight[i].buf, 0, sizeof(flight[i].buf));
	fly(BLOCK_READ);
	ck_assert_uint_eq(landed, 2 * ARRAY_SIZE(flight));
	for (i = 0; i < ARRAY_SIZE(flight); i++) {
		ck_assert_uint_eq(flight[i].buf[0], i + 1);
		ck_assert_uint_eq(flight[i].buf[4095], i + 1);
	}
}
END_TEST

/* A loop device over the file; -1: not to be had here. */
static int attach_loop_device(char *dev, size_t len)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, fd, file;

	n = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	if (n < 0)
		return -1;
	snprintf(dev, len, "/dev/loop%d", n);
	fd = open(dev, O_RDWR | O_CLOEXEC);
	file = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_SET_FD, file) < 0) {
		close(fd);
		fd = -1;
	}
	close(file);
	return fd;
}

/* As by a mount. */
static void check_claimed(const char *dev)
{
	int claim = open(dev, O_RDONLY | O_EXCL | O_CLOEXEC);

	ck_assert_int_ge(claim, 0);
	stderr_begin(&said);
	ck_assert_int_eq(open_path(dev, false), -EBUSY);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said),
				     ": is mounted, or part of a volume, or swap: two writers "
				     "would destroy what is on it; umount it first, or add "
				     "readonly=on\n"));
	ck_assert_ptr_null(block);
	ck_assert_int_eq(open_path(dev, true), 0);
	close_all();
	close(claim);
}

START_TEST(block_device)
{
	char dev[64];
	int fd = attach_loop_device(dev, sizeof(dev));
	uint64_t end;

	if (fd < 0) {
		printf("file: block_device skipped: no loop device to be had\n");
		return;
	}
	check_claimed(dev);
	ck_assert_int_eq(open_path(dev, false), 0);
	ck_assert_uint_eq(block->size, SIZE);
	ck_assert(is_power_of_2(block->physical_block));
	ck_assert(block_is_mapped(block, 512, &end) && end == SIZE); /* it cannot tell */
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, BLOCK_FUA, 512, data, 8192), 0);
	check_file(512, data, 8192);
	ck_assert_int_eq(block_run(chan, BLOCK_DISCARD, BLOCK_FUA, 1024, NULL, 4096), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 1024, back, 4096), 0);
	ck_assert_mem_eq(back, zeroes, 4096);
	/* Bounds that the device does not take. */
	ck_assert_int_eq(block_run(chan, BLOCK_ZERO, 0, 6001, NULL, 99), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	check_file(512, data, 512);
	check_file(1024, zeroes, 4096);
	check_file(6001, zeroes, 99);
	check_file(6100, data + 6100 - 512, 8192 + 512 - 6100);
	close_all();
	ck_assert_int_eq(ioctl(fd, LOOP_CLR_FD), 0);
	close(fd);
}
END_TEST

/* In a file that was cut off nothing is written, so that it stays as it is. */
static const enum block_io changers[] = { BLOCK_WRITE, BLOCK_DISCARD, BLOCK_ZERO };

START_TEST(cut_off_file_stays_short)
{
	struct stat st;

	ck_assert_int_eq(open_path(path, false), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, SIZE - 4096, data, 4096), 0);
	ck_assert_int_eq(truncate(path, SIZE / 2), 0);
	ck_assert_int_eq(block_run(chan, changers[_i], 0, SIZE - 4096, data, 4096), -EIO);
	ck_assert_int_eq(block_run(chan, changers[_i], 0, 0, data, 4096), -EIO);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, SIZE / 2);
	check_file(0, zeroes, 4096);
	ck_assert_int_eq(truncate(path, SIZE), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, SIZE - 4096, data, 4096), 0);
}
END_TEST

/* More than the ring has places for, by two channels of one loop. */
START_TEST(more_than_the_ring_takes)
{
	static struct flight many[2][400];
	struct block_chan *chans[2];
	unsigned i, f;

	ck_assert_int_eq(open_path(path, false), 0);
	chans[0] = chan;
	chans[1] = block_chan_open(block, loop);
	for (i = 0; i < ARRAY_SIZE(many[0]); i++) {
		for (f = 0; f < 2; f++) {
			struct flight *fl = &many[f][i];

			memset(fl->buf, i + f, sizeof(fl->buf));
			fl->iov = (struct iovec){ fl->buf, sizeof(fl->buf) };
			fl->req = (struct block_req){ .io = BLOCK_WRITE, .iov = &fl->iov, .niov = 1,
						      .off = (2 * i + f) * sizeof(fl->buf),
						      .len = sizeof(fl->buf), .done = on_landed };
			block_submit(chans[f], &fl->req);
		}
	}
	block_drain(chans[1]);
	ck_assert_uint_eq(chans[1]->inflight, 0);
	block_drain(chans[0]);
	ck_assert_uint_eq(landed, 2 * ARRAY_SIZE(many[0]));
	for (i = 0; i < ARRAY_SIZE(many[0]); i++) {
		for (f = 0; f < 2; f++)
			check_file((2 * i + f) * 4096, many[f][i].buf, 4096);
	}
	block_chan_close(chans[1]);
}
END_TEST

/* Writes blocks for ever, and says on @out which ones are flushed. */
static void write_and_tell(int out)
{
	uint32_t i;

	loop = loop_create("killed");
	if (open_path(path, false) < 0)
		return;
	for (i = 0;; i++) {
		memset(data, i + 1, 4096);
		if (block_run(chan, BLOCK_WRITE, write_flags[i % 2], i % 1024 * 4096, data, 4096) ||
		    (i % 2 == 0 && block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0)) ||
		    write(out, &i, sizeof(i)) != sizeof(i))
			return;
	}
}

#define FLUSHED 200

/* Killed in the middle of it: what was flushed is there, and the next one gets the lock. */
START_TEST(killed)
{
	uint32_t i, last = 0;
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		write_and_tell(fds[1]);
		_exit(1);
	}
	close(fds[1]);
	for (i = 0; i < FLUSHED; i++)
		ck_assert_int_eq(read(fds[0], &last, sizeof(last)), sizeof(last));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(open_path(path, false), 0);
	for (i = 0; i <= last; i++) {
		memset(data, i + 1, 4096);
		ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, i * 4096, back, 4096), 0);
		ck_assert_mem_eq(back, data, 4096);
	}
	ck_assert_uint_eq(last, FLUSHED - 1);
	close(fds[0]);
}
END_TEST

/* The same data whatever the memory's place; a block that the kernel does not take is refused. */
START_TEST(direct)
{
	struct block_open how = { .path = path, .direct = true, .block_size = 512,
				  .engine = usual.engine };
	static uint8_t out[SIZE / 4 + 8192], in[SIZE / 4 + 8192];
	static const size_t shift[] = { 0, 1, 512, 4095 };
	struct iovec iov[3];
	const unsigned shifts = ARRAY_SIZE(shift);
	uint8_t *o, *n;
	unsigned i, k;

	if (block_open(&how, &block) == -EOPNOTSUPP) { /* and says so: blocks of 4096 here */
		how.block_size = 4096;
		ck_assert_int_eq(block_open(&how, &block), 0);
	}
	ck_assert_uint_eq(block->fd, 0);
	chan = block_chan_open(block, loop);
	for (i = 0; i < shifts; i++) {
		o = (uint8_t *)(((uintptr_t)out + 4095) & ~4095ul) + shift[i];
		n = (uint8_t *)(((uintptr_t)in + 4095) & ~4095ul) + shift[shifts - 1 - i];
		for (k = 0; k < SIZE / 4; k++)
			o[k] = k * 3 + k / 509 + i;
		ck_assert_int_eq(block_run(chan, BLOCK_WRITE, write_flags[i % 2], 4096, o,
					   SIZE / 4), 0);
		ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 4096, n, SIZE / 4), 0);
		ck_assert_mem_eq(n, o, SIZE / 4);
		/* Pieces of odd lengths. */
		iov[0] = (struct iovec){ o, 100 };
		iov[1] = (struct iovec){ o + 100, 4096 };
		iov[2] = (struct iovec){ o + 4196, 8192 - 4196 };
		ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, 0, SIZE / 2, iov, 3), 0);
		check_file(SIZE / 2, o, 8192);
		memset(o, 0, 8192);
		ck_assert_int_eq(block_run_iov(chan, BLOCK_READ, 0, SIZE / 2, iov, 3), 0);
		ck_assert_mem_eq(o, back, 8192);
	}
	ck_assert_int_eq(block_run(chan, BLOCK_ZERO, 0, 4096, NULL, 4096), 0);
	check_file(4096, zeroes, 4096);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
}
END_TEST

static void check_stretch(uint64_t off, bool mapped, uint64_t end)
{
	uint64_t got;

	ck_assert_int_eq(block_is_mapped(block, off, &got), mapped);
	ck_assert_uint_eq(got, end);
}

/* /tmp and /dev/shm have blocks of 4096 bytes, or of fewer. */
START_TEST(holes)
{
	ck_assert_int_eq(open_path(path, false), 0);
	check_stretch(0, false, SIZE);
	check_stretch(SIZE - 1, false, SIZE);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, BLOCK_FUA, KIB(64), data, KIB(64)), 0);
	check_stretch(512, false, KIB(64));
	check_stretch(KIB(64), true, KIB(128));
	check_stretch(KIB(128) - 1, true, KIB(128));
	check_stretch(KIB(128), false, SIZE);
	ck_assert_int_eq(block_run(chan, BLOCK_DISCARD, 0, KIB(80), NULL, KIB(16)), 0);
	check_stretch(KIB(64), true, KIB(80));
	check_stretch(KIB(80), false, KIB(96));
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, SIZE - KIB(4), data, KIB(4)), 0);
	check_stretch(SIZE - 512, true, SIZE);
	/* What the file has got beyond the block is none of its business. */
	ck_assert_int_eq(truncate(path, SIZE + MIB(1)), 0);
	check_stretch(SIZE - 512, true, SIZE);
	ck_assert_int_eq(block_run(chan, BLOCK_DISCARD, 0, 0, NULL, SIZE), 0);
	check_stretch(0, false, SIZE);
}
END_TEST

static void add_io_tests(TCase *tc)
{
	tcase_add_test(tc, holes);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, written_is_in_the_file, 0, ARRAY_SIZE(write_flags));
	tcase_add_loop_test(tc, erased_reads_as_zeroes, 0, ARRAY_SIZE(erasers));
	tcase_add_test(tc, many_pieces);
	tcase_add_test(tc, file_cut_off_under_us);
	tcase_add_loop_test(tc, cut_off_file_stays_short, 0, ARRAY_SIZE(changers));
	tcase_add_test(tc, many_in_flight);
	tcase_add_test(tc, more_than_the_ring_takes);
	tcase_add_test(tc, killed);
}

Suite *file_suite(void)
{
	Suite *s = suite_create("file");
	TCase *tc = unit_case(s, "file"), *shm = unit_case(s, "tmpfs");
	TCase *uring = unit_case(s, "uring"), *uring_shm = unit_case(s, "uring, tmpfs");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	add_io_tests(tc);
	tcase_add_test(tc, facts);
	tcase_add_test(tc, readonly_shares_and_reads);
	tcase_add_test(tc, block_device);
	tcase_add_test(tc, direct);

	/* Has holes, but no call for zeroes. */
	tcase_add_checked_fixture(shm, set_up_shm, tear_down);
	add_io_tests(shm);

	if (uring_probe() < 0) {
		printf("file: io_uring skipped: %s\n", uring_why(uring_probe()));
		return s;
	}
	tcase_add_checked_fixture(uring, set_up_uring, tear_down);
	add_io_tests(uring);
	tcase_add_test(uring, block_device);
	tcase_add_test(uring, direct);
	tcase_add_checked_fixture(uring_shm, set_up_uring_shm, tear_down);
	add_io_tests(uring_shm);
	return s;
}

UNIT_MAIN(file_suite)
