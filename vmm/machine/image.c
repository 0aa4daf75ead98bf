/* SPDX-License-Identifier: MIT */
#include "vmm/machine/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/log.h"
#include "vmm/core/magic.h"
#include "vmm/core/mem.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"

/* Of a bzImage's setup header. */
#define BZIMAGE_SETUP_SECTS 0x1f1 /* 0 means 4, for loaders of 1995; the boot sector comes on top */
#define BZIMAGE_SYSSIZE 0x1f4     /* of the part behind the setup, in 16 bytes */
#define BZIMAGE_MAGIC_AT 0x202
#define BZIMAGE_MAGIC "HdrS"
#define BZIMAGE_VERSION 0x206
#define BZIMAGE_PAYLOAD 0x248 /* from the beginning of that part */
#define BZIMAGE_PAYLOAD_SIZE 0x24c
#define BZIMAGE_HAS_PAYLOAD 0x208 /* the version from which on these two are there */

/* The header of a zboot image. */
#define ZBOOT_MAGIC_AT 4
#define ZBOOT_MAGIC "zimg"
#define ZBOOT_PAYLOAD 8
#define ZBOOT_PAYLOAD_SIZE 12
#define ZBOOT_TYPE 24

#define GZIP_MAGIC "\x1f\x8b"
#define SIZE_FIELD 4 /* little-endian, behind what is packed; gzip's own is the end of it */

/* The first row that fits; then those of magic.c. */
static const struct {
	unsigned off;
	const char *magic;
	unsigned len;
	const char *kind;
} kinds[] = {
	{ BZIMAGE_MAGIC_AT, BZIMAGE_MAGIC, 4, "an x86 bzImage" },
	{ 0x38, "ARM\x64", 4, "an arm64 Image" },
	{ 0x38, "RSC\x05", 4, "a riscv64 Image" },
	{ ZBOOT_MAGIC_AT, ZBOOT_MAGIC, 4, "an EFI zboot image" },
	{ 0, "\x27\x05\x19\x56", 4, "a U-Boot image" },
	{ 0, "\xd0\x0d\xfe\xed", 4, "a device tree" },
	{ 0, "MZ", 2, "a PE (EFI or Windows) program" },
	{ 0, "#!", 2, "a script" },
};

static const struct {
	uint16_t machine;
	const char *kind;
} elf_kinds[] = {
	{ EM_X86_64, "an x86-64 ELF file" }, { EM_386, "a 32-bit x86 ELF file" },
	{ EM_AARCH64, "an arm64 ELF file" }, { EM_RISCV, "a RISC-V ELF file" },
	{ EM_ARM, "a 32-bit ARM ELF file" }, { EM_PPC64, "a PowerPC ELF file" },
	{ EM_S390, "an s390 ELF file" },
};

int image_open(struct image *img, const char *what, const char *path)
{
	struct stat st;
	int err;

	*img = (struct image){ .what = what, .path = path };
	img->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
	if (img->fd < 0) {
		err = errno;
		log_err("%s %s: %s", what, path, strerror(err));
		return -err;
	}
	if (fstat(img->fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		log_err("%s %s: %s, not a file", what, path,
			S_ISDIR(st.st_mode) ? "a directory" : "a device or pipe");
		err = EISDIR;
		goto close;
	}
	img->size = st.st_size;
	if (!img->size) {
		log_err("%s %s: an empty file", what, path);
		err = ENODATA;
		goto close;
	}
	if (image_read(img, 0, img->head, min_u64(img->size, sizeof(img->head))) < 0) {
		err = EIO;
		goto close;
	}
	return 0;

close:
	close(img->fd);
	return -err;
}

void image_close(struct image *img)
{
	close(img->fd);
}

int image_claim(const struct image *img, struct claims *claims)
{
	struct claim *claim;
	char *what;
	int r;

	if (asprintf(&what, "%s %s", img->what, img->path) < 0)
		return -ENOMEM;
	r = claim_read(claims, what, img->fd, false, &claim);
	free(what);
	return r;
}

int image_list_open(struct image_list *list, const char *what, const struct opt_list *paths)
{
	int r = 0;

	*list = (struct image_list){ .image = calloc(paths->count + 1, sizeof(*list->image)) };
	if (!list->image) {
		log_err("%s: %s", what, strerror(ENOMEM));
		return -ENOMEM;
	}
	while (r == 0 && list->count < paths->count) {
		r = image_open(&list->image[list->count], what, paths->item[list->count]);
		list->count += r == 0;
	}
	if (r < 0)
		image_list_close(list);
	return r;
}

void image_list_close(struct image_list *list)
{
	while (list->count)
		image_close(&list->image[--list->count]);
	free(list->image);
	*list = (struct image_list){ 0 };
}

uint64_t image_list_size(const struct image_list *initrds)
{
	uint64_t size = 0;
	unsigned i;

	for (i = 0; i < initrds->count; i++)
		size = align_up(size, 4) + initrds->image[i].size;
	return size;
}

/* What is between them is zero, as all memory. */
int image_list_load(const struct image_list *initrds, struct mem *mem, uint64_t gpa)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < initrds->count && r == 0; i++) {
		const struct image *initrd = &initrds->image[i];

		r = image_load(initrd, 0, mem, gpa, initrd->size);
		gpa = align_up(gpa + initrd->size, 4);
	}
	return r;
}

