/* SPDX-License-Identifier: MIT */
/*
 * fake_wire.h - a vhost server in this process, for tests of virtio/vhost.c.
 *
 * It writes down what it is told, stops the test (BUG_ON) when a message comes
 * out of order, fails at the message that the test chooses, and can serve its
 * rings, from what it has been told of them alone. Memory that has a descriptor
 * it maps by that, as another process would.
 */
#ifndef TESTS_FAKE_WIRE_H
#define TESTS_FAKE_WIRE_H

#include "virtio/virtio.h"
#include "virtio/wire.h"
#include "vmm/core/mem.h"

#define FAKE_WIRE_RINGS 8
#define FAKE_WIRE_TEXT 2048

struct fake_ring {
	bool open, enabled;
	uint16_t size;
	uint32_t base;
	struct virtqueue at; /* its views alone */
	int fd[VHOST_FD_ERR + 1];
};

struct fake_wire {
	struct vhost_wire wire;
	uint64_t can;      /* the feature bits that it has */
	unsigned fails_at; /* the number of the message that fails, from 1 on; 0: none */
	int error;         /* with this -errno */
	bool takes_kicks;  /* of rings that are not enabled yet, and does nothing about them */
	void (*ends)(void *arg); /* run(false) calls it, and it may take its time; NULL: no call */
	void *arg;

	unsigned said; /* messages that could fail, since the last fake_wire_heard() */
	char text[FAKE_WIRE_TEXT];
	bool owned, running;
	bool *closed;
	uint64_t features;
	struct mem mem;  /* as it was told */
	struct mem seen; /* as it sees it */
	struct fake_ring ring[FAKE_WIRE_RINGS];
};

/* @closed becomes true when the wire is closed. */
void fake_wire_init(struct fake_wire *f, bool *closed);
/* The messages since the last call, one word each: "size2" is the size of ring 2. */
const char *fake_wire_heard(struct fake_wire *f);
/* Does the server know a ring? */
bool fake_wire_is_idle(const struct fake_wire *f);
/* Answers all chains in ring @q with what was in their readable part, and interrupts. How many. */
unsigned fake_wire_serve(struct fake_wire *f, unsigned q);
/* Says that ring @q is broken. */
void fake_wire_complain(struct fake_wire *f, unsigned q);

#endif
