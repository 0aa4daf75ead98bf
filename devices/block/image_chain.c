/* SPDX-License-Identifier: MIT */
#include "devices/block/image_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/child.h"
#include "vmm/core/claim.h"
#include "vmm/core/lock.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"

#define LOOK_MS 10000 /* for qemu-img */
#define SAID_MAX (256u << 10)
#define THERE "/proc/self/fd/3" /* the image, as it is called there: CHILD_FD */

/* JSON. */

/* A code point as UTF-8. */
static char *put_utf8(char *to, uint32_t c)
{
	unsigned more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3, i;
	static const uint8_t first[] = { 0, 0xc0, 0xe0, 0xf0 };

	*to++ = (char)(first[more] | c >> 6 * more);
	for (i = more; i--;)
		*to++ = (char)(0x80 | (c >> 6 * i & 0x3f));
	return to;
}

/* Four hex digits at @at; -1: there are none. */
static int hex4(const char *at)
{
	char digits[5] = "", *end;

	strncpy(digits, at, 4);
	if (strspn(digits, "0123456789abcdefABCDEF") != 4)
		return -1;
	return (int)strtol(digits, &end, 16);
}

/* What is behind a backslash; a pair of surrogates is one character. NULL: it makes no sense. */
static const char *unescape(const char *at, char **to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const char *simple = *at ? strchr(from, *at) : NULL;
	int c, low;

	if (simple) {
		*(*to)++ = into[simple - from];
		return at + 1;
	}
	c = *at == 'u' ? hex4(at + 1) : -1;
	if (c <= 0)
		return NULL;
	at += 5;
	if (c >= 0xd800 && c < 0xdc00 && at[0] == '\\' && at[1] == 'u') {
		low = hex4(at + 2);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		c = 0x10000 + ((c & 0x3ff) << 10) + (low & 0x3ff);
		at += 6;
	}
	*to = put_utf8(*to, (uint32_t)c);
	return at;
}

char *image_json_text(const char *text, const char *key, size_t *at)
{
	size_t len = strlen(key);
	const char *from = text + *at, *quote;
	char *value, *to;

	while ((quote = strchr(from, '"'))) {
		from = quote + 1;
		if (strncmp(from, key, len) || from[len] != '"')
			continue;
		from += len + 1;
		from += strspn(from, " \t\r\n");
		if (*from != ':')
			continue;
		from++;
		from += strspn(from, " \t\r\n");
		if (*from == '"')
			break;
	}
	value = quote ? malloc(strlen(from)) : NULL;
	if (!value)
		return NULL;
	for (to = value, from++; from && *from && *from != '"';) {
		if (*from == '\\')
			from = unescape(from + 1, &to);
		else
			*to++ = *from++;
	}
	*to = 0;
	if (from && *from) {
		*at = (size_t)(from + 1 - text);
		return value;
	}
	free(value);
	return NULL;
}

/* What qemu-img tells. */

int image_no_program(const char *path, const char *format, const char *program)
{
	log_err("%s: is %s, which %s would serve, and there is none; as root: apt-get install "
		"qemu-utils; or 'qemu-img convert -O raw FILE NEW' elsewhere makes a raw disk",
		path, format, program);
	return -EMEDIUMTYPE;
}

static int report_look(const struct image_file *f, const char *words, int err)
{
	const char *format = block_format_words[f->format], *why;

	if (err == ENOENT)
		return image_no_program(f->path, format, "qemu-nbd");
	why = strstr(words, THERE "': ");
	if (err == ETIMEDOUT)
		log_err("%s: qemu-img has not told what it is within %d s", f->path,
			LOOK_MS / 1000);
	else if (err)
		log_err("%s: qemu-img: %s", f->path, strerror(err));
	else
		log_err("%s: is not to be read as %s: %s", f->path, format,
			why ? why + strlen(THERE "': ") : *words ? words : "qemu-img fails");
	return err ? -err : -EMEDIUMTYPE;
}

/* All of a file, as text, malloc()ed. NULL: it is empty, or too long. */
static char *text_of(int fd)
{
	off_t len = lseek(fd, 0, SEEK_END);
	char *text = len > 0 && len <= SAID_MAX ? malloc((size_t)len + 1) : NULL;

	if (text && pread(fd, text, (size_t)len, 0) == len) {
		text[len] = 0;
		return text;
	}
	free(text);
	return NULL;
}

