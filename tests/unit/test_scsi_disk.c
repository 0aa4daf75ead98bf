/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/scsi/scsi.h"
#include "devices/virtio_scsi.h"
#include "tests/lib/scsi_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *scsi_disk_suite(void);

static struct testbed tb;
static struct vdriver v;
static struct stderr_text said;
static char dir[64];

static void make_file(const char *name, off_t size)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lunette-disk-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	make_file("a.img", MIB(1));
	make_file("b.img", MIB(2));
	testbed_init(&tb);
	ck_assert_int_eq(device_create(&tb.p, &tb.devices, "virtio-scsi,id=s0"), 0);
}

static void tear_down(void)
{
	char command[100];

	vdriver_fini(&v);
	device_destroy_all(&tb.devices);
	testbed_fini(&tb);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* "%" in the text stands for the folder. */
static int make(const char *text)
{
	const char *percent = strchr(text, '%');
	char full[512];

	if (!percent)
		return device_create(&tb.p, &tb.devices, text);
	snprintf(full, sizeof(full), "%.*s%s%s", (int)(percent - text), text, dir, percent + 1);
	return device_create(&tb.p, &tb.devices, full);
}

static struct scsi_port *target(void)
{
	return virtio_scsi_port(device_find(&tb.devices, "virtio-scsi", "s0"));
}

static void start(void)
{
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, 3, 64));
}

START_TEST(order_is_lun_order)
{
	ck_assert_int_eq(make("scsi-disk,%/b.img"), 0);
	ck_assert_int_eq(make("scsi-disk,file=%/a.img"), 0);
	ck_assert_int_eq(make("scsi-disk,store=null,size=1G,lun=7"), 0);
	ck_assert_int_eq(make("scsi-disk,store=null,size=2G,serial=x"), 0);
	ck_assert_uint_eq(target()->count, 4);
	ck_assert_uint_eq(target()->nexus[0]->lun->lun, 0);
	ck_assert_uint_eq(target()->nexus[0]->lun->block->size, MIB(2));
	ck_assert_uint_eq(target()->nexus[1]->lun->lun, 1);
	ck_assert_uint_eq(target()->nexus[1]->lun->block->size, MIB(1));
	ck_assert_uint_eq(target()->nexus[2]->lun->lun, 7);
	ck_assert_uint_eq(target()->nexus[3]->lun->lun, 8);
	ck_assert_uint_eq(target()->nexus[3]->lun->block->size, GIB(2));
}
END_TEST

START_TEST(settings_reach_the_lun)
{
	const struct scsi_lun *lun;

	ck_assert_int_eq(make("scsi-disk,%/a.img,lun=5,serial=S 1,wwn=5000C50012345678,"
			      "block-size=4096,discard=off"), 0);
	ck_assert_int_eq(make("scsi-disk,%/b.img,readonly=on"), 0);
	lun = target()->nexus[0]->lun;
	ck_assert_uint_eq(lun->lun, 5);
	ck_assert_str_eq(lun->serial, "S 1");
	ck_assert_str_eq(lun->naa, "5000c50012345678");
	ck_assert_uint_eq(lun->block_size, 4096);
	ck_assert(!lun->discard && !lun->readonly);
	lun = target()->nexus[1]->lun;
	ck_assert(lun->readonly && !lun->discard);
	ck_assert_uint_eq(lun->block_size, 512);
}
END_TEST

START_TEST(names_by_default)
{
	char naa[SCSI_NAA_MAX + 1];

	make_file("sub.img", 4096);
	ck_assert_int_eq(make("scsi-disk,%/a.img,readonly=on"), 0);
	ck_assert_str_eq(target()->nexus[0]->lun->serial, "a.img");
	strcpy(naa, target()->nexus[0]->lun->naa);
	ck_assert_str_eq(naa + 7, "a000000000000000000000000");
	/* The same name again: the bus and the number make it another one. */
	ck_assert_int_eq(make("scsi-disk,%/a.img,readonly=on"), 0);
	ck_assert_str_eq(target()->nexus[1]->lun->serial, "a.img-s0-1");
	ck_assert_str_ne(target()->nexus[1]->lun->naa, naa);
	/* On another bus, too. */
	ck_assert_int_eq(make("virtio-scsi,id=s1"), 0);
	ck_assert_int_eq(make("scsi-disk,%/a.img,readonly=on"), 0);
	ck_assert_str_eq(virtio_scsi_port(device_find(&tb.devices, "virtio-scsi", "s1"))
			 ->nexus[0]->lun->serial, "a.img-s1-0");
	ck_assert_int_eq(make("scsi-disk,%/sub.img,bus=s0"), 0);
	ck_assert_str_eq(target()->nexus[2]->lun->serial, "sub.img");
}
END_TEST

