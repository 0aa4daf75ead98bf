/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/image.h"
#include "vmm/machine/machine.h"

Suite *x86_64_boot_suite(void);

#define SETUP 1024      /* before the part in protected mode: a sector and the boot sector */
#define TEXT_AT MIB(16)
#define TEXT 5000       /* bytes */
#define DATA_AT (MIB(18) + 0x1000)
#define ZERO_PAGE 0x7000
#define INIT_SIZE MIB(40)

static struct machine m;
static struct stderr_text said;
static char path[40];
static uint8_t vmlinux[20000], bzimage[SETUP + 14000];
static struct arch_entry entry;

static void fill(uint8_t *bytes, size_t len)
{
	uint32_t seed = 1;
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = seed >> 24 | 1;
	}
}

/* An ELF file with text, and data with as much to be zeroed behind it; the rest is noise. */
static void make_vmlinux(void)
{
	Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_entry = TEXT_AT,
			  .e_phoff = 64, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2 };
	Elf64_Phdr ph[2] = {
		{ .p_type = PT_LOAD, .p_offset = 4096, .p_paddr = TEXT_AT, .p_filesz = TEXT,
		  .p_memsz = TEXT },
		{ .p_type = PT_LOAD, .p_offset = 12000, .p_paddr = DATA_AT, .p_filesz = 100,
		  .p_memsz = 200 },
	};

	fill(vmlinux, sizeof(vmlinux));
	memcpy(vmlinux, &eh, sizeof(eh));
	memcpy(vmlinux + 64, ph, sizeof(ph));
}

static struct setup_header *header(void)
{
	return (struct setup_header *)(bzimage + 0x1f1);
}

static void make_bzimage(void)
{
	struct setup_header h = {
		.setup_sects = 1, .header = 0x53726448, .version = 0x20f,
		.xloadflags = XLF_KERNEL_64, .cmdline_size = 2047, .pref_address = TEXT_AT,
		.init_size = INIT_SIZE, .syssize = (sizeof(bzimage) - SETUP) / 16,
	};

	fill(bzimage, sizeof(bzimage));
	memcpy(header(), &h, sizeof(h));
}

static void set_up(void)
{
	strcpy(path, "/tmp/lunette-boot-XXXXXX");
	close(mkstemp(path));
	memset(&m.mem, 0, sizeof(m.mem));
	ck_assert_int_eq(mem_add(&m.mem, 0, MIB(64)), 0);
	make_vmlinux();
	make_bzimage();
}

static void tear_down(void)
{
	unlink(path);
	mem_free(&m.mem);
}

static struct image open_kernel(const void *file, size_t len)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	struct image kernel;

	ck_assert_int_eq(write(fd, file, len), (ssize_t)len);
	close(fd);
	ck_assert_int_eq(image_open(&kernel, "--kernel", path), 0);
	return kernel;
}

/* The result of arch_load(), whose lines are in @said. */
static int load(const void *file, size_t len)
{
	struct image kernel = open_kernel(file, len);
	const struct image_list none = { 0 };
	int r;

	stderr_begin(&said);
	r = arch_load(&m.mem, &kernel, &none, "hello", &entry);
	stderr_end(&said);
	image_close(&kernel);
	return r;
}

static int load_bzimage(void)
{
	return load(bzimage, sizeof(bzimage));
}

static bool memory_is(uint64_t gpa, const void *bytes, size_t len)
{
	static uint8_t got[sizeof(bzimage)];

	ck_assert_int_eq(mem_read(&m.mem, gpa, got, len), 0);
	return !memcmp(got, bytes, len);
}

static struct boot_params boot_params(void)
{
	struct boot_params bp;

	ck_assert_int_eq(mem_read(&m.mem, ZERO_PAGE, &bp, sizeof(bp)), 0);
	return bp;
}

START_TEST(elf)
{
	static const uint8_t zero[8192];

	ck_assert_int_eq(load(vmlinux, sizeof(vmlinux)), 0);
	ck_assert_uint_eq(entry.pc, TEXT_AT);
	ck_assert_uint_eq(entry.arg, ZERO_PAGE);
	ck_assert(memory_is(TEXT_AT, vmlinux + 4096, TEXT));
	ck_assert(memory_is(TEXT_AT + TEXT, zero, sizeof(zero)));
	ck_assert(memory_is(DATA_AT, vmlinux + 12000, 100));
	ck_assert(memory_is(DATA_AT + 100, zero, sizeof(zero)));
	ck_assert_uint_eq(boot_params().hdr.type_of_loader, 0xff);
}
END_TEST