/*
 * What an image says of itself, malloc()ed JSON. Our lock is not in the way (-U), and nothing that
 * it names is opened. NULL after one line.
 */
static char *look(const struct image_file *f)
{
	const char *const argv[] = { "qemu-img", "info", "--output=json", "-U", "-f",
				     block_format_words[f->format], THERE, NULL };
	struct child_spec spec = { .argv = argv, .given = &f->fd, .ngiven = 1, .sig = SIGKILL,
				   .out = memfd_create("qemu-img", MFD_CLOEXEC) };
	struct child child = CHILD_NONE;
	char words[512] = "", *text = NULL;
	int r = spec.out < 0 ? -errno : child_start(&child, &spec);

	if (!r && !child_await(&child, -1, LOOK_MS))
		r = -ETIMEDOUT;
	if (!r)
		child_words(&child, words, sizeof(words));
	child_end(&child, 0, 0);
	if (!r)
		text = text_of(spec.out);
	if (spec.out >= 0)
		close(spec.out);
	if (!text)
		errno = -report_look(f, words, -r);
	return text;
}

/* Its bytes are in it, and nowhere else. */
static int check_alone(const struct image_file *f, const char *info)
{
	size_t at = 0;
	char *data = image_json_text(info, "data-file", &at), *name;
	int r = 0;

	for (at = 0; !r && !data && (name = image_json_text(info, "filename", &at)); free(name)) {
		if (strcmp(name, THERE))
			data = strdup(name);
	}
	if (data) {
		log_err("%s: has its data in another file, %s, which could be any of this host's; "
			"'qemu-img convert -O raw FILE NEW' makes a raw disk", f->path, data);
		r = -EMEDIUMTYPE;
	}
	free(data);
	return r;
}

/* Opening. */

static int open_one(struct image_file *f, const struct block_open *how, bool readonly)
{
	struct stat st;
	char *what;
	int r;

	f->fd = open(f->path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f->fd < 0 || fstat(f->fd, &st) < 0) {
		r = -errno;
		log_err("%s: cannot be opened: %s%s", f->path, strerror(-r),
			!readonly && (r == -EACCES || r == -EROFS) ?
			"; add readonly=on to attach it read-only" : "");
		return r;
	}
	f->device = S_ISBLK(st.st_mode);
	if (!f->device && !S_ISREG(st.st_mode)) {
		log_err("%s: is neither a file nor a block device", f->path);
		return -ENOTBLK;
	}
	if (how->claims) {
		if (asprintf(&what, "%s %s", how->option, f->path) < 0)
			return -ENOMEM;
		r = claim_read(how->claims, what, f->fd, false, &f->claim);
		free(what);
		if (r < 0)
			return r;
	}
	return lock_image(f->fd, f->path, !readonly);
}

static enum block_format format_of(const char *word)
{
	unsigned i;

	for (i = BLOCK_FORMAT_RAW; word && block_format_words[i]; i++) {
		if (!strcmp(block_format_words[i], word))
			return i;
	}
	return BLOCK_FORMAT_AUTO;
}

/* A folder without links, malloc()ed: of the file @path, or of what it leads to. */
static char *folder_of(const char *path, bool through)
{
	char *copy = through ? realpath(path, NULL) : strdup(path), *folder;

	folder = copy ? realpath(dirname(copy), NULL) : NULL;
	free(copy);
	return folder;
}

/* Where the backing file @name of @f is, as QEMU has it: beside it. malloc()ed. */
static char *path_of(const struct image_file *f, const char *name)
{
	char *copy = strdup(f->path), *path = NULL;

	if (copy && (*name == '/' ? asprintf(&path, "%s", name) :
				    asprintf(&path, "%s/%s", dirname(copy), name)) < 0)
		path = NULL;
	free(copy);
	return path;
}

/* "json:...", "nbd://...": what QEMU would take for something else than a file. */
static bool is_no_file(const char *name)
{
	size_t len = strcspn(name, ":/");

	return name[len] == ':';
}

static int refuse(const struct image_file *f, const char *name, const char *why)
{
	log_err("%s: its backing file %s %s", f->path, name, why);
	return -EMEDIUMTYPE;
}

