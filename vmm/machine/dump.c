/* SPDX-License-Identifier: MIT */
#include "vmm/machine/dump.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/dump_maps.h"
#include "vmm/machine/machine.h"

#define PAGE 4096
#define NOTE_ALIGN 4
#define NAMES_MAX 1000

/* The guest's kernel has it in one page, as a note: a header, this name, text. */
static const char info_name[] = "VMCOREINFO";
static const char info_begin[] = "OSRELEASE=";

struct note_head {
	uint32_t name_len, len, type;
};

#define INFO_AT (sizeof(struct note_head) + 12) /* the name has 11 bytes */

struct dump {
	struct machine *m;
	int fd;
	const uint8_t *info; /* VMCOREINFO, in guest memory; NULL: there is none */
	uint32_t info_len;
	const char *info_text; /* a copy, in @notes */
	uint8_t *notes;
	size_t notes_len;
};

/* The guest may change it meanwhile no more than it does in a paused machine: not at all. */
static bool is_info(const uint8_t *page, uint32_t *len)
{
	struct note_head head;

	memcpy(&head, page, sizeof(head));
	*len = head.len;
	return head.name_len == sizeof(info_name) && !head.type && head.len >= strlen(info_begin) &&
	       head.len <= PAGE - INFO_AT &&
	       !memcmp(page + sizeof(head), info_name, sizeof(info_name)) &&
	       !memcmp(page + INFO_AT, info_begin, strlen(info_begin));
}

/* Where data of @r begins from @at on; a hole of a memfd would become memory if it were read. */
static uint64_t next_data(const struct mem_region *r, uint64_t at)
{
	off_t found;

	if (r->fd < 0 || at >= r->size)
		return at;
	found = lseek(r->fd, (off_t)(r->fd_off + at), SEEK_DATA);
	if (found < 0)
		return errno == ENXIO ? r->size : at;
	return min_u64((uint64_t)found - r->fd_off, r->size) / PAGE * PAGE;
}

static bool is_zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static void find_info(struct dump *d)
{
	const struct mem *mem = &d->m->mem;
	uint64_t at;
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *r = &mem->region[i];

		for (at = next_data(r, 0); at < r->size; at = next_data(r, at + PAGE)) {
			if (is_info(r->hva + at, &d->info_len)) {
				d->info = r->hva + at;
				return;
			}
		}
	}
}

static uint8_t *add_note(uint8_t *to, const char *name, uint32_t type, const void *data,
			 uint32_t len)
{
	struct note_head head = { (uint32_t)strlen(name) + 1, len, type };

	memcpy(to, &head, sizeof(head));
	to += sizeof(head);
	memcpy(to, name, head.name_len);
	to += align_up(head.name_len, NOTE_ALIGN);
	memcpy(to, data, len);
	return to + align_up(len, NOTE_ALIGN);
}

static int make_notes(struct dump *d)
{
	struct elf_prstatus status;
	unsigned i, n = d->m->ncpus;
	uint8_t *at;
	int r;

	at = d->notes = calloc(1, n * (sizeof(status) + 32) + PAGE);
	if (!at)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		memset(&status, 0, sizeof(status));
		status.pr_pid = (pid_t)i + 1;
		r = arch_vcpu_gregs(&d->m->vcpu[i], &status.pr_reg);
		if (r < 0)
			return r;
		at = add_note(at, "CORE", NT_PRSTATUS, &status, sizeof(status));
	}
	if (d->info) {
		d->info_text = (const char *)at + INFO_AT;
		at = add_note(at, info_name, 0, d->info + INFO_AT, d->info_len);
	}
	d->notes_len = at - d->notes;
	return 0;
}

