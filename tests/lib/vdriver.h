/* SPDX-License-Identifier: MIT */
/*
 * vdriver.h - a whole virtio driver over the registers of either transport.
 *
 *	vdriver_probe(&v, &tb, 0);              find, reset, ACKNOWLEDGE, DRIVER
 *	vdriver_start(&v, ~0ull, 3, 64);        features, queues, DRIVER_OK
 *	n = vdriver_request(&v, 2, out, 1, in, 2, 1000);
 *	vdriver_fini(&v);
 *
 * Everything goes through bus_read(), bus_write() and guest memory, as a
 * guest's would: on PCI it scans the bus, places the BAR, walks the
 * capabilities and gives each queue a vector. One thread.
 */
#ifndef TESTS_VDRIVER_H
#define TESTS_VDRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <sys/uio.h>

#include "tests/lib/driver.h"
#include "tests/lib/testbed.h"
#include "virtio/virtio.h"

#define VDRIVER_QUEUES 16
#define VDRIVER_PIECES 512      /* of one request */
#define VDRIVER_ARENA 0x200000u /* bytes of payload a queue can hold at a time */

/* What vdriver_wait() has seen. */
#define VDRIVER_INT_VRING 1
#define VDRIVER_INT_CONFIG 2

struct vdriver;

/* What differs between transports; vdriver_mmio.c and vdriver_pci.c have one each. */
struct vdriver_ops {
	/* Finds device @n of its kind and learns device_id. False: there is none. */
	bool (*probe)(struct vdriver *v, unsigned n);
	uint8_t (*status)(struct vdriver *v);
	void (*set_status)(struct vdriver *v, uint8_t status);
	uint32_t (*features)(struct vdriver *v, unsigned half);
	void (*set_features)(struct vdriver *v, unsigned half, uint32_t bits);
	/* Gives the configuration its interrupt. NULL: it has one. */
	bool (*set_up_config)(struct vdriver *v);
	/* 0: there is none, or it is in use. */
	uint32_t (*queue_max)(struct vdriver *v, unsigned q);
	bool (*set_up_queue)(struct vdriver *v, unsigned q, const struct driver *ring);
	void (*notify)(struct vdriver *v, unsigned q);
	/* Bit n of @fired: interrupt gsi[n] has come. Acknowledges; returns VDRIVER_INT bits. */
	uint32_t (*interrupts)(struct vdriver *v, uint32_t fired);
};

extern const struct vdriver_ops vdriver_mmio, vdriver_pci;

struct vdriver_queue {
	struct driver ring;
	uint64_t arena; /* VDRIVER_ARENA bytes */
	uint64_t table; /* room for an indirect table of VDRIVER_PIECES */
};

struct vdriver {
	struct testbed *tb;
	const struct vdriver_ops *ops;
	uint64_t base;   /* of the registers: MMIO, or BAR 0 */
	uint64_t config; /* of the device's config space */
	unsigned slot;   /* on the PCI bus */
	uint64_t common, isr, notify; /* PCI: of these structures */
	uint32_t notify_multiplier;
	unsigned msix, window; /* PCI: offsets of these capabilities */
	uint32_t gsi[1 + VDRIVER_QUEUES]; /* of interrupts: MMIO one; PCI config, then each queue */
	unsigned ngsis;
	uint32_t device_id;
	uint64_t offered, accepted;
	unsigned nqueues;
	struct vdriver_queue queue[VDRIVER_QUEUES];
	bool direct;      /* no indirect tables, though they are negotiated */
	uint32_t shatter; /* not 0: cuts requests at random places; the seed */
};

/* Registers, from v->base on. */
uint32_t vdriver_read32(struct vdriver *v, uint64_t off);
void vdriver_write32(struct vdriver *v, uint64_t off, uint32_t value);
/* Of any width, at any address. */
uint64_t vdriver_peek(struct vdriver *v, uint64_t addr, unsigned len);
void vdriver_poke(struct vdriver *v, uint64_t addr, uint64_t value, unsigned len);

/* The device's config space, byte by byte; and one access to it. */
void vdriver_config_read(struct vdriver *v, uint64_t off, void *data, unsigned len);
void vdriver_config_write(struct vdriver *v, uint64_t off, uint64_t value, unsigned len);
/* PCI config space. */
uint32_t vdriver_pci_read(struct vdriver *v, unsigned off, unsigned len);
void vdriver_pci_write(struct vdriver *v, unsigned off, uint32_t value, unsigned len);
/* Entry @n of the table of vectors. */
uint64_t vdriver_pci_vector(struct vdriver *v, unsigned n);

uint8_t vdriver_status(struct vdriver *v);
void vdriver_set_status(struct vdriver *v, uint8_t status);
/* Entries that queue @q can have; 0: there is no such queue, or it is in use. */
uint32_t vdriver_queue_max(struct vdriver *v, unsigned q);

/*
 * Device number @n: those on MMIO come first, then those on PCI, each in order of creation. False:
 * there is none.
 */
bool vdriver_probe(struct vdriver *v, struct testbed *tb, unsigned n);

/*
 * Takes the offered features that are in @wanted, sets up queues 0 to @nqueues - 1 with at most
 * @size descriptors, sets DRIVER_OK. False: the device refused. vdriver_fini() in every case.
 */
bool vdriver_start(struct vdriver *v, uint64_t wanted, unsigned nqueues, uint16_t size);

/* Resets the device; it may be started again after a new vdriver_probe(). */
void vdriver_reset(struct vdriver *v);
/* Frees the driver's own memory. The device is left as it is. */
void vdriver_fini(struct vdriver *v);

/* Publishes what is in the ring of queue @q and kicks if the device wants it. */
void vdriver_kick(struct vdriver *v, unsigned q);
/* Kicks in any case. */
void vdriver_notify(struct vdriver *v, unsigned q);

/* Waits for an interrupt, acknowledges it. Returns VDRIVER_INT bits, 0 after @timeout_ms. */
uint32_t vdriver_wait(struct vdriver *v, int timeout_ms);
/* How many interrupts have come since the last look. */
uint64_t vdriver_irqs(struct vdriver *v);

/* Waits for a used chain of queue @q. -ETIMEDOUT; -EIO: the device needs a reset. Else 0. */
int vdriver_wait_used(struct vdriver *v, unsigned q, uint16_t *head, uint32_t *len,
		      int timeout_ms);

/*
 * One request on an otherwise idle queue: what the device reads and what it may write, in memory of
 * the caller. Returns the used length; errors as vdriver_wait_used().
 */
int64_t vdriver_request(struct vdriver *v, unsigned q, const struct iovec *out, unsigned nout,
			const struct iovec *in, unsigned nin, int timeout_ms);

#endif
