/*
 * bus.h - which device answers at an address; and doorbells.
 *
 * A doorbell (ioeventfd) is an address whose write does nothing but signal an
 * eventfd. With KVM behind the bus the kernel does that and the vCPU does not
 * even come back to us; without it bus_write() signals the eventfd itself. So
 * the same device works in a unit test, and nobody can tell the difference.
 *
 * The map is built before the first vCPU runs and is fixed from then on, so
 * bus_read() and bus_write() take no lock and may be called from any thread.
 */
#ifndef CORE_BUS_H
#define CORE_BUS_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_RANGES 128
#define BUS_IOEVENTFDS 512

struct bus_ops {
	/* @off: from the start of the range; @len: 1 to 8 bytes, inside the range. [vcpu] */
	void (*read)(void *dev, uint64_t off, void *data, unsigned len);
	void (*write)(void *dev, uint64_t off, const void *data, unsigned len);
};

struct ioeventfd {
	uint64_t addr;
	uint32_t data;  /* the value that rings, in ... */
	uint8_t len;    /* ... a write of so many bytes: 1, 2 or 4 */
	bool datamatch; /* false: any value rings */
	int fd;         /* borrowed */
};

struct bus_range {
	uint64_t base, len;
	const struct bus_ops *ops;
	void *dev;
};

struct bus {
	struct bus_range range[BUS_RANGES]; /* ascending */
	unsigned nranges;
	struct ioeventfd bell[BUS_IOEVENTFDS]; /* those of the same address together, ascending */
	unsigned nbells;
	/* Hands a doorbell to the kernel; NULL: there is none. 0 or -errno. */
	int (*host_bell)(void *host, const struct ioeventfd *bell);
	void *host;
};

/* @dev answers in [base, base + len). -EEXIST: overlaps another range; -ENOSPC; -EINVAL. [setup] */
int bus_map(struct bus *bus, uint64_t base, uint64_t len, const struct bus_ops *ops, void *dev);

/*
 * A write of @bell->len bytes at its address rings. -EEXIST: some write would ring two; -ENOSPC; or
 * what the host said. [setup]
 */
int bus_ioeventfd_add(struct bus *bus, const struct ioeventfd *bell);

/* False: nobody is there; a read then gives all ones. An access may not leave its range. */
bool bus_read(const struct bus *bus, uint64_t addr, void *data, unsigned len);
bool bus_write(const struct bus *bus, uint64_t addr, const void *data, unsigned len);

#endif