const char *image_kind(const struct image *img)
{
	const struct magic *packed;
	unsigned i;

	if (!memcmp(img->head, ELFMAG, SELFMAG)) {
		for (i = 0; i < ARRAY_SIZE(elf_kinds); i++) {
			if (le16_get(img->head + offsetof(Elf64_Ehdr, e_machine)) ==
			    elf_kinds[i].machine)
				return elf_kinds[i].kind;
		}
		return "an ELF file of another machine";
	}
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!memcmp(img->head + kinds[i].off, kinds[i].magic, kinds[i].len))
			return kinds[i].kind;
	}
	packed = magic_find(img->head, sizeof(img->head), NULL);
	return packed ? packed->kind : "nothing that looks like a kernel";
}

bool image_is_bzimage(const struct image *img)
{
	return !memcmp(img->head + BZIMAGE_MAGIC_AT, BZIMAGE_MAGIC, 4);
}

static bool in_bzimage(const struct image *img, uint64_t *off, uint64_t *len)
{
	uint64_t sects = img->head[BZIMAGE_SETUP_SECTS];
	uint64_t at = le32_get(img->head + BZIMAGE_PAYLOAD);

	*off = ((sects ? sects : 4) + 1) * 512 + at;
	*len = le32_get(img->head + BZIMAGE_PAYLOAD_SIZE);
	return le16_get(img->head + BZIMAGE_VERSION) >= BZIMAGE_HAS_PAYLOAD &&
	       range_ok(at, *len, le32_get(img->head + BZIMAGE_SYSSIZE) * 16ull);
}

static bool in_zboot(const struct image *img, uint64_t *off, uint64_t *len)
{
	*off = le32_get(img->head + ZBOOT_PAYLOAD);
	*len = le32_get(img->head + ZBOOT_PAYLOAD_SIZE);
	if (memcmp(img->head + ZBOOT_TYPE, "gzip", 4))
		*len += SIZE_FIELD;
	return true;
}

bool image_packed(const struct image *img, uint64_t *off, uint64_t *len)
{
	uint64_t from = 0, size = img->size;
	bool there;

	if (image_is_bzimage(img))
		there = in_bzimage(img, &from, &size);
	else if (!memcmp(img->head, "MZ", 2) &&
		 !memcmp(img->head + ZBOOT_MAGIC_AT, ZBOOT_MAGIC, 4))
		there = in_zboot(img, &from, &size);
	else
		there = !memcmp(img->head, GZIP_MAGIC, 2);
	if (!there || size <= SIZE_FIELD)
		return false;
	*off = from;
	*len = size;
	return true;
}

int image_read(const struct image *img, uint64_t off, void *dst, size_t len)
{
	/* Headers of a broken file may say anything; an offset beyond the end reads as the end. */
	bool inside = range_ok(off, len, img->size);
	uint8_t *to = dst;

	while (len) {
		ssize_t n = inside ? pread(img->fd, to, len, off) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n < 0 ? errno : ENODATA;

			log_err("%s %s: %s", img->what, img->path,
				n < 0 ? strerror(err) : "the file ends too early; is it whole?");
			return -err;
		}
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}

int image_load(const struct image *img, uint64_t off, struct mem *mem, uint64_t gpa, uint64_t len)
{
	void *to = mem_ptr(mem, gpa, len, 1);

	if (!to) {
		log_err("%s %s: does not fit: %llu KiB at %#llx are beyond the guest's memory",
			img->what, img->path, (unsigned long long)len >> 10,
			(unsigned long long)gpa);
		return -ENOMEM;
	}
	return image_read(img, off, to, len);
}
