/* SPDX-License-Identifier: MIT */
/*
 * testbed.h - a machine without KVM: everything a device can ask of a platform.
 *
 * Real guest memory, real buses (PCI's too), real loops and threads. Only the
 * irqchip is different: it leaves the eventfd of a bound interrupt as it is, so
 * that the count of the eventfd is the number of interrupts, and a driver waits
 * by poll().
 */
#ifndef TESTS_TESTBED_H
#define TESTS_TESTBED_H

#include <pthread.h>
#include <stdatomic.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"

#define TESTBED_IOTHREADS 8
#define TESTBED_DEVICES 16

/* Two regions that touch, so that a buffer can lie in both, and one above 4 GiB. */
#define TESTBED_LOW_SIZE 0x800000ull
#define TESTBED_BORDER TESTBED_LOW_SIZE
#define TESTBED_LOW_END (2 * TESTBED_LOW_SIZE)
#define TESTBED_HIGH 0x100000000ull
#define TESTBED_HIGH_SIZE 0x4000000ull
#define TESTBED_MMIO 0xd0000000ull
#define TESTBED_MMIO_END 0xd0100000ull
#define TESTBED_BARS 0xd8000000ull
#define TESTBED_BARS_END 0xd8800000ull
#define TESTBED_ECAM 0xe0000000ull
/* Interrupts, those of messages behind the others. */
#define TESTBED_INPUT 5
#define TESTBED_MSI 24
#define TESTBED_GSIS (TESTBED_MSI + PLATFORM_MSI_GSIS)

/* What the irqchip knows of an interrupt. */
struct testbed_irq {
	int fd;            /* -1: not bound */
	uint64_t injected; /* what the eventfd counted when it was unbound */
	uint64_t addr;     /* the message, */
	uint32_t data;
	uint32_t devid;    /* and who sends it */
};

/* What the platform has given out: put back, it is given out once more. */
struct testbed_given {
	uint64_t mmio_next, pci_next;
	uint32_t gsi_next, msi_next;
	unsigned nslots, niothreads;
};

struct testbed {
	struct platform p;
	struct mem mem;
	struct bus mmio, pio;
	struct loop *main_loop; /* its thread runs from testbed_start() on */
	struct loop *iothread[TESTBED_IOTHREADS];
	unsigned niothreads;
	const char *text[TESTBED_DEVICES];   /* of testbed_device(); borrowed */
	unsigned ndevices;
	struct testbed_given before_devices; /* of the first */
	bool started;
	pthread_mutex_t chip_lock;
	struct testbed_irq irq[TESTBED_GSIS];
	unsigned routes; /* how often a message was routed */
	int chip_error;  /* what the irqchip answers; 0: as it should */
	uint64_t next_free;
	struct device_list devices; /* those of the test */
	struct device_list fixed;   /* the PCI host bridge */
	atomic_int last_event; /* enum guest_event, -1: none */
	/* Called before each access of a vdriver's to the memory bus. NULL: no. */
	void (*step)(void *arg);
	void *step_arg;
};

void testbed_init(struct testbed *tb);
/* The same with memory that another process could map. */
void testbed_init_shared(struct testbed *tb);
/* Destroys the devices that are left in tb->devices, ends the threads, frees all. */
void testbed_fini(struct testbed *tb);

/* Makes the devices ready, and starts all loops' threads; those of later loops start at once. */
void testbed_start(struct testbed *tb);

struct testbed_given testbed_given(const struct testbed *tb);
/* Loops are ended; their users are gone. */
void testbed_give_again(struct testbed *tb, const struct testbed_given *given);

/* Adds a device that testbed_rebirth() can make again; none that is hot-plugged. */
void testbed_device(struct testbed *tb, const char *text);
/*
 * Saves all devices of testbed_device(), destroys them, makes them anew, restores them and has them
 * go on. As @step: with a struct testbed.
 */
void testbed_rebirth(void *testbed);
/*
 * For devices that are as long as the buses: what is in tb->devices now is restored in those that
 * @set_up makes once @tear_down has run. Bytes that are too few or too many are refused there.
 */
void testbed_reborn(struct testbed *tb, void (*tear_down)(void), void (*set_up)(void));

/* Zeroed guest memory above 4 GiB. There is enough, or the test is wrong. */
uint64_t testbed_alloc(struct testbed *tb, uint64_t len, uint64_t align);
/* Gives everything back that was allocated; nothing may use it any more. */
void testbed_release(struct testbed *tb);

/* How many interrupts @gsi has had since the last call. */
uint64_t testbed_irqs(struct testbed *tb, uint32_t gsi);
/* The eventfd that is bound to @gsi, to be polled; -1: none. */
int testbed_irq_fd(struct testbed *tb, uint32_t gsi);
/* The GSI by which the message @data to @addr comes; -1: by none that is bound. */
int testbed_msi(struct testbed *tb, uint64_t addr, uint32_t data);

/* Returns when all that was ready for the I/O threads at the time of the call has been seen. */
void testbed_settle(struct testbed *tb);

#endif
