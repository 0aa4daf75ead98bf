/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/uring.h"
#include "tests/lib/block_run.h"
#include "tests/lib/stderr.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

Suite *uring_suite(void);

#define SIZE MIB(1)
#define CHANS 8

static struct stderr_text said;
static char path[64];
static struct loop *loop;
static struct block *block;

static void set_up(void)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/lunette-uring-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_eq(ftruncate(fd, SIZE), 0);
	close(fd);
	loop = loop_create("unit");
}

static void tear_down(void)
{
	block_close(block);
	block = NULL;
	loop_join(loop);
	loop_destroy(loop);
	unlink(path);
}

static void open_file(struct mem *mem)
{
	struct block_open how = { .path = path, .direct = mem, .block_size = 4096, .mem = mem };

	ck_assert_int_eq(block_open(&how, &block), 0);
}

static unsigned open_files(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

START_TEST(one_ring_for_all_channels)
{
	struct block_chan *chan[CHANS];
	unsigned before, i, k;
	uint8_t buf[512];

	open_file(NULL);
	before = open_files();
	for (k = 0; k < 2; k++) {
		for (i = 0; i < CHANS; i++) {
			chan[i] = block_chan_open(block, loop);
			ck_assert_str_eq(chan[i]->ops->name, "io_uring");
			ck_assert_ptr_nonnull(*loop_shared(loop));
			ck_assert_uint_eq(open_files(), before + 1);
			memset(buf, i + 1, sizeof(buf));
			ck_assert_int_eq(block_run(chan[i], BLOCK_WRITE, 0, i * 512, buf, 512), 0);
		}
		for (i = 0; i < CHANS; i++) {
			ck_assert_int_eq(block_run(chan[CHANS - 1 - i], BLOCK_READ, 0, i * 512, buf,
						   512), 0);
			ck_assert_uint_eq(buf[511], i + 1);
		}
		for (i = 0; i < CHANS; i++)
			block_chan_close(chan[i]);
		ck_assert_ptr_null(*loop_shared(loop));
		ck_assert_uint_eq(open_files(), before);
	}
}
END_TEST

/* Without descriptors there is no ring; the first one to ask is told so, and threads serve. */
START_TEST(refused)
{
	struct block_chan *chan[2];
	struct rlimit limit, full;
	uint8_t buf[512];
	unsigned i;

	open_file(NULL);
	stderr_begin(&said);
	getrlimit(RLIMIT_NOFILE, &limit);
	full = (struct rlimit){ open_files(), limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &full);
	chan[0] = block_chan_open(block, loop);
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_ptr_null(chan[0]); /* threads want an eventfd */
	for (i = 0; i < 2; i++)
		chan[i] = block_chan_open(block, loop);
	ck_assert_str_eq(stderr_end(&said), "lunette: unit: disks are read and written by threads: "
					    "Too many open files\n");
	for (i = 0; i < 2; i++) {
		ck_assert_str_eq(chan[i]->ops->name, "threads");
		ck_assert_int_eq(block_run(chan[i], BLOCK_READ, 0, 0, buf, 512), 0);
		block_chan_close(chan[i]);
	}
}
END_TEST

START_TEST(reasons)
{
	ck_assert_ptr_nonnull(strstr(uring_why(-ENOSYS), "has no io_uring"));
	ck_assert_ptr_nonnull(strstr(uring_why(-EPERM), "kernel.io_uring_disabled"));
	ck_assert_ptr_nonnull(strstr(uring_why(-EINVAL), "Linux 6.1 will do"));
	ck_assert_str_eq(uring_why(-ENFILE), strerror(ENFILE));
}
END_TEST

/* Memory that is registered and memory that is not, in one piece and across borders. */
START_TEST(registered_memory)
{
	static uint8_t own[8192] __attribute__((aligned(4096)));
	struct rlimit small = { MIB(1), MIB(1) }; /* a ring, but no guest */
	struct block_chan *chan;
	struct mem mem = { 0 };
	struct iovec iov[4];
	uint8_t *at;
	unsigned i;
	int n;

	ck_assert_int_eq(mem_add(&mem, 0, MIB(2)), 0);
	ck_assert_int_eq(mem_add(&mem, MIB(2), MIB(2)), 0);
	open_file(&mem);
	if (_i) { /* not allowed: all the same without */
		setrlimit(RLIMIT_MEMLOCK, &small);
		if (!geteuid())
			ck_assert_int_eq(seteuid(65534), 0);
	}
	log_set_level(LOG_INFO);
	stderr_begin(&said);
	chan = block_chan_open(block, loop);
	ck_assert_str_eq(stderr_end(&said), !_i ? "" :
			 "lunette: info: unit: guest memory is not registered with io_uring: "
			 "Cannot allocate memory (RLIMIT_MEMLOCK)\n");
	at = mem.region[1].hva + MIB(2) - 4096;
	for (i = 0; i < 4096; i++)
		at[i] = i * 3 + i / 256;
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 0, at, 4096), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, own, 4096), 0);
	ck_assert_mem_eq(own, at, 4096);
	memset(mem.region[0].hva, 0xff, 4096);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, mem.region[0].hva, 4096), 0);
	ck_assert_mem_eq(own, mem.region[0].hva, 4096);
	/* From one region into the next. */
	n = mem_iov(&mem, MIB(2) - 4096, 8192, iov, 4);
	for (i = 0; i < 8192; i++)
		own[i] = i / 16;
	ck_assert_int_eq(mem_write(&mem, MIB(2) - 4096, own, 8192), 0);
	ck_assert_int_eq(block_run_iov(chan, BLOCK_WRITE, BLOCK_FUA, 8192, iov, n), 0);
	memset(own, 0, sizeof(own));
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 8192, own, 8192), 0);
	for (i = 0; i < 8192; i++)
		ck_assert_uint_eq(own[i], (uint8_t)(i / 16));
	block_chan_close(chan);
	if (_i && !getuid())
		ck_assert_int_eq(seteuid(0), 0);
	mem_free(&mem);
}
END_TEST

