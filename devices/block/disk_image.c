/* SPDX-License-Identifier: MIT */
#include "devices/block/disk_image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "devices/block/image_chain.h"
#include "devices/block/nbd.h"
#include "devices/block/nbd_uri.h"
#include "devices/block/uring.h"
#include "vmm/core/child.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/magic.h"
#include "vmm/core/util.h"

#define PAGE 4096u
#define END_MS 60000 /* what it has not yet written it may write */
#define WORDS_MAX 512

struct image {
	struct nbd nbd; /* with the block */
	struct image_chain chain;
	struct child child;
	char *by;
	pthread_mutex_t lock; /* of the following */
	char words[WORDS_MAX]; /* its last ones */
};

static struct image *image_of(struct block *block)
{
	return container_of(container_of(block, struct nbd, block), struct image, nbd);
}

/* Is it one? */

/* By its name; AUTO: by that it is none. */
static enum block_format format_of_name(const char *path)
{
	const char *dot = strrchr(path, '.');
	unsigned i;

	for (i = BLOCK_FORMAT_QCOW2; dot && block_format_words[i]; i++) {
		if (!strcasecmp(dot + 1, block_format_words[i]))
			return i;
	}
	return BLOCK_FORMAT_AUTO;
}

/* By its first bytes; what cannot be read is for others to say. */
static bool begins_as(const char *path, enum block_format format)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint8_t head[MAGIC_HEAD];
	const struct magic *m;
	ssize_t len;

	if (fd < 0)
		return false;
	len = pread(fd, head, sizeof(head), 0);
	close(fd);
	m = len > 0 ? magic_find(head, len, NULL) : NULL;
	return m && m->format && !strcmp(m->format, block_format_words[format]);
}

static enum block_format format_of(const struct block_open *how)
{
	enum block_format format = how->format;

	if (format == BLOCK_FORMAT_AUTO && how->path) {
		format = format_of_name(how->path);
		if (format != BLOCK_FORMAT_AUTO && !begins_as(how->path, format))
			return BLOCK_FORMAT_AUTO;
	}
	return format;
}

bool image_is_one(const struct block_open *how)
{
	return how->path && (nbd_uri_is_one(how->path) || format_of(how) >= BLOCK_FORMAT_QCOW2);
}

/* The program. */

