/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel/kernel_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/image.h"
#include "vmm/machine/unpack.h"

#define BEGIN_MARK "IKCFG_ST\x1f\x8b\x08" /* and how gzip data begins */
#define BEGIN_LEN 8
#define END_MARK "IKCFG_ED"
#define TEXT_MAX MIB(4)
#define SIZE_FIELD 4 /* little-endian, behind what is packed */

/* Kernels of no version, and where their configuration is, from their folder. */
static const struct {
	const char *kernel, *config;
} beside[] = {
	{ "vmlinux", "config" },
	{ "vmlinux", ".config" },
	{ "vmlinuz", "config" },
	{ "bzImage", "config" },
	{ "bzImage", "../../../.config" }, /* arch/x86/boot */
	{ "Image", "../../../.config" },   /* arch/arm64/boot, arch/riscv/boot */
};

static int read_text(const char *path, struct kernel_config *config)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size <= TEXT_MAX) {
		config->text = malloc(st.st_size + 1);
		if (config->text)
			n = read(fd, config->text, st.st_size);
	}
	close(fd);
	if (n <= 0) {
		kernel_config_free(config);
		return -ENOENT;
	}
	config->text[n] = 0;
	snprintf(config->from, sizeof(config->from), "%s", path);
	return 0;
}

int kernel_config_beside(const char *path, struct kernel_config *config)
{
	const char *name = strrchr(path, '/'), *version;
	int folder, r = -ENOENT;
	char file[PATH_MAX];
	unsigned i;

	*config = (struct kernel_config){ 0 };
	name = name ? name + 1 : path;
	folder = name - path;
	version = strchr(name, '-');
	if (version) {
		snprintf(file, sizeof(file), "%.*sconfig%s", folder, path, version);
		return read_text(file, config);
	}
	for (i = 0; r < 0 && i < ARRAY_SIZE(beside); i++) {
		if (strcmp(name, beside[i].kernel))
			continue;
		snprintf(file, sizeof(file), "%.*s%s", folder, path, beside[i].config);
		r = read_text(file, config);
	}
	return r;
}

/* Between the marks. -ENOENT: there are none. */
static int find_inside(const uint8_t *kernel, size_t size, struct kernel_config *config)
{
	const uint8_t *from = memmem(kernel, size, BEGIN_MARK, strlen(BEGIN_MARK)), *to;
	uint32_t len;

	if (!from)
		return -ENOENT;
	from += BEGIN_LEN;
	to = memmem(from, kernel + size - from, END_MARK, strlen(END_MARK));
	if (!to || to - from < 4)
		return -ENOENT;
	len = le32_get(to - 4); /* gzip's last word: how much it is */
	if (len > TEXT_MAX)
		return -ENOENT;
	config->text = malloc(len + 1);
	if (!config->text || unpack(from, to - from, config->text, len) < 0) {
		kernel_config_free(config);
		return -ENOENT;
	}
	config->text[len] = 0;
	return 0;
}

/* malloc()ed. NULL after one line. */
static uint8_t *read_part(const struct image *img, uint64_t off, size_t len)
{
	uint8_t *bytes = malloc(len);

	if (!bytes)
		log_err("%s %s: %s", img->what, img->path, strerror(ENOMEM));
	else if (image_read(img, off, bytes, len) < 0) {
		free(bytes);
		bytes = NULL;
	}
	return bytes;
}

/* What @img has packed in it, @size bytes. NULL after one line. */
static uint8_t *unpack_kernel(const struct image *img, const uint8_t *packed, size_t len,
			      size_t size)
{
	uint8_t *all = malloc(min_u64(size, UNPACK_MAX) + 1); /* not nothing */
	int r = all ? unpack(packed, len, all, size) : -ENOMEM;

	if (r == 0)
		return all;
	log_err("%s %s: the %zu MiB that it has packed by %s cannot be unpacked: %s", img->what,
		img->path, size >> 20, unpack_format(packed, len),
		r == -ENOMEM ? strerror(ENOMEM) : "the file is damaged");
	free(all);
	return NULL;
}

/* The kernel in @img; unpacked, if the format is known here. NULL after one line. */
static uint8_t *read_kernel(const struct image *img, size_t *size)
{
	uint64_t off = 0, len = img->size;
	bool packed = image_packed(img, &off, &len);
	uint8_t *bytes, *all;
	size_t unpacked;

	*size = len = min_u64(len, UNPACK_MAX);
	bytes = read_part(img, off, len);
	if (!bytes)
		return NULL;
	if (packed)
		len -= SIZE_FIELD;
	unpacked = packed ? le32_get(bytes + len) : unpack_size(bytes, len);
	if (!unpacked || !unpack_format(bytes, len))
		return bytes;
	*size = unpacked;
	all = unpack_kernel(img, bytes, len, unpacked);
	free(bytes);
	return all;
}

static bool is_text(const struct image *img)
{
	return !memchr(img->head, 0, min_u64(img->size, IMAGE_HEAD)) &&
	       memmem(img->head, IMAGE_HEAD, "CONFIG_", strlen("CONFIG_"));
}

int kernel_config_find(const struct image *img, struct kernel_config *config)
{
	uint8_t *all;
	size_t size;
	int r;

	*config = (struct kernel_config){ 0 };
	if (is_text(img))
		return read_text(img->path, config);
	all = read_kernel(img, &size);
	if (!all)
		return -EIO;
	r = find_inside(all, size, config);
	free(all);
	if (r < 0)
		return kernel_config_beside(img->path, config);
	snprintf(config->from, sizeof(config->from), "%s", img->path);
	return 0;
}

void kernel_config_free(struct kernel_config *config)
{
	free(config->text);
	config->text = NULL;
}

char kernel_config_get(const struct kernel_config *config, const char *option)
{
	const char *at = config->text;
	size_t len = strlen(option);

	while ((at = strstr(at, option))) {
		const char *name = at - strlen("CONFIG_");

		at += len;
		if (name >= config->text && !strncmp(name, "CONFIG_", strlen("CONFIG_")) &&
		    (name == config->text || name[-1] == '\n') && *at == '=')
			return at[1];
	}
	return 'n';
}
