/* SPDX-License-Identifier: MIT */
#include "vmm/run/kernel/modules.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/run/kernel/kernel_find.h"

#define MODULES_MAX 256     /* that a guest gets */
#define FILE_MAX MIB(256)   /* bytes of a module, unpacked, or of a list */
#define NAME_LEN 64
#define FOLDER "usr/lib/modules/"

/* What guests need; those of the second kind only when they ask for it. */
static const char *const at_boot[] = {
	"sd_mod", "sg", "virtio_scsi", "pvpanic_mmio", "pvpanic_pci", "virtio_pci", "virtio_mmio",
	"virtio_rng", "virtio_console", "ext4",
};
static const char *const when_asked[] = {
	"sr_mod", "virtio_blk", "virtio_net", "virtio_balloon", "vmw_vsock_virtio_transport",
	"erofs", "overlay", "virtiofs",
};

struct known {
	char name[NAME_LEN];
	const char *path; /* in the list's text */
};

struct module {
	char name[NAME_LEN];
	uint8_t *bytes;
	size_t size;
	const char *info; /* of it: KEY=VALUE, each with a NUL */
	size_t info_len;
	bool is_late;
	bool needs[MODULES_MAX]; /* by their numbers; softly, too */
};

struct set {
	const char *option;
	const struct kernel_found *found;
	char *list, *alias; /* texts */
	struct known *known;
	size_t nknown;
	struct module module[MODULES_MAX];
	unsigned count;
	unsigned order[MODULES_MAX], nordered; /* their numbers, in the order in which they load */
	bool late; /* what is taken now waits until it is asked for */
};

void modules_name(const char *path, char *name, unsigned size)
{
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	char *c;

	snprintf(name, size, "%.*s", (int)strcspn(file, ".:\n"), file);
	for (c = name; *c; c++)
		if (*c == '-')
			*c = '_';
}

/* The whole file and a NUL, malloc()ed. NULL, errno. */
static uint8_t *read_file(const char *path, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err = 0;
	uint8_t *bytes = NULL;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX)
		err = EFBIG;
	else
		bytes = malloc(st.st_size + 1);
	for (*size = 0; bytes && *size < (size_t)st.st_size; *size += n) {
		n = read(fd, bytes + *size, st.st_size - *size);
		if (n <= 0)
			break;
	}
	if (bytes)
		bytes[*size] = 0;
	close(fd);
	errno = err ? err : ENOMEM;
	return bytes;
}

/* A text in the kernel's folder of modules, malloc()ed; NULL: it is not there. */
static char *read_list(const struct set *s, const char *name)
{
	char *path, *text;
	size_t size;

	if (asprintf(&path, "%s/%s", s->found->modules, name) < 0)
		return NULL;
	text = (char *)read_file(path, &size);
	free(path);
	return text;
}

/* Which modules there are. */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct known *)a)->name, ((const struct known *)b)->name);
}

/* Lines of "PATH" or "PATH: ...", which are cut up. */
static int know_all(struct set *s)
{
	char *line, *rest;
	size_t lines = 1;

	s->list = read_list(s, "modules.dep");
	if (!s->list || !*s->list) {
		free(s->list);
		s->list = read_list(s, "modules.order");
	}
	s->alias = read_list(s, "modules.alias");
	if (!s->list)
		return -ENOENT;
	for (line = s->list; (line = strchr(line, '\n')); line++)
		lines++;
	s->known = calloc(lines, sizeof(*s->known));
	if (!s->known)
		return -ENOMEM;
	for (rest = s->list; (line = strsep(&rest, "\n"));) {
		line[strcspn(line, ":")] = 0;
		if (!*line)
			continue;
		modules_name(line, s->known[s->nknown].name, NAME_LEN);
		s->known[s->nknown++].path = line;
	}
	if (s->nknown)
		qsort(s->known, s->nknown, sizeof(*s->known), by_name);
	return 0;
}

static const struct known *know(const struct set *s, const char *name)
{
	struct known key = { .path = NULL };

	if (!s->nknown)
		return NULL;
	modules_name(name, key.name, sizeof(key.name));
	return bsearch(&key, s->known, s->nknown, sizeof(key), by_name);
}

/* A module. */