/* What it is to serve, malloc()ed. NULL: no memory. */
static char *options_of(const struct image *im, const struct block_open *how, bool uring)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	fputs("json:", out);
	if (im->chain.n)
		image_chain_put(&im->chain, CHILD_FD + 1, uring ? "io_uring" : "threads",
				how->direct, out);
	else
		nbd_uri_put(how->path, out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* What it has said is about what it was given, and behind that. */
static const char *reason(const char *words)
{
	const char *at = strstr(words, "}': ");

	return at ? at + 4 : *words ? words : "it does not say why";
}

static int report_start(const struct image *im, const char *words, int err)
{
	const char *path = im->nbd.block.path;

	if (err == ENOENT)
		return image_no_program(path, im->chain.n ?
					block_format_words[im->chain.file[0].format] :
					"an NBD export", "qemu-nbd");
	if (err == ETIMEDOUT)
		log_err("%s: qemu-nbd does not serve it within %d s%s%s", path, NBD_MS / 1000,
			*words ? ": " : "", words);
	else if (err == EPIPE || *words)
		log_err("%s: qemu-nbd has ended: %s%s", path, reason(words),
			strstr(words, "write access denied") || strstr(words, "read-only") ?
			"; add readonly=on to attach it read-only" : "");
	else
		log_err("%s: qemu-nbd: %s", path, strerror(err));
	return -err;
}

/* -errno without a line; @words: what it has said. */
static int start_as(struct image *im, const struct block_open *how, bool uring,
		    char words[WORDS_MAX])
{
	int given[1 + IMAGE_FILES_MAX];
	char *options = options_of(im, how, uring);
	/* An empty word in place of one that is left out would be a name. */
	const char *argv[] = { "qemu-nbd", "--persistent", "--shared=0", "--discard=unmap",
			       how->readonly ? "--read-only" : "--persistent", options, NULL };
	struct child_spec spec = { .argv = argv, .given = given, .ngiven = 1 + im->chain.n,
				   .out = -1, .listens = true, .sig = SIGTERM };
	unsigned i;
	int r;

	*words = 0;
	for (i = 0; i < im->chain.n; i++)
		given[1 + i] = im->chain.file[i].fd;
	r = options ? child_listen(im->nbd.block.path, &im->nbd.at) : -ENOMEM;
	if (r >= 0) {
		given[0] = r;
		r = child_start(&im->child, &spec);
		close(given[0]);
		if (!r)
			r = nbd_init(&im->nbd);
		if (r < 0 && im->child.messages >= 0)
			child_words(&im->child, words, WORDS_MAX);
	}
	free(options);
	return r;
}

static void stop(struct image *im, int ms)
{
	nbd_fini(&im->nbd);
	if (im->nbd.at >= 0)
		close(im->nbd.at);
	im->nbd.at = -1;
	if (!child_end(&im->child, SIGTERM, ms) && ms)
		log_err("%s: qemu-nbd has not ended within %d s, and was killed",
			im->nbd.block.path, ms / 1000);
}

/*
 * With io_uring each request costs it less than half. But QEMU 7.2 never comes back by it from a
 * read of a file's last sector, if that is not whole.
 */
static bool wants_uring(const struct image *im, const struct block_open *how)
{
	return im->chain.n &&
	       (how->engine == BLOCK_ENGINE_URING ||
		(how->engine == BLOCK_ENGINE_AUTO && image_chain_is_even(&im->chain) &&
		 uring_probe() == 0));
}

/* It may be built without io_uring. */
static int start(struct image *im, const struct block_open *how)
{
	bool uring = wants_uring(im, how);
	unsigned before = log_errors();
	char words[WORDS_MAX];
	int r = start_as(im, how, uring, words);

	if (r < 0 && uring && how->engine == BLOCK_ENGINE_AUTO && strstr(words, "io_uring")) {
		stop(im, 0);
		r = start_as(im, how, false, words);
	}
	return r < 0 && log_errors() == before ? report_start(im, words, -r) : r;
}

/* As a store. */

static void image_close(struct block *block)
{
	struct image *im = image_of(block);

	stop(im, END_MS);
	image_chain_close(&im->chain);
	pthread_mutex_destroy(&im->lock);
	free(im->by);
	free(block->path);
	free(im);
}

/* In words, with the files behind it. */
static int name_server(struct image *im)
{
	size_t len;
	FILE *out = open_memstream(&im->by, &len);
	unsigned i;

	if (!out)
		return -ENOMEM;
	fprintf(out, "qemu-nbd, as %s",
		im->chain.n ? block_format_words[im->chain.file[0].format] :
			      "another NBD server's");
	for (i = 1; i < im->chain.n; i++)
		fprintf(out, ", on %s (%s)", im->chain.file[i].path,
			block_format_words[im->chain.file[i].format]);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

static void put_facts(struct image *im)
{
	struct block *b = &im->nbd.block;

	b->size = im->nbd.size;
	b->by = im->by;
	b->ours = "qemu-nbd serves its image";
	b->can_discard = !b->readonly && im->nbd.flags & NBD_HAS_TRIM;
	b->discard_granularity = b->physical_block = PAGE;
}

static int check_options(const struct block_open *how)
{
	if (how->size)
		log_err("%s: size= is for store=null; an image's size is its own", how->path);
	else if (nbd_uri_is_one(how->path) && (how->direct || how->engine != BLOCK_ENGINE_AUTO))
		log_err("%s: %s is about files, and this is none", how->path,
			how->direct ? "direct=on" : "io=");
	else if (nbd_uri_is_one(how->path) && how->format > BLOCK_FORMAT_RAW)
		log_err("%s: format=%s: an NBD export is raw here", how->path,
			block_format_words[how->format]);
	else
		return nbd_uri_is_one(how->path) ? nbd_uri_check(how->path) : 0;
	return -EUSAGE;
}

static int image_open(const struct block_open *how, struct block **block)
{
	struct image *im;
	int r = check_options(how);

	if (r < 0)
		return r;
	im = calloc(1, sizeof(*im));
	if (!im)
		return -ENOMEM;
	im->nbd.at = im->nbd.asks = -1;
	im->child = CHILD_NONE;
	pthread_mutex_init(&im->lock, NULL);
	im->nbd.block.readonly = how->readonly;
	im->nbd.block.path = strdup(how->path);
	r = im->nbd.block.path ? 0 : -ENOMEM;
	if (!r && !nbd_uri_is_one(how->path))
		r = image_chain_open(&im->chain, how, format_of(how));
	if (!r)
		r = name_server(im);
	if (!r)
		r = start(im, how);
	if (r < 0) {
		image_close(&im->nbd.block);
		return r;
	}
	put_facts(im);
	*block = &im->nbd.block;
	return 0;
}

static struct block_chan *image_chan_open(struct block *block, struct loop *loop)
{
	return nbd_chan_open(&image_of(block)->nbd, loop);
}

static bool image_is_mapped(struct block *block, uint64_t off, uint64_t *end)
{
	return nbd_is_mapped(&image_of(block)->nbd, off, end);
}

/* It is asked once, so the words stay as they are. */
static const char *image_hint(struct block *block, int err)
{
	struct image *im = image_of(block);
	char said[WORDS_MAX - 32];

	(void)err;
	if (!nbd_is_lost(&im->nbd))
		return NULL;
	pthread_mutex_lock(&im->lock);
	if (!*im->words) {
		child_words(&im->child, said, sizeof(said));
		snprintf(im->words, sizeof(im->words), "qemu-nbd has ended%s%s", *said ? ": " : "",
			 said);
	}
	pthread_mutex_unlock(&im->lock);
	return im->words;
}

const struct block_ops block_image = {
	.name = "image",
	.help = "an image of a format",
	.open = image_open,
	.close = image_close,
	.chan_open = image_chan_open,
	.is_mapped = image_is_mapped,
	.hint = image_hint,
};
