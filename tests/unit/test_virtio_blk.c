/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/blk_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"

Suite *virtio_blk_suite(void);

#define F(name) VIRTIO_BIT(VIRTIO_BLK_F_##name)
#define ALL (F(SEG_MAX) | F(BLK_SIZE) | F(FLUSH) | F(TOPOLOGY) | F(CONFIG_WCE) | F(MQ))
#define AT(field) offsetof(struct virtio_blk_config, field)
#define OK VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

static struct stderr_text said;
static struct testbed tb;
static struct vdriver v;
static enum virtio_transport transport;
static char dir[64], image[100];

static void set_up(enum virtio_transport t)
{
	int fd;

	transport = t;
	snprintf(dir, sizeof(dir), "/tmp/lunette-blk-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/disk.img", dir);
	fd = open(image, O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(ftruncate(fd, MIB(2)), 0);
	close(fd);
	testbed_init(&tb);
}

static void set_up_pci(void)
{
	set_up(VIRTIO_ON_PCI);
}

static void set_up_mmio(void)
{
	set_up(VIRTIO_ON_MMIO);
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

static int create(const char *file, const char *more)
{
	char full[300];

	snprintf(full, sizeof(full), "virtio-blk%s%s%s,transport=%s", *file ? "," : "", file, more,
		 virtio_transport_words[transport]);
	return device_create(&tb.p, &tb.devices, full);
}

static void make(const char *more)
{
	ck_assert_int_eq(create(image, more), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
}

static void start(uint64_t features)
{
	ck_assert(vdriver_start(&v, features, 1, 64));
}

static uint64_t config(size_t off, unsigned len)
{
	uint8_t raw[8] = { 0 };

	vdriver_config_read(&v, off, raw, len);
	return le64_get(raw);
}

static uint8_t rw(bool write, uint64_t sector, void *data, size_t len)
{
	return blk_driver_rw(&v, 0, write, sector, data, len).status;
}

static struct device *dev(void)
{
	return tb.devices.last;
}

START_TEST(what_a_driver_finds)
{
	make(",queues=3,queue-size=64,physical-block=4096");
	ck_assert_uint_eq(v.device_id, VIRTIO_ID_BLOCK);
	/* Of the device type nothing else is promised: no secure erase, no lifetime, no zones. */
	ck_assert_uint_eq(v.offered & 0xffffff & ~F(DISCARD), ALL | F(WRITE_ZEROES));
	ck_assert_uint_eq(config(AT(capacity), 8), 4096);
	ck_assert_uint_eq(config(AT(seg_max), 4), 62);
	ck_assert_uint_eq(config(AT(blk_size), 4), 512);
	ck_assert_uint_eq(config(AT(physical_block_exp), 1), 3);
	ck_assert_uint_eq(config(AT(alignment_offset), 1), 0);
	ck_assert_uint_eq(config(AT(min_io_size), 2), 8);
	ck_assert_uint_eq(config(AT(opt_io_size), 4), 2048);
	ck_assert_uint_eq(config(AT(unused), 1), 0);
	ck_assert_uint_eq(config(AT(num_queues), 2), 3);
	ck_assert_uint_eq(config(AT(max_write_zeroes_sectors), 4), 131072);
	ck_assert_uint_eq(config(AT(max_write_zeroes_seg), 4), 64);
	ck_assert_uint_eq(config(AT(unused1), 3), 0);
	ck_assert_uint_eq(config(AT(unused1) + 3, 4), 0); /* behind the end */
	ck_assert_uint_eq(vdriver_queue_max(&v, 2), 64);
	ck_assert_uint_eq(vdriver_queue_max(&v, 3), 0);
}
END_TEST

START_TEST(discard_where_the_store_can)
{
	bool can;

	make("");
	can = v.offered & F(DISCARD);
	ck_assert_uint_eq(config(AT(write_zeroes_may_unmap), 1), can);
	ck_assert_uint_eq(config(AT(max_discard_seg), 4), can ? 64 : 0);
	ck_assert_uint_eq(config(AT(max_discard_sectors), 4), can ? 2097152 : 0);
	ck_assert(!can || config(AT(discard_sector_alignment), 4));
}
END_TEST

START_TEST(no_discard)
{
	make(",discard=off");
	ck_assert(!(v.offered & F(DISCARD)));
	ck_assert(v.offered & F(WRITE_ZEROES));
	ck_assert_uint_eq(config(AT(write_zeroes_may_unmap), 1), 0);
	ck_assert_uint_eq(config(AT(max_discard_seg), 4), 0);
}
END_TEST

START_TEST(read_only)
{
	uint8_t data[512] = { 0 };

	make(",readonly=on");
	ck_assert_uint_eq(v.offered & 0xffffff, ALL | F(RO));
	start(~0ull);
	ck_assert_uint_eq(rw(true, 0, data, 512), IOERR);
	ck_assert_uint_eq(rw(false, 0, data, 512), OK);
	ck_assert_uint_eq(blk_driver_range(&v, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0).status,
			  VIRTIO_BLK_S_UNSUPP);
}
END_TEST

START_TEST(blocks_of_4096)
{
	static uint8_t data[4096];

	make(",block-size=4096");
	ck_assert_uint_eq(config(AT(blk_size), 4), 4096);
	ck_assert_uint_eq(config(AT(capacity), 8), 4096); /* in sectors */
	ck_assert_uint_eq(config(AT(physical_block_exp), 1), 0);
	start(~0ull);
	ck_assert_uint_eq(rw(true, 8, data, 4096), OK);
	ck_assert_uint_eq(rw(true, 8, data, 512), IOERR);
}
END_TEST

/* What is written is in the file; and the queues are as many as there are CPUs. */
START_TEST(data_in_the_file)
{
	uint8_t data[1024], back[1024];
	int fd;

	tb.p.cpus = 2;
	make(",overlay=off");
	ck_assert_uint_eq(config(AT(num_queues), 2), 2);
	ck_assert(vdriver_start(&v, ~0ull, 2, 64));
	memset(data, 'd', sizeof(data));
	ck_assert_uint_eq(blk_driver_rw(&v, 1, true, 5, data, 1024).status, OK);
	ck_assert_int_eq(blk_driver_run(&v, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, NULL, 0).used, 1);
	fd = open(image, O_RDONLY);
	ck_assert_int_eq(pread(fd, back, sizeof(back), 5 * 512), sizeof(back));
	close(fd);
	ck_assert_mem_eq(back, data, sizeof(back));
	memset(back, 0, sizeof(back));
	ck_assert_uint_eq(blk_driver_rw(&v, 1, false, 5, back, 1024).status, OK);
	ck_assert_mem_eq(back, data, sizeof(back));
}
END_TEST

/* §5.2.5 */
static const struct {
	uint64_t features;
	uint8_t at_first, then; /* after 0 and after 1 has been written, where the latter counts */
	bool writable;
} caches[] = {
	{ ~0ull, 1, 0, true },
	{ ~F(CONFIG_WCE), 1, 1, false },
	{ ~F(FLUSH), 0, 0, false },
	{ ~(F(FLUSH) | F(CONFIG_WCE)), 0, 0, false },
};

START_TEST(cache_mode)
{
	make("");
	start(caches[_i].features);
	ck_assert_uint_eq(config(AT(wce), 1), caches[_i].at_first);
	vdriver_config_write(&v, AT(wce), 0, 1);
	ck_assert_uint_eq(config(AT(wce), 1), caches[_i].then);
	vdriver_config_write(&v, AT(wce), 1, 1);
	ck_assert_uint_eq(config(AT(wce), 1), caches[_i].at_first);
	vdriver_config_write(&v, AT(opt_io_size), 0, 4);
	ck_assert_uint_eq(config(AT(opt_io_size), 4), 2048);
	vdriver_config_write(&v, AT(wce), 0xfffe, 2); /* and the byte behind it */
	ck_assert_uint_eq(config(AT(wce), 1), caches[_i].then);
	ck_assert_uint_eq(config(AT(unused), 1), 0);
	/* After a reset it is as it was. */
	vdriver_fini(&v);
	ck_assert(vdriver_probe(&v, &tb, 0));
	start(~0ull);
	ck_assert_uint_eq(config(AT(wce), 1), 1);
}
END_TEST

/* Its file gets another size, and the driver is told. */
START_TEST(resized)
{
	static const uint64_t sizes[] = { MIB(4), MIB(1), 512 };
	uint8_t data[512] = { 0 };
	struct stat st;
	unsigned i;

	make(",overlay=off");
	start(~0ull);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t last = sizes[i] / 512 - 1;

		ck_assert_int_eq(dev()->class->medium->resize(dev(), sizes[i]), 0);
		ck_assert_uint_eq(vdriver_wait(&v, 5000) & VDRIVER_INT_CONFIG, VDRIVER_INT_CONFIG);
		ck_assert_uint_eq(config(AT(capacity), 8), last + 1);
		ck_assert_uint_eq(rw(true, last, data, 512), OK);
		ck_assert_uint_eq(rw(true, last + 1, data, 512), IOERR);
		ck_assert_int_eq(stat(image, &st), 0);
		ck_assert_uint_eq((uint64_t)st.st_size, sizes[i]);
	}
	vdriver_irqs(&v);
	ck_assert_int_eq(dev()->class->medium->resize(dev(), 512), 0);
	ck_assert_uint_eq(vdriver_irqs(&v), 0); /* nothing has changed */
}
END_TEST

static const uint64_t wrong_sizes[] = { 0, 1, 513, 1000 };

START_TEST(bad_size)
{
	make("");
	stderr_begin(&said);
	ck_assert_int_eq(dev()->class->medium->resize(dev(), wrong_sizes[_i]), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "a multiple of the block size, 512"));
}
END_TEST

START_TEST(stays_in_it)
{
	make("");
	stderr_begin(&said);
	ck_assert_int_eq(dev()->class->medium->eject(dev()), -EUSAGE);
	ck_assert_int_eq(dev()->class->medium->insert(dev(), image), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "blk0: has a medium that stays in it; a "
				     "SCSI disk with removable=on may be without\n"));
}
END_TEST

