/* SPDX-License-Identifier: MIT */
/*
 * console_driver.h - the driver of a console device, and the terminal behind it.
 *
 * Receive buffers are given one by one and come back in order, so that a test decides how much room
 * the device has. Control messages are sent and awaited as they stand in the standard.
 */
#ifndef TESTS_CONSOLE_DRIVER_H
#define TESTS_CONSOLE_DRIVER_H

#include <linux/virtio_console.h>
#include <pthread.h>

#include "tests/lib/vdriver.h"

/* Of port @n: the queue that the driver reads from, and writes to. */
#define CONSOLE_RX(n) ((n) ? 2 * (n) + 2 : 0)
#define CONSOLE_TX(n) (CONSOLE_RX(n) + 1)
#define CONSOLE_CTL_RX 2
#define CONSOLE_CTL_TX 3

#define CONSOLE_WAIT_MS 5000

/* Stands in for lunette's terminal; what is too much for it is lost. */
struct console_terminal {
	pthread_mutex_t lock; /* of out and len */
	char out[4096];
	size_t len;
	int room; /* an eventfd that is always ready */
	const struct console_user *user;
	void *dev;
	atomic_int mores;
};

struct console_msg {
	uint32_t id;
	uint16_t event, value;
	uint8_t text[64];
	unsigned len; /* of text */
};

/* Before the device is made; it has this terminal then. */
void console_terminal_init(struct console_terminal *t, struct testbed *tb);
void console_terminal_fini(struct console_terminal *t);
/* Waits until @len bytes have come out, and compares them. */
bool console_terminal_shows(struct console_terminal *t, const void *data, size_t len);

/* Adds a buffer of @len bytes to queue @q and kicks. */
void console_give(struct vdriver *v, unsigned q, uint32_t len);
/* The next buffer that came back. Returns its length, or the error of vdriver_wait_used(). */
int console_take(struct vdriver *v, unsigned q, void *data, size_t size, int timeout_ms);
/* Sends, without waiting for the used buffer. */
void console_put(struct vdriver *v, unsigned q, const void *data, size_t len);

/* Sends a control message and waits until the device has it. */
bool console_tell(struct vdriver *v, uint32_t id, uint16_t event, uint16_t value);
/* Gives room for a control message and waits for it. */
bool console_hear(struct vdriver *v, struct console_msg *msg, int timeout_ms);

/* Does what a driver does until port @n is open on both sides, with all @nports announced. */
bool console_open(struct vdriver *v, unsigned first, unsigned nports);

#endif
