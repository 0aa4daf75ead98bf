/* SPDX-License-Identifier: MIT */
/*
 * What is riscv64's own of loading a kernel; what it shares with arm64: test_aarch64_boot.c.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/linux_image.h"
#include "vmm/machine/arch/riscv64/layout.h"
#include "vmm/machine/image.h"

Suite *riscv64_boot_suite(void);

#define FILE_SIZE 20000
#define RAM MIB(64)

static struct mem ram;
static struct stderr_text said;
static char path[40];
static uint8_t kernel[FILE_SIZE];
static struct arch_entry entry;

static void set_up(void)
{
	size_t i;

	strcpy(path, "/tmp/lunette-boot-XXXXXX");
	close(mkstemp(path));
	memset(&ram, 0, sizeof(ram));
	ck_assert_int_eq(mem_add(&ram, RAM_AT, RAM), 0);
	for (i = 0; i < FILE_SIZE; i++)
		kernel[i] = i * i >> 3;
	le64_put(kernel + 8, MIB(2)); /* as Linux has it */
	le64_put(kernel + 16, MIB(8));
	memcpy(kernel + 56, "RSC\x05", 4);
}

static void tear_down(void)
{
	unlink(path);
	mem_free(&ram);
}

static int load(const struct image_list *initrds)
{
	int fd = open(path, O_WRONLY | O_TRUNC), r;
	struct image image;

	ck_assert_int_eq(write(fd, kernel, FILE_SIZE), FILE_SIZE);
	close(fd);
	ck_assert_int_eq(image_open(&image, "--kernel", path), 0);
	stderr_begin(&said);
	r = arch_load(&ram, &image, initrds, "hello", &entry);
	stderr_end(&said);
	image_close(&image);
	return r;
}

START_TEST(image)
{
	static uint8_t got[FILE_SIZE];
	struct image_list none = { 0 };

	ck_assert_int_eq(load(&none), 0);
	ck_assert_uint_eq(entry.pc, RAM_AT + MIB(2));
	ck_assert_uint_eq(entry.arg, RAM_AT + RAM - TREE_ROOM);
	ck_assert_str_eq(entry.cmdline, "hello");
	ck_assert_int_eq(mem_read(&ram, entry.pc, got, FILE_SIZE), 0);
	ck_assert(!memcmp(got, kernel, FILE_SIZE));
}
END_TEST

/* By name, before anything starts. */
START_TEST(another_machines)
{
	struct image_list none = { 0 };

	memcpy(kernel + 56, "ARM\x64", 4);
	ck_assert_int_eq(load(&none), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(said.text, "found an arm64 Image; wanted: a riscv64 Image, "
				     "also packed by gzip or zstd"));
	memset(kernel + 56, 0, 4);
	memcpy(kernel + 0x202, "HdrS", 4);
	ck_assert_int_eq(load(&none), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(said.text, "found an x86 bzImage; wanted: a riscv64 Image"));
}
END_TEST

Suite *riscv64_boot_suite(void)
{
	Suite *s = suite_create("riscv64_boot");
	TCase *tc = unit_case(s, "boot");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, image);
	tcase_add_test(tc, another_machines);
	return s;
}

UNIT_MAIN(riscv64_boot_suite)
