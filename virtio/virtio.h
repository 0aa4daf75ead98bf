/* SPDX-License-Identifier: MIT */
/*
 * virtio.h - a virtio device and the three parties that share it.
 *
 *	class      what the device is: its id, features, config space, and what
 *	           to do when a queue has work. devices/virtio_*.c
 *	transport  how the driver reaches it: registers, interrupts. mmio.c, pci.c
 *	back end   who serves its queues: an I/O thread of ours (local.c), the kernel
 *	           or another process (vhost.c). One that leaves queues out has another beside it.
 *
 * The parties know one another only through this header. All of them share
 * struct virtqueue, which is plain data.
 *
 * Who owns what: registers and queue states belong to the transport, under
 * @lock, until the driver sets DRIVER_OK. Then backend->start takes the queues,
 * until backend->stop gives them back. What both sides touch in between is
 * @status alone, an atomic. An I/O thread never waits for @lock (user_watch.c
 * tries), so a vCPU that holds it may wait for an I/O thread. Nor does the main
 * loop while vCPUs run: one that holds it may have it forget a descriptor.
 */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/queue.h"
#include "vmm/core/log.h"

struct loop;
struct platform;
struct state;
struct virtio_device;

#define VIRTIO_BIT(n) (1ull << (n))

/* What virtio/queue.c can do; a class adds its own bits. */
#define VIRTIO_QUEUE_FEATURES                                             \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC))

struct virtio_class {
	const char *name;
	uint16_t id;       /* virtio 1.3 §5 */
	uint32_t pci_class; /* as in struct pci_ids; 0: none that fits */
	uint64_t features; /* of the device type; those of the queue are added */
	uint64_t own_features; /* offered whoever serves, who does not hear of them */
	/* Queue @q may have work: see the loop in queue.h. NULL: who serves never asks, as no queue
	 * is the class's own. [iothread of q] */
	void (*kick)(struct virtio_device *vdev, unsigned q);
	/* The driver is about to read vdev->config: bring it up to date, with a new generation if
	 * that changes it. NULL: it is. Under @lock. [vcpu] */
	void (*config_reading)(struct virtio_device *vdev);
	/* The driver writes @data to vdev->config[off, off + len), which is inside: take over what
	 * is writable. NULL: the config space is read-only. Under @lock. [vcpu] */
	void (*config_write)(struct virtio_device *vdev, size_t off, const void *data, size_t len);
	/* Queue @q has just been opened, is about to be closed (NULL: nothing to do). In stop the
	 * class waits for, or ends, all that is in flight: every popped chain has been pushed when
	 * it returns. start: -errno after one line. [iothread of q] */
	int (*queue_start)(struct virtio_device *vdev, unsigned q, struct loop *loop);
	void (*queue_stop)(struct virtio_device *vdev, unsigned q);
	/* The device is reset, its queues are stopped. NULL: nothing to do. Under @lock. [vcpu] */
	void (*reset)(struct virtio_device *vdev);
	/* Visits what a guest can change beyond registers and queues (state.h). NULL: nothing. The
	 * queues are stopped. [main] */
	void (*state)(struct virtio_device *vdev, struct state *s);
};

struct virtio_transport_ops {
	const char *name;
	const char *help; /* how kicks and interrupts travel, a few words for --explain */
	/* Makes the registers visible and sets transport_data. -errno after one line. [setup] */
	int (*attach)(struct virtio_device *vdev, struct platform *p);
	/* The queues are stopped, and no vCPU runs any more. */
	void (*detach)(struct virtio_device *vdev, struct platform *p);
	/* The eventfd that the driver's kick of queue @q ends in; borrowed. */
	int (*kick_fd)(struct virtio_device *vdev, unsigned q);
	/* An eventfd that ends as used buffer notification of queue @q, for who serves it without
	 * us; borrowed, and valid until the queue is stopped. -errno. Under @lock. [vcpu, main] */
	int (*call_fd)(struct virtio_device *vdev, unsigned q);
	/* Used buffer notification of queue @q (§2.9). Any thread. */
	void (*notify)(struct virtio_device *vdev, unsigned q);
	/* Configuration change notification (§2.9). Any thread. */
	void (*notify_config)(struct virtio_device *vdev);
	/* Visits its registers (state.h). The queues are stopped, no vCPU runs. [main] */
	void (*state)(struct virtio_device *vdev, struct state *s);
};