/* From the start, and while the guest runs. */
START_TEST(faults)
{
	uint8_t data[512] = { 0 };

	make(_i ? ",fault=write:lba=3:error=EIO" : "");
	start(~0ull);
	if (!_i)
		ck_assert_int_eq(dev()->class->medium->fault(dev(), "write:lba=3:error=EIO"), 0);
	ck_assert_uint_eq(rw(true, 2, data, 512), OK);
	stderr_begin(&said);
	ck_assert_uint_eq(rw(true, 3, data, 512), IOERR);
	ck_assert_int_eq(dev()->class->medium->fault(dev(), ""), 0);
	ck_assert_uint_eq(rw(true, 3, data, 512), OK);
	ck_assert_int_eq(dev()->class->medium->fault(dev(), "read:sense=3/11/0"), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "blk0: fault=read:sense=3/11/0: sense= is "
				     "for SCSI disks, as virtio-blk has no sense data"));
	ck_assert_uint_eq(rw(false, 3, data, 512), OK);
}
END_TEST

/* §5.2.6: 20 bytes, without a 0 where all are used. */
static const struct {
	const char *file, *more, *serial;
} names[] = {
	{ "disk.img", "", "disk.img" },
	{ "disk.img", ",serial=twenty characters 20", "twenty characters 20" },
	{ "disk.img", ",serial=x", "x" },
	{ "a-name-of-20-letters", "", "a-name-of-20-letters" },
};

