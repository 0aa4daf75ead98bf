/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/disk_image.h"
#include "tests/lib/block_run.h"
#include "tests/lib/nbd_server.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

Suite *disk_image_suite(void);

#define SIZE MIB(1)
#define QCOW2 "QFI\xfb and so on"

static char dir[] = "/tmp/image-XXXXXX", folder[64];
static struct block *block;
static struct stderr_text said;
static char data[512] = "some bytes";

/*
 * In place of qemu-nbd, which this program is when it is called so: what it was called with is in
 * the file "args", and a file "fails" makes it do that.
 */
static void on_term(int sig)
{
	int fd = open("ended", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	(void)sig;
	if (fd >= 0)
		_exit(0);
	_exit(1);
}

static void be_server(int argc, char **argv)
{
	struct nbd_server server = { .listening = -1 };
	char why[200] = "";
	FILE *f;
	int i;

	if (!strstr(argv[0], "qemu-nbd"))
		return;
	f = fopen("fails", "r");
	if (f) {
		i = fgets(why, sizeof(why), f) ? 1 : 0;
		if (i && (!strstr(why, "io_uring") || strstr(argv[argc - 1], "io_uring"))) {
			fprintf(stderr, "qemu-nbd: Failed to blk_new_open '%s': %s\n",
				argv[argc - 1], why);
			exit(1);
		}
		fclose(f);
	}
	f = fopen("args", "w");
	for (i = 1; i < argc; i++)
		fprintf(f, "%s\n", argv[i]);
	fclose(f);
	signal(SIGTERM, on_term);
	nbd_server_start(&server, 3, SIZE);
	for (;;)
		pause();
}

static void file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void set_up(void)
{
	char path[200], self[200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	ck_assert_int_gt(n, 0);
	self[n] = 0;
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	snprintf(folder, sizeof(folder), "%s/bin", dir);
	ck_assert_int_eq(mkdir("bin", 0755) | mkdir("tmp", 0755), 0);
	ck_assert_int_eq(symlink(self, "bin/qemu-nbd"), 0);
	file("bin/qemu-img", "#!/bin/sh\necho '{\"filename\": \"/proc/self/fd/3\"}'\n");
	chmod("bin/qemu-img", 0755);
	snprintf(path, sizeof(path), "%s:/bin:/usr/bin", folder);
	setenv("PATH", path, 1);
	snprintf(path, sizeof(path), "%s/tmp", dir);
	setenv("TMPDIR", path, 1);
	file("x.qcow2", QCOW2);
	ck_assert_int_eq(truncate("x.qcow2", 512), 0);
	block = NULL;
}

static void tear_down(void)
{
	block_close(block);
	ck_assert_int_eq(chdir(dir), 0);
	ck_assert_int_eq(system("rm -rf ./*"), 0);
	ck_assert_int_eq(chdir("/"), 0);
	rmdir(dir);
}

static int open_as(const char *path, enum block_format format, bool readonly)
{
	struct block_open how = { .path = path, .format = format, .readonly = readonly };

	return block_open(&how, &block);
}

static const char *args(void)
{
	static char text[2000];
	int fd = open("args", O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	ck_assert_int_gt(n, 0);
	text[n] = 0;
	close(fd);
	return text;
}

/* A file is what its name and its first bytes say together, or what the user does. */
START_TEST(what_is_one)
{
	static const struct {
		const char *path, *bytes;
		enum block_format format;
		bool is;
	} rows[] = {
		{ "x.qcow2", QCOW2, BLOCK_FORMAT_AUTO, true },
		{ "X.QCow2", QCOW2, BLOCK_FORMAT_AUTO, true },
		{ "x.vmdk", "KDMV", BLOCK_FORMAT_AUTO, true },
		{ "x.vhdx", "vhdxfile", BLOCK_FORMAT_AUTO, true },
		{ "x.qcow2", "raw bytes", BLOCK_FORMAT_AUTO, false },
		{ "x.vmdk", QCOW2, BLOCK_FORMAT_AUTO, false },
		{ "x.img", QCOW2, BLOCK_FORMAT_AUTO, false },
		{ "qcow2", QCOW2, BLOCK_FORMAT_AUTO, false },
		{ "x.qcow2", QCOW2, BLOCK_FORMAT_RAW, false },
		{ "x.img", "raw bytes", BLOCK_FORMAT_VDI, true },
		{ "nbd://host/x", NULL, BLOCK_FORMAT_AUTO, true },
		{ "nbd+unix:///?socket=x", NULL, BLOCK_FORMAT_RAW, true },
	};
	struct block_open how;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		how = (struct block_open){ .path = rows[i].path, .format = rows[i].format };
		if (rows[i].bytes)
			file(rows[i].path, rows[i].bytes);
		ck_assert_msg(image_is_one(&how) == rows[i].is, "row %u", i);
	}
	how = (struct block_open){ .path = "gone.qcow2" };
	ck_assert(!image_is_one(&how));
}
END_TEST

/* From the file to the program and back; in the end it is told to end, and no file is left. */
START_TEST(is_served)
{
	struct loop *loop = loop_create("image");
	struct block_chan *chan;
	char back[512];
	uint64_t end;

	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, false), 0);
	ck_assert_uint_eq(block->size, SIZE);
	ck_assert(block->can_discard && !block->discard_zeroes);
	ck_assert_str_eq(block->by, "qemu-nbd, as qcow2");
	ck_assert_int_eq(block->fd, 0);
	ck_assert_ptr_nonnull(strstr(args(), "--shared=0\n"));
	ck_assert_ptr_nonnull(strstr(args(), "json:{\"driver\":\"qcow2\""));
	ck_assert_ptr_nonnull(strstr(args(), "\"/proc/self/fd/4\""));
	ck_assert_ptr_null(strstr(args(), "--read-only"));
	chan = block_chan_open(block, loop);
	ck_assert_ptr_nonnull(chan);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 4096, data, 512), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 4096, back, 512), 0);
	ck_assert_mem_eq(back, data, 512);
	ck_assert(!block_is_mapped(block, 0, &end));
	ck_assert_uint_eq(end, 4096);
	ck_assert(block_is_mapped(block, 4096, &end));
	block_chan_close(chan);
	loop_destroy(loop);
	ck_assert_int_eq(access("ended", F_OK), -1);
	block_close(block);
	block = NULL;
	ck_assert_int_eq(access("ended", F_OK), 0);
	ck_assert_int_eq(rmdir("tmp"), 0); /* it is empty */
}
END_TEST