/* What gzip, xz or zstd has packed, in place of it. -errno. */
static int unpack_module(struct module *m)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	uint8_t *bytes = NULL, *more;
	size_t size = 0, room = 0;
	la_ssize_t n = -1;

	if (!a)
		return -ENOMEM;
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, m->bytes, m->size) == ARCHIVE_OK &&
	    archive_read_next_header(a, &e) == ARCHIVE_OK) {
		do {
			size += n > 0 ? n : 0;
			if (size == room) {
				room = room ? 2 * room : MIB(1);
				more = room <= 2 * FILE_MAX ? realloc(bytes, room) : NULL;
				if (!more)
					break;
				bytes = more;
			}
			n = archive_read_data(a, bytes + size, room - size);
		} while (n > 0);
	}
	archive_read_free(a);
	if (n) {
		free(bytes);
		return -EBADMSG;
	}
	free(m->bytes);
	m->bytes = bytes;
	m->size = size;
	return 0;
}

/* Finds .modinfo. False: that is no module of 64 bits. */
static bool find_info(struct module *m)
{
	const Elf64_Ehdr *elf = (const Elf64_Ehdr *)m->bytes;
	Elf64_Shdr names, part;
	unsigned i;

	if (m->size < sizeof(*elf) || memcmp(m->bytes, ELFMAG, SELFMAG) ||
	    elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_shentsize != sizeof(part) ||
	    elf->e_shoff > m->size ||
	    (m->size - elf->e_shoff) / sizeof(part) < elf->e_shnum ||
	    elf->e_shstrndx >= elf->e_shnum)
		return false;
	memcpy(&names, m->bytes + elf->e_shoff + elf->e_shstrndx * sizeof(part), sizeof(names));
	if (names.sh_offset > m->size || names.sh_size > m->size - names.sh_offset)
		return false;
	for (i = 0; i < elf->e_shnum; i++) {
		memcpy(&part, m->bytes + elf->e_shoff + i * sizeof(part), sizeof(part));
		if (names.sh_size < sizeof(".modinfo") ||
		    part.sh_name > names.sh_size - sizeof(".modinfo") ||
		    memcmp(m->bytes + names.sh_offset + part.sh_name, ".modinfo",
			   sizeof(".modinfo")) || part.sh_type == SHT_NOBITS ||
		    part.sh_offset > m->size || part.sh_size > m->size - part.sh_offset)
			continue;
		m->info = (const char *)m->bytes + part.sh_offset;
		m->info_len = part.sh_size;
		return m->info_len && !m->info[m->info_len - 1];
	}
	return false;
}

/* The next value of @key, behind @at; at first that is NULL. NULL: no more. */
static const char *info_next(const struct module *m, const char *key, const char *at)
{
	const char *end = m->info + m->info_len;
	size_t len = strlen(key);

	for (at = at ? at + strlen(at) + 1 : m->info; at < end; at += strlen(at) + 1)
		if (!strncmp(at, key, len) && at[len] == '=')
			return at + len + 1;
	return NULL;
}

/* As lists have it, or as a build tree does: without "kernel/", and as an object. */
static uint8_t *read_module(const struct set *s, const char *path, size_t *size)
{
	static const char *const packed[] = { "", ".xz", ".zst", ".gz" };
	size_t prefix = strncmp(path, "kernel/", 7) ? 0 : 7, len = strlen(path);
	bool object = len > 2 && !strcmp(path + len - 2, ".o");
	uint8_t *bytes = NULL;
	char *file;
	unsigned i;

	for (i = 0; i < 2 * ARRAY_SIZE(packed) && !bytes; i++) {
		if (asprintf(&file, "%s/%.*s%s%s", *path == '/' ? "" : s->found->modules,
			     (int)(len - object * 2), path, object ? ".ko" : "",
			     packed[i % ARRAY_SIZE(packed)]) < 0)
			return NULL;
		bytes = read_file(file, size);
		free(file);
		if (!bytes && errno != ENOENT)
			return NULL;
		if (i + 1 == ARRAY_SIZE(packed)) {
			path += prefix;
			len -= prefix;
		}
	}
	return bytes;
}

