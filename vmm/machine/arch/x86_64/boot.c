/* SPDX-License-Identifier: MIT */
/*
 * boot.c - a Linux kernel into guest memory, and how to enter it.
 *
 *	bzImage          Linux's 64-bit boot protocol: the compressed kernel is
 *	                 placed where it wants to be and entered 512 bytes in; it
 *	                 unpacks itself.
 *	vmlinux, PVH     an ELF file with Xen's note PHYS32_ENTRY is entered there,
 *	                 in 32-bit mode, with a struct hvm_start_info.
 *	vmlinux, other   entered at the ELF entry point, as bzImage's inner part.
 *
 * The two ELF ways skip the unpacking. Documentation/arch/x86/boot.rst of Linux
 * and xen/include/public/arch-x86/hvm/start_info.h have the protocols.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/arch/x86_64/x86.h"
#include "vmm/machine/image.h"
#include "vmm/machine/machine.h"

#define HEADER_AT 0x1f1 /* the setup header's place in a bzImage */
#define HEADER_MAGIC 0x53726448 /* "HdrS" */
#define BOOT_FLAG 0xaa55
#define OLDEST_PROTOCOL 0x20c /* has xloadflags */
#define LOADER_UNDEFINED 0xff
#define ENTRY_64 0x200 /* from the start of the protected-mode part */
#define INITRD_MAX 0x7fffffffull

#define PHDRS_MAX 64
#define NOTES_MAX 65536
#define XEN_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

#define PVH_MAGIC 0x336ec578
#define PVH_MODULES_AT (PVH_INFO_AT + 0x40)
#define PVH_MEMMAP_AT (PVH_INFO_AT + 0x80)

#define E820_RAM 1
#define E820_RESERVED 2
#define E820_ACPI 3
#define E820_MAX 8

#define PTE_PRESENT_WRITE 3
#define PTE_HUGE 0x80

/*
 * quiet: before the console's words, as an earlycon prints from the moment that it is read of.
 * noearly: there is no old chipset on the bus to be mended before the bus is scanned. nr_uarts: nor
 * are there more serial ports. Looking for either would be some hundred exits. unknown_nmi_panic:
 * the only NMI here is that of arch_vcpu_nmi().
 */
const char arch_cmdline[] = "quiet panic=-1 panic_print=0x20 unknown_nmi_panic pci=noearly "
			    "8250.nr_uarts=2";
const char arch_serial_words[] = "console=ttyS0";
const char arch_hvc_words[] = "console=hvc0 earlycon=uart8250,io,0x3f8";
const char arch_kernel_formats[] = "an x86-64 bzImage or an x86-64 ELF vmlinux";

const char arch_kernel_option[] = "X86_64";

#define NO_PIC "I/O APIC and local APICs alone bring interrupts here, as ACPI tells"

const struct kernel_break arch_kernel_breaks[] = {
	{ "pci", "off", true, "it looks for none on PCI; transport=mmio is for such kernels" },
	{ "pci", "nomsi", true, "PCI has no other interrupts here; transport=mmio has" },
	{ "pci", "conf2", true, "config space is not reached in this way" },
	{ "acpi", "off", false, NO_PIC },
	{ "acpi", "noirq", false, NO_PIC },
	{ "pci", "noacpi", false, NO_PIC },
	{ "noapic", "", false, NO_PIC },
	{ "nolapic", "", false, NO_PIC },
	{ "disableapic", "", false, NO_PIC },
	{ "nosmp", "", false, NO_PIC },
	{ "maxcpus", "0", false, NO_PIC },
	{ 0 }
};

/* What is being loaded. */
struct load {
	struct mem *mem;
	const struct image *kernel;
	const struct image_list *initrds;
	const char *cmdline;
	uint64_t low_end;                 /* RAM below the hole ends here */
	uint64_t kernel_start, kernel_end; /* what the kernel needs while it starts */
	uint64_t initrd_at, initrd_size;
	struct setup_header header;       /* of a bzImage; made up for an ELF file */
};

struct e820 {
	unsigned count;
	struct boot_e820_entry entry[E820_MAX];
};

static void e820_add(struct e820 *map, uint64_t from, uint64_t to, uint32_t type)
{
	if (to > from)
		map->entry[map->count++] =
			(struct boot_e820_entry){ .addr = from, .size = to - from, .type = type };
}

static void e820_fill(struct e820 *map, const struct mem *mem)
{
	unsigned i;

	map->count = 0;
	e820_add(map, 0, EBDA_AT, E820_RAM);
	e820_add(map, EBDA_AT, ACPI_AT, E820_RESERVED);
	e820_add(map, ACPI_AT, ONE_MIB, E820_ACPI);
	e820_add(map, ONE_MIB, mem->region[0].size, E820_RAM);
	e820_add(map, ECAM_AT, ECAM_AT + MIB(1), E820_RESERVED); /* else Linux does not trust it */
	for (i = 1; i < mem->nregions; i++)
		e820_add(map, mem->region[i].gpa, mem->region[i].gpa + mem->region[i].size,
			 E820_RAM);
}