struct virtio_backend;
struct virtio_backend_ops {
	const char *name;
	/* The feature bits, of the device type and of the queue, that it can serve. */
	uint64_t (*features)(struct virtio_backend *be);
	/* For a device whose config space is this back end's: @off and @len are inside. get: -errno
	 * after one line, and the driver reads 0. No get: it is the class's. get alone: read-only.
	 * Under @lock. [vcpu] */
	int (*config_get)(struct virtio_backend *be, size_t off, void *data, size_t len);
	void (*config_set)(struct virtio_backend *be, size_t off, const void *data, size_t len);
	/* Takes every queue that virtio_serves() says, from its vq_state on.
	 * -errno after one line: nothing is taken. Under @lock. [vcpu, main] */
	int (*start)(struct virtio_backend *be, struct virtio_device *vdev);
	/* Is queue @q its own? NULL: all are. */
	bool (*serves)(const struct virtio_backend *be, unsigned q);
	/* Gives the queues back: nothing is in flight, vq_state is where another may go on.
	 * Under @lock. [vcpu, main] */
	void (*stop)(struct virtio_backend *be, struct virtio_device *vdev);
	void (*destroy)(struct virtio_backend *be);
};

struct virtio_backend {
	const struct virtio_backend_ops *ops;
};

/* Why a device leaves guest memory alone, though its driver has set DRIVER_OK. */
enum virtio_hold {
	VIRTIO_HOLD_BUS = 1,   /* it is no bus master */
	VIRTIO_HOLD_PAUSE = 2, /* the machine is paused */
};

struct virtio_device {
	char name[16]; /* for messages: "s0" */
	const struct virtio_class *class;
	const struct virtio_transport_ops *transport;
	void *transport_data;
	struct virtio_backend *backend;
	struct virtio_backend *rest; /* serves what @backend does not; NULL: that is nothing */
	struct platform *platform;
	struct mem *mem;

	pthread_mutex_t lock;
	uint64_t offered, accepted;  /* feature bits */
	atomic_uchar status;         /* §2.1 */
	uint8_t *config;             /* the class's, all little-endian */
	size_t config_len;
	atomic_uint generation;      /* of config, §2.5.1 */
	struct virtqueue *vq;
	unsigned nvq;
	bool started;                /* the back end has the queues */
	atomic_uint held;            /* bits of enum virtio_hold */
	struct log_limit limit;
};

/* The transports, and their names for option tables, in the same order. */
enum virtio_transport { VIRTIO_ON_PCI, VIRTIO_ON_MMIO, VIRTIO_TRANSPORTS };
extern const char *const virtio_transport_words[VIRTIO_TRANSPORTS + 1];
extern const struct virtio_transport_ops virtio_pci, virtio_mmio;

/* The row of a class's option table for it: @member of its settings is an enum virtio_transport. */
#define VIRTIO_TRANSPORT_OPT(settings, member)                                   \
	{ .key = "transport", .type = OPT_ENUM, .offset = offsetof(settings, member), \
	  .def = "pci", .words = virtio_transport_words,                         \
	  .help = "the bus that the guest finds it on" }

/* What a class wants its device to be. What is zero need not be named. */
struct virtio_spec {
	const char *name; /* for messages: the device's id */
	const struct virtio_class *class;
	uint8_t *config;  /* the class's, all little-endian; as long as the device lives */
	size_t config_len;
	unsigned nvq;
	uint16_t queue_size; /* of each, at most */
	enum virtio_transport transport;
	/* Who serves: @server what it says (see virtio_backend_ops), NULL: nothing; the rest is
	 * served by these loops, as by virtio_local_create(). None: by one new I/O thread. */
	struct virtio_backend *server;
	struct loop *const *loop;
	unsigned nloops, first_request_queue;
};

/*
 * Makes the device, which is zero until then, and makes it visible to the guest. Takes over
 * spec->server in every case. -errno after one line; nothing is left then. [setup]
 */
int virtio_make(struct virtio_device *vdev, struct platform *p, const struct virtio_spec *spec);
/* Takes its queues back, and frees all but @vdev. No vCPU runs any more. Of a device that has not
 * been made, or could not be: nothing to do. */
void virtio_unmake(struct virtio_device *vdev);

/*
 * The part of virtio_make() that needs no transport: queues and back ends. class, config,
 * config_len and name are set by the caller before, the rest is zero. @rest NULL: @backend serves
 * all. Takes both over in every case. -ENOMEM, also when @backend is NULL. [setup]
 */
int virtio_device_init(struct virtio_device *vdev, struct mem *mem, struct virtio_backend *backend,
		       struct virtio_backend *rest, unsigned nvq, uint16_t queue_size);
/* After the transport's detach. Frees all, the back ends too. */
void virtio_device_fini(struct virtio_device *vdev);

/* For the transports, all under @lock. [vcpu] */
uint8_t virtio_get_status(const struct virtio_device *vdev);
/*
 * The driver writes the status register: the transitions of §2.1 and §3.1, the check of features
 * at FEATURES_OK, start at DRIVER_OK, reset at 0. A step that is not allowed is not made.
 */
