#include "vmm/kernel/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"

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
