/* SPDX-License-Identifier: MIT */
/*
 * platform.h - all that a device may ask of the machine around it.
 *
 * The machine (vmm/machine/machine.c) has one; a test (tests/lib/testbed.c) has one
 * without KVM. A device is built against this header alone, so it cannot tell.
 *
 * Everything here is for set-up, unless a line says otherwise.
 */
#ifndef CORE_PLATFORM_H
#define CORE_PLATFORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/core/policy.h"

struct bus;
struct bus_ops;
struct claims;
struct irqchip_ops;
struct loop;
struct mem;
struct pci_bus;
struct stream;

/*
 * The power-off and reset registers, of one byte: devices/acpi_pm.c has them, the architecture's
 * tables announce them.
 */
#define ACPI_PM_SIZE 4
#define ACPI_PM_SLEEP_CONTROL 0
#define ACPI_PM_SLEEP_STATUS 1
#define ACPI_PM_RESET 2
#define ACPI_PM_RESET_VALUE 1
#define ACPI_PM_S5 5 /* the sleep type that means off */

/*
 * The network that devices/net_passt.c makes for one guest: the guest, the host as the guest sees
 * it, and who answers its DNS queries. vmm/run/net.c tells the guest.
 */
#define USERNET_ADDRESS "10.0.2.15"
#define USERNET_PREFIX "24"
#define USERNET_GATEWAY "10.0.2.2"
#define USERNET_DNS "10.0.2.3"

/* How the guest can end its own run. */
enum guest_event { GUEST_POWEROFF, GUEST_RESET, GUEST_PANIC };

/*
 * Devices that are not on PCI and no slot has been made for: each machine has some of them, at
 * places that the architecture chooses.
 */
enum platform_fixed {
	PLATFORM_SERIAL0,
	PLATFORM_SERIAL1,
	PLATFORM_RTC,
	PLATFORM_PL031,
	PLATFORM_GOLDFISH,
	PLATFORM_PVPANIC, /* without a place it is on PCI */
	PLATFORM_ACPI_PM,
	PLATFORM_I8042,
	PLATFORM_NMI_STATUS,
	PLATFORM_ECAM,      /* PCI's config space; the bus is there if this is */
	PLATFORM_PCI_PORTS, /* the old way to it */
	PLATFORM_FIXED
};

struct platform_place {
	struct bus *bus; /* NULL: this machine has no such device */
	uint64_t base;
	uint32_t gsi; /* where it has an interrupt */
};

/* Where a device stands that the guest's firmware tables have to announce. */
struct mmio_slot {
	uint64_t base;
	uint32_t size;
	uint32_t gsi;
};

#define PLATFORM_SLOTS 32
#define PLATFORM_MSI_GSIS 1000

/* The user's terminal. */
struct console_ops {
	/* From the guest; in order, nothing is dropped while the reader lives. May wait. [vcpu] */
	void (*write)(void *console, const void *data, size_t len);
	/* As outlet_write(), and after -EAGAIN this is polled for room. [iothread] */
	ssize_t (*try_write)(void *console, const void *data, size_t len);
	int (*room)(void *console);
	/* There is room for input again, after input() took less than it got. [vcpu, iothread] */
	void (*more)(void *console);
};

/* The device that has its input. */
struct console_user {
	/* Returns how many bytes it took. [main] */
	size_t (*input)(void *dev, const void *data, size_t len);
	/* The terminal has this size; when it is attached, and later. NULL: of no interest.
	 * [setup, main] */
	void (*resized)(void *dev, unsigned cols, unsigned rows);
	/* Linux's SysRq key, where this may be its console. False: nobody takes input there. NULL:
	 * it is none. [main] */
	bool (*sysrq)(void *dev, char key);
};

struct platform {
	unsigned cpus; /* of the guest; 0: not known */
	enum vhost_policy vhost; /* for devices whose options say nothing of it */
	enum full_policy on_enospc; /* likewise */
	bool overlay; /* of image files whose options say nothing of it: changes vanish */
	bool commit; /* what would vanish with a good run is kept */
	struct claims *claims; /* of the files of the run */
	const char *keep; /* a folder for what would vanish with a bad run; NULL: none */
	uint64_t file_limit; /* bytes of each file that the guest fills (stream.h); 0: none */
	struct stream *scsi_trace; /* a line for each SCSI command goes there; NULL: none */
	unsigned overlays; /* disks whose changes are kept apart. The devices count them. */
	bool balloon; /* a device gives memory back */
	const char *pins; /* who has the kernel keep all of it; NULL: nobody */
	struct mem *mem;
	struct bus *mmio, *pio;
	const struct irqchip_ops *irqchip;
	void *chip;
	struct loop *main_loop;