/* One disk on two controllers: the same name, two ways. */
START_TEST(several_buses)
{
	struct scsi_port *second;

	ck_assert_int_eq(make("virtio-scsi,id=s1"), 0);
	ck_assert_int_eq(make("scsi-disk,%/b.img,bus=s1"), 0);
	ck_assert_int_eq(make("scsi-disk,%/a.img,bus=s0+s1,target=0"), 0);
	second = virtio_scsi_port(device_find(&tb.devices, "virtio-scsi", "s1"));
	ck_assert_uint_eq(target()->count, 1);
	ck_assert_uint_eq(second->count, 2);
	ck_assert_ptr_eq(target()->nexus[0]->lun, second->nexus[1]->lun);
	ck_assert_uint_eq(second->nexus[1]->lun->lun, 1); /* free on both */
	ck_assert_uint_ne(target()->id, second->id);
	stderr_begin(&said);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096,bus=s0+s0"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "bus=s0: is named twice"));
	stderr_begin(&said);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096,bus=s0+s9"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "bus=s9: no virtio-scsi of this name"));
	stderr_begin(&said);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096,bus=s0+s1,lun=0"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "lun=0: is in use by b.img"));
	ck_assert_uint_eq(target()->count, 1);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096,bus=s0,lun=0"), 0);
}
END_TEST

START_TEST(targets)
{
	ck_assert_int_eq(make("scsi-disk,%/a.img,target=9"), 0);
	ck_assert_int_eq(make("scsi-disk,%/b.img"), 0);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096,target=9"), 0);
	ck_assert_uint_eq(target()->nexus[0]->lun->target, 0);
	ck_assert_uint_eq(target()->nexus[0]->lun->lun, 0);
	ck_assert_uint_eq(target()->nexus[2]->lun->target, 9);
	ck_assert_uint_eq(target()->nexus[2]->lun->lun, 1);
	start();
	ck_assert_uint_eq(vdriver_peek(&v, v.config + 30, 2), 10); /* max_target */
}
END_TEST

START_TEST(kinds)
{
	const struct scsi_lun *lun;

	make_file("c.iso", 8192);
	ck_assert_int_eq(make("scsi-disk,%/a.img,physical-block=4096,removable=on"), 0);
	ck_assert_int_eq(make("scsi-cd,%/c.iso"), 0);
	ck_assert_int_eq(make("scsi-cd"), 0);
	lun = target()->nexus[0]->lun;
	ck_assert(lun->removable);
	ck_assert_uint_eq(lun->block_size, 512);
	ck_assert_uint_eq(lun->physical_block, 4096);
	lun = target()->nexus[1]->lun;
	ck_assert_int_eq(lun->type, SCSI_CD);
	ck_assert(lun->readonly && lun->removable && lun->block->readonly);
	ck_assert_str_eq(lun->serial, "c.iso");
	lun = target()->nexus[2]->lun;
	ck_assert_ptr_null(lun->block);
	ck_assert_str_eq(lun->serial, "scsi-cd1");
	stderr_begin(&said);
	ck_assert_int_eq(make("scsi-cd,%/odd.img"), -ENOENT);
	make_file("odd.img", 2047);
	ck_assert_int_eq(make("scsi-cd,%/odd.img"), -EDOM);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "not a multiple of the block size, 2048"));
}
END_TEST

