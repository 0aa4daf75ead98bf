/* SPDX-License-Identifier: MIT */
/*
 * virtio_console.h - the console device, for the ports on it.
 */
#ifndef DEVICES_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_CONSOLE_H

#include <stddef.h>
#include <sys/types.h>

#define VIRTIO_CONSOLE_CLASS "virtio-console"
#define CONSOLE_PORTS_MAX 16
#define CONSOLE_NAME_MAX 63

struct device;

/* The host's end of a port. */
struct console_end {
	/* What the guest finds it by; borrowed. NULL: this is the console. */
	const char *name;
	/* Where the guest's input comes from; borrowed. -1: there is none. Its end is the end of
	 * the port: a guest can be told of both directions only together. */
	int in;
	/* Input has been read from it. NULL: nobody wants to know. [iothread] */
	void (*took)(void *arg);
	/* As outlet_write(); NULL: output vanishes. [iothread] */
	ssize_t (*write)(void *arg, const void *data, size_t len);
	int room; /* polled after -EAGAIN; borrowed */
	void *arg;
};

/*
 * Gives @end, which is borrowed, the next port number of @dev, a device of this class. -ENOSPC:
 * there is none left; -EEXIST: there is a port of that name. [setup]
 */
int virtio_console_add(struct device *dev, const struct console_end *end);

/* No port is used from now on, what the guest has sent has been written. No vCPU runs any more. */
void virtio_console_stop(struct device *dev);

#endif
