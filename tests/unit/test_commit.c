/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/block/overlay.h"
#include "tests/lib/block_run.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *commit_suite(void);

#define PAGES 64
#define PAGE 4096

static char path[64];

static void set_up(void)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/lunette-commit-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_eq(ftruncate(fd, PAGES * PAGE), 0);
	close(fd);
}

static void tear_down(void)
{
	unlink(path);
}

static struct block *open_cache(void)
{
	struct block_open how = { .path = path, .overlay = BLOCK_OVERLAY_CACHE,
				  .block_size = 512 };
	struct block *block;

	ck_assert_int_eq(block_open(&how, &block), 0);
	return block;
}

/* Each page has been written as one, with one byte. */
static void check_pages(void)
{
	static uint8_t page[PAGE];
	int fd = open(path, O_RDONLY | O_CLOEXEC), i;

	for (i = 0; i < PAGES; i++) {
		ck_assert_int_eq(pread(fd, page, PAGE, i * PAGE), PAGE);
		ck_assert(!memcmp(page, page + 1, PAGE - 1));
	}
	close(fd);
}

static void write_page(struct block_chan *chan, unsigned round)
{
	uint8_t page[PAGE];

	memset(page, (int)round, PAGE);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, BLOCK_ATOMIC, round * 37 % PAGES * PAGE, page,
				   PAGE), 0);
}

struct writer {
	struct block *block;
	atomic_bool done;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;
	struct loop *loop = loop_create("writer");
	struct block_chan *chan = block_chan_open(w->block, loop);
	unsigned round;

	for (round = 1; round < 3000; round++)
		write_page(chan, round);
	w->done = true;
	block_chan_close(chan);
	loop_destroy(loop);
	return NULL;
}

/* A commit sees all of an atomic write, or nothing. */
START_TEST(between_atomic_writes)
{
	struct writer w = { .block = open_cache() };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, write_all, &w), 0);
	do {
		ck_assert_int_eq(overlay_commit(w.block), 0);
		check_pages();
	} while (!w.done);
	pthread_join(thread, NULL);
	block_close(w.block);
}
END_TEST

static void hangs(void *arg)
{
	(void)arg;
}

/* Who hears of a disk that hangs hears of one that hangs in the commit. */
START_TEST(hangs_as_its_disk)
{
	struct block_open how = { .path = path, .overlay = BLOCK_OVERLAY_COMMIT };
	const struct overlay *o;
	struct block *block;

	ck_assert_int_eq(block_open(&how, &block), 0);
	o = overlay_of(block);
	block->on_hang = hangs;
	block->on_hang_arg = path;
	ck_assert_int_eq(block_commit(block), 0);
	ck_assert_ptr_eq(o->base->on_hang, hangs);
	ck_assert_ptr_eq(o->top->on_hang, hangs);
	ck_assert_ptr_eq(o->base->on_hang_arg, path);
	block_close(block);
}
END_TEST

static void write_and_flush(int ready)
{
	struct block *block = open_cache();
	struct loop *loop = loop_create("unit");
	struct block_chan *chan = block_chan_open(block, loop);
	unsigned round;

	for (round = 1;; round++) {
		write_page(chan, round);
		if (round % 16 == 0)
			ck_assert_int_eq(block_run(chan, BLOCK_FLUSH, 0, 0, NULL, 0), 0);
		if (round == 64)
			ck_assert_int_eq(write(ready, "", 1), 1);
	}
}

/* Whatever it was at: no page is half of one write and half of another. */
START_TEST(killed)
{
	int ready[2];
	pid_t child;
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	child = fork();
	if (!child)
		write_and_flush(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	usleep(1000 * (_i % 7));
	kill(child, SIGKILL);
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	check_pages();
}
END_TEST

Suite *commit_suite(void)
{
	Suite *suite = suite_create("commit");
	TCase *tc = unit_case(suite, "commit");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, between_atomic_writes);
	tcase_add_test(tc, hangs_as_its_disk);
	tcase_add_loop_test(tc, killed, 0, 10);
	return suite;
}

UNIT_MAIN(commit_suite)