START_TEST(serial_numbers)
{
	char path[200], id[VIRTIO_BLK_ID_BYTES], wanted[VIRTIO_BLK_ID_BYTES] = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, names[_i].file);
	rename(image, path);
	ck_assert_int_eq(create(path, names[_i].more), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	start(~0ull);
	memcpy(wanted, names[_i].serial, strlen(names[_i].serial));
	ck_assert_int_eq(blk_driver_run(&v, 0, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, id, 20).used, 21);
	ck_assert_mem_eq(id, wanted, sizeof(id));
}
END_TEST

static const char *told; /* by facts, as its serial number */

static void hear_text(struct device_facts *to, const char *key, const char *value)
{
	(void)to;
	if (!strcmp(key, "serial"))
		told = value;
}

static uint64_t number; /* by counters, of these */
static const char *wanted_number;

static void hear_number(struct device_facts *to, const char *key, uint64_t value)
{
	(void)to;
	if (wanted_number && !strcmp(key, wanted_number))
		number = value;
}

static void hear_numbers(struct device_facts *to, const char *key, const uint64_t *value,
			 unsigned count)
{
	(void)to, (void)key, (void)value, (void)count;
}

static struct device_facts facts = { hear_text, hear_number, hear_numbers };

static const char *serial_of(const struct device *d)
{
	d->class->facts(d, &facts);
	return told;
}

