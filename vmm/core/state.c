/* SPDX-License-Identifier: MIT */
#include "vmm/core/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/util.h"

struct state {
	enum { SAVE, CHECK, TAKE } way;
	int err;             /* the first one; 0: none */
	uint8_t *out;        /* SAVE: @len bytes of @room */
	const uint8_t *in;   /* else: @len bytes, of which @at have been read */
	size_t len, room, at;
};

void state_fail(struct state *s, int err)
{
	if (!s->err)
		s->err = err;
}

void state_check(struct state *s, bool ok)
{
	if (!ok)
		state_fail(s, -EINVAL);
}

static void put(struct state *s, const void *data, size_t len)
{
	size_t room = max_u64(s->room, 256);
	uint8_t *out = s->out;

	while (room - s->len < len)
		room *= 2;
	if (room != s->room)
		out = realloc(s->out, room);
	if (!out) {
		state_fail(s, -ENOMEM);
		return;
	}
	s->out = out;
	s->room = room;
	memcpy(s->out + s->len, data, len);
	s->len += len;
}

void state_bytes(struct state *s, void *data, size_t len)
{
	if (s->err)
		return;
	if (s->way == SAVE) {
		put(s, data, len);
	} else if (!range_ok(s->at, len, s->len)) {
		state_fail(s, -EPROTO);
	} else {
		memcpy(data, s->in + s->at, len);
		s->at += len;
	}
}

void state_u8(struct state *s, uint8_t *v)
{
	state_bytes(s, v, 1);
}

void state_u16(struct state *s, uint16_t *v)
{
	uint16_t raw = htole16(*v);

	state_bytes(s, &raw, sizeof(raw));
	*v = le16toh(raw);
}

void state_u32(struct state *s, uint32_t *v)
{
	uint32_t raw = htole32(*v);

	state_bytes(s, &raw, sizeof(raw));
	*v = le32toh(raw);
}

void state_u64(struct state *s, uint64_t *v)
{
	uint64_t raw = htole64(*v);

	state_bytes(s, &raw, sizeof(raw));
	*v = le64toh(raw);
}

void state_bool(struct state *s, bool *v)
{
	uint8_t raw = *v;

	state_u8(s, &raw);
	state_check(s, raw <= 1);
	*v = raw;
}

uint32_t state_atomic(struct state *s, atomic_uint *v, uint32_t allowed)
{
	uint32_t now = atomic_load(v);

	state_u32(s, &now);
	state_check(s, !(now & ~allowed));
	if (state_takes(s))
		atomic_store(v, now);
	return now;
}

void state_same(struct state *s, uint32_t v)
{
	uint32_t was = v;

	state_u32(s, &was);
	state_check(s, was == v);
}

bool state_saves(const struct state *s)
{
	return s->way == SAVE;
}

bool state_takes(const struct state *s)
{
	return s->way == TAKE && !s->err;
}

int state_save(state_visit_fn *visit, void *object, uint8_t **data, size_t *len)
{
	struct state s = { .way = SAVE };

	visit(object, &s);
	if (s.err < 0) {
		free(s.out);
		return s.err;
	}
	*data = s.out;
	*len = s.len;
	return 0;
}

int state_restore(state_visit_fn *visit, void *object, const uint8_t *data, size_t len)
{
	struct state s = { .way = CHECK, .in = data, .len = len };

	visit(object, &s);
	if (s.at != s.len)
		state_fail(&s, -EPROTO);
	if (s.err < 0)
		return s.err;
	s.way = TAKE;
	s.at = 0;
	visit(object, &s);
	return s.err;
}
