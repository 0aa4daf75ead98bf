/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/lib/stderr.h"
#include "vmm/run/kernel/kernel_find.h"
#include "vmm/run/kernel/modules.h"

Suite *modules_suite(void);

#define FOLDER "usr/lib/modules/6.1/"

static char top[64];
static struct kernel_found found;
static char *text; /* of the archive */
static size_t size;

static void set_up(void)
{
	strcpy(top, "/tmp/lunette-modules-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	found = (struct kernel_found){ .modules = top, .release = "6.1" };
}

static void tear_down(void)
{
	char line[100];

	free(text);
	text = NULL;
	snprintf(line, sizeof(line), "rm -rf %s", top);
	ck_assert_int_eq(system(line), 0);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	char line[200];
	FILE *f;

	snprintf(line, sizeof(line), "mkdir -p \"$(dirname '%s')\"", path);
	if (strchr(path, '/'))
		ck_assert_int_eq(system(line), 0);
	unlink(path); /* to empty it would take longer */
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
}

static void make(const char *path, const char *words)
{
	write_file(path, words, strlen(words));
}

struct elf {
	Elf64_Ehdr head;
	Elf64_Shdr part[3];
	char names[32];
	char info[4000];
};

/* A module that says this of itself: @info has a NUL behind each. */
static struct elf elf_of(const char *info, size_t len)
{
	struct elf elf = {
		.head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64 },
			  .e_shoff = offsetof(struct elf, part), .e_shnum = 3, .e_shstrndx = 1,
			  .e_shentsize = sizeof(Elf64_Shdr) },
		.part = { { 0 },
			  { .sh_name = 1, .sh_type = SHT_STRTAB,
			    .sh_offset = offsetof(struct elf, names), .sh_size = 32 },
			  { .sh_name = 11, .sh_type = SHT_PROGBITS,
			    .sh_offset = offsetof(struct elf, info), .sh_size = len } },
		.names = "\0.shstrtab\0.modinfo",
	};

	memcpy(elf.info, info, len);
	return elf;
}

#define MODULE(path, info) make_module(path, info "", sizeof(info))

/* Packed as its name says. */
static void make_module(const char *path, const char *info, size_t len)
{
	static uint8_t packed[20000];
	struct elf elf = elf_of(info, len);
	size_t n = 0;
	gzFile gz;

	if (strstr(path, ".zst")) {
		n = ZSTD_compress(packed, sizeof(packed), &elf, sizeof(elf), 1);
		write_file(path, packed, n);
	} else if (strstr(path, ".xz")) {
		ck_assert_int_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL,
			(uint8_t *)&elf, sizeof(elf), packed, &n, sizeof(packed)), LZMA_OK);
		write_file(path, packed, n);
	} else {
		write_file(path, &elf, sizeof(elf));
	}
	if (!strstr(path, ".gz"))
		return;
	gz = gzopen(path, "w");
	ck_assert_int_eq(gzwrite(gz, &elf, sizeof(elf)), sizeof(elf));
	gzclose(gz);
}

static int archive(void)
{
	int fd = modules_archive("--kernel", &found);
	struct stat st;

	if (fd < 0)
		return fd;
	ck_assert_int_eq(fstat(fd, &st), 0);
	size = st.st_size;
	text = malloc(size + 1);
	ck_assert_int_eq(pread(fd, text, size, 0), (ssize_t)size);
	text[size] = 0;
	close(fd);
	return 0;
}

static size_t field(const char *at, int n)
{
	char hex[9] = "";

	memcpy(hex, at + 6 + 8 * n, 8);
	return strtoul(hex, NULL, 16);
}

/* The content of a file in the archive, malloc()ed; NULL: there is none. */
static char *content(const char *name)
{
	size_t at = 0, len, bytes;

	while (at + 110 < size) {
		ck_assert_msg(!strncmp(text + at, "070701", 6), "no header at %zu", at);
		bytes = field(text + at, 6);
		len = field(text + at, 11);
		if (!strcmp(text + at + 110, name)) {
			at = (at + 110 + len + 3) & ~(size_t)3;
			return strndup(text + at, bytes);
		}
		at = (at + 110 + len + 3) & ~(size_t)3;
		at = (at + bytes + 3) & ~(size_t)3;
	}
	return NULL;
}

static void check(const char *name, const char *wanted)
{
	char *got = content(name);

	ck_assert_msg(got && !strcmp(got, wanted), "%s has %s", name, got ? got : "nothing");
	free(got);
}

START_TEST(names)
{
	static const char *const rows[][2] = {
		{ "kernel/drivers/virtio/virtio-pci.ko.xz", "virtio_pci" },
		{ "sd_mod.ko: scsi_mod.ko", "sd_mod" }, { "crc32c-intel", "crc32c_intel" },
		{ "a/b.o", "b" }, { "", "" },
	};
	char name[16];
	unsigned i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		modules_name(rows[i][0], name, sizeof(name));
		ck_assert_str_eq(name, rows[i][1]);
	}
}
END_TEST

