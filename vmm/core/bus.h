/* SPDX-License-Identifier: MIT */
/*
 * bus.h - which device answers at an address; and doorbells.
 *
 * A doorbell (ioeventfd) is an address whose write does nothing but signal an
 * eventfd. With KVM behind the bus the kernel does that and the vCPU does not
 * even come back to us; without it bus_write() signals the eventfd itself. So
 * the same device works in a unit test, and nobody can tell the difference.
 *
 * All functions may be called from any thread: a guest moves PCI devices about
 * while it runs. An access looks its device up under a lock and calls it without
 * one, so one that is on its way may still reach a device after bus_unmap(), and
 * a doorbell's eventfd after bus_ioeventfd_del(): both have to live on until no
 * vCPU runs any more.
 */
#ifndef CORE_BUS_H
#define CORE_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BUS_RANGES 128
#define BUS_IOEVENTFDS 1024

struct bus_ops {
	/* @off: from the start of the range; @len: 1 to 8 bytes, inside the range. [vcpu] */
	void (*read)(void *dev, uint64_t off, void *data, unsigned len);
	void (*write)(void *dev, uint64_t off, const void *data, unsigned len);
};

struct ioeventfd {
	uint64_t addr;
	uint32_t data;  /* the value that rings, in ... */
	uint8_t len;    /* ... a write of so many bytes: 1, 2 or 4; 0: of any length */
	bool datamatch; /* false: any value rings, as with @len 0 */
	int fd;         /* borrowed */
};

struct bus_range {
	uint64_t base, len;
	const struct bus_ops *ops;
	void *dev;
};

struct bus {
	pthread_rwlock_t lock; /* of all that follows, but for the host */
	struct bus_range range[BUS_RANGES]; /* ascending */
	unsigned nranges;
	struct ioeventfd bell[BUS_IOEVENTFDS]; /* those of the same address together, ascending */
	unsigned nbells;
	/* Hands a doorbell to the kernel or (@add false) takes it back; NULL: there is none. 0 or
	 * -errno. [setup] sets it, any thread calls it. */
	int (*host_bell)(void *host, const struct ioeventfd *bell, bool add);
	void *host;
};

/* An empty bus, as an initializer. */
#define BUS_EMPTY { .lock = PTHREAD_RWLOCK_INITIALIZER }

/* @dev answers in [base, base + len). -EEXIST: overlaps another range; -ENOSPC; -EINVAL. */
int bus_map(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *dev);

/* Takes the range that begins at @base out again. */
void bus_unmap(struct bus *bus, uint64_t base);

/*
 * A write of @bell->len bytes at its address rings. -EEXIST: some write would ring two; -ENOSPC; or
 * what the host said.
 */
int bus_ioeventfd_add(struct bus *bus, const struct ioeventfd *bell);
/* Takes out what was added with the same @bell; nothing happens if it was not. */
void bus_ioeventfd_del(struct bus *bus, const struct ioeventfd *bell);

/* False: nobody is there; a read then gives all ones. An access may not leave its range. */
bool bus_read(struct bus *bus, uint64_t addr, void *data, unsigned len);
bool bus_write(struct bus *bus, uint64_t addr, const void *data, unsigned len);

#endif