static int put(const struct dump *d, const void *data, size_t len, uint64_t off)
{
	const uint8_t *from = data;

	while (len) {
		ssize_t n = pwrite(d->fd, from, len, (off_t)off);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			from += n;
			off += (uint64_t)n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* Pages one behind the other in one go. */
static int put_region(const struct dump *d, const struct mem_region *r, uint64_t off)
{
	uint64_t at = next_data(r, 0), end;
	int err = 0;

	while (err == 0 && at < r->size) {
		for (end = at; end < r->size && end - at < MIB(1) && !is_zero(r->hva + end);)
			end += PAGE;
		err = put(d, r->hva + at, end - at, off + at);
		at = next_data(r, end > at ? end : at + PAGE);
	}
	return err;
}

static int translate(void *arg, uint64_t addr, uint64_t *gpa)
{
	const struct machine *m = arg;

	return arch_debug_translate(&m->vcpu[0], &m->mem, addr, gpa);
}

/* The same memory where the guest's kernel has it, behind those that have it where it lies. */
static unsigned add_kernels(const struct dump *d, Elf64_Phdr *phdr, unsigned n)
{
	const struct dump_look look = { &d->m->mem, translate, d->m };
	struct dump_map map[DUMP_MAPS_MAX];
	unsigned i, count, at;

	count = d->info ? dump_maps(&look, d->info_text, d->info_len, map) : 0;
	for (i = 0; i < count; i++) {
		for (at = 1; map[i].gpa - phdr[at].p_paddr >= phdr[at].p_filesz; at++)
			;
		phdr[n + i] = phdr[at];
		phdr[n + i].p_offset += map[i].gpa - phdr[at].p_paddr;
		phdr[n + i].p_vaddr = map[i].vaddr;
		phdr[n + i].p_paddr = map[i].gpa;
		phdr[n + i].p_filesz = phdr[n + i].p_memsz = map[i].size;
	}
	return n + count;
}

/* Headers, notes, and then each region at the beginning of a page. */
static int put_all(const struct dump *d)
{
	const struct mem *mem = &d->m->mem;
	Elf64_Phdr phdr[1 + MEM_REGIONS + DUMP_MAPS_MAX] = { { .p_type = PT_NOTE } };
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE, .e_machine = arch_elf_machine, .e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr), .e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
	};
	uint64_t off = sizeof(ehdr) + sizeof(phdr);
	unsigned i;
	int r;

	phdr[0].p_offset = off;
	phdr[0].p_filesz = phdr[0].p_memsz = d->notes_len;
	r = put(d, d->notes, d->notes_len, off);
	off = align_up(off + d->notes_len, PAGE);
	for (i = 0; r == 0 && i < mem->nregions; i++) {
		const struct mem_region *region = &mem->region[i];

		phdr[1 + i] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X,
					    .p_offset = off, .p_vaddr = region->gpa,
					    .p_paddr = region->gpa, .p_filesz = region->size,
					    .p_memsz = region->size };
		r = put_region(d, region, off);
		off += region->size;
	}
	if (r == 0) {
		ehdr.e_phnum = (uint16_t)add_kernels(d, phdr, 1 + mem->nregions);
		r = put(d, phdr, ehdr.e_phnum * sizeof(phdr[0]), sizeof(ehdr));
	}
	if (r == 0)
		r = ftruncate(d->fd, (off_t)off) < 0 ? -errno : 0;
	/* Last, so that what is not whole is no core. */
	return r ? r : put(d, &ehdr, sizeof(ehdr), 0);
}

static int write_dump(struct machine *m, int fd)
{
	struct dump d = { .m = m, .fd = fd };
	int r;

	find_info(&d);
	r = make_notes(&d);
	if (r == 0)
		r = put_all(&d);
	free(d.notes);
	return r;
}

/* Without a line of its own. */
static int dump_to(struct machine *m, int folder, const char *name)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return -errno;
	r = write_dump(m, fd);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		unlinkat(folder, name, 0);
	return r;
}

int dump_guest(struct machine *m, int folder, const char *name)
{
	int r = dump_to(m, folder, name);

	if (r < 0)
		log_err("dump %s: %s%s", name, strerror(-r),
			r == -EEXIST ? "; another name is wanted" : "");
	return r;
}

void dump_failed(struct machine *m, int folder, const char *path)
{
	char name[32] = "guest.core";
	unsigned n = 1;
	int r;

	while ((r = dump_to(m, folder, name)) == -EEXIST && n++ < NAMES_MAX)
		snprintf(name, sizeof(name), "guest-%u.core", n);
	if (r < 0)
		log_err("--dump-on-fail %s: %s: %s", path, name, strerror(-r));
	else
		log_warn("--dump-on-fail: the guest's memory is in %s/%s", path, name);
}