/* On the loop's own thread; each request submits itself again as long as any are left. */
static struct flight {
	struct block_req req;
	struct iovec iov;
	uint8_t buf[4096];
} flight[64];
static struct block_chan *storm_chan;
static unsigned left, ended;

static void on_storm(struct block_req *req, int err)
{
	ck_assert(loop_is_current(loop));
	ck_assert_int_eq(err, 0);
	ended++;
	if (left) {
		left--;
		req->io = req->io == BLOCK_READ ? BLOCK_WRITE : BLOCK_READ;
		block_submit(storm_chan, req);
	} else if (!storm_chan->inflight) {
		loop_stop(loop);
	}
}

static int start_storm(void *arg)
{
	unsigned i;

	(void)arg;
	storm_chan = block_chan_open(block, loop);
	for (i = 0; i < ARRAY_SIZE(flight); i++) {
		struct flight *f = &flight[i];

		f->iov = (struct iovec){ f->buf, sizeof(f->buf) };
		f->req = (struct block_req){ .io = BLOCK_READ, .off = i * sizeof(f->buf),
					     .len = i ? sizeof(f->buf) : 0, .iov = &f->iov,
					     .niov = 1, .done = on_storm };
		block_submit(storm_chan, &f->req);
	}
	return 0;
}

START_TEST(storm_on_the_loops_thread)
{
	open_file(NULL);
	left = 20000;
	ck_assert_int_eq(loop_start(loop), 0);
	loop_call(loop, start_storm, NULL);
	while (!loop_is_current(loop)) /* until on_storm() has stopped it */
		usleep(1000);
	loop_join(loop);
	block_chan_close(storm_chan);
	ck_assert_uint_eq(ended, 20064);
}
END_TEST

Suite *uring_suite(void)
{
	Suite *s = suite_create("uring");
	TCase *tc = unit_case(s, "uring");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, reasons);
	if (uring_probe() < 0) {
		printf("uring: skipped: %s\n", uring_why(uring_probe()));
		return s;
	}
	tcase_add_test(tc, one_ring_for_all_channels);
	tcase_add_loop_test(tc, registered_memory, 0, 2);
	tcase_add_test(tc, storm_on_the_loops_thread);
	return s;
}

UNIT_MAIN(uring_suite)
