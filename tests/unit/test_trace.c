/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/scsi/trace.h"
#include "tests/lib/scsi_run.h"
#include "vmm/core/platform.h"
#include "vmm/core/stream.h"

Suite *trace_suite(void);

static struct scsi_rig rig;
static char path[64];
static int fd;
static struct stream out;
static struct platform p;
static int failures;

static void failed(struct platform *platform, const char *what, int err)
{
	ck_assert_ptr_eq(platform, &p);
	ck_assert_str_eq(what, "--trace scsi=x");
	ck_assert_int_eq(err, ENOSPC);
	failures++;
}

static void set_up(void)
{
	snprintf(path, sizeof(path), "/tmp/lunette-trace-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	rig_init(&rig);
	scsi_ctx_fini(&rig.ctx);
	p = (struct platform){ .output_failed = failed };
	ck_assert_int_eq(stream_open(&out, &p, "--trace scsi=x", fd), 0);
	rig.port.trace = &out;
	ck_assert_int_eq(scsi_ctx_init(&rig.ctx, &rig.port, rig.loop), 0);
}

static void tear_down(void)
{
	rig_fini(&rig);
	stream_close(&out);
	close(fd);
	unlink(path);
}

/* What is in the file once all has been written. */
static const char *text(void)
{
	static char buf[1 << 20];
	ssize_t n;

	scsi_ctx_fini(&rig.ctx);
	ck_assert_int_eq(scsi_ctx_init(&rig.ctx, &rig.port, rig.loop), 0);
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	ck_assert_int_ge(n, 0);
	buf[n] = 0;
	return buf;
}

/* Takes the time and the latency, which must be numbers, off a line, and returns the rest. */
static const char *facts(const char *line)
{
	static char copy[256];
	double when;
	unsigned us;
	int from, to;

	snprintf(copy, sizeof(copy), "%s", line);
	copy[strcspn(copy, "\n")] = 0;
	ck_assert_int_eq(sscanf(copy, "%lf %n", &when, &from), 1);
	to = strrchr(copy, ' ') - copy;
	ck_assert_int_eq(sscanf(copy + to, " %u", &us), 1);
	copy[to] = 0;
	ck_assert_uint_lt(us, 60000000);
	return copy + from;
}

START_TEST(a_line_each)
{
	uint8_t data[1024];
	const char *line;

	scsi_run(&rig, CDB(0x28, 0, 0, 0, 0, 1, 0, 0, 2), NULL, 0, data, sizeof(data));
	scsi_run(&rig, CDB(0x28, 0, 0xff, 0, 0, 0, 0, 0, 1), NULL, 0, data, sizeof(data));
	scsi_run(&rig, CDB(0xc5, 1), NULL, 0, NULL, 0);
	rig.target = 3;
	scsi_run(&rig, CDB(0x00), NULL, 0, NULL, 0);
	line = text();
	ck_assert_str_eq(facts(line), "1:0:0 28000000000100000200 GOOD 0/00/00 1024");
	line = strchr(line, '\n') + 1;
	ck_assert_str_eq(facts(line), "1:0:0 2800ff00000000000100 CHECK-CONDITION 5/21/00 0");
	line = strchr(line, '\n') + 1;
	ck_assert_str_eq(facts(line), "1:0:0 c5010000000000000000000000000000 CHECK-CONDITION "
			 "5/20/00 0");
	line = strchr(line, '\n') + 1;
	ck_assert_str_eq(facts(line), "1:3:0 000000000000 BAD-TARGET 0/00/00 0");
	ck_assert_ptr_null(strchr(strchr(line, '\n') + 1, '\n'));
}
END_TEST

/* D_SENSE: the code is elsewhere in the data. */
START_TEST(descriptor_sense)
{
	rig.lun.descriptor_sense = true;
	scsi_run(&rig, CDB(0x28, 0, 0xff, 0, 0, 0, 0, 0, 1), NULL, 0, NULL, 0);
	ck_assert_ptr_nonnull(strstr(text(), " CHECK-CONDITION 5/21/00 "));
}
END_TEST

/* More than there is room for at once: nothing is lost, or cut. */
START_TEST(many)
{
	const char *line;
	unsigned n;

	for (n = 0; n < 3000; n++)
		scsi_run(&rig, CDB(0x00), NULL, 0, NULL, 0);
	line = text();
	for (n = 0; *line; n++, line = strchr(line, '\n') + 1)
		ck_assert_str_eq(facts(line), "1:0:0 000000000000 GOOD 0/00/00 0");
	ck_assert_uint_eq(n, 3000);
}
END_TEST

/* Who runs the guest hears of a full disk. */
START_TEST(no_room)
{
	struct stream full;
	unsigned n;

	scsi_ctx_fini(&rig.ctx);
	ck_assert_int_eq(stream_open(&full, &p, out.what, open("/dev/full", O_WRONLY)), 0);
	rig.port.trace = &full;
	ck_assert_int_eq(scsi_ctx_init(&rig.ctx, &rig.port, rig.loop), 0);
	for (n = 0; n < 3000; n++)
		ck_assert_uint_eq(scsi_run(&rig, CDB(0x00), NULL, 0, NULL, 0), 0);
	scsi_ctx_fini(&rig.ctx);
	ck_assert_int_gt(failures, 0);
	stream_close(&full);
	rig.port.trace = &out;
	ck_assert_int_eq(scsi_ctx_init(&rig.ctx, &rig.port, rig.loop), 0);
}
END_TEST

Suite *trace_suite(void)
{
	Suite *s = suite_create("trace");
	TCase *tc = unit_case(s, "trace");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, a_line_each);
	tcase_add_test(tc, descriptor_sense);
	tcase_add_test(tc, many);
	tcase_add_test(tc, no_room);
	return s;
}

UNIT_MAIN(trace_suite)