START_TEST(read_only)
{
	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, true), 0);
	ck_assert(block->readonly && !block->can_discard);
	ck_assert_ptr_nonnull(strstr(args(), "--read-only\n"));
}
END_TEST

/* Changes are kept apart, so the program is not to write. */
START_TEST(overlay)
{
	struct block_open how = { .path = "x.qcow2", .overlay = BLOCK_OVERLAY_DROP };
	struct loop *loop = loop_create("image");
	struct block_chan *chan;
	char back[512];

	ck_assert_int_eq(block_open(&how, &block), 0);
	ck_assert_ptr_nonnull(strstr(args(), "--read-only\n"));
	chan = block_chan_open(block, loop);
	ck_assert_int_eq(block_run(chan, BLOCK_WRITE, 0, 0, data, 512), 0);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, back, 512), 0);
	ck_assert_mem_eq(back, data, 512);
	block_chan_close(chan);
	loop_destroy(loop);
}
END_TEST

START_TEST(of_a_server)
{
	ck_assert_int_eq(open_as("nbd://host:1/e", BLOCK_FORMAT_AUTO, false), 0);
	ck_assert_ptr_nonnull(strstr(args(), "\njson:{\"driver\":\"nbd\",\"server\":{\"host\":"));
	ck_assert_str_eq(block->by, "qemu-nbd, as another NBD server's");
}
END_TEST