static int load(struct set *s, struct module *m, const struct known *k)
{
	int r = 0;

	m->bytes = read_module(s, k->path, &m->size);
	if (!m->bytes)
		r = -errno;
	else if (m->size < SELFMAG || memcmp(m->bytes, ELFMAG, SELFMAG))
		r = unpack_module(m);
	if (r == 0 && !find_info(m))
		r = -EBADMSG;
	if (r < 0)
		log_err("%s: the module %s in %s: %s", s->option, k->path, s->found->modules,
			r == -EBADMSG ? "it is damaged, or of another architecture" :
			strerror(-r));
	return r;
}

static int take(struct set *s, struct module *by, const char *name);

/* Calls take() for each word of @words; "pre:" is none, and what is behind "post:" can wait. */
static int take_each(struct set *s, struct module *by, const char *words, const char *between)
{
	char *copy = strdup(words), *rest = copy, *word;
	int r = copy ? 0 : -ENOMEM;

	while (r == 0 && (word = strsep(&rest, between))) {
		if (!strcmp(word, "post:"))
			break;
		if (*word && strcmp(word, "pre:"))
			r = take(s, by, word);
	}
	free(copy);
	return r;
}

/* Nobody of this name: those who are also called so, as crc32c_generic is crc32c. */
static int take_alias(struct set *s, struct module *by, const char *name)
{
	const char *at = s->alias;
	char key[NAME_LEN + 16], module[NAME_LEN];
	int r = 0;

	snprintf(key, sizeof(key), "alias %.*s ", NAME_LEN, name);
	while (r == 0 && at && (at = strstr(at, key))) {
		modules_name(at + strlen(key), module, sizeof(module));
		if ((at == s->alias || at[-1] == '\n') && know(s, module))
			r = take(s, by, module);
		at += strlen(key);
	}
	if (s->alias)
		return r;
	snprintf(module, sizeof(module), "%.*s_generic", NAME_LEN - 9, name);
	return know(s, module) ? take(s, by, module) : 0;
}

static int take_new(struct set *s, struct module *m, const struct known *k)
{
	const char *words = NULL;
	int r;

	memcpy(m->name, k->name, sizeof(m->name));
	m->is_late = s->late;
	r = load(s, m, k);
	while (r == 0 && (words = info_next(m, "depends", words)))
		r = take_each(s, m, words, ",");
	while (r == 0 && (words = info_next(m, "softdep", words)))
		r = take_each(s, m, words, " \t");
	s->order[s->nordered++] = m - s->module;
	return r;
}

/*
 * For @by, if that is not NULL; with those that it needs, which go before it. What the kernel has
 * built in, or not at all, is passed over.
 */
static int take(struct set *s, struct module *by, const char *name)
{
	const struct known *k = know(s, name);
	unsigned i;

	if (!k)
		return take_alias(s, by, name);
	for (i = 0; i < s->count && strcmp(s->module[i].name, k->name); i++)
		;
	if (i == MODULES_MAX) {
		log_err("%s: %s: more than %u modules need each other", s->option,
			s->found->modules, MODULES_MAX);
		return -E2BIG;
	}
	if (by)
		by->needs[i] = true;
	if (i < s->count)
		return 0;
	s->count++;
	return take_new(s, &s->module[i], k);
}

static int take_all(struct set *s)
{
	unsigned i;
	int r = know_all(s);

	for (i = 0; r == 0 && i < ARRAY_SIZE(at_boot); i++)
		r = take(s, NULL, at_boot[i]);
	s->late = true;
	for (i = 0; r == 0 && i < ARRAY_SIZE(when_asked); i++)
		r = take(s, NULL, when_asked[i]);
	return r;
}

/* The archive. */

static void pad(FILE *out, size_t len)
{
	fwrite("\0\0", 1, -len & 3, out);
}

/* @bytes NULL: a folder, or the end. */
static void put(FILE *out, const char *name, unsigned mode, const void *bytes, size_t size)
{
	size_t len = strlen(name) + 1;

	fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0, mode, 0, 0,
		1, 0, size, 0, 0, 0, 0, len, 0);
	fwrite(name, 1, len, out);
	pad(out, 110 + len);
	if (size)
		fwrite(bytes, 1, size, out);
	pad(out, size);
}

static void put_file(const struct set *s, FILE *out, const char *name, const void *bytes,
		     size_t size)
{
	char path[512];

	snprintf(path, sizeof(path), FOLDER "%s/%s", s->found->release, name);
	put(out, path, S_IFREG | 0644, bytes, size);
}

