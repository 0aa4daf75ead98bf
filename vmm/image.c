#include "vmm/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/unpack.h"

#define SIZE_FIELD 4         /* little-endian, behind what is packed */
#define UNPACKED_MAX GIB(1)

/* The first row that fits. */
static const struct {
	unsigned off;
	const char *magic;
	unsigned len;
	const char *kind;
} kinds[] = {
	{ 0x202, "HdrS", 4, "an x86 bzImage" },
	{ 0x38, "ARM\x64", 4, "an arm64 Image" },
	{ 0x38, "RSC\x05", 4, "a riscv64 Image" },
	{ 4, "zimg", 4, "an EFI zboot image" },
	{ 0, "\x1f\x8b", 2, "gzip data" },
	{ 0, "\x28\xb5\x2f\xfd", 4, "zstd data" },
	{ 0, "\xfd" "7zXZ", 5, "xz data" },
	{ 0, "BZh", 3, "bzip2 data" },
	{ 0, "\x02\x21\x4c\x18", 4, "lz4 data" },
	{ 0, "\x04\x22\x4d\x18", 4, "lz4 data" },
	{ 0, "07070", 5, "a cpio archive (an initrd?)" },
	{ 0, "\x27\x05\x19\x56", 4, "a U-Boot image" },
	{ 0, "\xd0\x0d\xfe\xed", 4, "a device tree" },
	{ 0, "QFI\xfb", 4, "a qcow2 disk" },
	{ 0, "!<arch>", 7, "an archive (a Debian package?)" },
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
		err = EINVAL;
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
	free(img->packed);
	if (img->fd >= 0)
		close(img->fd);
}

const char *image_kind(const struct image *img)
{
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
	return "nothing that looks like a kernel";
}

static int read_file(const struct image *img, uint64_t off, void *dst, size_t len)
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

int image_read(const struct image *img, uint64_t off, void *dst, size_t len)
{
	if (!img->packed)
		return read_file(img, off, dst, len);
	if (!range_ok(off, len, min_u64(img->size, IMAGE_HEAD))) {
		log_err("%s %s: its headers are not where the packed file begins", img->what,
			img->path);
		return -ENODATA;
	}
	memcpy(dst, img->head + off, len);
	return 0;
}

/* A place in a buffer that takes everything. */
static void *place_in_buffer(void *arg, uint64_t at, uint64_t *len)
{
	(void)len;
	return (uint8_t *)arg + at;
}

/* The first @end bytes. -errno after one line. */
static int unpack_image(const struct image *img, uint64_t end, unpack_place *place, void *arg)
{
	int r = unpack(img->packed, img->packed_len, end, place, arg);

	if (r < 0)
		log_err("%s %s: what it has packed by %s cannot be unpacked: %s", img->what,
			img->path, unpack_format(img->packed, img->packed_len),
			r == -ENOMEM ? strerror(ENOMEM) : "it is damaged");
	return r;
}

static int unpack_head(struct image *img)
{
	img->size = le32_get(img->packed + img->packed_len);
	if (img->size > UNPACKED_MAX) {
		log_err("%s %s: what it has packed is damaged: it would be %llu MiB", img->what,
			img->path, (unsigned long long)img->size >> 20);
		return -EBADMSG;
	}
	return unpack_image(img, min_u64(img->size, IMAGE_HEAD), place_in_buffer, img->head);
}

int image_unpack(const struct image *outer, uint64_t off, uint64_t len, struct image *inner)
{
	int r;

	*inner = (struct image){ .what = outer->what, .path = outer->path, .fd = -1 };
	if (len <= SIZE_FIELD || len > UNPACKED_MAX)
		return -ENOTSUP;
	inner->packed_len = len - SIZE_FIELD;
	inner->packed = malloc(len);
	if (!inner->packed) {
		log_err("%s %s: %s", outer->what, outer->path, strerror(ENOMEM));
		return -ENOMEM;
	}
	r = read_file(outer, off, inner->packed, len);
	if (r == 0 && !unpack_format(inner->packed, inner->packed_len))
		r = -ENOTSUP;
	if (r == 0)
		r = unpack_head(inner);
	if (r < 0)
		image_close(inner);
	return r;
}

uint8_t *image_unpack_all(const struct image *img)
{
	uint8_t *all = malloc(img->size + 1); /* not nothing */

	if (!all)
		log_err("%s %s: %s", img->what, img->path, strerror(ENOMEM));
	else if (unpack_image(img, img->size, place_in_buffer, all) < 0) {
		free(all);
		all = NULL;
	}
	return all;
}

/* Where parts go: they have been looked up already. */
struct places {
	const struct image_part *part;
	uint8_t **to;
	unsigned count;
};

static void *place_in_guest(void *arg, uint64_t at, uint64_t *len)
{
	const struct places *p = arg;
	unsigned i;

	for (i = 0; i < p->count; i++) {
		const struct image_part *part = &p->part[i];

		if (at < part->off) {
			*len = min_u64(*len, part->off - at);
			return NULL;
		}
		if (at - part->off < part->len) {
			*len = min_u64(*len, part->off + part->len - at);
			return p->to[i] + (at - part->off);
		}
	}
	return NULL;
}

/* The place of a part whose forerunner in the file ends at @end. NULL after one line. */
static uint8_t *find_place(const struct image *img, struct mem *mem, const struct image_part *part,
			   uint64_t end)
{
	uint8_t *to = mem_ptr(mem, part->gpa, part->len, 1);

	if (!range_ok(part->off, part->len, img->size)) {
		log_err("%s %s: the file ends too early; is it whole?", img->what, img->path);
		return NULL;
	}
	if (img->packed && part->off < end) {
		log_err("%s %s: the packed file's parts overlap", img->what, img->path);
		return NULL;
	}
	if (!to)
		log_err("%s %s: does not fit: %llu KiB at %#llx are beyond the guest's memory",
			img->what, img->path, (unsigned long long)part->len >> 10,
			(unsigned long long)part->gpa);
	return to;
}

int image_load(const struct image *img, struct mem *mem, const struct image_part *part,
	       unsigned count)
{
	uint8_t *to[IMAGE_PARTS];
	struct places p = { part, to, count };
	uint64_t end = 0;
	unsigned i;
	int r = 0;

	BUG_ON(count > IMAGE_PARTS);
	for (i = 0; i < count; i++) {
		to[i] = find_place(img, mem, &part[i], end);
		if (!to[i])
			return -ENOEXEC;
		end = part[i].off + part[i].len;
	}
	if (img->packed)
		return unpack_image(img, end, place_in_guest, &p);
	for (i = 0; r == 0 && i < count; i++)
		r = read_file(img, part[i].off, to[i], part[i].len);
	return r;
}