static const struct {
	const char *fails, *line;
	int err;
} rows[] = {
	{ "Image is odd", "x.qcow2: qemu-nbd has ended: Image is odd\n", -EPIPE },
	{ "request for write access denied", "denied; add readonly=on", -EPIPE },
	{ "", "x.qcow2: qemu-nbd has ended: it does not say why", -EPIPE },
};

START_TEST(does_not_start)
{
	if (*rows[_i].fails) {
		file("fails", rows[_i].fails);
	} else {
		unlink("bin/qemu-nbd");
		file("bin/qemu-nbd", "#!/bin/sh\n");
		chmod("bin/qemu-nbd", 0755);
	}
	stderr_begin(&said);
	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, false), rows[_i].err);
	ck_assert_msg(strstr(stderr_end(&said), rows[_i].line), "%s", said.text);
	ck_assert_int_eq(rmdir("tmp"), 0);
}
END_TEST

START_TEST(no_program)
{
	unlink("bin/qemu-nbd");
	stderr_begin(&said);
	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, false), -EMEDIUMTYPE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "as root: apt-get install qemu-utils"));
}
END_TEST

/* One that was built without io_uring gets along without it; unless the user insists. */
START_TEST(without_uring)
{
	struct block_open how = { .path = "x.qcow2", .engine = BLOCK_ENGINE_URING };

	file("fails", "aio=io_uring is not supported");
	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, false), 0);
	ck_assert_ptr_nonnull(strstr(args(), "\"aio\":\"threads\""));
	block_close(block);
	stderr_begin(&said);
	ck_assert_int_eq(block_open(&how, &block), -EPIPE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "not supported"));
	block = NULL;
}
END_TEST

/* A file whose last sector is not whole does not get it. */
START_TEST(odd_size)
{
	ck_assert_int_eq(truncate("x.qcow2", 519), 0);
	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, false), 0);
	ck_assert_ptr_nonnull(strstr(args(), "\"aio\":\"threads\""));
}
END_TEST

START_TEST(options)
{
	struct block_open sized = { .path = "x.qcow2", .size = 512 },
			  direct = { .path = "nbd://h", .direct = true },
			  format = { .path = "nbd://h", .format = BLOCK_FORMAT_QCOW2 },
			  *const all[] = { &sized, &direct, &format };

	stderr_begin(&said);
	ck_assert_int_eq(block_open(all[_i], &block), -EUSAGE);
	ck_assert_int_gt(strlen(stderr_end(&said)), 20);
}
END_TEST

/* It goes while it is used. */
START_TEST(goes)
{
	struct loop *loop = loop_create("image");
	struct block_chan *chan;

	ck_assert_int_eq(open_as("x.qcow2", BLOCK_FORMAT_AUTO, false), 0);
	ck_assert_ptr_null(block_hint(block, -EIO));
	chan = block_chan_open(block, loop);
	ck_assert_int_eq(system("for p in /proc/[0-9]*; do "
				"[ \"$(readlink $p/cwd)\" != \"$PWD\" ] || "
				"! grep -q 'shared[=]' $p/cmdline || kill -9 ${p#/proc/}; "
				"done"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(block_run(chan, BLOCK_READ, 0, 0, data, 512), -EIO);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "x.qcow2: read of 512 bytes at 0: "
				     "Input/output error: qemu-nbd has ended"));
	block_chan_close(chan);
	ck_assert_ptr_null(block_chan_open(block, loop));
	loop_destroy(loop);
}
END_TEST

Suite *disk_image_suite(void)
{
	Suite *s = suite_create("disk_image");
	TCase *tc = unit_case(s, "disk_image");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, what_is_one);
	tcase_add_test(tc, is_served);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, overlay);
	tcase_add_test(tc, of_a_server);
	tcase_add_loop_test(tc, does_not_start, 0, ARRAY_SIZE(rows));
	tcase_add_test(tc, no_program);
	tcase_add_test(tc, without_uring);
	tcase_add_test(tc, odd_size);
	tcase_add_loop_test(tc, options, 0, 3);
	tcase_add_test(tc, goes);
	return s;
}

UNIT_MAIN_OR(disk_image_suite, be_server)
