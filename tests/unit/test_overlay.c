/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/overlay.h"
#include "tests/lib/block_run.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *overlay_suite(void);

#define SIZE (MIB(2) + 512) /* not a whole word of bits */

static struct stderr_text said;
static char dir[64], path[128];
static struct loop *loop;
static struct block *block;
static struct block_chan *chan;
static uint8_t image[SIZE], want[SIZE], got[SIZE];
static bool changed[SIZE / 512];

static void set_up(void)
{
	unsigned i;
	int fd;

	snprintf(dir, sizeof(dir), "/tmp/lunette-overlay-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("TMPDIR", dir, 1);
	snprintf(path, sizeof(path), "%s/disk.img", dir);
	for (i = 0; i < SIZE; i++)
		want[i] = image[i] = i * 3 + i / 509 + 1;
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	ck_assert_int_eq(write(fd, image, SIZE), SIZE);
	close(fd);
	loop = loop_create("unit");
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
	ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left there */
}

static void open_kind(enum block_overlay kind)
{
	struct block_open how = { .path = path, .overlay = kind, .block_size = 512 };

	ck_assert_int_eq(block_open(&how, &block), 0);
	chan = block_chan_open(block, loop);
	ck_assert_ptr_nonnull(chan);
}

static void check_image(const uint8_t *data)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(pread(fd, got, SIZE, 0), SIZE);
	ck_assert_mem_eq(got, data, SIZE);
	close(fd);
}

static void check_block(void)
{
	memset(got, 0xee, SIZE);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, got, SIZE), 0);
	ck_assert_mem_eq(got, want, SIZE);
}

/* The same change to the block and to what we expect of it. */
static void change(enum block_io io, unsigned flags, uint64_t off, uint64_t len)
{
	static uint8_t data[SIZE], salt;
	uint64_t i;

	salt++;
	for (i = 0; i < len; i++)
		data[i] = io == BLOCK_WRITE ? i * 7 + salt : 0;
	ck_assert_int_eq(block_run(chan, io, flags, off, io == BLOCK_WRITE ? data : NULL, len), 0);
	memcpy(want + off, data, len);
	memset(changed + off / 512, true, len / 512);
}

static void change_much(void)
{
	unsigned i;

	change(BLOCK_WRITE, 0, 0, 512);
	change(BLOCK_WRITE, BLOCK_FUA, 1024, 4096);
	change(BLOCK_WRITE, 0, 32768 - 512, 1024);
	change(BLOCK_ZERO, 0, 65536, 40960);
	change(BLOCK_DISCARD, 0, 200704, 512);
	change(BLOCK_ZERO, BLOCK_MAY_UNMAP, 1024, 512);
	change(BLOCK_WRITE, 0, SIZE - 512, 512);
	for (i = 0; i < 64; i++)
		change(BLOCK_WRITE, 0, MIB(1) + i * 1024, 512);
	change(BLOCK_WRITE, 0, 300032, 0);
}

START_TEST(facts)
{
	open_kind(BLOCK_OVERLAY_DROP);
	ck_assert_str_eq(block->path, path);
	ck_assert_uint_eq(block->size, SIZE);
	ck_assert(!block->readonly && block->can_discard && block->discard_zeroes);
	ck_assert_int_eq(block->fd, 0);
	ck_assert_str_eq(block->ours, "overlay=on (run --overlay off)");
}
END_TEST

START_TEST(changes_vanish)
{
	open_kind(BLOCK_OVERLAY_DROP);
	check_block();
	change_much();
	check_block();
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	check_image(image);
	ck_assert_int_eq(block_commit(block), 0);
	close_all();
	check_image(image);
	open_kind(BLOCK_OVERLAY_DROP);
	memcpy(want, image, SIZE);
	check_block();
}
END_TEST

/* Also an image that nobody may write to. */
/* Of what was written, and of the rest, as each file has it. */
START_TEST(holes)
{
	uint64_t end;

	ck_assert_int_eq(truncate(path, 0), 0);
	ck_assert_int_eq(truncate(path, SIZE), 0);
	memset(want, 0, SIZE);
	open_kind(BLOCK_OVERLAY_DROP);
	ck_assert(!block_is_mapped(block, 0, &end));
	ck_assert_uint_eq(end, SIZE);
	change(BLOCK_WRITE, 0, 8192, 4096);
	ck_assert(!block_is_mapped(block, 0, &end));
	ck_assert_uint_eq(end, 8192);
	ck_assert(block_is_mapped(block, 8192, &end));
	ck_assert_uint_eq(end, 12288);
	ck_assert(!block_is_mapped(block, 12288, &end));
	check_block();
}
END_TEST

START_TEST(image_is_shared)
{
	struct block_open how = { .path = path, .overlay = BLOCK_OVERLAY_DROP };
	struct block_chan *second;
	struct block *other;

	chmod(path, 0444);
	open_kind(BLOCK_OVERLAY_DROP);
	ck_assert_int_eq(block_open(&how, &other), 0);
	second = block_chan_open(other, loop);
	change_much();
	ck_assert_int_eq(block_run(second, BLOCK_READ, 0, 0, got, SIZE), 0);
	ck_assert_mem_eq(got, image, SIZE);
	check_block();
	block_chan_close(second);
	block_close(other);
}
END_TEST