/* The same at every start, and never that of another one. */
START_TEST(serial_numbers_by_default)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/a-name-of-21-letters.", dir);
	rename(image, path);
	ck_assert_int_eq(create(path, ",readonly=on"), 0);
	ck_assert_uint_eq(strlen(serial_of(dev())), 16);
	ck_assert_int_eq(create(path, ",readonly=on"), 0);
	ck_assert_str_eq(serial_of(dev()), "blk1");
	snprintf(image, sizeof(image), "%s/two\nlines", dir);
	ck_assert_int_eq(link(path, image), 0);
	ck_assert_int_eq(create(image, ",readonly=on"), 0);
	ck_assert_uint_eq(strlen(serial_of(dev())), 16);
}
END_TEST

static const struct {
	const char *more, *line;
} refused[] = {
	{ ",serial=twenty-one characters",
	  "serial=twenty-one characters: has 21 characters, 1 to 20 are wanted; a SCSI disk may "
	  "have 63" },
	{ ",serial=a\tb", "serial=a\\tb: character 2 is not printable ASCII" },
	{ ",serial=disk.img", "blk1: serial=disk.img: is in use by blk0; give another serial=" },
	{ ",fault=read:sense=3/11/4", "blk1: fault=read:sense=3/11/4: sense= is for SCSI disks, as "
				      "virtio-blk has no sense data; error=EIO will do" },
	{ ",fault=read:nonsense", "is no rule" },
	{ ",queue-size=48", "queue-size=48: is not a power of two" },
	{ ",queue-size=2", "queue-size=2: out of range, 4 to 1024" },
	{ ",queues=65", "queues=65: out of range, 1 to 64" },
	{ ",iothreads=4,queues=2", "iothreads=4: queues=2 gives work to so many only" },
	{ ",lun=3", "virtio-blk: unknown option 'lun'; --device virtio-blk,help lists them" },
	{ ",block-size=1024", "block-size=1024: is none of: 512, 4096" },
	{ ",size=1M", "size= is for store=null" },
};

START_TEST(bad_options)
{
	char more[200];
	const char *line;

	ck_assert_int_eq(create(image, ",readonly=on"), 0);
	snprintf(more, sizeof(more), ",readonly=on%s", refused[_i].more);
	stderr_begin(&said);
	ck_assert_int_lt(create(image, more), 0);
	line = stderr_end(&said);
	ck_assert_msg(strstr(line, refused[_i].line), "%s", line);
	ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

START_TEST(no_file)
{
	stderr_begin(&said);
	ck_assert_int_eq(create("", ""), -EUSAGE);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "blk0: file= is missing: which image?"));
	stderr_begin(&said);
	ck_assert_int_eq(create("/none.img", ""), -ENOENT);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "/none.img: there is no such file"));
}
END_TEST

/* Nobody else writes to what is written to. */
START_TEST(locked)
{
	ck_assert_int_eq(create(image, ",overlay=off"), 0);
	stderr_begin(&said);
	ck_assert_int_lt(create(image, ",overlay=off"), 0);
	stderr_end(&said);
}
END_TEST

/* Nothing is left of what cannot be made ready. */
START_TEST(no_pci)
{
	tb.p.pci = NULL;
	ck_assert_int_eq(create(image, ""), 0);
	stderr_begin(&said);
	ck_assert_int_eq(device_ready_all(&tb.devices), -ENODEV);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), "blk0: transport=pci: this machine has no "
				     "PCI"));
}
END_TEST

START_TEST(not_plugged)
{
	struct device *d;
	char text[200];

	make("");
	snprintf(text, sizeof(text), "virtio-blk,%s", image);
	stderr_begin(&said);
	ck_assert_int_eq(device_plug(&tb.p, &tb.devices, text, &d), -EOPNOTSUPP);
	ck_assert_str_eq(stderr_end(&said), "lunette: error: virtio-blk: cannot come while the "
			 "guest runs; a SCSI disk can: leave on=blk out\n");
}
END_TEST

static uint64_t counter(const char *name)
{
	number = UINT64_MAX;
	wanted_number = name;
	ck_assert_int_eq(dev()->class->counters(dev(), &facts), 0);
	return number;
}

