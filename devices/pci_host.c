/*
 * pci_host.c - the host bridge: the PCI bus, and the two ways to its config
 * space. ECAM is a window on the memory bus, 4 KiB for each function of bus 0;
 * the ports 0xcf8 (which register) and 0xcfc (its value) are the way of old, for
 * guests that look there first.
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
#include "vmm/core/util.h"

#define PORT_ADDRESS 0xcf8
#define PORTS 8
#define DATA 4 /* from PORT_ADDRESS on */
#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BITS 0x80fffffcu /* enable, bus, device and function, register */
#define ADDRESS_BUS(a) ((a) >> 16 & 0xff)
#define ADDRESS_DEVFN(a) ((a) >> 8 & 0xff)

#define ECAM_SIZE MIB(1)

struct pci_host {
	struct device dev;
	struct platform *p;
	struct pci_bus bus;
	struct pci_function bridge;
	atomic_uint address; /* the register at 0xcf8 */
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
	else if (is_selected(address, off))
		pci_config_write(&host->bus, ADDRESS_DEVFN(address),
				 (address & 0xfc) + off - DATA, data, len);
}

static const struct bus_ops ports_ops = { .read = ports_read, .write = ports_write };

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

static int connect(struct pci_host *host)
{
	struct platform *p = host->p;
	int r;

	r = bus_map(p->mmio, p->ecam_base, ECAM_SIZE, &ecam_ops, host);
	if (r < 0)
		return r;
	r = bus_map(p->pio, PORT_ADDRESS, PORTS, &ports_ops, host);
	if (r < 0)
		bus_unmap(p->mmio, p->ecam_base);
	return r;
}

static void pci_host_destroy(struct device *dev)
{
	struct pci_host *host = container_of(dev, struct pci_host, dev);

	host->p->pci = NULL;
	pci_detach(&host->bridge);
	bus_unmap(host->p->pio, PORT_ADDRESS);
	bus_unmap(host->p->mmio, host->p->ecam_base);
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
	r = connect(host);
	if (r < 0) {
		log_err("%s: there is one already", id);
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
	.destroy = pci_host_destroy,
};