/* One behind the other, each at a multiple of four, with zeroes between them. */
START_TEST(several_initrds)
{
	static const char *const text[] = { "abcde", "fghi", "j" };
	char name[ARRAY_SIZE(text)][40];
	struct opt_list paths = { 0 };
	struct image_list initrds;
	struct image kernel = open_kernel(vmlinux, sizeof(vmlinux));
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(text); i++) {
		int fd = mkstemp(strcpy(name[i], "/tmp/lunette-initrd-XXXXXX"));

		ck_assert_int_eq(write(fd, text[i], strlen(text[i])), strlen(text[i]));
		close(fd);
		ck_assert_int_eq(opt_list_add(&paths, name[i]), 0);
	}
	ck_assert_int_eq(image_list_open(&initrds, "--initrd", &paths), 0);
	ck_assert_int_eq(arch_load(&m.mem, &kernel, &initrds, "hello", &entry), 0);
	ck_assert_uint_eq(boot_params().hdr.ramdisk_size, 13);
	ck_assert(memory_is(boot_params().hdr.ramdisk_image, "abcde\0\0\0fghij", 13));
	image_list_close(&initrds);
	unlink(name[2]);
	stderr_begin(&said);
	ck_assert_int_lt(image_list_open(&initrds, "--initrd", &paths), 0);
	ck_assert_ptr_nonnull(strstr(stderr_end(&said), name[2]));
	ck_assert_uint_eq(initrds.count, 0);
	unlink(name[0]);
	unlink(name[1]);
	free(paths.item);
	image_close(&kernel);
}
END_TEST

START_TEST(bzimage_by_the_boot_protocol)
{
	ck_assert_int_eq(load_bzimage(), 0);
	ck_assert_uint_eq(entry.pc, TEXT_AT + 0x200);
	ck_assert_uint_eq(entry.arg, ZERO_PAGE);
	ck_assert(memory_is(TEXT_AT, bzimage + SETUP, sizeof(bzimage) - SETUP));
	ck_assert_uint_eq(boot_params().hdr.init_size, INIT_SIZE);
	ck_assert_uint_eq(boot_params().hdr.type_of_loader, 0xff);
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(cut_off) /* anywhere: a line, and no more */
{
	size_t len;

	for (len = 1; len < sizeof(bzimage) - 16; len += 97) {
		ck_assert_int_lt(load(bzimage, len), 0);
		ck_assert_uint_gt(strlen(said.text), 20);
	}
}
END_TEST

START_TEST(little_memory)
{
	mem_free(&m.mem);
	memset(&m.mem, 0, sizeof(m.mem));
	ck_assert_int_eq(mem_add(&m.mem, 0, MIB(20)), 0);
	ck_assert_int_eq(load(vmlinux, sizeof(vmlinux)), 0);
	ck_assert_int_lt(load_bzimage(), 0);
	ck_assert_ptr_nonnull(strstr(said.text, "needs 56 MiB"));
}
END_TEST

START_TEST(bzimage_refused)
{
#define FIELD(name) offsetof(struct setup_header, name), sizeof(((struct setup_header *)0)->name)
	static const struct {
		size_t at, len;
		uint64_t value;
	} rows[] = {
		{ FIELD(version), 0x20b },
		{ FIELD(xloadflags), 0 },
		{ FIELD(cmdline_size), 4 },
		{ FIELD(pref_address), 0x1000 },
		{ FIELD(pref_address), UINT64_MAX - 50 },
		{ FIELD(init_size), UINT32_MAX },
		{ FIELD(syssize), UINT32_MAX },
	};
#undef FIELD

	memcpy((uint8_t *)header() + rows[_i].at, &rows[_i].value, rows[_i].len);
	ck_assert_int_lt(load_bzimage(), 0);
	ck_assert_uint_gt(strlen(said.text), 20);
}
END_TEST

/* Headers that a damaged ELF file may have. */
START_TEST(broken_segments)
{
	static const struct {
		unsigned at; /* in the second program header */
		uint64_t value;
	} rows[] = {
		{ offsetof(Elf64_Phdr, p_paddr), 0x1000 },
		{ offsetof(Elf64_Phdr, p_paddr), MIB(64) - 50 },
		{ offsetof(Elf64_Phdr, p_paddr), UINT64_MAX - 50 },
		{ offsetof(Elf64_Phdr, p_filesz), 201 },
		{ offsetof(Elf64_Phdr, p_filesz), UINT64_MAX },
		{ offsetof(Elf64_Phdr, p_memsz), UINT64_MAX },
		{ offsetof(Elf64_Phdr, p_offset), sizeof(vmlinux) - 99 },
		{ offsetof(Elf64_Phdr, p_offset), UINT64_MAX - 50 },
	};

	le64_put(vmlinux + 64 + sizeof(Elf64_Phdr) + rows[_i].at, rows[_i].value);
	ck_assert_int_lt(load(vmlinux, sizeof(vmlinux)), 0);
	ck_assert_uint_gt(strlen(said.text), 20);
}
END_TEST

START_TEST(entry_in_no_segment)
{
	static const uint64_t entries[] = { 0, TEXT_AT - 1, DATA_AT + 200, UINT64_MAX };

	le64_put(vmlinux + offsetof(Elf64_Ehdr, e_entry), entries[_i]);
	ck_assert_int_eq(load(vmlinux, sizeof(vmlinux)), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(said.text, "in none of its segments"));
}
END_TEST

Suite *x86_64_boot_suite(void)
{
	Suite *suite = suite_create("x86_64_boot");
	TCase *tc = unit_case(suite, "kernels");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, elf);
	tcase_add_test(tc, several_initrds);
	tcase_add_test(tc, bzimage_by_the_boot_protocol);
	tcase_add_loop_test(tc, bzimage_refused, 0, 7);
	tcase_add_test(tc, cut_off);
	tcase_add_test(tc, little_memory);
	tcase_add_loop_test(tc, broken_segments, 0, 8);
	tcase_add_loop_test(tc, entry_in_no_segment, 0, 4);
	return suite;
}

UNIT_MAIN(x86_64_boot_suite)
