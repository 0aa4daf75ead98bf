/* SPDX-License-Identifier: MIT */
/*
 * extract_fixture.h - archives as tar(5) has them, with whatever is wrong in them, and a folder
 * for each.
 */
#ifndef TESTS_EXTRACT_FIXTURE_H
#define TESTS_EXTRACT_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/clock.h"
#include "vmm/core/util.h"
#include "vmm/run/files/extract.h"

#define LIMIT 100000
#define ENTRIES 2000

static char top[64];
static int archive, folder;
static uint64_t size, limit, left_ms;
static int by_signal;
static struct stderr_text said;

static inline char *under(const char *name)
{
	static char path[4][300];
	static unsigned next;

	next = (next + 1) % 4;
	snprintf(path[next], sizeof(path[0]), "%s/%s", top, name);
	return path[next];
}

/* top/in is unpacked into; top/out is what must not be reached. */
static inline void set_up(void)
{
	snprintf(top, sizeof(top), "/tmp/lunette-extract-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(mkdir(under("in"), 0755), 0);
	ck_assert_int_eq(mkdir(under("out"), 0755), 0);
	folder = open(under("in"), O_RDONLY | O_DIRECTORY);
	archive = memfd_create("archive", 0);
	ck_assert_int_ge(archive, 0);
	size = 0;
	left_ms = 60000;
	limit = LIMIT;
}

static inline void tear_down(void)
{
	char command[100];

	close(folder);
	close(archive);
	snprintf(command, sizeof(command), "rm -r %s", top);
	ck_assert_int_eq(system(command), 0);
}

struct entry {
	char type;
	const char *name, *link, *data;
	unsigned mode;
	uint64_t claim; /* its size, if not that of the data */
};

/* As tar(5) has it; nothing is made safe here. A pax header gets its record's length. */
static inline void put(const struct entry *given)
{
	struct entry copy = *given;
	const struct entry *e = &copy;
	char record[300];
	size_t len;
	char h[512] = { 0 }, *body;
	unsigned sum = 0, i;

	if (e->type == 'x') {
		len = strlen(e->data) + 2; /* a space and a line's end, and the number's digits */
		len += len + 2 < 100 ? 2 : 3;
		snprintf(record, sizeof(record), "%zu %s\n", len, e->data);
		copy.data = record;
	}
	len = e->data ? strlen(e->data) : 0;
	body = calloc(1, len + 512);
	snprintf(h, 100, "%s", e->name);
	snprintf(h + 100, 8, "%07o", (e->mode ? e->mode : 0644) & 07777);
	snprintf(h + 108, 8, "%07o", 4711);
	snprintf(h + 116, 8, "%07o", 4711);
	snprintf(h + 124, 12, "%011llo", (unsigned long long)(e->claim ? e->claim : len));
	snprintf(h + 136, 12, "%011o", 1000000000);
	memset(h + 148, ' ', 8);
	h[156] = e->type;
	snprintf(h + 157, 100, "%s", e->link ? e->link : "");
	memcpy(h + 257, "ustar\00000", 8);
	for (i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 7, "%06o", sum);
	memcpy(body, e->data ? e->data : "", len);
	ck_assert_int_eq(pwrite(archive, h, 512, size), 512);
	size += 512;
	ck_assert_int_eq(pwrite(archive, body, align_up(len, 512), size), align_up(len, 512));
	size += align_up(len, 512);
	free(body);
}

static inline void put_end(void)
{
	char zeroes[1024] = { 0 };

	ck_assert_int_eq(pwrite(archive, zeroes, sizeof(zeroes), size), sizeof(zeroes));
	size += sizeof(zeroes);
}

static inline int extract(void)
{
	struct extract_cfg cfg = {
		.what = "--out", .archive = archive, .size = size, .folder = folder,
		.limit = limit, .entries = ENTRIES, .deadline = now_ms() + left_ms,
	};
	int r;

	stderr_begin(&said);
	r = extract_tar(&cfg, &by_signal);
	stderr_end(&said);
	return r;
}

static inline bool says(const char *text)
{
	return strstr(said.text, text);
}

static inline void has(const char *name, const char *wanted)
{
	char text[100] = "";
	FILE *in = fopen(under(name), "r");

	ck_assert_msg(in, "%s is not there; %s", name, said.text);
	text[fread(text, 1, sizeof(text) - 1, in)] = 0;
	fclose(in);
	ck_assert_str_eq(text, wanted);
}

static inline bool exists(const char *name)
{
	struct stat st;

	return lstat(under(name), &st) == 0;
}

#define F(n) { .type = '0', .name = (n), .data = "x" }
#define D(n) { .type = '5', .name = (n) }
#define S(n, to) { .type = '2', .name = (n), .link = (to) }
#define H(n, to) { .type = '1', .name = (n), .link = (to) }
#define HD(n, to) { .type = '1', .name = (n), .link = (to), .data = "evil" }
#define X(record) { .type = 'x', .name = "pax", .data = (record) }
#define T(t, n) { .type = (t), .name = (n) }
#define HUGE(n, size) { .type = '0', .name = (n), .claim = (size) }
#define LEFT_OUT .says = "1 entry is left out"

static inline uint64_t blocks_of(const char *name, uint64_t wanted)
{
	struct stat st;

	ck_assert_msg(stat(under(name), &st) == 0, "%s", said.text);
	ck_assert_uint_eq(st.st_size, wanted);
	return st.st_blocks;
}

#endif
