/* SPDX-License-Identifier: MIT */
/* A guest's memory as an ELF core, read back. */
#include "tests/unit/unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/tree.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/dump.h"
#include "vmm/machine/machine.h"

Suite *dump_suite(void);

#define LOW MIB(2)
#define HIGH GIB(4)

static struct machine m;
static struct tree tree;
static struct stderr_text said;
static uint8_t *core;
static size_t size;
static int gregs_error;

const uint16_t arch_elf_machine = EM_X86_64;

int arch_vcpu_gregs(const struct vcpu *vcpu, elf_gregset_t *regs)
{
	memset(regs, 0x10 + vcpu->id, sizeof(*regs));
	return gregs_error;
}

/* The guest's kernel has all of its memory there. */
#define KERNELS 0xffff888000000000

int arch_debug_translate(const struct vcpu *vcpu, const struct mem *mem, uint64_t addr,
			 uint64_t *gpa)
{
	ck_assert_ptr_eq(vcpu, &m.vcpu[0]);
	ck_assert_ptr_eq(mem, &m.mem);
	*gpa = addr - KERNELS;
	return addr < KERNELS ? -EFAULT : 0;
}

static void set_up(void)
{
	tree_create(&tree);
	ck_assert_int_eq(chdir(tree.root), 0);
	stderr_begin(&said);
}

/* Two regions, of which each has a page that is not zero; @shared: a memfd's. */
static void make(bool shared)
{
	m.mem.shared = shared;
	ck_assert_int_eq(mem_add(&m.mem, 0, LOW), 0);
	ck_assert_int_eq(mem_add(&m.mem, HIGH, MIB(1)), 0);
	ck_assert_int_eq(mem_write(&m.mem, 0x5000, "low", 3), 0);
	ck_assert_int_eq(mem_write(&m.mem, HIGH + MIB(1) - 4, "high", 4), 0);
	m.vcpu[1].id = 1;
	m.ncpus = 2;
}

static void put_info(uint64_t at, uint32_t name_len, uint32_t len, const char *text)
{
	uint32_t head[] = { name_len, len, 0 };
	uint8_t note[100] = { 0 };

	memcpy(note, head, sizeof(head));
	memcpy(note + 12, "VMCOREINFO", 11);
	memcpy(note + 24, text, strlen(text));
	ck_assert_int_eq(mem_write(&m.mem, at, note, sizeof(note)), 0);
}

static void tear_down(void)
{
	stderr_end(&said);
	free(core);
	mem_free(&m.mem);
	tree_remove(&tree);
}

static void read_core(const char *name)
{
	int fd = open(name, O_RDONLY);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_lt(st.st_blocks * 512, KIB(64)); /* sparse */
	size = st.st_size;
	core = malloc(size);
	ck_assert_int_eq(read(fd, core, size), size);
	close(fd);
}

static const Elf64_Phdr *segment(unsigned i)
{
	const Elf64_Ehdr *ehdr = (const void *)core;

	ck_assert_uint_lt(i, ehdr->e_phnum);
	return (const Elf64_Phdr *)(core + ehdr->e_phoff) + i;
}

/* Note @i: its description; NULL: there is none. */
static const void *note(unsigned i, const char *name, uint32_t type, size_t *len)
{
	const Elf64_Phdr *p = segment(0);
	size_t at = p->p_offset, end = at + p->p_filesz;

	for (; at < end; i--) {
		const Elf64_Nhdr *n = (const void *)(core + at);
		size_t data = at + sizeof(*n) + align_up(n->n_namesz, 4);

		if (!i) {
			ck_assert_str_eq((const char *)(n + 1), name);
			ck_assert_uint_eq(n->n_type, type);
			*len = n->n_descsz;
			return core + data;
		}
		at = data + align_up(n->n_descsz, 4);
	}
	ck_assert_uint_eq(at, end);
	return NULL;
}

START_TEST(core_of_two_vcpus)
{
	static const char info[] = "OSRELEASE=6.1.0\nPAGESIZE=4096\n";
	struct elf_prstatus status;
	const Elf64_Ehdr *ehdr;
	const void *at; /* of 4 bytes alone, as notes are aligned */
	elf_gregset_t regs;
	unsigned i;
	size_t len;

	make(_i);
	put_info(0x8000, 11, sizeof(info) - 1, info);
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "core"), 0);
	read_core("core");
	ehdr = (const void *)core;
	ck_assert_mem_eq(ehdr->e_ident, ELFMAG "\2\1\1", 7);
	ck_assert_uint_eq(ehdr->e_type, ET_CORE);
	ck_assert_uint_eq(ehdr->e_machine, EM_X86_64);
	ck_assert_uint_eq(ehdr->e_phnum, 3);
	for (i = 0; i < 2; i++) {
		at = note(i, "CORE", NT_PRSTATUS, &len);
		ck_assert_uint_eq(len, sizeof(status));
		memcpy(&status, at, sizeof(status));
		ck_assert_int_eq(status.pr_pid, i + 1);
		memset(&regs, 0x10 + i, sizeof(regs));
		ck_assert_mem_eq(&status.pr_reg, &regs, sizeof(regs));
	}
	ck_assert_mem_eq(note(2, "VMCOREINFO", 0, &len), info, strlen(info));
	ck_assert_uint_eq(len, strlen(info));
	ck_assert_ptr_null(note(3, "", 0, &len));
	ck_assert_uint_eq(segment(1)->p_paddr, 0);
	ck_assert_uint_eq(segment(1)->p_filesz, LOW);
	ck_assert_uint_eq(segment(2)->p_paddr, HIGH);
	ck_assert_uint_eq(segment(2)->p_memsz, MIB(1));
	ck_assert_uint_eq(segment(2)->p_offset + MIB(1), size);
	ck_assert_mem_eq(core + segment(1)->p_offset, m.mem.region[0].hva, LOW);
	ck_assert_mem_eq(core + segment(2)->p_offset, m.mem.region[1].hva, MIB(1));
}
END_TEST

