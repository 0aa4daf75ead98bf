/* SPDX-License-Identifier: MIT */
/*
 * echo.h - a virtio device for tests of what is below devices.
 *
 * It gives back in the writable part of a chain what was in the readable part,
 * and has a config space of 8 bytes whose second half is writable.
 */
#ifndef TESTS_ECHO_H
#define TESTS_ECHO_H

#include "tests/lib/testbed.h"
#include "virtio/virtio.h"
#include "vmm/core/state.h"

#define ECHO_ID 4242
#define ECHO_QUEUES 4
#define ECHO_SIZE 64
#define ECHO_PIECES 64
#define ECHO_FEATURE VIRTIO_BIT(0)

struct echo_held {
	struct vq_chain chain;
	struct iovec iov[ECHO_PIECES];
};

struct echo {
	struct virtio_device vdev;
	struct testbed *tb;
	struct loop *loop[2];
	enum virtio_transport transport;
	char name[16];
	struct testbed_given given; /* before it was made */
	uint8_t config[8];
	unsigned hold;       /* chains that a queue keeps back until others come, below ECHO_SIZE */
	int start_error;     /* what queue_start gives */
	/* What the class was asked to do. */
	atomic_uint kicks, starts, stops, resets;
	struct echo_queue {
		struct loop *loop;
		struct echo_held held[ECHO_SIZE];
		unsigned nheld;
	} queue[ECHO_QUEUES];
};

/* Attached to the testbed, served by two loops; queue 0 is not a request queue. */
void echo_init(struct echo *e, struct testbed *tb, const char *name,
	       enum virtio_transport transport);
void echo_fini(struct echo *e);
/*
 * Saves the device, destroys it, makes it anew, restores it and has it go on. What the test sees in
 * @e stays, chains that are held are answered. Of devices only the newest on its transport.
 */
void echo_rebirth(struct echo *e);
/* For state_save() and state_restore(); a struct echo that is paused. */
void echo_state(void *object, struct state *s);

#endif
