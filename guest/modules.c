/* SPDX-License-Identifier: MIT */
/*
 * modules.c - kernel modules from their files, and why a driver is not there.
 *
 * Distributions pack modules with gzip, xz or zstd. A kernel may be able to unpack one of these, or
 * none, so that it is done here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest/init.h"
#include "guest/packed.h"

#define FAILED_MAX 32

/* What could not be loaded, for module_why(). */
static struct {
	char name[56], why[128];
} failed[FAILED_MAX];
static unsigned nfailed;

static int load_open(int fd, const char *words)
{
	void *file, *image;
	struct stat st;
	size_t size;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	file = st.st_size ? mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (file == MAP_FAILED)
		return st.st_size ? -errno : -ENOEXEC;
	r = packed_unpack(file, st.st_size, &image, &size);
	munmap(file, st.st_size);
	if (r == -ENOTSUP)
		return syscall(SYS_finit_module, fd, words, 0) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	r = syscall(SYS_init_module, image, size, words) < 0 ? -errno : 0;
	free(image);
	return r;
}

/* A module's name, and not its file's: "virtio-pci.ko.xz" is virtio_pci. */
static void name_of(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	char *c;

	snprintf(name, size, "%.*s", (int)strcspn(file, "."), file);
	for (c = name; *c; c++)
		if (*c == '-')
			*c = '_';
}

/* "virtio-pci" and "virtio_pci.force_legacy=1" are about the same module. */
static bool is_about(const char *word, const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (word[i] != name[i] && (word[i] != '-' || name[i] != '_'))
			return false;
	return word[len] == '.';
}

/* The parameters that the kernel's command line has for this module. */
static void words_for(const char *name, char *to, size_t size)
{
	char line[4096], *word, *rest = init_read("/proc/cmdline", line, sizeof(line));
	size_t len = strlen(name), at = 0;

	*to = 0;
	while ((word = strsep(&rest, " \n")))
		if (is_about(word, name, len) && at < size)
			at += snprintf(to + at, size - at, "%s ", word + len + 1);
}

/* In the words of modprobe, which users know. */
static const char *load_error(int err)
{
	switch (err) {
	case ENOEXEC:
		return "Invalid module format: it is not for this kernel";
	case ENOENT:
		return "Unknown symbol: it is not for this kernel, or needs another module";
	case EBADMSG:
		return "the file is damaged";
	default:
		return strerror(err);
	}
}

static void has_failed(const char *name, const char *why)
{
	init_log("module %s could not be loaded: %s", name, why);
	if (nfailed == FAILED_MAX)
		return;
	snprintf(failed[nfailed].name, sizeof(failed[nfailed].name), "%s", name);
	snprintf(failed[nfailed].why, sizeof(failed[nfailed].why), "%s", why);
	nfailed++;
}

void module_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	char words[4096], name[56];

	name_of(path, name, sizeof(name));
	words_for(name, words, sizeof(words));
	r = fd < 0 ? -errno : load_open(fd, words);
	if (fd < 0)
		has_failed(name, strerror(-r));
	else if (r < 0 && r != -EEXIST && r != -ENODEV)
		has_failed(name, load_error(-r));
	if (fd >= 0)
		close(fd);
}

void module_probe(const char *name)
{
	char command[80], line[128] = "";
	FILE *out;

	if (access(MODULES, F_OK) < 0)
		return; /* an initramfs without modules is for kernels that have none */
	snprintf(command, sizeof(command), "modprobe %s 2>&1", name);
	out = popen(command, "re");
	if (out && !fgets(line, sizeof(line), out))
		*line = 0;
	line[strcspn(line, "\n")] = 0;
	if ((!out || pclose(out) != 0))
		has_failed(name, *line ? line : "there is no modprobe");
}

const char *module_why(const char *name, char *text, size_t size)
{
	unsigned i;

	for (i = 0; i < nfailed; i++) {
		if (strcmp(failed[i].name, name))
			continue;
		snprintf(text, size, "module %s could not be loaded: %s", name, failed[i].why);
		return text;
	}
	snprintf(text, size, "this kernel has no %s, and the initramfs no module of it", name);
	return text;
}
