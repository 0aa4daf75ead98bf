/* SPDX-License-Identifier: MIT */
#include "guest/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <search.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define BUFFER (256 << 10)
#define NAME_LEN 100                 /* of a header's field; longer ones are in records */
#define SIZE_MAX_OCTAL 077777777777  /* of a header's field */
#define RECORDS_MAX (3u << 16)       /* bytes of an entry's records: two names, which fts bounds */

struct piece {
	off_t at, len;
};

/* What a file has: pieces of data, in order; and holes between them. */
struct map {
	struct piece *piece;
	size_t count, room;
	char *text; /* as it is in the archive; malloc()ed, padded; NULL: there is no hole */
	size_t text_len;
	off_t data; /* bytes of all pieces */
};

/* A file that has several names, and the first of them. */
struct link {
	dev_t dev;
	ino_t ino;
	char path[];
};

struct pack {
	int to;
	uint64_t left; /* bytes that may still be written */
	char *buf, *records;
	size_t used, records_len;
	void *links; /* a tree of struct link */
	int err;     /* the first */
	bool broken; /* @to takes no more */
	char *why;
	size_t why_size;
};

static void fail(struct pack *p, const char *name, int err)
{
	if (!p->err)
		snprintf(p->why, p->why_size, "%.200s: %s", name,
			 err == ENOSPC ? "no room for it" : strerror(err));
	if (!p->err)
		p->err = -err;
}

/* Bytes. */

static void flush(struct pack *p)
{
	size_t done = 0;
	ssize_t n;

	while (!p->broken && done < p->used) {
		n = write(p->to, p->buf + done, p->used - done);
		if (n < 0 && errno != EINTR) {
			fail(p, "the disk", errno);
			p->broken = true;
		}
		done += n < 0 ? 0 : n;
	}
	p->used = 0;
}

/* NULL: zeroes. */
static void put(struct pack *p, const void *data, size_t len)
{
	size_t n;

	for (; len; len -= n) {
		n = len < BUFFER - p->used ? len : BUFFER - p->used;
		if (data)
			memcpy(p->buf + p->used, data, n);
		else
			memset(p->buf + p->used, 0, n);
		data = data ? (const char *)data + n : NULL;
		p->used += n;
		p->left -= n;
		if (p->used == BUFFER)
			flush(p);
	}
}

static uint64_t padded(uint64_t len)
{
	return (len + BLOCK - 1) / BLOCK * BLOCK;
}

/* Headers. */

/* "LENGTH KEY=VALUE\n", where the length counts itself. */
static void add_record(struct pack *p, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;
	char number[24];

	while (rest + snprintf(number, sizeof(number), "%zu", len) != len)
		len = rest + strlen(number);
	if (len >= RECORDS_MAX - p->records_len)
		return; /* not with names as fts has them */
	p->records_len += sprintf(p->records + p->records_len, "%zu %s=%s\n", len, key, value);
}

static void add_number(struct pack *p, const char *key, long long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", value);
	add_record(p, key, text);
}

static void put_header(struct pack *p, char type, const char *name, const char *link,
		       uint64_t size, const struct stat *st)
{
	unsigned char h[BLOCK] = { 0 };
	char *c = (char *)h;
	unsigned sum = 0, i;
	bool fits = st->st_mtime >= 0 && st->st_mtime <= SIZE_MAX_OCTAL;

	strncpy(c, name, NAME_LEN);
	sprintf(c + 100, "%07o", st->st_mode & 07777);
	sprintf(c + 108, "%07o", 0);
	sprintf(c + 116, "%07o", 0);
	sprintf(c + 124, "%011llo", size <= SIZE_MAX_OCTAL ? (long long)size : 0);
	sprintf(c + 136, "%011llo", fits ? (long long)st->st_mtime : 0);
	memset(c + 148, ' ', 8);
	c[156] = type;
	strncpy(c + 157, link, NAME_LEN);
	memcpy(c + 257, "ustar\00000", 8);
	for (i = 0; i < BLOCK; i++)
		sum += h[i];
	sprintf(c + 148, "%06o", sum);
	put(p, h, BLOCK);
}