/* The same memory once more, where VMCOREINFO has it. */
START_TEST(kernels_addresses)
{
	static const char info[] = "OSRELEASE=6.1.0\nSYMBOL(mem_section)=ffff888000000100\n";

	make(false);
	put_info(0x8000, 11, sizeof(info) - 1, info);
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "core"), 0);
	read_core("core");
	ck_assert_uint_eq(((const Elf64_Ehdr *)core)->e_phnum, 5);
	ck_assert_uint_eq(segment(1)->p_vaddr, 0);
	ck_assert_uint_eq(segment(3)->p_vaddr, KERNELS);
	ck_assert_uint_eq(segment(3)->p_paddr, 0);
	ck_assert_uint_eq(segment(3)->p_offset, segment(1)->p_offset);
	ck_assert_uint_eq(segment(3)->p_filesz, LOW);
	ck_assert_uint_eq(segment(4)->p_vaddr, KERNELS + HIGH);
	ck_assert_uint_eq(segment(4)->p_offset, segment(2)->p_offset);
	ck_assert_uint_eq(segment(4)->p_memsz, MIB(1));
}
END_TEST

/* What a guest says of it may be anything. */
static const struct {
	uint64_t at;
	uint32_t name_len, len;
	const char *text;
} no_info[] = {
	{ 0x8010, 11, 30, "OSRELEASE=6.1.0" }, /* not the beginning of a page */
	{ 0x8000, 12, 30, "OSRELEASE=6.1.0" },
	{ 0x8000, 11, 4096 - 23, "OSRELEASE=6.1.0" },
	{ 0x8000, 11, UINT32_MAX, "OSRELEASE=6.1.0" },
	{ 0x8000, 11, 5, "OSRELEASE=6.1.0" },
	{ 0x8000, 11, 30, "nothing of it" },
};

START_TEST(no_vmcoreinfo)
{
	size_t len;

	make(false);
	put_info(no_info[_i].at, no_info[_i].name_len, no_info[_i].len, no_info[_i].text);
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "core"), 0);
	read_core("core");
	ck_assert_ptr_null(note(2, "", 0, &len));
}
END_TEST

/* The largest one there can be ends with its page, which is the last one. */
START_TEST(largest_vmcoreinfo)
{
	size_t len;

	make(false);
	put_info(HIGH + MIB(1) - 4096, 11, 4096 - 24, "OSRELEASE=6.1.0");
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "core"), 0);
	read_core("core");
	ck_assert_ptr_nonnull(note(2, "VMCOREINFO", 0, &len));
	ck_assert_uint_eq(len, 4096 - 24);
}
END_TEST

START_TEST(a_file_is_never_replaced)
{
	make(false);
	tree_put(&tree, "/core", "of worth");
	ck_assert_int_eq(symlink("elsewhere", "link"), 0);
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "core"), -EEXIST);
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "link"), -EEXIST);
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "none/core"), -ENOENT);
	ck_assert_int_lt(access("elsewhere", F_OK), 0);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: dump core: File exists; another name is wanted\n"
			 "lunette: error: dump link: File exists; another name is wanted\n"
			 "lunette: error: dump none/core: No such file or directory\n");
}
END_TEST

START_TEST(nothing_is_left_of_a_failure)
{
	make(false);
	gregs_error = -EIO;
	ck_assert_int_eq(dump_guest(&m, AT_FDCWD, "core"), -EIO);
	ck_assert_int_lt(access("core", F_OK), 0);
}
END_TEST

START_TEST(of_a_failed_run)
{
	int folder = open(".", O_RDONLY | O_DIRECTORY);

	make(false);
	tree_put(&tree, "/guest.core", "an older one");
	dump_failed(&m, folder, "dumps");
	dump_failed(&m, folder, "dumps");
	read_core("guest-2.core");
	free(core);
	read_core("guest-3.core");
	gregs_error = -EIO;
	dump_failed(&m, folder, "dumps");
	close(folder);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: warning: --dump-on-fail: the guest's memory is in "
			 "dumps/guest-2.core\n"
			 "lunette: warning: --dump-on-fail: the guest's memory is in "
			 "dumps/guest-3.core\n"
			 "lunette: error: --dump-on-fail dumps: guest-4.core: Input/output "
			 "error\n");
}
END_TEST

Suite *dump_suite(void)
{
	Suite *s = suite_create("dump");
	TCase *tc = unit_case(s, "dump");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, core_of_two_vcpus, 0, 2);
	tcase_add_loop_test(tc, no_vmcoreinfo, 0, ARRAY_SIZE(no_info));
	tcase_add_test(tc, kernels_addresses);
	tcase_add_test(tc, largest_vmcoreinfo);
	tcase_add_test(tc, a_file_is_never_replaced);
	tcase_add_test(tc, nothing_is_left_of_a_failure);
	tcase_add_test(tc, of_a_failed_run);
	return s;
}

UNIT_MAIN(dump_suite)