int x86_write_long_mode_tables(struct mem *mem)
{
	static const uint64_t gdt[6] = {
		[2] = 0x00af9b000000ffff, /* 10h: 64-bit code */
		[3] = 0x00cf93000000ffff, /* 18h: data */
		[4] = 0x00008b0000000067, /* 20h: TSS */
	};
	uint64_t table[6][512] = { { 0 } };
	uint64_t i;

	/* One page of level 4, one of level 3, four of level 2 with 2 MiB pages. */
	table[0][0] = (PAGE_TABLES_AT + 0x1000) | PTE_PRESENT_WRITE;
	for (i = 0; i < 4; i++)
		table[1][i] = (PAGE_TABLES_AT + 0x2000 + i * 0x1000) | PTE_PRESENT_WRITE;
	for (i = 0; i < 4 * 512; i++)
		table[2 + i / 512][i % 512] = i << 21 | PTE_PRESENT_WRITE | PTE_HUGE;
	if (mem_write(mem, GDT_AT, gdt, sizeof(gdt)) < 0)
		return -EFAULT;
	return mem_write(mem, PAGE_TABLES_AT, table, sizeof(table));
}

static int too_small(const struct load *l, const char *what)
{
	log_err("--memory: %llu MiB are too small: %s %s needs %llu MiB while it starts",
		(unsigned long long)mem_size(l->mem) >> 20, what, l->kernel->path,
		(unsigned long long)(l->kernel_end + MIB(1) - 1) >> 20);
	return -ENOMEM;
}

/* At the end of low RAM, or where that is the kernel's, right below the kernel. */
static int place_initrd(struct load *l)
{
	uint64_t end = min_u64(l->low_end, INITRD_MAX + 1), size = image_list_size(l->initrds);

	if (!size)
		return 0;
	l->initrd_size = size;
	if (size <= end && ((end - size) & ~0xfffull) >= l->kernel_end)
		l->initrd_at = (end - size) & ~0xfffull;
	else if (size < l->kernel_start && ((l->kernel_start - size) & ~0xfffull) >= ONE_MIB)
		l->initrd_at = (l->kernel_start - size) & ~0xfffull;
	else {
		log_err("--initrd %s: its %llu MiB do not fit beside the kernel into --memory, "
			"%llu MiB", l->initrds->image[0].path,
			(unsigned long long)(size + MIB(1) - 1) >> 20,
			(unsigned long long)mem_size(l->mem) >> 20);
		return -ENOMEM;
	}
	return image_list_load(l->initrds, l->mem, l->initrd_at);
}

static int write_zero_page(const struct load *l)
{
	struct boot_params *bp = calloc(1, sizeof(*bp));
	struct e820 map;
	int r;

	if (!bp)
		return -ENOMEM;
	bp->hdr = l->header;
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.cmd_line_ptr = CMDLINE_AT;
	bp->hdr.ramdisk_image = l->initrd_at;
	bp->hdr.ramdisk_size = l->initrd_size;
	bp->acpi_rsdp_addr = ACPI_AT;
	e820_fill(&map, l->mem);
	bp->e820_entries = map.count;
	memcpy(bp->e820_table, map.entry, map.count * sizeof(map.entry[0]));
	r = mem_write(l->mem, ZERO_PAGE_AT, bp, sizeof(*bp));
	free(bp);
	return r;
}

static int enter_long(struct load *l, uint64_t pc, struct arch_entry *entry)
{
	*entry = (struct arch_entry){ .pc = pc, .arg = ZERO_PAGE_AT, .mode = X86_LONG };
	if (x86_write_long_mode_tables(l->mem) < 0)
		return -EFAULT;
	return write_zero_page(l);
}

