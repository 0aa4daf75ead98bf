/* SPDX-License-Identifier: MIT */
#include "vmm/core/pci.h"

#include <errno.h>
#include <linux/pci.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/bus.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define FIRST_CAPABILITY 0x40
#define CAP_HEADER 2 /* bytes: id and link */
#define ALL_ONES 0xff

#define VECTOR_DATA PCI_MSIX_ENTRY_DATA
#define VECTOR_CONTROL PCI_MSIX_ENTRY_VECTOR_CTRL

void pci_bus_init(struct pci_bus *bus, struct platform *p)
{
	*bus = (struct pci_bus){ .p = p, .window = p->pci_next, .window_end = p->pci_end };
	pthread_mutex_init(&bus->lock, NULL);
}

void pci_bus_fini(struct pci_bus *bus)
{
	pthread_mutex_destroy(&bus->lock);
}

/* The BAR. */

static void bar_bus_read(void *dev, uint64_t off, void *data, unsigned len)
{
	pci_bar_read(dev, off, data, len);
}

static void bar_bus_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	pci_bar_write(dev, off, data, len);
}

static const struct bus_ops bar_bus_ops = { bar_bus_read, bar_bus_write };

static struct ioeventfd bar_bell(const struct pci_function *f, unsigned i)
{
	return (struct ioeventfd){ .addr = f->bar_at + f->bell[i].off, .fd = f->bell[i].fd };
}

/* Where the guest wants the BAR; 0: nowhere. */
static uint64_t bar_wanted(const struct pci_function *f)
{
	const struct pci_bus *bus = f->bus;
	uint64_t at = le32_get(f->config + PCI_BASE_ADDRESS_0);

	if (!(f->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) || at < bus->window ||
	    !range_ok(at - bus->window, f->bar_size, bus->window_end - bus->window))
		return 0;
	return at;
}

static void bar_unmap(struct pci_function *f)
{
	struct bus *mmio = f->bus->p->mmio;
	unsigned i;

	for (i = 0; i < f->nbells; i++) {
		struct ioeventfd bell = bar_bell(f, i);

		bus_ioeventfd_del(mmio, &bell);
	}
	bus_unmap(mmio, f->bar_at);
	f->bar_at = 0;
}

/* A doorbell that the bus or the kernel has no room for is rung by bar_write(). */
static void bar_map(struct pci_function *f, uint64_t at)
{
	struct bus *mmio = f->bus->p->mmio;
	unsigned i;
	int r;

	if (bus_map(mmio, at, f->bar_size, &bar_bus_ops, f) < 0)
		return; /* on another BAR */
	f->bar_at = at;
	for (i = 0; i < f->nbells; i++) {
		struct ioeventfd bell = bar_bell(f, i);

		r = bus_ioeventfd_add(mmio, &bell);
		if (r < 0)
			log_guest(&f->limit, "%s: doorbell %u is slow: %s", f->name, i,
				  strerror(-r));
	}
}

/* All BARs go where they are wanted: first off, then on, as two may change places. */
static void bars_settle(struct pci_bus *bus)
{
	struct pci_function *f;
	unsigned i;

	for (i = 0; i < PCI_SLOTS; i++) {
		f = bus->slot[i];
		if (f && f->bar_at && f->bar_at != bar_wanted(f))
			bar_unmap(f);
	}
	for (i = 0; i < PCI_SLOTS; i++) {
		f = bus->slot[i];
		if (f && !f->bar_at && bar_wanted(f))
			bar_map(f, bar_wanted(f));
	}
}

/* Vectors. */

static void vector_unbind(struct pci_function *f, struct pci_vector *v)
{
	struct platform *p = f->bus->p;

	if (v->bound)
		p->irqchip->unbind(p->chip, &v->irq);
	v->bound = false;
}

static void vector_bind(struct pci_function *f, struct pci_vector *v)
{
	struct platform *p = f->bus->p;
	int r;

	r = p->irqchip->route_msi(p->chip, v->irq.gsi, le64_get(v->entry),
				  le32_get(v->entry + VECTOR_DATA), PCI_DEVFN(f->slot, 0));
	if (r == 0)
		r = p->irqchip->bind(p->chip, &v->irq);
	v->bound = r == 0;
	if (r < 0)
		log_guest(&f->limit, "%s: vector %td stays silent: %s", f->name, v - f->vector,
			  strerror(-r));
}

