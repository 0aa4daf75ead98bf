/* SPDX-License-Identifier: MIT */
/*
 * console_host.h - the queues of a console device: its ports' data, and control messages.
 *
 * One I/O thread serves all of them, and never waits for anybody. A port whose reader is slow keeps
 * the one chain that it is at and pops the next when that is written: the driver runs out of
 * descriptors, and nothing is stored here. A pause puts that chain back. Input is read from the
 * host when there is a buffer of the guest's to read it into. Only where queues are stopped for
 * good (the driver resets the device, the machine is taken down) is what the guest has sent written
 * to its end, and waited for; platform_hurries() ends that.
 *
 * Control messages to the driver are no queue either: a port has a bit for each that is due, and
 * what is sent is the state at that moment.
 */
#ifndef DEVICES_CONSOLE_HOST_H
#define DEVICES_CONSOLE_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/virtio_console.h"
#include "vmm/core/iov.h"
#include "vmm/core/loop.h"

struct platform;
struct state;
struct virtio_device;

#define CONSOLE_QUEUE_SIZE 32

/*
 * Queues come in pairs, as the driver sees it: receive, transmit. First port 0's, then the pair for
 * control messages, then those of port 1, 2, ...
 */
enum { CONSOLE_PORT0_RX, CONSOLE_PORT0_TX, CONSOLE_CONTROL_RX, CONSOLE_CONTROL_TX,
       CONSOLE_PORT1_RX };

/* A chain that has been popped and is waiting for the host. */
struct console_transfer {
	bool busy;
	uint16_t head;
	struct iovec iov[CONSOLE_QUEUE_SIZE];
	size_t len;
	struct iovcur cur; /* what is left of it */
};

struct console_watch {
	struct loop_source src;
	bool on;
};

struct console_host_port {
	struct console_host *host;
	const struct console_end *end; /* NULL: there is no such port */
	unsigned id;
	int always; /* an eventfd for the loop, where the input cannot be polled; -1 */

	/* The I/O thread's. */
	bool added, ready; /* the driver has been told of it, and has taken it */
	bool open;         /* somebody in the guest has it open */
	bool ended;        /* there is no more input */
	bool unread;       /* the console's driver has not yet taken a buffer of input ... */
	uint16_t ahead;    /* ... after which there were so many more */
	unsigned due;      /* bits of enum message */
	uint64_t written;  /* of the next chain of output, before a pause */
	struct console_transfer rx, tx;
	struct console_watch readable, writable;
};

struct console_host {
	struct virtio_device *vdev;
	struct platform *p;
	struct loop *loop;
	struct console_host_port port[CONSOLE_PORTS_MAX];
	unsigned nports;     /* number 0, the console's, counts even if it is not there */
	atomic_uint size;    /* of the terminal: columns, and rows << 16 */
	atomic_bool resized; /* the I/O thread is to say so */
};

/* All zero before. The rest is borrowed. [setup] */
void console_host_init(struct console_host *h, struct virtio_device *vdev, struct platform *p,
		       struct loop *loop);
void console_host_fini(struct console_host *h);
/* Gets @port ready to be served, once it has an end. -errno. [setup] */
int console_host_prepare(struct console_host_port *port);
/* How many queues these ports make. */
unsigned console_host_queues(const struct console_host *h);

/* What struct virtio_class says of them. */
void console_host_kick(struct console_host *h, unsigned q);
void console_host_stop(struct console_host *h, unsigned q);
void console_host_reset(struct console_host *h);
void console_host_state(struct console_host *h, struct state *s);

/* The terminal has another size; config space is the caller's. Any thread. */
void console_host_resize(struct console_host *h, unsigned cols, unsigned rows);

#endif