/* Reads whose memory is in many pieces, over many borders between the two files. */
START_TEST(pieces)
{
	static struct iovec iov[1000];
	unsigned i, n = 0;
	size_t at;

	open_kind(BLOCK_OVERLAY_DROP);
	change_much();
	for (at = 0; at < 131072; at += iov[n++].iov_len)
		iov[n] = (struct iovec){ got + at, min_u64(n % 7 * 61, 131072 - at) };
	ck_assert_uint_gt(n, 128);
	for (i = 0; i < 2; i++) {
		uint64_t off = i * (MIB(1) - 512);

		memset(got, 0xee, sizeof(got));
		ck_assert_int_eq(block_run_iov(chan, BLOCK_READ, 0, off, iov, n), 0);
		ck_assert_mem_eq(got, want + off, 131072);
	}
}
END_TEST

static struct flight {
	struct block_req req;
	struct iovec iov;
} flight[300];
static unsigned landed;

static void on_landed(struct block_req *req, int err)
{
	(void)req;
	ck_assert_int_eq(err, 0);
	landed++;
}

START_TEST(many_in_flight)
{
	unsigned i, round;

	open_kind(BLOCK_OVERLAY_DROP);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < ARRAY_SIZE(flight); i++) {
			struct flight *f = &flight[i];
			uint8_t *at = (round ? got : want) + i * 1536;

			if (!round)
				memset(at, i, 512);
			f->iov = (struct iovec){ at, round ? 1536 : 512 };
			f->req = (struct block_req){ .io = round ? BLOCK_READ : BLOCK_WRITE,
						     .off = i * 1536, .len = f->iov.iov_len,
						     .iov = &f->iov, .niov = 1, .done = on_landed };
			block_submit(chan, &f->req);
		}
		block_drain(chan);
	}
	ck_assert_uint_eq(landed, 2 * ARRAY_SIZE(flight));
	ck_assert_mem_eq(got, want, 1536 * ARRAY_SIZE(flight));
}
END_TEST

START_TEST(commit_writes_the_image)
{
	open_kind(BLOCK_OVERLAY_COMMIT);
	change_much();
	check_image(image);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	check_image(image);
	ck_assert_int_eq(block_commit(block), 0);
	check_image(want);
	change(BLOCK_WRITE, 0, 512, 512);
	ck_assert_int_eq(block_commit(block), 0);
	check_image(want);
	check_block();
}
END_TEST

/* What could not be written is written by the next try. */
START_TEST(commit_fails_and_is_taken_up)
{
	unsigned i;

	open_kind(BLOCK_OVERLAY_COMMIT);
	change_much();
	ck_assert_int_eq(truncate(path, SIZE / 2), 0);
	stderr_begin(&said);
	ck_assert_int_eq(block_commit(block), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "disk.img: what the guest has changed is "
				     "not written to it, or not all: Input/output error"));
	ck_assert_int_eq(truncate(path, SIZE), 0);
	ck_assert_int_eq(block_commit(block), 0);
	/* Where nothing was changed, it is as it was cut. */
	memset(image + SIZE / 2, 0, SIZE - SIZE / 2);
	for (i = 0; i < SIZE; i += 512)
		if (changed[i / 512])
			memcpy(image + i, want + i, 512);
	check_image(image);
}
END_TEST

START_TEST(cache_is_flushed)
{
	open_kind(BLOCK_OVERLAY_CACHE);
	change(BLOCK_WRITE, 0, 4096, 8192);
	check_image(image);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	check_image(want);
	memcpy(image, want, SIZE);
	change(BLOCK_ZERO, 0, 8192, 512);
	check_image(image);
	change(BLOCK_WRITE, BLOCK_FUA, 65536, 512);
	check_image(want);
	check_block();
}
END_TEST

/* Atomic writes: what is all there, or not at all. */

START_TEST(atomic_limits)
{
	static const struct {
		enum block_overlay kind;
		uint32_t most, align;
	} kinds[] = {
		{ BLOCK_OVERLAY_DROP, MIB(1), 512 },
		{ BLOCK_OVERLAY_COMMIT, 4096, 4096 },
		{ BLOCK_OVERLAY_CACHE, 4096, 4096 },
	};

	open_kind(kinds[_i].kind);
	ck_assert_uint_eq(block->atomic_max, kinds[_i].most);
	ck_assert_uint_eq(block->atomic_align, kinds[_i].align);
	ck_assert_uint_eq(block->atomic_granularity, kinds[_i].align);
	ck_assert(!block->atomic_natural);
}
END_TEST