static void vector_settle(struct pci_function *f, struct pci_vector *v)
{
	uint16_t control = le16_get(f->config + f->msix + PCI_MSIX_FLAGS);
	bool heard = f->config[PCI_COMMAND] & PCI_COMMAND_MASTER &&
		     control & PCI_MSIX_FLAGS_ENABLE && !(control & PCI_MSIX_FLAGS_MASKALL) &&
		     !(v->entry[VECTOR_CONTROL] & PCI_MSIX_ENTRY_CTRL_MASKBIT);

	if (!heard)
		vector_unbind(f, v);
	else if (!v->bound)
		vector_bind(f, v);
}

static void vectors_settle(struct pci_function *f)
{
	unsigned i;

	if (!f->nvectors)
		return;
	atomic_store(&f->msix_enabled, le16_get(f->config + f->msix + PCI_MSIX_FLAGS) &
					       PCI_MSIX_FLAGS_ENABLE);
	for (i = 0; i < f->nvectors; i++)
		vector_settle(f, &f->vector[i]);
}

/* The entry at @off of the table, which is read and written in units of 4 or 8 bytes; or NULL. */
static struct pci_vector *vector_at(struct pci_function *f, uint64_t off, unsigned len)
{
	if ((len != 4 && len != 8) || off % len)
		return NULL;
	return &f->vector[off / PCI_MSIX_ENTRY_SIZE];
}

static void table_read(struct pci_function *f, uint64_t off, void *data, unsigned len)
{
	const struct pci_vector *v = vector_at(f, off, len);

	memset(data, 0, len);
	if (v)
		memcpy(data, v->entry + off % PCI_MSIX_ENTRY_SIZE, len);
}