/* struct hvm_start_info version 1, struct hvm_modlist_entry, struct hvm_memmap_table_entry */
static int enter_pvh(struct load *l, uint64_t pc, struct arch_entry *entry)
{
	uint8_t info[56] = { 0 }, module[32] = { 0 }, memmap[E820_MAX * 24] = { 0 };
	struct mem *mem = l->mem;
	struct e820 map;
	unsigned i;

	e820_fill(&map, mem);
	for (i = 0; i < map.count; i++) {
		le64_put(memmap + i * 24, map.entry[i].addr);
		le64_put(memmap + i * 24 + 8, map.entry[i].size);
		le32_put(memmap + i * 24 + 16, map.entry[i].type);
	}
	le64_put(module, l->initrd_at);
	le64_put(module + 8, l->initrd_size);
	le32_put(info, PVH_MAGIC);
	le32_put(info + 4, 1);
	le32_put(info + 12, l->initrd_size ? 1 : 0);
	le64_put(info + 16, PVH_MODULES_AT);
	le64_put(info + 24, CMDLINE_AT);
	le64_put(info + 32, ACPI_AT);
	le64_put(info + 40, PVH_MEMMAP_AT);
	le32_put(info + 48, map.count);
	*entry = (struct arch_entry){ .pc = pc, .arg = PVH_INFO_AT, .mode = X86_PVH };
	if (mem_write(mem, PVH_INFO_AT, info, sizeof(info)) < 0 ||
	    mem_write(mem, PVH_MODULES_AT, module, sizeof(module)) < 0)
		return -EFAULT;
	return mem_write(mem, PVH_MEMMAP_AT, memmap, sizeof(memmap));
}

static int check_bzimage(const struct load *l)
{
	const struct setup_header *h = &l->header;

	if (h->version < OLDEST_PROTOCOL || !(h->xloadflags & XLF_KERNEL_64)) {
		log_err("--kernel %s: found a bzImage without a 64-bit entry (boot protocol "
			"%u.%02u); wanted: %s", l->kernel->path, h->version >> 8, h->version & 0xff,
			arch_kernel_formats);
		return -ENOEXEC;
	}
	if (strlen(l->cmdline) > h->cmdline_size) {
		log_err("--append: this kernel takes %u characters, these are %zu", h->cmdline_size,
			strlen(l->cmdline));
		return -E2BIG;
	}
	if (h->pref_address < ONE_MIB || h->pref_address > GIB(1) || h->init_size > GIB(1)) {
		log_err("--kernel %s: a broken bzImage: wants to be at %#llx", l->kernel->path,
			(unsigned long long)h->pref_address);
		return -ENOEXEC;
	}
	return 0;
}

/* Where the part is that is loaded, and runs in protected mode. */
static int load_bzimage(struct load *l, struct arch_entry *entry)
{
	uint64_t off, len;
	int r;

	memcpy(&l->header, l->kernel->head + HEADER_AT, sizeof(l->header));
	r = check_bzimage(l);
	if (r < 0)
		return r;
	/* 0 means 4, for loaders of 1995; the boot sector comes on top. */
	off = ((l->header.setup_sects ? l->header.setup_sects : 4) + 1) * 512ull;
	len = l->header.syssize * 16ull;
	if (!range_ok(off, len, align_up(l->kernel->size, 16))) {
		log_err("--kernel %s: the file ends too early; is it whole?", l->kernel->path);
		return -ENODATA;
	}
	len = min_u64(len, l->kernel->size - off); /* was counted in 16 bytes */
	l->kernel_start = l->header.pref_address;
	l->kernel_end = l->kernel_start + l->header.init_size;
	if (l->kernel_end > l->low_end)
		return too_small(l, "the bzImage");
	r = image_load(l->kernel, off, l->mem, l->kernel_start, len);
	if (r == 0)
		r = place_initrd(l);
	return r < 0 ? r : enter_long(l, l->kernel_start + ENTRY_64, entry);
}

static int load_segments(struct load *l, const Elf64_Phdr *ph, unsigned count)
{
	uint64_t end;
	unsigned i;
	int r;

	l->kernel_start = UINT64_MAX;
	for (i = 0; i < count; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		if (ph[i].p_paddr < ONE_MIB || ph[i].p_filesz > ph[i].p_memsz ||
		    !add_u64(ph[i].p_paddr, ph[i].p_memsz, &end)) {
			log_err("--kernel %s: found an x86-64 ELF file that is no kernel: segment "
				"%u is at %#llx", l->kernel->path, i,
				(unsigned long long)ph[i].p_paddr);
			return -ENOEXEC;
		}
		l->kernel_start = min_u64(l->kernel_start, ph[i].p_paddr);
		l->kernel_end = end > l->kernel_end ? end : l->kernel_end;
	}
	if (!l->kernel_end) {
		log_err("--kernel %s: an ELF file with nothing to load", l->kernel->path);
		return -ENOEXEC;
	}
	if (l->kernel_end > l->low_end)
		return too_small(l, "the vmlinux");
	for (i = 0, r = 0; r == 0 && i < count; i++) {
		if (ph[i].p_type == PT_LOAD && ph[i].p_filesz)
			r = image_load(l->kernel, ph[i].p_offset, l->mem, ph[i].p_paddr,
				       ph[i].p_filesz);
	}
	return r;
}