/* Among all other changes, over what is in the image and in either place beside it. */
START_TEST(atomic_among_others)
{
	static const enum block_io verbs[] = { BLOCK_WRITE, BLOCK_WRITE, BLOCK_ZERO,
					       BLOCK_DISCARD };
	uint32_t state = 7 + _i, i;

	open_kind(_i ? BLOCK_OVERLAY_COMMIT : BLOCK_OVERLAY_DROP);
	for (i = 0; i < 400; i++) {
		uint64_t at, len;

		state = state * 1103515245 + 12345;
		at = (state >> 8) % 300 * 4096;
		len = (1 + (state >> 20) % 9) * (_i || state & 0x40 ? 4096 : 512);
		if (state & 0x80)
			change(BLOCK_WRITE, BLOCK_ATOMIC, at, _i ? 4096 : len);
		else
			change(verbs[state >> 28 & 3], 0, at + 512, len);
		if (i % 20 == 0)
			check_block();
	}
	check_block();
	if (_i) {
		ck_assert_int_eq(block_commit(block), 0);
		check_image(want);
	}
	close_all();
	check_image(_i ? want : image);
}
END_TEST

START_TEST(atomic_holes)
{
	uint64_t end;

	open_kind(BLOCK_OVERLAY_DROP);
	change(BLOCK_WRITE, BLOCK_ATOMIC, 8192, 8192);
	ck_assert(block_is_mapped(block, 8192, &end));
	ck_assert_uint_eq(end, 16384);
	change(BLOCK_DISCARD, 0, 8192, 4096);
	ck_assert(!block_is_mapped(block, 8192, &end));
	ck_assert_uint_eq(end, 12288);
	ck_assert(block_is_mapped(block, 12288, &end));
	ck_assert_uint_eq(end, 16384);
	check_block();
}
END_TEST

/* More pieces of memory than one part takes. */
START_TEST(atomic_pieces)
{
	static struct iovec iov[300];
	static uint8_t data[300 * 512];
	unsigned i;

	open_kind(BLOCK_OVERLAY_DROP);
	change(BLOCK_WRITE, 0, 20 * 512, 512);
	for (i = 0; i < 300; i++) {
		memset(data + i * 512, i, 512);
		iov[i] = (struct iovec){ data + i * 512, 512 };
	}
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, BLOCK_ATOMIC, 5120, iov, 300), 0);
	memcpy(want + 5120, data, sizeof(data));
	check_block();
}
END_TEST

/* One part is written, the other one cannot be. */
START_TEST(atomic_fails)
{
	struct rlimit old, limit = { SIZE, SIZE };
	static uint8_t data[8192];

	signal(SIGXFSZ, SIG_IGN);
	open_kind(BLOCK_OVERLAY_DROP);
	change(BLOCK_WRITE, BLOCK_ATOMIC, 0, 4096);
	change(BLOCK_WRITE, 0, 6144, 512);
	getrlimit(RLIMIT_FSIZE, &old);
	limit.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, BLOCK_ATOMIC, 0, data, 8192), -EFBIG);
	check_block();
	setrlimit(RLIMIT_FSIZE, &old);
	change(BLOCK_WRITE, BLOCK_ATOMIC, 0, 8192);
	check_block();
}
END_TEST

START_TEST(atomic_in_a_cache)
{
	open_kind(BLOCK_OVERLAY_CACHE);
	change(BLOCK_WRITE, BLOCK_ATOMIC, 4096, 4096);
	change(BLOCK_WRITE, BLOCK_ATOMIC, 4096, 4096);
	check_block();
	check_image(image);
	ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
	check_image(want);
	change(BLOCK_WRITE, BLOCK_ATOMIC | BLOCK_FUA, 8192, 4096);
	check_image(want);
}
END_TEST

START_TEST(refused)
{
	struct block_open how = { .path = path, .overlay = BLOCK_OVERLAY_DROP, .readonly = true };

	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &block), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "disk.img: readonly=on: nothing is written "
							"then; leave overlay=on out\n"));
	how.readonly = false;
	setenv("TMPDIR", "/proc/none", 1);
	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &block), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "overlay=on: /proc/none: no file of "));
	how.path = dir;
	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &block), -EISDIR);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "is a directory"));
}
END_TEST

Suite *overlay_suite(void)
{
	Suite *s = suite_create("overlay");
	TCase *tc = unit_case(s, "overlay");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, facts);
	tcase_add_test(tc, changes_vanish);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, image_is_shared);
	tcase_add_test(tc, pieces);
	tcase_add_test(tc, many_in_flight);
	tcase_add_test(tc, commit_writes_the_image);
	tcase_add_test(tc, commit_fails_and_is_taken_up);
	tcase_add_test(tc, cache_is_flushed);
	tcase_add_test(tc, refused);

	tc = unit_case(s, "atomic");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, atomic_limits, 0, 3);
	tcase_add_loop_test(tc, atomic_among_others, 0, 2);
	tcase_add_test(tc, atomic_holes);
	tcase_add_test(tc, atomic_pieces);
	tcase_add_test(tc, atomic_fails);
	tcase_add_test(tc, atomic_in_a_cache);
	return s;
}

UNIT_MAIN(overlay_suite)
