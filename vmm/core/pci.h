/* SPDX-License-Identifier: MIT */
/*
 * pci.h - PCI functions, as a guest sees them: config space, a BAR, MSI-X.
 *
 * Config space is 256 bytes, and as many that say which bits the guest may
 * write. What a write means is looked at afterwards, whatever it has touched:
 * is the BAR to be somewhere else now, are vectors to be heard or not?
 *
 * The BAR, one of 32 bits, holds all that a function has. It is on the memory
 * bus while memory decoding is on and its address lies in the window of the
 * host bridge and on no other BAR; otherwise nobody answers. Doorbells in it
 * move with it.
 *
 * A vector of MSI-X is an eventfd and a message, which is routed to a GSI. The
 * eventfd is bound while MSI-X is enabled, the vector not masked and the function
 * a bus master, as a message is a write to memory; else it counts, and that is
 * the vector's pending bit. There is no other interrupt: no INTx. That it writes
 * nothing else while it is no bus master is the function's own business.
 *
 * Locks: the bus has one, for the config spaces, vectors and places of all its
 * functions. It is never held while a function is called.
 */
#ifndef CORE_PCI_H
#define CORE_PCI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/irq.h"
#include "vmm/core/log.h"

struct pci_function;
struct platform;
struct state;

#define PCI_SLOTS 32
#define PCI_CONFIG_LEN 256
/* More would not fit into a page of the BAR. */
#define PCI_VECTORS_MAX 256

struct pci_ids {
	uint16_t vendor, device, sub_vendor, sub_device;
	uint32_t class; /* base class, subclass, interface: 8 bits each */
	uint8_t revision;
};

/* How a function is told of accesses. No lock is held. [vcpu] */
struct pci_ops {
	/* Of @len bytes at @off in the BAR, 1 to 8 and inside, but not on the table of vectors. */
	void (*bar_read)(struct pci_function *f, uint64_t off, void *data, unsigned len);
	void (*bar_write)(struct pci_function *f, uint64_t off, const void *data, unsigned len);
	/* Of config[off, off + len): it is about to be read, has been written. NULL: no. */
	void (*config_reading)(struct pci_function *f, unsigned off, unsigned len);
	void (*config_written)(struct pci_function *f, unsigned off, unsigned len);
};

/* A write of any length at @off in the BAR rings @fd, and bar_write() is not told. */
struct pci_bell {
	uint32_t off;
	int fd; /* borrowed */
};

struct pci_vector {
	struct irq irq;
	uint8_t entry[16]; /* of the guest's table: address 64, data 32, control 32 */
	bool bound;
};

struct pci_function {
	/* Set by the owner between pci_function_init() and pci_attach(). */
	uint32_t bar_size;           /* a power of two from 4096 on; 0: no BAR */
	const struct pci_bell *bell; /* borrowed */
	unsigned nbells;
	unsigned nvectors;           /* 0: no MSI-X */
	uint32_t table, pba; /* of vectors and pending bits: offsets in the BAR, 8-aligned */

	/* Set here. */
	const char *name; /* for messages; borrowed */
	const struct pci_ops *ops;
	struct pci_bus *bus;
	unsigned slot;
	uint8_t config[PCI_CONFIG_LEN], writable[PCI_CONFIG_LEN];
	unsigned end;     /* of the capabilities so far */
	unsigned link;    /* the byte that will point to the next one */
	unsigned msix;    /* the capability */
	uint64_t bar_at;  /* where the BAR is; 0: nowhere */
	struct pci_vector *vector;
	atomic_bool msix_enabled;
	struct log_limit limit;
};

struct pci_bus {
	pthread_mutex_t lock;
	struct platform *p;
	uint64_t window, window_end; /* where BARs may be */
	struct pci_function *slot[PCI_SLOTS]; /* function 0 of each */
};

/* An empty bus, with the BAR window of @p. [setup] */
void pci_bus_init(struct pci_bus *bus, struct platform *p);
/* Without functions. */
void pci_bus_fini(struct pci_bus *bus);

/*
 * An access to config space, which never fails: where nobody is, reads give ones and writes vanish,
 * as for one that crosses a border of 4 bytes. @devfn: device x 8 + function. [vcpu]
 */
void pci_config_read(struct pci_bus *bus, unsigned devfn, unsigned off, void *data, unsigned len);
void pci_config_write(struct pci_bus *bus, unsigned devfn, unsigned off, const void *data,
		      unsigned len);

/* An empty config space with these ids. @f is all zero. [setup] */
void pci_function_init(struct pci_function *f, const char *name, const struct pci_ids *ids,
		       const struct pci_ops *ops);
/*
 * Adds a capability: its id, the link, and @len bytes @body. Returns its offset in config space.
 * The owner may then make bits of it writable. [setup]
 */
unsigned pci_capability_add(struct pci_function *f, uint8_t id, const void *body, unsigned len);
/*
 * Makes the function visible in the first free slot, its BAR placed but not decoded. -errno after
 * one line. [setup]
 */
int pci_attach(struct pci_bus *bus, struct pci_function *f);
/* No vCPU runs any more. */
void pci_detach(struct pci_function *f);

/* As the owner reads and writes it once it is attached, past what is writable. Any thread. */
void pci_config_get(struct pci_function *f, unsigned off, void *data, unsigned len);
void pci_config_set(struct pci_function *f, unsigned off, const void *data, unsigned len);

/* An access to the BAR, vectors included; outside of it as where nobody is. [vcpu] */
void pci_bar_read(struct pci_function *f, uint64_t off, void *data, unsigned len);
void pci_bar_write(struct pci_function *f, uint64_t off, const void *data, unsigned len);

/* Visits what a guest has written: config space, vectors. The owner visits its own. [main] */
void pci_function_state(struct pci_function *f, struct state *s);

/* Any thread. */
static inline bool pci_msix_enabled(const struct pci_function *f)
{
	return atomic_load(&f->msix_enabled);
}

#endif