START_TEST(counted)
{
	uint8_t data[512] = { 0 };

	make("");
	ck_assert_uint_eq(counter("commands"), 0);
	start(~0ull);
	ck_assert_uint_eq(rw(true, 1, data, 512), OK);
	ck_assert_uint_eq(rw(false, 1 << 20, data, 512), IOERR);
	ck_assert_uint_eq(counter("commands"), 2);
	ck_assert_uint_eq(counter("errors"), 1);
	ck_assert_uint_eq(counter("written"), 512);
	ck_assert_uint_eq(counter("resets"), 0);
	vdriver_reset(&v);
	vdriver_reset(&v); /* it was not in service */
	ck_assert_uint_eq(counter("resets"), 1);
	ck_assert_uint_eq(counter("commands"), 2);
}
END_TEST

/* What a guest must find, and may make it take. */
START_TEST(expected)
{
	make("");
	ck_assert_uint_eq(dev()->class->virtio_id, VIRTIO_ID_BLOCK);
	ck_assert_uint_gt(dev()->class->memory(dev()), 0);
}
END_TEST

/* Changes that are kept apart vanish, are kept, or go into the image in the end. */
START_TEST(overlays)
{
	static const char *const words[] = { ",overlay=on", ",overlay=on", ",overlay=commit" };
	uint8_t data[512], back[512] = { 0 };
	char path[200];
	int fd;

	make(words[_i]);
	ck_assert_int_eq(claims_begin(tb.p.claims), 0);
	start(~0ull);
	memset(data, 'o', sizeof(data));
	ck_assert_uint_eq(rw(true, 7, data, 512), OK);
	if (_i == 1) {
		int folder = open(dir, O_RDONLY | O_DIRECTORY);

		stderr_begin(&said);
		ck_assert_int_eq(device_keep_all(&tb.devices, folder), 0);
		ck_assert_ptr_nonnull(strstr(stderr_end(&said), "as the guest has left it, is "
					     "blk0.img"));
		close(folder);
		snprintf(path, sizeof(path), "%s/blk0.img", dir);
	} else {
		ck_assert_int_eq(device_finish_all(&tb.devices), 0);
		snprintf(path, sizeof(path), "%s", image);
	}
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(pread(fd, back, sizeof(back), 7 * 512), sizeof(back));
	close(fd);
	ck_assert_uint_eq(back[0], _i ? 'o' : 0);
}
END_TEST

START_TEST(explained)
{
	static const char *const parts[] = {
		"blk0: disk without SCSI", "disk.img, 2097152 bytes in blocks of 512, writable",
		"queues: 2, one for each CPU; 256 entries each", "interrupts: by ",
		"serial number: disk.img\n", "discard: off, as asked\n",
	};
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	tb.p.cpus = 2;
	make(",discard=off");
	device_explain_all(&tb.devices, f);
	fclose(f);
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		ck_assert_msg(strstr(text, parts[i]), "no '%s' in:\n%s", parts[i], text);
	free(text);
}
END_TEST

static void add_tests(TCase *tc, SFun set_up_on)
{
	tcase_add_checked_fixture(tc, set_up_on, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, what_a_driver_finds);
	tcase_add_test(tc, read_only);
	tcase_add_test(tc, blocks_of_4096);
	tcase_add_test(tc, data_in_the_file);
	tcase_add_loop_test(tc, cache_mode, 0, ARRAY_SIZE(caches));
	tcase_add_test(tc, resized);
	tcase_add_loop_test(tc, faults, 0, 2);
	tcase_add_loop_test(tc, overlays, 0, 3);
	tcase_add_test(tc, counted);
	tcase_add_test(tc, explained);
}

Suite *virtio_blk_suite(void)
{
	Suite *s = suite_create("virtio_blk");
	TCase *tc = unit_case(s, "options");

	tcase_add_checked_fixture(tc, set_up_pci, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, discard_where_the_store_can);
	tcase_add_test(tc, no_discard);
	tcase_add_loop_test(tc, bad_size, 0, ARRAY_SIZE(wrong_sizes));
	tcase_add_test(tc, stays_in_it);
	tcase_add_loop_test(tc, serial_numbers, 0, ARRAY_SIZE(names));
	tcase_add_test(tc, serial_numbers_by_default);
	tcase_add_loop_test(tc, bad_options, 0, ARRAY_SIZE(refused));
	tcase_add_test(tc, no_file);
	tcase_add_test(tc, locked);
	tcase_add_test(tc, no_pci);
	tcase_add_test(tc, not_plugged);
	tcase_add_test(tc, expected);
	add_tests(unit_case(s, "pci"), set_up_pci);
	add_tests(unit_case(s, "mmio"), set_up_mmio);
	return s;
}

UNIT_MAIN(virtio_blk_suite)