/* As a distribution has them: packed, with an index. */
START_TEST(installed)
{
	make("modules.dep", "kernel/scsi/virtio_scsi.ko.xz: kernel/scsi/scsi_mod.ko.zst\n"
			    "kernel/scsi/scsi_mod.ko.zst:\nkernel/scsi/sr-mod.ko.gz:\n"
			    "kernel/other.ko:\n");
	make("modules.builtin", "kernel/fs/ext4/ext4.ko\n");
	MODULE("kernel/scsi/virtio_scsi.ko.xz",
	       "license=GPL\0depends=scsi-mod,virtio\0alias=virtio:d8");
	MODULE("kernel/scsi/scsi_mod.ko.zst", "depends=");
	MODULE("kernel/scsi/sr-mod.ko.gz", "alias=scsi:t-0x05*\0depends=scsi-mod");
	MODULE("kernel/other.ko", "depends=");
	ck_assert_int_eq(archive(), 0);
	check("etc/modules", "/lib/modules/6.1/scsi_mod.ko\n/lib/modules/6.1/virtio_scsi.ko\n");
	check(FOLDER "modules.dep", "scsi_mod.ko:\nvirtio_scsi.ko: scsi_mod.ko\n"
	      "sr_mod.ko: scsi_mod.ko\n");
	check(FOLDER "modules.alias", "alias virtio:d8 virtio_scsi\nalias scsi:t-0x05* sr_mod\n");
	check(FOLDER "modules.builtin", "kernel/fs/ext4/ext4.ko\n");
	check(FOLDER "sr_mod.ko", "\x7f""ELF\x02");
	ck_assert_ptr_null(content(FOLDER "other.ko"));
	check("TRAILER!!!", "");
}
END_TEST

/* As a build leaves them: objects in a list, files that are not packed, no index. */
START_TEST(tree)
{
	make("modules.order", "drivers/scsi/sg.o\nkernel/lib/crc32c-generic.ko\nlib/libcrc32c.o\n"
			      "fs/erofs/erofs.o\n");
	MODULE("drivers/scsi/sg.ko", "depends=");
	MODULE("lib/crc32c-generic.ko", "depends=\0alias=crc32c");
	MODULE("lib/libcrc32c.ko", "softdep=pre: crc32c post: sg\0depends=");
	MODULE("fs/erofs/erofs.ko", "depends=libcrc32c");
	ck_assert_int_eq(archive(), 0);
	check("etc/modules", "/lib/modules/6.1/sg.ko\n");
	check(FOLDER "modules.dep", "sg.ko:\ncrc32c_generic.ko:\nlibcrc32c.ko: crc32c_generic.ko\n"
	      "erofs.ko: libcrc32c.ko crc32c_generic.ko\n");
	ck_assert_ptr_null(content(FOLDER "modules.builtin"));
}
END_TEST

/* All that has the name of a soft need; they may need each other in a circle. */
START_TEST(aliases_and_circles)
{
	make("modules.dep", "ext4.ko:\na.ko:\nb.ko:\n");
	make("modules.alias", "alias crc b\nalias crc32 c\nalias xalias crc a\nalias crc a\n");
	MODULE("ext4.ko", "softdep=pre: crc");
	MODULE("a.ko", "depends=b");
	MODULE("b.ko", "depends=a");
	ck_assert_int_eq(archive(), 0);
	check("etc/modules", "/lib/modules/6.1/a.ko\n/lib/modules/6.1/b.ko\n"
	      "/lib/modules/6.1/ext4.ko\n");
}
END_TEST

START_TEST(no_modules)
{
	make("modules.order", "");
	ck_assert_int_eq(archive(), 0);
	check("etc/modules", "");
}
END_TEST

static const struct {
	const char *name, *bytes, *why;
	size_t len;
} damaged[] = {
	{ "sg.ko", "", "it is damaged, or of another architecture", 0 },
	{ "sg.ko", "\x7f" "ELF\2\1\1\0", "it is damaged, or of another architecture", 8 },
	{ "sg.ko", "\x1f\x8b\x08 nothing", "it is damaged, or of another architecture", 11 },
	{ "other.ko", "", "No such file or directory", 0 },
};

START_TEST(damaged_modules)
{
	struct stderr_text said;
	char wanted[300];

	make("modules.order", "sg.ko\n");
	write_file(damaged[_i].name, damaged[_i].bytes, damaged[_i].len);
	stderr_begin(&said);
	ck_assert_int_lt(archive(), 0);
	snprintf(wanted, sizeof(wanted), "lunette: error: --kernel: the module sg.ko in %s: %s\n",
		 top, damaged[_i].why);
	ck_assert_str_eq(stderr_end(&said), wanted);
}
END_TEST

/* No number in a module's file leads out of it. */
START_TEST(numbers_of_a_header)
{
	struct elf elf = elf_of("depends=", 9);
	struct stderr_text said;
	uint8_t *byte = (uint8_t *)&elf;
	size_t at, before = offsetof(struct elf, names);

	make("modules.order", "sg.ko\n");
	stderr_begin(&said);
	for (at = 5; at < before; at++) {
		uint8_t was = byte[at];

		byte[at] = 0xff;
		write_file("sg.ko", &elf, sizeof(elf));
		if (archive() == 0) {
			check(FOLDER "modules.dep", "sg.ko:\n");
			free(text);
			text = NULL;
		}
		byte[at] = was;
	}
	stderr_end(&said);
}
END_TEST

START_TEST(no_list)
{
	struct stderr_text said;
	char wanted[200];

	stderr_begin(&said);
	ck_assert_int_eq(archive(), -ENOENT);
	snprintf(wanted, sizeof(wanted),
		 "lunette: error: --kernel: modules of %s: No such file or directory\n", top);
	ck_assert_str_eq(stderr_end(&said), wanted);
}
END_TEST

Suite *modules_suite(void)
{
	Suite *s = suite_create("modules");
	TCase *tc = unit_case(s, "modules");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, names);
	tcase_add_test(tc, installed);
	tcase_add_test(tc, tree);
	tcase_add_test(tc, aliases_and_circles);
	tcase_add_test(tc, no_modules);
	tcase_add_loop_test(tc, damaged_modules, 0, 4);
	tcase_add_test(tc, numbers_of_a_header);
	tcase_add_test(tc, no_list);
	return s;
}

UNIT_MAIN(modules_suite)