START_TEST(names_are_stable)
{
	char naa[SCSI_NAA_MAX + 1];

	ck_assert_int_eq(make("scsi-disk,%/a.img"), 0);
	strcpy(naa, target()->nexus[0]->lun->naa);
	device_destroy_all(&tb.devices);
	ck_assert_int_eq(make("virtio-scsi,id=s0"), 0);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096"), 0);
	ck_assert_int_eq(make("scsi-disk,%/a.img"), 0);
	ck_assert_str_eq(target()->nexus[1]->lun->naa, naa);
}
END_TEST

#define C64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
	const char *text;
	int err;
	const char *part;
} refused[] = {
	{ "scsi-disk,%/none.img", -ENOENT, "/none.img: there is no such file" },
	{ "scsi-disk,%", -EISDIR, "is a directory" },
	{ "scsi-disk", -EUSAGE, "file= is missing" },
	{ "scsi-disk,%/a.img,bus=s9", -EUSAGE,
	  "scsi-disk1: bus=s9: no virtio-scsi of this name stands before it" },
	{ "scsi-disk,%/a.img,lun=16384", -EUSAGE, "lun=16384: out of range, 0 to 16383" },
	{ "scsi-disk,%/a.img,lun=3", -EUSAGE, "scsi-disk1: lun=3: is in use by " },
	{ "scsi-disk,%/b.img", -EBUSY, "/b.img: is attached twice" },
	{ "scsi-disk,%/b.img,readonly=on", -EBUSY,
	  "/b.img: is attached twice; both need readonly=on" },
	{ "scsi-disk,%/a.img,serial=b.img", -EUSAGE,
	  "scsi-disk1: serial=b.img: is in use by scsi-disk0; give another serial=" },
	{ "scsi-disk,%/a.img,serial=" C64, -EUSAGE, "has 64 characters, 1 to 63 are wanted\n" },
	{ "scsi-disk,%/a.img,serial=", -EUSAGE, "serial=: is empty; TEXT is wanted\n" },
	{ "scsi-disk,%/a.img,serial=a\tb", -EUSAGE, "character 2 is not printable ASCII\n" },
	{ "scsi-disk,%/a.img,wwn=1000000000000000", -EUSAGE, "16 hex digits are wanted" },
	{ "scsi-disk,%/a.img,wwn=5000", -EUSAGE, "wwn=5000: 16 hex digits are wanted" },
	{ "scsi-disk,%/a.img,wwn=500000000000000g", -EUSAGE, "16 hex digits are wanted" },
	{ "scsi-disk,%/a.img,wwn=6001405000000001", -EUSAGE, "or 32, with a 6\n" },
	{ "scsi-disk,%/a.img,wwn=30014050000000000000000000000001", -EUSAGE, "or 32, with a 6\n" },
	{ "scsi-disk,%/a.img,wwn=5000c50012345678", -EUSAGE,
	  "wwn=5000c50012345678: is in use by scsi-disk0" },
	{ "scsi-disk,%/odd.img", -EDOM,
	  "/odd.img: its size, 1000 bytes, is not a multiple of the block size, 512; "
	  "1024 would be: 'truncate -s 1024 FILE'\n" },
	{ "scsi-disk,%/sector.img,block-size=4096", -EDOM,
	  "1536 bytes, is not a multiple of the block size, 4096; 4096 would be: 'truncate" },
	{ "scsi-disk,%/a.img,block-size=1024", -EUSAGE, "block-size=1024: is none of: 512, 4096" },
	{ "scsi-disk,%/a.img,size=4096", -EUSAGE, "size= is for store=null" },
	{ "scsi-disk,store=null", -EUSAGE, "null: the null store needs a size" },
	{ "scsi-disk,store=floppy", -EUSAGE, "store=floppy: is none of: file" },
};

/* One line, and nothing is left: a right one goes in afterwards. */
START_TEST(refused_with_a_line)
{
	const char *line;

	make_file("odd.img", 1000);
	make_file("sector.img", 1536);
	ck_assert_int_eq(make("scsi-disk,%/b.img,lun=3,wwn=5000c50012345678"), 0);
	stderr_begin(&said);
	ck_assert_int_eq(make(refused[_i].text), refused[_i].err);
	line = stderr_end(&said);
	ck_assert_msg(strstr(line, refused[_i].part), "%s", line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
	ck_assert_uint_eq(target()->count, 1);
	ck_assert_int_eq(make("scsi-disk,%/a.img"), 0);
}
END_TEST

START_TEST(no_bus_and_no_number_left)
{
	stderr_begin(&said);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096,lun=16383"), 0);
	ck_assert_int_eq(make("scsi-disk,store=null,size=4096"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "there is no LUN after 16383; give lun=N"));
	device_destroy_all(&tb.devices);
	stderr_begin(&said);
	ck_assert_int_eq(make("scsi-disk,%/a.img"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said),
				     "no virtio-scsi stands before it; add --device virtio-scsi"));
}
END_TEST