/* What its fields cannot hold. */
static void add_records(struct pack *p, const char *name, const char *link, uint64_t size,
			const struct stat *st)
{
	if (strlen(name) > NAME_LEN)
		add_record(p, "path", name);
	if (strlen(link) > NAME_LEN)
		add_record(p, "linkpath", link);
	if (size > SIZE_MAX_OCTAL)
		add_number(p, "size", size);
	if (st->st_mtime < 0 || st->st_mtime > SIZE_MAX_OCTAL)
		add_number(p, "mtime", st->st_mtime);
}

/*
 * All of an entry but its @size bytes, for which there is room then. False: it is left out. There
 * may be records already.
 */
static bool put_entry(struct pack *p, char type, const char *name, const char *link,
		      uint64_t size, const struct stat *st)
{
	uint64_t need;

	add_records(p, name, link, size, st);
	if (p->records_len) /* names are bytes, whatever they mean */
		add_record(p, "hdrcharset", "BINARY");
	need = (p->records_len ? BLOCK + padded(p->records_len) : 0) + BLOCK + 2 * BLOCK;
	if (need > p->left || padded(size) > p->left - need) {
		fail(p, name, ENOSPC);
		return false;
	}
	if (p->records_len) {
		put_header(p, 'x', "pax", "", p->records_len, st);
		put(p, p->records, p->records_len);
		put(p, NULL, padded(p->records_len) - p->records_len);
	}
	put_header(p, type, name, link, size, st);
	return true;
}

/* Files. */

static bool add_piece(struct map *m, off_t at, off_t len)
{
	struct piece *more = m->piece;

	if (m->count == m->room) {
		m->room = m->room ? 2 * m->room : 16;
		more = realloc(m->piece, m->room * sizeof(*more));
	}
	if (!more)
		return false;
	m->piece = more;
	m->piece[m->count++] = (struct piece){ at, len };
	m->data += len;
	return true;
}

/* Where data are. A file system that does not tell has a file without holes. */
static bool find_pieces(struct map *m, int fd, off_t size)
{
	off_t at = 0, data, hole;

	while (at < size) {
		data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return add_piece(m, at, size - at);
		if (data < 0 || data >= size)
			return add_piece(m, size, 0); /* the end is in a hole */
		hole = lseek(fd, data, SEEK_HOLE);
		hole = hole < 0 || hole > size ? size : hole;
		if (!add_piece(m, data, hole - data))
			return false;
		at = hole;
	}
	return true;
}

/* How many pieces, and then where each is and how long, a number a line. */
static bool write_map(struct map *m)
{
	FILE *out = open_memstream(&m->text, &m->text_len);
	size_t i;

	if (!out)
		return false;
	fprintf(out, "%zu\n", m->count);
	for (i = 0; i < m->count; i++)
		fprintf(out, "%lld\n%lld\n", (long long)m->piece[i].at, (long long)m->piece[i].len);
	while (ftello(out) % BLOCK)
		fputc(0, out);
	return fclose(out) == 0;
}

static bool make_map(struct map *m, int fd, const struct stat *st)
{
	if (st->st_blocks * 512 >= st->st_size)
		return add_piece(m, 0, st->st_size);
	return find_pieces(m, fd, st->st_size) && (m->data == st->st_size || write_map(m));
}

/* As many bytes as were announced, whatever can be read. */
static void put_piece(struct pack *p, int fd, const char *name, struct piece piece)
{
	static char chunk[64 << 10];
	const off_t most = sizeof(chunk);
	ssize_t n = 0;

	while (piece.len) {
		n = pread(fd, chunk, piece.len < most ? piece.len : most, piece.at);
		if (n <= 0)
			break;
		put(p, chunk, n);
		piece.at += n;
		piece.len -= n;
	}
	if (piece.len)
		fail(p, name, n < 0 ? errno : EIO);
	put(p, NULL, piece.len);
}

static void put_data(struct pack *p, int fd, const char *name, const struct map *m)
{
	uint64_t size = m->text_len + m->data;
	size_t i;

	put(p, m->text, m->text_len);
	for (i = 0; i < m->count; i++)
		put_piece(p, fd, name, m->piece[i]);
	put(p, NULL, padded(size) - size);
}