void virtio_set_status(struct virtio_device *vdev, uint8_t status);
/* Half @sel (0: bits 0 to 31) of the driver's choice; ignored from FEATURES_OK on. */
void virtio_set_features(struct virtio_device *vdev, unsigned sel, uint32_t bits);
/* Outside the config space reads give 0 and writes vanish. */
void virtio_config_read(struct virtio_device *vdev, uint64_t off, void *data, size_t len);
void virtio_config_write(struct virtio_device *vdev, uint64_t off, const void *data, size_t len);
/* Are the queues stopped, or about to be, for a pause: who has chains may vq_unpop() them? */
static inline bool virtio_is_paused(const struct virtio_device *vdev)
{
	return vdev->held & VIRTIO_HOLD_PAUSE;
}
/* May the registers of a queue be written now? (After FEATURES_OK, before DRIVER_OK and enable.) */
bool virtio_queue_writable(const struct virtio_device *vdev, const struct virtqueue *vq);
/* Takes queue @q out of service until the next reset. */
void virtio_queue_disable(struct virtio_device *vdev, unsigned q);
/* Takes all queues back from the back end, if it has them. */
void virtio_device_stop(struct virtio_device *vdev);
/* Gives them to it, after DRIVER_OK. What cannot be started needs a reset. */
void virtio_device_start(struct virtio_device *vdev);
/*
 * While it is held, for whatever reason, the device leaves guest memory alone: what is in flight
 * ends before this returns. When it is let go and DRIVER_OK has been set, the queues are served;
 * after a hold by the bus those that have had no kick since are not looked at, as their memory may
 * be another kernel's by now.
 */
void virtio_device_hold(struct virtio_device *vdev, enum virtio_hold why, bool held);

/* The hold of a pause, with the lock. Of a device that has not been made: nothing to do. [main] */
void virtio_device_pause(struct virtio_device *vdev, bool paused);
/*
 * A device that is paused is as after power on, but for its transport's registers: those are
 * visited by the second one, for who keeps what they were at the start. No vCPU runs. [main]
 */
void virtio_device_reset(struct virtio_device *vdev);
void virtio_transport_state(struct virtio_device *vdev, struct state *s);
/*
 * Visits a device that is paused: its status and features, queues, what its class adds, and the
 * registers of its transport. One that is restored, of the same making, is paused afterwards. No
 * vCPU runs. [main]
 */
void virtio_state(struct virtio_device *vdev, struct state *s);
/* Could a driver have brought the status there? */
bool virtio_status_ok(uint8_t status);
/* Can the device do all of that, and is it enough? */
bool virtio_features_ok(const struct virtio_device *vdev, uint64_t accepted);

/* For classes and back ends. */

/* Is queue @q in use, and @be's to serve? Under @lock. */
bool virtio_serves(const struct virtio_device *vdev, const struct virtio_backend *be, unsigned q);

/* The driver broke the rules: DEVICE_NEEDS_RESET, and it is told. Queues rest until its reset.
 * Any thread, no lock. */
void virtio_needs_reset(struct virtio_device *vdev);
bool virtio_is_broken(const struct virtio_device *vdev);
/* After vq_pop() has failed: says which rule it was, then as above. [owner of q] */
void virtio_queue_fault(struct virtio_device *vdev, unsigned q);
/* Has queue @q served again after the other work of its thread. Any thread. */
void virtio_queue_again(struct virtio_device *vdev, unsigned q);
/* Shows pushed chains of queue @q to the driver and notifies it if it wants that. [owner of q] */
void virtio_complete(struct virtio_device *vdev, unsigned q);
/* For a chain that has no room for its headers: there is no way to answer it. [owner of q] */
void virtio_refuse(struct virtio_device *vdev, unsigned q, uint16_t head);
/* All chains that were there have been popped: the driver is asked for kicks. [owner of q] */
void virtio_kick_end(struct virtio_device *vdev, unsigned q);
/* The class changed its config space: new generation, and the driver is told. Any thread. */
void virtio_config_changed(struct virtio_device *vdev);

/*
 * Serves all that queue @q has, in order: @answer does what a chain asks for, at once, and returns
 * how many bytes it has written to it. A class's whole kick(), where its requests need no wait, for
 * queues of at most 128 entries. [iothread of q]
 */
typedef uint32_t virtio_answer_fn(struct virtio_device *vdev, unsigned q, const struct vq_chain *c);
void virtio_answer_all(struct virtio_device *vdev, unsigned q, virtio_answer_fn *answer);

/*
 * Back ends. Local: request queue q (from @first_request_queue on) is served by loop (q -
 * @first_request_queue) mod @nloops, the queues before it by loop 0. Loops are borrowed. NULL: no
 * memory. [setup]
 */
struct virtio_backend *virtio_local_create(struct loop *const *loop, unsigned nloops,
					   unsigned first_request_queue);

#endif
