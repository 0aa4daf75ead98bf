/*
 * vdriver.h - a whole virtio driver over the registers of the MMIO transport.
 *
 *	vdriver_probe(&v, &tb, 0);              find, reset, ACKNOWLEDGE, DRIVER
 *	vdriver_start(&v, ~0ull, 3, 64);        features, queues, DRIVER_OK
 *	n = vdriver_request(&v, 2, out, 1, in, 2, 1000);
 *	vdriver_fini(&v);
 *
 * Everything goes through bus_read(), bus_write() and guest memory, as a
 * guest's would. One thread.
 */
#ifndef TESTS_VDRIVER_H
#define TESTS_VDRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <sys/uio.h>

#include "tests/lib/driver.h"
#include "tests/lib/testbed.h"

#define VDRIVER_QUEUES 16
#define VDRIVER_PIECES 512      /* of one request */
#define VDRIVER_ARENA 0x200000u /* bytes of payload a queue can hold at a time */

struct vdriver_queue {
	struct driver ring;
	uint64_t arena; /* VDRIVER_ARENA bytes */
	uint64_t table; /* room for an indirect table of VDRIVER_PIECES */
};

struct vdriver {
	struct testbed *tb;
	uint64_t base;
	uint32_t gsi, device_id;
	uint64_t offered, accepted;
	unsigned nqueues;
	struct vdriver_queue queue[VDRIVER_QUEUES];
	bool direct;      /* no indirect tables, though they are negotiated */
	uint32_t shatter; /* not 0: cuts requests at random places; the seed */
};

uint32_t vdriver_read32(struct vdriver *v, uint64_t off);
void vdriver_write32(struct vdriver *v, uint64_t off, uint32_t value);
void vdriver_config_read(struct vdriver *v, uint64_t off, void *data, unsigned len);
uint8_t vdriver_status(struct vdriver *v);

/* The device of slot @slot (in order of creation). False: there is none. */
bool vdriver_probe(struct vdriver *v, struct testbed *tb, unsigned slot);

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

/*
 * Waits for an interrupt, acknowledges it. Returns the bits of InterruptStatus, 0 after
 * @timeout_ms.
 */
uint32_t vdriver_wait(struct vdriver *v, int timeout_ms);

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