	struct platform_place place[PLATFORM_FIXED];

	/* Numbers of interrupts: the next free input of a controller, the first after the end; and
	 * those that stand for messages, at most PLATFORM_MSI_GSIS. */
	uint32_t gsi_next, gsi_end;
	uint32_t msi_next, msi_end;

	/* Window for devices on the memory bus: next free address, first one after the end. */
	uint64_t mmio_next, mmio_end;
	struct mmio_slot slot[PLATFORM_SLOTS];
	unsigned nslots;

	/* PCI: the window for BARs, as above and below 4 GiB; and the bus, which the pci-host
	 * device sets. NULL: this machine has none. */
	uint64_t pci_next, pci_end;
	struct pci_bus *pci;
	/* Why this host's guests can have no PCI: virtio devices are on the memory bus then,
	 * whatever was asked for. NULL: they can. */
	const char *no_pci;

	/* The terminal. NULL: none, output vanishes. Any device may write; what is typed goes to
	 * the one that was attached last. */
	const struct console_ops *console_ops;
	void *console;
	void (*console_attach)(void *console, const struct console_user *user, void *dev);

	/* What the guest has sent by a port of this name, and what has been written of it; may be
	 * the guest's memory. NULL: nobody reads along. [iothread] */
	void (*port_sent)(void *arg, const char *name, const void *data, size_t len);
	void *port_sent_arg;

	/* The run is to end at once: nobody waits any more for those who read what the guest has
	 * sent. Any thread. */
	atomic_bool hurry;
	/* From then on, too (CLOCK_MONOTONIC, ms); 0: never. [setup] */
	uint64_t deadline;

	/* A new I/O thread's loop; it starts once privileges are dropped. NULL: errno tells. */
	struct loop *(*iothread)(struct platform *p, const char *name);
	/* The guest has ended its run; returns, and the machine stops soon after. Any thread. */
	void (*guest_event)(struct platform *p, enum guest_event event);
	/* A disk of the host's is full, and the run is to end for that. Any thread. */
	void (*disk_full)(struct platform *p);
	/* What the guest says cannot be written, and the run is to end for that; @what: the name of
	 * that output. Returns at once. NULL: nobody hears. Any thread, perhaps often. */
	void (*output_failed)(struct platform *p, const char *what, int err);
	/* One hangs, and something waits for it that cannot end: the process ends without. Returns
	 * if it is at its end already. Any thread. */
	void (*disk_hangs)(struct platform *p);
};

/* Is p->hurry set, or is it by now, as the deadline is over? Any thread. */
bool platform_hurries(struct platform *p);

/*
 * How many of @len bytes of an output may be written: all of them, until platform_hurries(); from
 * then on so many in all, which platform_wrote() counts in @late. What is more is lost: a guest
 * that does not stop must not go on filling the host's disk while its run is ended. Any thread.
 */
#define PLATFORM_LATE_MAX (1u << 20)
size_t platform_allows(struct platform *p, const atomic_size_t *late, size_t len);
void platform_wrote(struct platform *p, atomic_size_t *late, size_t len);

/* p->output_failed, where there is one. Any thread. */
void platform_output_failed(struct platform *p, const char *what, int err);

/*
 * @dev answers for @what, in @len bytes of its place. -ENODEV: this machine has none; -EEXIST:
 * there is one already. After one line, which names it @id.
 */
int platform_map(struct platform *p, const char *id, enum platform_fixed what, uint64_t len,
		 const struct bus_ops *ops, void *dev);
/* What was mapped there, if this machine has it. No vCPU runs any more. */
void platform_unmap(struct platform *p, enum platform_fixed what);

/* A window of @size bytes (a power of two, its alignment too) and an interrupt. -ENOSPC. */
int platform_slot_alloc(struct platform *p, uint32_t size, struct mmio_slot *slot);

/* An address for a BAR of @size bytes, as above. -ENOSPC. */
int platform_bar_alloc(struct platform *p, uint32_t size, uint32_t *base);

/* @count GSIs for messages, from *@first on. -ENOSPC. */
int platform_msi_alloc(struct platform *p, unsigned count, uint32_t *first);

#endif