/* The address in Xen's note PHYS32_ENTRY, 0: there is none. @size bytes of notes. */
static uint64_t find_pvh_entry(const uint8_t *notes, size_t size)
{
	size_t at = 0;

	while (range_ok(at, sizeof(Elf64_Nhdr), size)) {
		uint64_t namesz = le32_get(notes + at), descsz = le32_get(notes + at + 4);
		uint32_t type = le32_get(notes + at + 8);
		uint64_t name = at + sizeof(Elf64_Nhdr);
		uint64_t desc = name + align_up(namesz, 4);

		if (!range_ok(desc, descsz, size))
			return 0;
		if (type == XEN_PHYS32_ENTRY && namesz == 4 && descsz >= 4 &&
		    !memcmp(notes + name, "Xen", 4))
			return descsz >= 8 ? le64_get(notes + desc) : le32_get(notes + desc);
		at = desc + align_up(descsz, 4);
	}
	return 0;
}

static int pvh_entry(const struct load *l, const Elf64_Phdr *ph, unsigned count, uint64_t *entry)
{
	unsigned i;
	int r = 0;

	*entry = 0;
	for (i = 0; r == 0 && !*entry && i < count; i++) {
		uint8_t *notes;

		if (ph[i].p_type != PT_NOTE || ph[i].p_filesz > NOTES_MAX)
			continue;
		notes = malloc(ph[i].p_filesz + 1);
		if (!notes)
			return -ENOMEM;
		r = image_read(l->kernel, ph[i].p_offset, notes, ph[i].p_filesz);
		if (r == 0)
			*entry = find_pvh_entry(notes, ph[i].p_filesz);
		free(notes);
	}
	return r;
}

/* What a bzImage's header would say. */
static void make_header(struct load *l)
{
	l->header = (struct setup_header){
		.boot_flag = BOOT_FLAG,
		.header = HEADER_MAGIC,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.cmdline_size = CMDLINE_ROOM - 1,
		.kernel_alignment = MIB(2),
		.initrd_addr_max = INITRD_MAX,
	};
}

/* A kernel that says another address would run into nothing at its first instruction. */
static int check_entry(const struct load *l, uint64_t pc)
{
	if (pc >= l->kernel_start && pc < l->kernel_end)
		return 0;
	log_err("--kernel %s: found an ELF file that cannot be started: its entry, %#llx, is in "
		"none of its segments", l->kernel->path, (unsigned long long)pc);
	return -ENOEXEC;
}

static int load_elf(struct load *l, struct arch_entry *entry)
{
	Elf64_Phdr ph[PHDRS_MAX];
	Elf64_Ehdr eh;
	uint64_t pvh = 0;
	int r;

	memcpy(&eh, l->kernel->head, sizeof(eh));
	if (!eh.e_phnum || eh.e_phnum > PHDRS_MAX || eh.e_phentsize != sizeof(ph[0])) {
		log_err("--kernel %s: found an ELF file that cannot be loaded (no program headers)",
			l->kernel->path);
		return -ENOEXEC;
	}
	r = image_read(l->kernel, eh.e_phoff, ph, eh.e_phnum * sizeof(ph[0]));
	if (r == 0)
		r = load_segments(l, ph, eh.e_phnum);
	if (r == 0)
		r = pvh_entry(l, ph, eh.e_phnum, &pvh);
	if (r == 0)
		r = check_entry(l, pvh ? pvh : eh.e_entry);
	if (r == 0)
		r = place_initrd(l);
	if (r < 0)
		return r;
	if (pvh)
		return enter_pvh(l, pvh, entry);
	make_header(l);
	return enter_long(l, eh.e_entry, entry);
}

static bool is_elf64(const struct image *img)
{
	Elf64_Ehdr eh;

	memcpy(&eh, img->head, sizeof(eh));
	return !memcmp(eh.e_ident, ELFMAG, SELFMAG) && eh.e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh.e_machine == EM_X86_64 && (eh.e_type == ET_EXEC || eh.e_type == ET_DYN);
}

int arch_load(struct mem *mem, const struct image *kernel, const struct image_list *initrds,
	      const char *cmdline, struct arch_entry *entry)
{
	struct load l = { .mem = mem, .kernel = kernel, .initrds = initrds, .cmdline = cmdline,
			  .low_end = mem->region[0].size };
	int r;

	r = mem_write(mem, CMDLINE_AT, cmdline, strlen(cmdline) + 1);
	if (r < 0)
		return r;
	if (image_is_bzimage(kernel))
		return load_bzimage(&l, entry);
	if (is_elf64(kernel))
		return load_elf(&l, entry);
	log_err("--kernel %s: found %s; wanted: %s", kernel->path, image_kind(kernel),
		arch_kernel_formats);
	return -ENOEXEC;
}
