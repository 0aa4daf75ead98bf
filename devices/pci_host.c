/* SPDX-License-Identifier: MIT */
/*
 * pci_host.c - the host bridge: the PCI bus, and the two ways to its config
 * space. ECAM is a window on the memory bus, 4 KiB for each function of bus 0;
 * on a PC, the ports 0xcf8 (which register) and 0xcfc (its value) are the way of
 * old, for guests that look there first. Among them, at 0xcf9, is the reset
 * control register that chipsets have had since the PIIX3.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/pci.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define PORTS 8
#define RESET 1 /* the first four are the address register */
#define DATA 4
#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BITS 0x80fffffcu /* enable, bus, device and function, register */
#define ADDRESS_BUS(a) ((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a) ((a) >> 8 & 0xff)

#define RESET_SYSTEM 0x02 /* all of it, not the processor alone; the next bit does it */
#define RESET_NOW 0x04
#define RESET_POWER 0x08 /* by switching it off and on */
#define RESET_BITS (RESET_SYSTEM | RESET_POWER) /* that are kept */

#define ECAM_SIZE MIB(1)

struct pci_host {
	struct device dev;
	struct platform *p;
	struct pci_bus bus;
	struct pci_function bridge;
	atomic_uint address; /* the register at 0xcf8, */
	atomic_uint reset;   /* and at 0xcf9 */
};

static void ecam_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct pci_host *host = dev;

	pci_config_read(&host->bus, off >> 12, off & 0xfff, data, len);
}

static void ecam_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct pci_host *host = dev;

	pci_config_write(&host->bus, off >> 12, off & 0xfff, data, len);
}

static const struct bus_ops ecam_ops = { .read = ecam_read, .write = ecam_write };

/* The address register is there as a whole only: other widths are other devices' ports on a PC. */
static bool is_address(uint64_t off, unsigned len)
{
	return off == 0 && len == 4;
}

static bool is_reset(uint64_t off, unsigned len)
{
	return off == RESET && len == 1;
}

static void reset_write(struct pci_host *host, uint8_t v)
{
	atomic_store(&host->reset, v & RESET_BITS);
	if (v & RESET_NOW)
		host->p->guest_event(host->p, GUEST_RESET);
}

/* Does the address register name something on our bus? */
static bool is_selected(uint32_t address, uint64_t off)
{
	return off >= DATA && address & ADDRESS_ENABLE && !ADDRESS_BUS(address);
}

static void ports_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct pci_host *host = dev;
	uint32_t address = atomic_load(&host->address);

	memset(data, 0xff, len);
	if (is_address(off, len))
		le32_put(data, address);
	else if (is_reset(off, len))
		*(uint8_t *)data = atomic_load(&host->reset);
	else if (is_selected(address, off))
		pci_config_read(&host->bus, ADDRESS_DEVFN(address),
				(address & 0xfc) + off - DATA, data, len);
}

static void ports_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct pci_host *host = dev;
	uint32_t address = atomic_load(&host->address);

	if (is_address(off, len))
		atomic_store(&host->address, le32_get(data) & ADDRESS_BITS);
	else if (is_reset(off, len))
		reset_write(host, *(const uint8_t *)data);
	else if (is_selected(address, off))
		pci_config_write(&host->bus, ADDRESS_DEVFN(address),
				 (address & 0xfc) + off - DATA, data, len);
}

static const struct bus_ops ports_ops = { .read = ports_read, .write = ports_write };

static void pci_host_state(struct device *dev, struct state *s)
{
	struct pci_host *host = container_of(dev, struct pci_host, dev);

	state_atomic(s, &host->address, ADDRESS_BITS);
	state_atomic(s, &host->reset, RESET_BITS);
	pci_function_state(&host->bridge, s);
}

/*
 * The bridge is a function too, without registers of its own. These ids are those of QEMU's generic
 * host bridge, which is just that: systems know it, and have no driver for it.
 */
static const struct pci_ids bridge_ids = {
	.vendor = 0x1b36,
	.device = 0x0008,
	.class = 0x060000, /* host bridge */
};
static const struct pci_ops bridge_ops = { 0 };

static int connect(struct pci_host *host, const char *id)
{
	struct platform *p = host->p;
	int r;

	r = platform_map(p, id, PLATFORM_ECAM, ECAM_SIZE, &ecam_ops, host);
	if (r < 0 || !p->place[PLATFORM_PCI_PORTS].bus)
		return r;
	r = platform_map(p, id, PLATFORM_PCI_PORTS, PORTS, &ports_ops, host);
	if (r < 0)
		platform_unmap(p, PLATFORM_ECAM);
	return r;
}

static void pci_host_destroy(struct device *dev)
{
	struct pci_host *host = container_of(dev, struct pci_host, dev);

	host->p->pci = NULL;
	pci_detach(&host->bridge);
	platform_unmap(host->p, PLATFORM_PCI_PORTS);
	platform_unmap(host->p, PLATFORM_ECAM);
	pci_bus_fini(&host->bus);
	free(host);
}

static int pci_host_create(struct platform *p, struct device_list *list, const char *id,
			   const void *config, struct device **dev)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	int r;

	(void)list;
	(void)config;
	if (!host)
		return -ENOMEM;
	host->p = p;
	r = connect(host, id);
	if (r < 0) {
		free(host);
		return r;
	}
	pci_bus_init(&host->bus, p);
	pci_function_init(&host->bridge, "host bridge", &bridge_ids, &bridge_ops);
	/* The first of all, and it asks for nothing. */
	BUG_ON(pci_attach(&host->bus, &host->bridge) < 0);
	p->pci = &host->bus;
	*dev = &host->dev;
	return 0;
}

const struct device_class pci_host_class = {
	.name = "pci-host",
	.help = "the PCI bus; always there",
	.create = pci_host_create,
	.state = pci_host_state,
	.destroy = pci_host_destroy,
};