static void pack_open_file(struct pack *p, int fd, const char *name, const struct stat *st)
{
	struct map m = { 0 };

	if (!make_map(&m, fd, st)) {
		fail(p, name, ENOMEM);
	} else {
		if (m.text) {
			add_number(p, "GNU.sparse.major", 1);
			add_number(p, "GNU.sparse.minor", 0);
			add_record(p, "GNU.sparse.name", name);
			add_number(p, "GNU.sparse.realsize", st->st_size);
		}
		if (put_entry(p, '0', name, "", m.text_len + m.data, st))
			put_data(p, fd, name, &m);
	}
	free(m.piece);
	free(m.text);
}

static int by_inode(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino == y->ino ? 0 : x->ino < y->ino ? -1 : 1;
}

/* The first name of a file that has been packed already; else @name is that. */
static const char *first_name(struct pack *p, const char *name, const struct stat *st)
{
	struct link *l, **found;

	if (st->st_nlink < 2)
		return name;
	l = malloc(sizeof(*l) + strlen(name) + 1);
	if (!l)
		return name; /* packed twice then */
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	strcpy(l->path, name);
	found = tsearch(l, &p->links, by_inode);
	if (found && *found != l)
		free(l);
	return found ? (*found)->path : name;
}

static void pack_file(struct pack *p, const FTSENT *e, const char *name, const struct stat *st)
{
	const char *first = first_name(p, name, st);
	int fd;

	if (strcmp(first, name)) {
		put_entry(p, '1', name, first, 0, st);
		return;
	}
	fd = open(e->fts_accpath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		fail(p, name, errno);
		return;
	}
	pack_open_file(p, fd, name, st);
	close(fd);
}

static void pack_symlink(struct pack *p, const FTSENT *e, const char *name, const struct stat *st)
{
	char target[4096];
	ssize_t n = readlink(e->fts_accpath, target, sizeof(target) - 1);

	if (n < 0) {
		fail(p, name, errno);
		return;
	}
	target[n] = 0;
	put_entry(p, '2', name, target, 0, st);
}

/* What is no file has a type there, too, and it is for the reader to leave it out. */
static void pack_entry(struct pack *p, const FTSENT *e, const char *name)
{
	const struct stat *st = e->fts_statp;

	p->records_len = 0;
	switch (st->st_mode & S_IFMT) {
	case S_IFREG: pack_file(p, e, name, st); break;
	case S_IFLNK: pack_symlink(p, e, name, st); break;
	case S_IFDIR: put_entry(p, '5', name, "", 0, st); break;
	case S_IFCHR: put_entry(p, '3', name, "", 0, st); break;
	case S_IFBLK: put_entry(p, '4', name, "", 0, st); break;
	default: put_entry(p, '6', name, "", 0, st);
	}
}

static void pack_all(struct pack *p)
{
	char *const top[] = { ".", NULL };
	FTS *fts = fts_open(top, FTS_PHYSICAL, NULL);
	FTSENT *e;

	if (!fts) {
		fail(p, ".", errno);
		return;
	}
	while (!p->broken && (e = fts_read(fts))) {
		if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
			fail(p, e->fts_path, e->fts_errno);
		else if (e->fts_level > 0 && e->fts_info != FTS_DP)
			pack_entry(p, e, e->fts_path + strlen("./"));
	}
	fts_close(fts);
}

int pack_folder(int to, uint64_t room, char *why, size_t size)
{
	struct pack p = { .to = to, .left = room, .why = why, .why_size = size };

	p.buf = malloc(BUFFER);
	p.records = malloc(RECORDS_MAX);
	*why = 0;
	if (!p.buf || !p.records) {
		fail(&p, ".", ENOMEM);
	} else {
		pack_all(&p);
		if (p.left >= 2 * BLOCK)
			put(&p, NULL, 2 * BLOCK);
		flush(&p);
	}
	tdestroy(p.links, free);
	free(p.buf);
	free(p.records);
	return p.err;
}