/* Off the chip and on again, as the message may be another one now. */
static void table_write(struct pci_function *f, uint64_t off, const void *data, unsigned len)
{
	struct pci_vector *v = vector_at(f, off, len);

	if (!v)
		return;
	vector_unbind(f, v);
	memcpy(v->entry + off % PCI_MSIX_ENTRY_SIZE, data, len);
	le32_put(v->entry + VECTOR_CONTROL,
		 v->entry[VECTOR_CONTROL] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
	vector_settle(f, v);
}

static void pba_read(struct pci_function *f, uint64_t off, uint8_t *data, unsigned len)
{
	unsigned i, first = 8 * off;

	memset(data, 0, len);
	for (i = 0; i < 8 * len && first + i < f->nvectors; i++) {
		const struct pci_vector *v = &f->vector[first + i];

		if (!v->bound && irq_pending(&v->irq))
			data[i / 8] |= 1 << i % 8;
	}
}

static uint32_t table_len(const struct pci_function *f)
{
	return f->nvectors * PCI_MSIX_ENTRY_SIZE;
}

static uint32_t pba_len(const struct pci_function *f)
{
	return align_up(f->nvectors, 64) / 8;
}

static bool is_inside(uint64_t off, unsigned len, uint32_t from, uint32_t size)
{
	return off >= from && range_ok(off - from, len, size);
}

void pci_bar_read(struct pci_function *f, uint64_t off, void *data, unsigned len)
{
	bool table = is_inside(off, len, f->table, table_len(f));

	if (!range_ok(off, len, f->bar_size)) {
		memset(data, ALL_ONES, len);
	} else if (table || is_inside(off, len, f->pba, pba_len(f))) {
		pthread_mutex_lock(&f->bus->lock);
		if (table)
			table_read(f, off - f->table, data, len);
		else
			pba_read(f, off - f->pba, data, len);
		pthread_mutex_unlock(&f->bus->lock);
	} else {
		f->ops->bar_read(f, off, data, len);
	}
}

void pci_bar_write(struct pci_function *f, uint64_t off, const void *data, unsigned len)
{
	if (!range_ok(off, len, f->bar_size))
		return;
	if (is_inside(off, len, f->table, table_len(f))) {
		pthread_mutex_lock(&f->bus->lock);
		table_write(f, off - f->table, data, len);
		pthread_mutex_unlock(&f->bus->lock);
	} else {
		f->ops->bar_write(f, off, data, len);
	}
}

/* Config space. */

void pci_config_get(struct pci_function *f, unsigned off, void *data, unsigned len)
{
	pthread_mutex_lock(&f->bus->lock);
	memcpy(data, f->config + off, len);
	pthread_mutex_unlock(&f->bus->lock);
}

void pci_config_set(struct pci_function *f, unsigned off, const void *data, unsigned len)
{
	pthread_mutex_lock(&f->bus->lock);
	memcpy(f->config + off, data, len);
	pthread_mutex_unlock(&f->bus->lock);
}

/* The function that an access means, or NULL. Only function 0 of a slot can be there. */
static struct pci_function *find(const struct pci_bus *bus, unsigned devfn, unsigned off,
				 unsigned len)
{
	if (devfn % 8 || devfn / 8 >= PCI_SLOTS || off % 4 + len > 4)
		return NULL;
	return bus->slot[devfn / 8];
}

void pci_config_read(struct pci_bus *bus, unsigned devfn, unsigned off, void *data, unsigned len)
{
	struct pci_function *f = find(bus, devfn, off, len);

	memset(data, f ? 0 : ALL_ONES, len);
	if (!f || off >= PCI_CONFIG_LEN)
		return; /* there are no extended capabilities */
	if (f->ops->config_reading)
		f->ops->config_reading(f, off, len);
	pci_config_get(f, off, data, len);
}

void pci_config_write(struct pci_bus *bus, unsigned devfn, unsigned off, const void *data,
		      unsigned len)
{
	struct pci_function *f = find(bus, devfn, off, len);
	const uint8_t *byte = data;
	unsigned i;

	if (!f || off >= PCI_CONFIG_LEN)
		return;
	pthread_mutex_lock(&bus->lock);
	for (i = off; i < off + len; i++)
		f->config[i] = (f->config[i] & ~f->writable[i]) | (*byte++ & f->writable[i]);
	bars_settle(bus);
	vectors_settle(f);
	pthread_mutex_unlock(&bus->lock);
	if (f->ops->config_written)
		f->ops->config_written(f, off, len);
}

/* State. */

static void vector_state(struct pci_function *f, struct pci_vector *v, struct state *s)
{
	bool pending = !v->bound && irq_pending(&v->irq);
	uint8_t entry[sizeof(v->entry)];

	memcpy(entry, v->entry, sizeof(entry));
	state_bytes(s, entry, sizeof(entry));
	state_bool(s, &pending);
	state_check(s, !(le32_get(entry + VECTOR_CONTROL) & ~PCI_MSIX_ENTRY_CTRL_MASKBIT));
	if (!state_takes(s))
		return;
	vector_unbind(f, v);
	memcpy(v->entry, entry, sizeof(entry));
	irq_forget(&v->irq);
	if (pending)
		irq_raise(&v->irq);
}

/* What the guest cannot write is as it was made. */
static void config_state(struct pci_function *f, struct state *s)
{
	uint8_t config[PCI_CONFIG_LEN];
	unsigned i;

	for (i = 0; i < sizeof(config); i++)
		config[i] = f->config[i] & f->writable[i];
	state_bytes(s, config, sizeof(config));
	for (i = 0; i < sizeof(config); i++) {
		state_check(s, !(config[i] & ~f->writable[i]));
		if (state_takes(s))
			f->config[i] = (f->config[i] & ~f->writable[i]) | config[i];
	}
}

void pci_function_state(struct pci_function *f, struct state *s)
{
	unsigned i;

	pthread_mutex_lock(&f->bus->lock);
	state_same(s, le32_get(f->config + PCI_VENDOR_ID));
	state_same(s, f->nvectors);
	config_state(f, s);
	for (i = 0; i < f->nvectors; i++)
		vector_state(f, &f->vector[i], s);
	if (state_takes(s)) {
		bars_settle(f->bus);
		vectors_settle(f);
	}
	pthread_mutex_unlock(&f->bus->lock);
}

/* Set-up. */

void pci_function_init(struct pci_function *f, const char *name, const struct pci_ids *ids,
		       const struct pci_ops *ops)
{
	f->name = name;
	f->ops = ops;
	f->end = FIRST_CAPABILITY;
	f->link = PCI_CAPABILITY_LIST;
	le16_put(f->config + PCI_VENDOR_ID, ids->vendor);
	le16_put(f->config + PCI_DEVICE_ID, ids->device);
	le32_put(f->config + PCI_CLASS_REVISION, ids->class << 8 | ids->revision);
	le16_put(f->config + PCI_SUBSYSTEM_VENDOR_ID, ids->sub_vendor);
	le16_put(f->config + PCI_SUBSYSTEM_ID, ids->sub_device);
}

unsigned pci_capability_add(struct pci_function *f, uint8_t id, const void *body, unsigned len)
{
	unsigned at = f->end;

	BUG_ON(!range_ok(at, CAP_HEADER + len, PCI_CONFIG_LEN));
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->config[f->link] = at;
	f->config[at + PCI_CAP_LIST_ID] = id;
	memcpy(f->config + at + CAP_HEADER, body, len);
	f->link = at + PCI_CAP_LIST_NEXT;
	f->end = align_up(at + CAP_HEADER + len, 4);
	return at;
}

static int bar_init(struct pci_function *f, struct platform *p)
{
	uint32_t at;

	if (platform_bar_alloc(p, f->bar_size, &at) < 0) {
		log_err("%s: no room for another device's registers on the PCI bus", f->name);
		return -ENOSPC;
	}
	le32_put(f->config + PCI_BASE_ADDRESS_0, at);
	le32_put(f->writable + PCI_BASE_ADDRESS_0, ~(f->bar_size - 1));
	le16_put(f->writable + PCI_COMMAND,
		 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	return 0;
}

static void vectors_free(struct pci_function *f, unsigned made)
{
	while (made)
		irq_close(&f->vector[--made].irq);
	free(f->vector);
}

static int vectors_make(struct pci_function *f, uint32_t gsi)
{
	unsigned i;
	int r;

	f->vector = calloc(f->nvectors, sizeof(*f->vector));
	if (!f->vector)
		return -ENOMEM;
	for (i = 0; i < f->nvectors; i++) {
		f->vector[i].entry[VECTOR_CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
		r = irq_open(&f->vector[i].irq, gsi + i);
		if (r < 0) {
			vectors_free(f, i);
			return r;
		}
	}
	return 0;
}

static int msix_init(struct pci_function *f, struct platform *p)
{
	uint8_t body[PCI_CAP_MSIX_SIZEOF - CAP_HEADER];
	uint32_t gsi;
	int r;

	r = platform_msi_alloc(p, f->nvectors, &gsi);
	if (r < 0) {
		log_err("%s: %u more interrupts are too many", f->name, f->nvectors);
		return r;
	}
	r = vectors_make(f, gsi);
	if (r < 0) {
		log_err("%s: no interrupts: %s", f->name, strerror(-r));
		return r;
	}
	le16_put(body, f->nvectors - 1);
	le32_put(body + PCI_MSIX_TABLE - CAP_HEADER, f->table); /* both in BAR 0 */
	le32_put(body + PCI_MSIX_PBA - CAP_HEADER, f->pba);
	f->msix = pci_capability_add(f, PCI_CAP_ID_MSIX, body, sizeof(body));
	le16_put(f->writable + f->msix + PCI_MSIX_FLAGS,
		 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return 0;
}

int pci_attach(struct pci_bus *bus, struct pci_function *f)
{
	unsigned slot = 0;
	int r = 0;

	BUG_ON(f->nvectors > PCI_VECTORS_MAX);
	while (slot < PCI_SLOTS && bus->slot[slot])
		slot++;
	if (slot == PCI_SLOTS) {
		log_err("%s: no room for another device on the PCI bus; at most %d fit", f->name,
			PCI_SLOTS - 1);
		return -ENOSPC;
	}
	if (f->bar_size)
		r = bar_init(f, bus->p);
	if (r == 0 && f->nvectors)
		r = msix_init(f, bus->p);
	if (r < 0)
		return r;
	f->bus = bus;
	f->slot = slot;
	bus->slot[slot] = f;
	return 0;
}

void pci_detach(struct pci_function *f)
{
	unsigned i;

	if (f->bar_at)
		bar_unmap(f);
	for (i = 0; i < f->nvectors; i++)
		vector_unbind(f, &f->vector[i]);
	vectors_free(f, f->nvectors);
	f->bus->slot[f->slot] = NULL;
}