/* From the driver to the file and back; the guest sees the names. */
static const char *const ways[] = {
	"scsi-disk,%/a.img,block-size=4096,io=threads",
	"scsi-disk,%/a.img,block-size=4096,io=auto",
	"scsi-disk,%/a.img,block-size=4096,io=auto,direct=on",
	"scsi-disk,%/a.img,block-size=4096,io=threads,direct=on",
};

START_TEST(end_to_end)
{
	static uint8_t out[8192], in[8192];
	struct scsi_driver_answer a;
	uint8_t cdb[32], page[64];
	char path[100];
	int fd;

	ck_assert_int_eq(make(ways[_i]), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	a = scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x12, 1, 0x80, 0, 64), NULL, 0, page, 64);
	ck_assert_uint_eq(a.status, 0);
	ck_assert_uint_eq(be16_get(page + 2), 5);
	ck_assert_mem_eq(page + 4, "a.img", 5);
	a = scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x25), NULL, 0, page, 8);
	ck_assert_uint_eq(be32_get(page), MIB(1) / 4096 - 1);
	ck_assert_uint_eq(be32_get(page + 4), 4096);

	memset(out, 0x5a, sizeof(out));
	scsi_driver_rw(cdb, true, 254, 2);
	a = scsi_driver_run(&v, 2, 0, cdb, out, sizeof(out), NULL, 0);
	ck_assert_uint_eq(a.response | a.status, 0);
	a = scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0);
	ck_assert_uint_eq(a.response | a.status, 0);
	scsi_driver_rw(cdb, false, 254, 2);
	a = scsi_driver_run(&v, 2, 0, cdb, NULL, 0, in, sizeof(in));
	ck_assert_uint_eq(a.response | a.status, 0);
	ck_assert_mem_eq(in, out, sizeof(out));

	snprintf(path, sizeof(path), "%s/a.img", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	memset(in, 0, sizeof(in));
	ck_assert_int_eq(pread(fd, in, sizeof(in), 254 * 4096), sizeof(in));
	ck_assert_mem_eq(in, out, sizeof(out));
	close(fd);
}
END_TEST

