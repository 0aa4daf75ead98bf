/*
 * platform.h - all that a device may ask of the machine around it.
 *
 * The machine (vmm/machine.c) has one; a test (tests/lib/testbed.c) has one
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

struct bus;
struct irqchip_ops;
struct loop;
struct mem;
struct pci_bus;

/*
 * The power-off and reset registers, I/O ports of one byte: devices/acpi_pm.c has them, the
 * architecture's tables announce them.
 */
#define ACPI_PM_BASE 0x600
#define ACPI_PM_SIZE 4
#define ACPI_PM_SLEEP_CONTROL 0
#define ACPI_PM_SLEEP_STATUS 1
#define ACPI_PM_RESET 2
#define ACPI_PM_RESET_VALUE 1
#define ACPI_PM_S5 5 /* the sleep type that means off */

/*
 * The network that devices/net_passt.c makes for one guest: the guest, the host as the guest sees
 * it, and who answers its DNS queries. vmm/net.c tells the guest.
 */
#define USERNET_ADDRESS "10.0.2.15"
#define USERNET_PREFIX "24"
#define USERNET_GATEWAY "10.0.2.2"
#define USERNET_DNS "10.0.2.3"

/* May the kernel serve the disks of the guest? */
enum platform_vhost {
	PLATFORM_VHOST_AUTO, /* where it can */
	PLATFORM_VHOST_ON,   /* or the machine is not to start */
	PLATFORM_VHOST_OFF,
};

/* What becomes of a guest's write when a disk of the host's is full? devices/scsi_disk.c tells. */
enum platform_full { PLATFORM_FULL_REPORT, PLATFORM_FULL_STOP, PLATFORM_FULL_FAIL };

/* How the guest can end its own run. */
enum guest_event { GUEST_POWEROFF, GUEST_RESET, GUEST_PANIC };

/* Where a device stands that the guest's firmware tables have to announce. */
struct mmio_slot {
	uint64_t base;
	uint32_t size;
	uint32_t gsi;
};

/* Interrupt inputs are the 24 of one I/O APIC; below 5 stand the devices of the PC. */
#define PLATFORM_FIRST_GSI 5
#define PLATFORM_LAST_GSI 23
#define PLATFORM_SLOTS (PLATFORM_LAST_GSI - PLATFORM_FIRST_GSI + 1)

/* From here on numbers stand for messages, which end at no input but at a CPU. */
#define PLATFORM_FIRST_MSI_GSI (PLATFORM_LAST_GSI + 1)
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
};

struct platform {
	unsigned cpus; /* of the guest; 0: not known */
	enum platform_vhost vhost; /* for devices whose options say nothing of it */
	enum platform_full on_enospc; /* likewise */
	bool overlay; /* of image files whose options say nothing of it: changes vanish */
	bool commit; /* what would vanish with a good run is kept */
	int scsi_trace; /* descriptor that a line for each SCSI command goes to; 0: none */
	struct mem *mem;
	struct bus *mmio, *pio;
	const struct irqchip_ops *irqchip;
	void *chip;
	struct loop *main_loop;

	/* Window for devices on the memory bus: next free address, first one after the end. */
	uint64_t mmio_next, mmio_end;
	struct mmio_slot slot[PLATFORM_SLOTS];
	unsigned nslots;

	/* PCI: the window for BARs, as above and below 4 GiB; where config space is; and the bus,
	 * which the pci-host device sets. NULL: this machine has none. */
	uint64_t pci_next, pci_end;
	uint64_t ecam_base;
	struct pci_bus *pci;
	unsigned nmsis; /* GSIs given out for messages */

	/* The terminal. NULL: none, output vanishes. Any device may write; what is typed goes to
	 * the one that was attached last. */
	const struct console_ops *console_ops;
	void *console;
	void (*console_attach)(void *console, const struct console_user *user, void *dev);

	/* What the guest has sent by a port of this name, and what has been written of it; may be
	 * the guest's memory. NULL: nobody reads along. [iothread] */
	void (*port_sent)(struct platform *p, const char *name, const void *data, size_t len);

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
};

/* Is p->hurry set, or is it by now, as the deadline is over? Any thread. */
bool platform_hurries(struct platform *p);

/* A window of @size bytes (a power of two, its alignment too) and an interrupt. -ENOSPC. */
int platform_slot_alloc(struct platform *p, uint32_t size, struct mmio_slot *slot);

/* An address for a BAR of @size bytes, as above. -ENOSPC. */
int platform_bar_alloc(struct platform *p, uint32_t size, uint32_t *base);

/* @count GSIs for messages, from *@first on. -ENOSPC. */
int platform_msi_alloc(struct platform *p, unsigned count, uint32_t *first);

#endif