static int check_near(const struct image_chain *c, const struct image_file *f, const char *name,
		      const char *path)
{
	char *ours = folder_of(c->file[0].path, true), *its = folder_of(path, true);
	bool near = ours && its && !strcmp(ours, its);

	free(ours);
	free(its);
	if (near || access(path, F_OK) < 0) /* opening says why */
		return 0;
	return refuse(f, name, "is not in its folder, and could be any file of this host's; "
		      "backing=any takes it");
}

/* The next file of the chain; 0 without one, too. */
static int add_backing(struct image_chain *c, const struct block_open *how, const char *info)
{
	const struct image_file *f = &c->file[c->n - 1];
	size_t at = 0, from = 0;
	char *name = image_json_text(info, "backing-filename", &at);
	char *word = name ? image_json_text(info, "backing-filename-format", &from) : NULL;
	enum block_format format = format_of(word);
	struct image_file *next = &c->file[c->n];
	int r = 0;

	if (!name)
		goto out;
	if (is_no_file(name))
		r = refuse(f, name, "is none by its name");
	else if (f->format != BLOCK_FORMAT_QCOW2)
		r = refuse(f, name, "is not taken but by qcow2; 'qemu-img convert' makes one file");
	else if (!format)
		r = refuse(f, name, "may have any format, as it names none; "
			   "'qemu-img rebase -u -b BACKING -F FORMAT FILE' names it");
	else if (c->n == IMAGE_FILES_MAX)
		r = refuse(f, name, "is one too many; 'qemu-img convert' makes one file of all");
	if (r < 0)
		goto out;
	*next = (struct image_file){ .fd = -1, .format = format, .path = path_of(f, name) };
	c->n++;
	r = next->path ? 0 : -ENOMEM;
	if (!r && !how->backing_anywhere)
		r = check_near(c, f, name, next->path);
	if (!r)
		r = open_one(next, how, true);
out:
	free(name);
	free(word);
	return r;
}

int image_chain_open(struct image_chain *c, const struct block_open *how, enum block_format format)
{
	struct image_file *last = c->file;
	char *info;
	int r;

	*last = (struct image_file){ .fd = -1, .format = format, .path = strdup(how->path) };
	c->n = 1;
	r = last->path ? open_one(last, how, how->readonly) : -ENOMEM;
	while (!r && last->format != BLOCK_FORMAT_RAW) {
		unsigned n = c->n;

		info = look(last);
		r = info ? check_alone(last, info) : -errno;
		if (!r)
			r = add_backing(c, how, info);
		free(info);
		if (r || c->n == n)
			break;
		last = &c->file[n];
	}
	return r;
}

void image_chain_close(struct image_chain *c)
{
	struct image_file *f;

	while (c->n) {
		f = &c->file[--c->n];
		if (f->fd >= 0) {
			unlock_image(f->fd);
			close(f->fd);
		}
		claim_drop(f->claim);
		free(f->path);
	}
}

bool image_chain_is_even(const struct image_chain *c)
{
	struct stat st;
	unsigned i;

	for (i = 0; i < c->n; i++) {
		if (fstat(c->file[i].fd, &st) < 0 || st.st_size % 512)
			return false;
	}
	return true;
}

/* Everything is said, so that nothing is left for an image to say. Its locks are ours. */
void image_chain_put(const struct image_chain *c, int first, const char *aio, bool direct,
		     FILE *out)
{
	unsigned i;

	for (i = 0; i < c->n; i++) {
		fprintf(out, "%s{\"driver\":\"%s\",\"discard\":\"unmap\",\"file\":{\"driver\":"
			"\"%s\",\"filename\":\"/proc/self/fd/%d\",\"locking\":\"off\","
			"\"aio\":\"%s\",\"discard\":\"unmap\",\"cache\":{\"direct\":%s}}",
			i ? ",\"backing\":" : "", block_format_words[c->file[i].format],
			c->file[i].device ? "host_device" : "file", first + (int)i, aio,
			direct ? "true" : "false");
		if (i + 1 == c->n && c->file[i].format != BLOCK_FORMAT_RAW)
			fputs(",\"backing\":null", out);
	}
	for (i = 0; i < c->n; i++)
		putc('}', out);
}