START_TEST(null_store)
{
	static uint8_t buf[65536];
	struct scsi_driver_answer a;
	uint8_t cdb[32];

	ck_assert_int_eq(make("scsi-disk,store=null,size=8T"), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	memset(buf, 1, sizeof(buf));
	scsi_driver_rw(cdb, true, 1ull << 33, 128);
	a = scsi_driver_run(&v, 2, 0, cdb, buf, sizeof(buf), NULL, 0);
	ck_assert_uint_eq(a.response | a.status, 0);
	scsi_driver_rw(cdb, false, 1ull << 33, 128);
	a = scsi_driver_run(&v, 2, 0, cdb, NULL, 0, buf, sizeof(buf));
	ck_assert_uint_eq(a.response | a.status, 0);
	ck_assert_uint_eq(buf[0] | buf[65535], 0);
}
END_TEST

START_TEST(readonly_refuses_writes)
{
	struct scsi_driver_answer a;
	uint8_t cdb[32], data[512] = { 1 };
	struct stat before, after;
	char path[100];

	snprintf(path, sizeof(path), "%s/a.img", dir);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(make("scsi-disk,%/a.img,readonly=on"), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	scsi_driver_rw(cdb, true, 0, 1);
	a = scsi_driver_run(&v, 2, 0, cdb, data, sizeof(data), NULL, 0);
	ck_assert_uint_eq(a.status, SCSI_CHECK_CONDITION);
	ck_assert_uint_eq(a.sense[2], 7);
	ck_assert_uint_eq(a.sense[12], 0x27);
	scsi_driver_rw(cdb, false, 0, 1);
	a = scsi_driver_run(&v, 2, 0, cdb, NULL, 0, data, sizeof(data));
	ck_assert_uint_eq(a.status | data[0], 0);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_int_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}
END_TEST

static const struct {
	const char *text;
	uint8_t key, asc, ascq;
} faults[] = {
	{ "scsi-disk,%/a.img,fault=write:lba=8:times=1:error=EIO", 3, 0x0c, 0x00 },
	{ "scsi-disk,%/a.img,fault=write:lba=8-15:times=1:error=ENOSPC", 7, 0x27, 0x07 },
	{ "scsi-disk,%/a.img,fault=any:times=1:error=EROFS", 7, 0x27, 0x00 },
	{ "scsi-disk,%/a.img,fault=write:delay=10:times=1:error=ENXIO", 4, 0x44, 0x00 },
	{ "scsi-disk,%/a.img,fault=write:lba=8:times=1:sense=3/32/01", 3, 0x32, 0x01 },
	{ "scsi-disk,%/a.img,fault=write:times=1:sense=B/4b/03:torn=100", 0xb, 0x4b, 0x03 },
};

/* What the host cannot do, as the guest sees it; and it goes on. */
START_TEST(faults_are_sense_data)
{
	struct scsi_driver_answer a;
	uint8_t cdb[32], data[512] = { 1 };

	ck_assert_int_eq(make(faults[_i].text), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	scsi_driver_rw(cdb, true, 8, 1);
	stderr_begin(&said);
	a = scsi_driver_run(&v, 2, 0, cdb, data, sizeof(data), NULL, 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "/a.img: write of 512 bytes at 4096: "));
	ck_assert_uint_eq(a.status, SCSI_CHECK_CONDITION);
	ck_assert_uint_eq(a.sense[2], faults[_i].key);
	ck_assert_uint_eq(a.sense[12], faults[_i].asc);
	ck_assert_uint_eq(a.sense[13], faults[_i].ascq);
	a = scsi_driver_run(&v, 2, 0, cdb, data, sizeof(data), NULL, 0);
	ck_assert_uint_eq(a.status | a.response, 0);
}
END_TEST

/* A recovered error: all is done, and all is counted as moved. */
START_TEST(fault_is_recovered)
{
	struct scsi_driver_answer a;
	uint8_t cdb[32], data[1024] = { 1 }, got[1024];

	ck_assert_int_eq(make("scsi-disk,%/a.img,fault=any:lba=8-9:sense=1/17/01"), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	stderr_begin(&said);
	scsi_driver_rw(cdb, true, 8, 2);
	a = scsi_driver_run(&v, 2, 0, cdb, data, sizeof(data), NULL, 0);
	ck_assert_uint_eq(a.sense[2] << 16 | a.sense[12] << 8 | a.sense[13], 0x11701);
	ck_assert_uint_eq(a.resid, 0);
	scsi_driver_rw(cdb, false, 8, 2);
	a = scsi_driver_run(&v, 2, 0, cdb, NULL, 0, got, sizeof(got));
	ck_assert_uint_eq(a.sense[2] << 16 | a.sense[12] << 8 | a.sense[13], 0x11701);
	ck_assert_uint_eq(a.resid, 0);
	ck_assert_mem_eq(got, data, sizeof(data));
	stderr_end(&said);
}
END_TEST

static void read_image(uint8_t *data, size_t len)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s/a.img", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(pread(fd, data, len, 0), len);
	close(fd);
}

/* Of two disks over images, one keeps what the guest has written, when the run has ended well. */
START_TEST(overlay)
{
	static const char *const texts[] = { "scsi-disk,%/a.img,overlay=on",
					     "scsi-disk,%/a.img,overlay=commit",
					     "scsi-disk,%/a.img,overlay=on" };
	struct scsi_driver_answer a;
	uint8_t cdb[32], out[512], in[512] = { 0 };

	tb.p.commit = _i == 2;
	ck_assert_int_eq(make(texts[_i]), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	memset(out, 0x5a, sizeof(out));
	scsi_driver_rw(cdb, true, 0, 1);
	a = scsi_driver_run(&v, 2, 0, cdb, out, sizeof(out), NULL, 0);
	ck_assert_uint_eq(a.response | a.status, 0);
	a = scsi_driver_run(&v, 2, 0, SCSI_DRIVER_CDB(0x35), NULL, 0, NULL, 0);
	ck_assert_uint_eq(a.response | a.status, 0);
	read_image(in, sizeof(in));
	ck_assert_uint_eq(in[0], 0);
	ck_assert_int_eq(device_finish_all(&tb.devices), 0);
	read_image(in, sizeof(in));
	ck_assert_uint_eq(in[511], _i ? 0x5a : 0);
}
END_TEST

static unsigned fulls;

static void disk_full(struct platform *p)
{
	fulls += p == &tb.p;
}

START_TEST(full_disk)
{
	const struct block *block;

	tb.p.on_enospc = FULL_FAIL;
	tb.p.disk_full = disk_full;
	ck_assert_int_eq(make("scsi-disk,%/a.img"), 0);
	ck_assert_int_eq(make("scsi-disk,%/b.img,on-enospc=report"), 0);
	block = target()->nexus[0]->lun->block;
	ck_assert_int_eq(block->full, FULL_FAIL);
	ck_assert_int_eq(block->fd, 0); /* not for the kernel's target */
	block->on_full(block->on_full_arg);
	ck_assert_uint_eq(fulls, 1);
	block = target()->nexus[1]->lun->block;
	ck_assert_int_eq(block->full, FULL_REPORT);
	ck_assert_int_gt(block->fd, 0);
}
END_TEST

/* Writes in flight when all is torn down: the disk waits for them. */
START_TEST(destroyed_under_load)
{
	struct driver_buf buf[3];
	struct virtio_scsi_cmd_req req;
	uint8_t cdb[32];
	unsigned i;

	ck_assert_int_eq(make("scsi-disk,%/a.img"), 0);
	start();
	scsi_driver_clear_attention(&v, 0);
	for (i = 0; i < 32; i++) {
		uint64_t gpa = testbed_alloc(&tb, 8192, 16);

		scsi_driver_rw(cdb, true, i * 8, 8);
		scsi_driver_header(&req, 0, i, cdb);
		mem_write(&tb.mem, gpa, &req, sizeof(req));
		buf[0] = (struct driver_buf){ gpa, sizeof(req), false };
		buf[1] = (struct driver_buf){ gpa + 1024, 4096, false };
		buf[2] = (struct driver_buf){ gpa + 512, sizeof(struct virtio_scsi_cmd_resp),
					      true };
		ck_assert_int_ge(driver_add(&v.queue[2].ring, buf, 3,
					    testbed_alloc(&tb, 48, 16)), 0);
	}
	vdriver_kick(&v, 2);
	device_destroy_all(&tb.devices);
	ck_assert_ptr_null(tb.devices.last);
}
END_TEST

Suite *scsi_disk_suite(void)
{
	Suite *s = suite_create("scsi_disk");
	TCase *tc = unit_case(s, "scsi_disk");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, order_is_lun_order);
	tcase_add_test(tc, settings_reach_the_lun);
	tcase_add_test(tc, names_by_default);
	tcase_add_test(tc, several_buses);
	tcase_add_test(tc, targets);
	tcase_add_test(tc, kinds);
	tcase_add_test(tc, names_are_stable);
	tcase_add_loop_test(tc, refused_with_a_line, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, no_bus_and_no_number_left);
	tcase_add_loop_test(tc, end_to_end, 0, ARRAY_SIZE(ways));
	tcase_add_test(tc, null_store);
	tcase_add_test(tc, readonly_refuses_writes);
	tcase_add_loop_test(tc, faults_are_sense_data, 0, ARRAY_SIZE(faults));
	tcase_add_test(tc, fault_is_recovered);
	tcase_add_loop_test(tc, overlay, 0, 3);
	tcase_add_test(tc, full_disk);
	tcase_add_test(tc, destroyed_under_load);
	return s;
}

UNIT_MAIN(scsi_disk_suite)