/* What it depends on, and what that does, for modprobe, which loads the last one first. */
static void print_needs(const struct set *s, FILE *out, unsigned at)
{
	bool needs[MODULES_MAX];
	unsigned i, k;

	memcpy(needs, s->module[s->order[at]].needs, sizeof(needs));
	fprintf(out, "%s.ko:", s->module[s->order[at]].name);
	for (i = at; i--;) { /* who needs another one comes behind it */
		if (!needs[s->order[i]])
			continue;
		fprintf(out, " %s.ko", s->module[s->order[i]].name);
		for (k = 0; k < s->count; k++)
			needs[k] |= s->module[s->order[i]].needs[k];
	}
	fputc('\n', out);
}

static void print_aliases(const struct module *m, FILE *out)
{
	const char *alias = NULL;

	while ((alias = info_next(m, "alias", alias)))
		fprintf(out, "alias %s %s\n", alias, m->name);
}

static void print_boot(const struct set *s, FILE *out)
{
	const struct module *m;
	unsigned i;

	for (i = 0; i < s->nordered; i++) {
		m = &s->module[s->order[i]];
		if (!m->is_late)
			fprintf(out, "/lib/modules/%s/%s.ko\n", s->found->release, m->name);
	}
}

enum list { BOOT, NEEDS, ALIASES };

static void put_list(const struct set *s, FILE *out, enum list what)
{
	char *text = NULL;
	size_t size = 0;
	FILE *list = open_memstream(&text, &size);
	unsigned i;

	if (!list)
		return;
	if (what == BOOT)
		print_boot(s, list);
	for (i = 0; what != BOOT && i < s->nordered; i++) {
		if (what == NEEDS)
			print_needs(s, list, i);
		else
			print_aliases(&s->module[s->order[i]], list);
	}
	fclose(list);
	if (what == BOOT)
		put(out, "etc/modules", S_IFREG | 0644, text, size);
	else
		put_file(s, out, what == NEEDS ? "modules.dep" : "modules.alias", text, size);
	free(text);
}

static void put_all(const struct set *s, FILE *out)
{
	char *builtin = read_list(s, "modules.builtin"), path[512];
	const struct module *m;
	char name[NAME_LEN + 4];
	unsigned i;

	put(out, "usr/lib/modules", S_IFDIR | 0755, NULL, 0);
	snprintf(path, sizeof(path), FOLDER "%s", s->found->release);
	put(out, path, S_IFDIR | 0755, NULL, 0);
	for (i = 0; i < s->count; i++) {
		m = &s->module[i];
		snprintf(name, sizeof(name), "%s.ko", m->name);
		put_file(s, out, name, m->bytes, m->size);
	}
	if (builtin)
		put_file(s, out, "modules.builtin", builtin, strlen(builtin));
	put_list(s, out, BOOT);
	put_list(s, out, NEEDS);
	put_list(s, out, ALIASES);
	put(out, "TRAILER!!!", 0, NULL, 0);
	free(builtin);
}

/* -errno. */
static int write_all(const struct set *s)
{
	int fd = memfd_create("modules", MFD_CLOEXEC), copy, r = 0;
	FILE *out;

	if (fd < 0)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	out = copy < 0 ? NULL : fdopen(copy, "we");
	if (out)
		put_all(s, out);
	if (!out || ferror(out))
		r = -ENOMEM;
	if (out && fclose(out) == EOF)
		r = -errno;
	else if (!out && copy >= 0)
		close(copy);
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static void free_set(struct set *s)
{
	unsigned i;

	for (i = 0; i < s->count; i++)
		free(s->module[i].bytes);
	free(s->list);
	free(s->alias);
	free(s->known);
	free(s);
}

int modules_archive(const char *option, const struct kernel_found *found)
{
	struct set *s = calloc(1, sizeof(*s));
	unsigned before = log_errors();
	int r = -ENOMEM;

	if (s) {
		s->option = option;
		s->found = found;
		r = take_all(s);
		if (r == 0)
			r = write_all(s);
		free_set(s);
	}
	if (r < 0 && log_errors() == before)
		log_err("%s: modules of %s: %s", option, found->modules, strerror(-r));
	return r;
}
