/* SPDX-License-Identifier: MIT */
#include "vmm/machine/arch/linux_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/image.h"
#include "vmm/machine/unpack.h"

/* The header of an Image. */
#define HEADER_SIZE 64
#define TEXT_OFFSET 8 /* from a border of 2 MiB to the first byte */
#define IMAGE_SIZE 16 /* what the kernel needs while it starts; 0: arm64's before Linux 3.17 */
#define MAGIC_AT 56

#define SIZE_FIELD 4 /* behind what image_packed() finds */
#define ZSTD_MAGIC "\x28\xb5\x2f\xfd"

/* What is being loaded. */
struct load {
	const char *magic;
	struct mem *mem;
	const struct image *kernel;
	uint64_t ram;        /* where it begins */
	uint64_t end;        /* of the RAM that the kernel maps first */
	uint64_t at, size;   /* the Image, from the beginning of RAM on */
	uint64_t kernel_end; /* what the kernel needs while it starts */
};

static bool is_image(const struct load *l, const uint8_t *header)
{
	return !memcmp(header + MAGIC_AT, l->magic, 4);
}

static bool is_zstd(const struct image *kernel)
{
	return !memcmp(kernel->head, ZSTD_MAGIC, 4);
}

static int refuse(const struct load *l, const char *found)
{
	log_err("--kernel %s: found %s; wanted: %s", l->kernel->path, found, arch_kernel_formats);
	return -ENOEXEC;
}

/* What was unpacked is not what it should be. */
static int refuse_unpacked(const struct load *l)
{
	struct image img = { .size = l->size };

	if (mem_read(l->mem, l->ram, img.head, min_u64(l->size, IMAGE_HEAD)) < 0)
		return -EFAULT;
	log_err("--kernel %s: what is packed in it is %s; wanted: %s", l->kernel->path,
		image_kind(&img), arch_kernel_formats);
	return -ENOEXEC;
}

static int too_small(const struct load *l, uint64_t need)
{
	log_err("--memory: %llu MiB are too small: the Image %s needs %llu MiB while it starts",
		(unsigned long long)mem_size(l->mem) >> 20, l->kernel->path,
		(unsigned long long)(need + MIB(1) - 1) >> 20);
	return -ENOMEM;
}

/* @len bytes of the file, packed, are unpacked to the beginning of RAM. */
static int unpack_to_ram(struct load *l, const uint8_t *packed, uint64_t len, uint64_t size)
{
	const char *format = unpack_format(packed, len);
	void *to;
	int r;

	if (!format)
		return refuse(l, "a kernel that is packed in a way that is not known here");
	l->size = size;
	to = size <= UNPACK_MAX ? mem_ptr(l->mem, l->ram, size, 1) : NULL;
	if (!to && size <= UNPACK_MAX)
		return too_small(l, size);
	r = to ? unpack(packed, len, to, size) : -EBADMSG;
	if (r < 0)
		log_err("--kernel %s: the %llu MiB that it has packed by %s cannot be unpacked: %s",
			l->kernel->path, (unsigned long long)size >> 20, format,
			r == -EBADMSG ? "the file is damaged" : strerror(-r));
	return r;
}

static int read_packed(struct load *l, uint64_t off, uint64_t len, bool sized)
{
	uint8_t *packed = len <= UNPACK_MAX ? malloc(len) : NULL;
	int r;

	if (!packed) {
		log_err("--kernel %s: %s", l->kernel->path, strerror(ENOMEM));
		return -ENOMEM;
	}
	r = image_read(l->kernel, off, packed, len);
	if (r == 0 && sized)
		r = unpack_to_ram(l, packed, len - SIZE_FIELD,
				  le32_get(packed + len - SIZE_FIELD));
	else if (r == 0)
		r = unpack_to_ram(l, packed, len, unpack_size(packed, len));
	free(packed);
	return r;
}

/* All of the file, or what is packed in it, from the beginning of RAM on. */
static int read_kernel(struct load *l)
{
	const struct image *kernel = l->kernel;
	uint64_t off, len;

	l->size = kernel->size;
	if (is_image(l, kernel->head))
		return image_load(kernel, 0, l->mem, l->ram, l->size);
	if (!image_is_bzimage(kernel) && image_packed(kernel, &off, &len))
		return read_packed(l, off, len, true);
	if (is_zstd(kernel))
		return read_packed(l, 0, kernel->size, false);
	return refuse(l, image_kind(kernel));
}

/* Where the Image wants to be, by its header; it is at the beginning of RAM. */
static int place_kernel(struct load *l)
{
	const uint8_t *header = mem_ptr(l->mem, l->ram, HEADER_SIZE, 1);
	uint64_t offset, need;

	if (l->size < HEADER_SIZE || !is_image(l, header))
		return refuse_unpacked(l);
	offset = le64_get(header + TEXT_OFFSET);
	need = le64_get(header + IMAGE_SIZE);
	if (!need)
		return refuse(l, "an Image of a Linux so old that it does not say what it needs");
	if (offset > MIB(2) || need > GIB(1) || need < l->size) {
		log_err("--kernel %s: a broken Image: wants %llu MiB at %#llx",
			l->kernel->path, (unsigned long long)need >> 20,
			(unsigned long long)offset);
		return -ENOEXEC;
	}
	l->at = l->ram + offset;
	l->kernel_end = l->at + need;
	if (l->kernel_end + TREE_ROOM > l->end)
		return too_small(l, l->kernel_end + TREE_ROOM - l->ram);
	if (offset)
		memmove(mem_ptr(l->mem, l->at, l->size, 1), header, l->size);
	return 0;
}

/* Below the device tree, which is at the end. */
static int place_initrd(const struct load *l, const struct image_list *initrds,
			struct arch_entry *entry)
{
	uint64_t size = image_list_size(initrds);

	if (!size)
		return 0;
	if (size > entry->arg - l->kernel_end) {
		log_err("--initrd %s: its %llu MiB do not fit beside the kernel into --memory, "
			"%llu MiB", initrds->image[0].path,
			(unsigned long long)(size + MIB(1) - 1) >> 20,
			(unsigned long long)mem_size(l->mem) >> 20);
		return -ENOMEM;
	}
	entry->initrd_size = size;
	entry->initrd_at = (entry->arg - size) & ~0xfffull;
	if (entry->initrd_at < l->kernel_end)
		entry->initrd_at = l->kernel_end; /* needs no alignment */
	return image_list_load(initrds, l->mem, entry->initrd_at);
}

int linux_image_load(const char *magic, struct mem *mem, const struct image *kernel,
		     const struct image_list *initrds, const char *cmdline,
		     struct arch_entry *entry)
{
	const struct mem_region *ram = &mem->region[0];
	struct load l = { .magic = magic, .mem = mem, .kernel = kernel, .ram = ram->gpa,
			  .end = ram->gpa + min_u64(ram->size, TREE_AREA) };
	int r = read_kernel(&l);

	if (r == 0)
		r = place_kernel(&l);
	if (r < 0)
		return r;
	*entry = (struct arch_entry){ .pc = l.at, .arg = l.end - TREE_ROOM, .cmdline = cmdline };
	return place_initrd(&l, initrds, entry);
}
