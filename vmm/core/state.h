/* SPDX-License-Identifier: MIT */
/*
 * state.h - what a guest has made of an object, as bytes: the way to save and restore it.
 *
 * One function visits the fields of an object, for both directions, so that they cannot disagree:
 *
 *	void clock_state(void *object, struct state *s)
 *	{
 *		struct clock *c = object;
 *		struct clock_regs r = c->regs;
 *
 *		state_u8(s, &r.index);
 *		state_bytes(s, r.cell, sizeof(r.cell));
 *		state_check(s, r.index < sizeof(r.cell));
 *		if (state_takes(s))
 *			c->regs = r;
 *	}
 *
 * Bytes that are restored may come from anybody. So they are visited twice: first everything is
 * read and checked, and nothing is changed; only if all is well state_takes() is true, the second
 * time. An object that is made of others visits them one after the other, and all of them change
 * or none.
 *
 * The first error is the result; what is read after it leaves its variable alone.
 */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

/* Visits all that a guest can change in @object. Nobody else uses the object meanwhile. */
typedef void state_visit_fn(void *object, struct state *s);

/* What @visit says of @object, in malloc()ed memory. -errno: as the visit failed, or -ENOMEM. */
int state_save(state_visit_fn *visit, void *object, uint8_t **data, size_t *len);
/*
 * Makes @object what was saved. -EPROTO: too few bytes, or too many; -EINVAL: a value that cannot
 * be, or another object's: @object is as it was. Other -errno: the host could not.
 */
int state_restore(state_visit_fn *visit, void *object, const uint8_t *data, size_t len);

/* For visits. Numbers are little-endian. */
void state_u8(struct state *s, uint8_t *v);
void state_u16(struct state *s, uint16_t *v);
void state_u32(struct state *s, uint32_t *v);
void state_u64(struct state *s, uint64_t *v);
void state_bool(struct state *s, bool *v);
void state_bytes(struct state *s, void *data, size_t len);
/* As a number of 32 bits, all of whose bits are in @allowed; taken over here. Returns it. */
uint32_t state_atomic(struct state *s, atomic_uint *v, uint32_t allowed);
/* Must be what it was when it was saved: a number of objects, a size, a type. */
void state_same(struct state *s, uint32_t v);
/* What is read makes sense only if @ok. */
void state_check(struct state *s, bool ok);
/* The host cannot do it. @err: a negative errno. */
void state_fail(struct state *s, int err);

/* It is being saved: whatever is kept elsewhere can be brought into what is visited, or memory. */
bool state_saves(const struct state *s);
/* All has been read and checked: the object takes it over. */
bool state_takes(const struct state *s);

#endif
