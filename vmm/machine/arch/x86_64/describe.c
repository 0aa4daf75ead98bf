/* SPDX-License-Identifier: MIT */
/*
 * describe.c - the ACPI tables: what the guest's kernel finds, and where.
 *
 * Hardware-reduced ACPI (ACPI 6.5, 4.1): no PM timer, no SCI, no PIC and no PIT
 * are promised, so that the guest does not look for them. The fixed devices are
 * in dsdt.asl; each virtio device gets an SSDT made from virtio.asl, both
 * compiled at build time. The rest is a page of numbers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/arch/x86_64/dsdt.aml.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/arch/x86_64/virtio.aml.h"
#include "vmm/machine/machine.h"

#define HEADER 36 /* of every table but the RSDP */
#define RSDP_SIZE 36

/* What virtio.asl has in place of numbers. */
#define PLACE_UID 0xc0de0001
#define PLACE_BASE 0xc0de0002
#define PLACE_SIZE 0xc0de0003
#define PLACE_GSI 0xc0de0004
#define PLACE_NAME "V0__"

#define FADT_SIZE 276
#define FADT_WBINVD 0x1
#define FADT_SLEEP_BUTTON_ABSENT 0x20
#define FADT_POWER_BUTTON_ABSENT 0x10
#define FADT_RESET_REGISTER 0x400
#define FADT_HW_REDUCED 0x100000
#define FADT_NO_VGA 0x4

#define GAS_IO 1
#define GAS_BYTE 1

#define MADT_PCAT_COMPAT_NONE 0
#define MADT_ENABLED 1
#define MADT_ALL_PROCESSORS 0xff

/* The tables as they will lie at ACPI_AT. */
struct tables {
	uint8_t byte[ACPI_ROOM];
	size_t at;
	uint32_t list[3 + PLATFORM_SLOTS]; /* addresses for the XSDT */
	unsigned count;
};

static uint8_t checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

static uint32_t address(const struct tables *t, const void *p)
{
	return ACPI_AT + ((const uint8_t *)p - t->byte);
}

/* Room for a table of @len zero bytes, and its place. */
static uint8_t *reserve(struct tables *t, size_t len)
{
	uint8_t *p = t->byte + t->at;

	t->at = align_up(t->at + len, 16);
	/* All sizes are bounded, by PLATFORM_SLOTS and MACHINE_CPUS_MAX. */
	BUG_ON(t->at > RESET_VECTOR_AT - ACPI_AT);
	return p;
}

static uint8_t *begin(struct tables *t, const char *signature, uint8_t revision, size_t len)
{
	uint8_t *p = reserve(t, len);

	memcpy(p, signature, 4);
	le32_put(p + 4, len);
	p[8] = revision;
	memcpy(p + 10, "LUNETTLUNETTE ", 14);
	le32_put(p + 24, 1);
	memcpy(p + 28, "LUNE", 4);
	le32_put(p + 32, 1);
	return p;
}

static void end(uint8_t *p)
{
	p[9] = 0;
	p[9] = checksum(p, le32_get(p + 4));
}

static void end_listed(struct tables *t, uint8_t *p)
{
	end(p);
	t->list[t->count++] = address(t, p);
}

static uint8_t *copy_aml(struct tables *t, const unsigned char *aml, size_t len)
{
	uint8_t *p = reserve(t, len);

	memcpy(p, aml, len);
	return p;
}

/* The one place where the template has @from. */
static void replace(uint8_t *table, const void *from, const void *to, size_t len)
{
	size_t size = le32_get(table + 4);
	uint8_t *p = memmem(table, size, from, len);

	BUG_ON(!p || memmem(p + 1, table + size - p - 1, from, len));
	memcpy(p, to, len);
}

static void replace_number(uint8_t *table, uint32_t place, uint32_t number)
{
	uint8_t from[4], to[4];

	le32_put(from, place);
	le32_put(to, number);
	replace(table, from, to, 4);
}

static void add_virtio(struct tables *t, const struct mmio_slot *slot, unsigned n)
{
	uint8_t *p = copy_aml(t, virtio_aml_code, sizeof(virtio_aml_code));
	char name[5];

	snprintf(name, sizeof(name), "V%03u", n % 1000);
	replace(p, PLACE_NAME, name, 4);
	replace_number(p, PLACE_UID, n);
	replace_number(p, PLACE_BASE, slot->base);
	replace_number(p, PLACE_SIZE, slot->size);
	replace_number(p, PLACE_GSI, slot->gsi);
	end_listed(t, p);
}

/* Generic Address Structure, ACPI 6.5 5.2.3.2: one byte at an I/O port. */
static void put_gas(uint8_t *p, uint64_t port)
{
	p[0] = GAS_IO;
	p[1] = 8;
	p[2] = 0;
	p[3] = GAS_BYTE;
	le64_put(p + 4, port);
}

/* ACPI 6.5, 5.2.9 */
static void add_fadt(struct tables *t, uint32_t dsdt)
{
	uint8_t *p = begin(t, "FACP", 6, FADT_SIZE);

	p[45] = 0; /* preferred profile: not said */
	p[108] = 0x32; /* the clock's century cell */
	le16_put(p + 109, FADT_NO_VGA); /* and no 8042 (i8042.c only resets), no legacy devices */
	le32_put(p + 112, FADT_WBINVD | FADT_POWER_BUTTON_ABSENT | FADT_SLEEP_BUTTON_ABSENT |
			  FADT_RESET_REGISTER | FADT_HW_REDUCED);
	put_gas(p + 116, ACPI_PM_AT + ACPI_PM_RESET);
	p[128] = ACPI_PM_RESET_VALUE;
	p[131] = 3; /* minor version */
	le64_put(p + 140, dsdt);
	put_gas(p + 244, ACPI_PM_AT + ACPI_PM_SLEEP_CONTROL);
	put_gas(p + 256, ACPI_PM_AT + ACPI_PM_SLEEP_STATUS);
	memcpy(p + 268, "LUNETTE", 8);
	end_listed(t, p);
}

/* ACPI 6.5, 5.2.12: local APICs, the I/O APIC, and the NMI's input. */
static void add_madt(struct tables *t, unsigned ncpus)
{
	uint8_t *p = begin(t, "APIC", 5, 44 + ncpus * 8 + 12 + 6), *e = p + 44;
	unsigned i;

	le32_put(p + 36, LAPIC_AT);
	le32_put(p + 40, MADT_PCAT_COMPAT_NONE);
	for (i = 0; i < ncpus; i++, e += 8) {
		e[0] = 0; /* processor local APIC */
		e[1] = 8;
		e[2] = i;
		e[3] = i;
		le32_put(e + 4, MADT_ENABLED);
	}
	e[0] = 1; /* I/O APIC, its inputs are GSI 0 to 23 */
	e[1] = 12;
	e[2] = 0;
	le32_put(e + 4, IOAPIC_AT);
	e += 12;
	e[0] = 4; /* local APIC NMI: LINT1 of all */
	e[1] = 6;
	e[2] = MADT_ALL_PROCESSORS;
	e[5] = 1;
	end_listed(t, p);
}

/* PCI Firmware Specification 3.3, 4.1.2: segment 0, bus 0. */
static void add_mcfg(struct tables *t)
{
	uint8_t *p = begin(t, "MCFG", 1, 60);

	le64_put(p + 44, ECAM_AT);
	end_listed(t, p);
}

static uint32_t add_xsdt(struct tables *t)
{
	uint8_t *p = begin(t, "XSDT", 1, HEADER + t->count * 8);
	unsigned i;

	for (i = 0; i < t->count; i++)
		le64_put(p + HEADER + i * 8, t->list[i]);
	end(p);
	return address(t, p);
}

/* ACPI 6.5, 5.2.5.3; it is the first thing at ACPI_AT. */
static void put_rsdp(uint8_t *p, uint32_t xsdt)
{
	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, "LUNETT", 6);
	p[15] = 2;
	le32_put(p + 20, RSDP_SIZE);
	le64_put(p + 24, xsdt);
	p[8] = checksum(p, 20);
	p[32] = checksum(p, RSDP_SIZE);
}

/*
 * A Linux with hardware-reduced ACPI expects EFI to reset the machine, and without it jumps to
 * where a BIOS would begin. There it finds: mov $1, %al; mov $RESET, %dx; out %al, %dx; hlt.
 */
static void put_reset_vector(struct tables *t)
{
	static const uint8_t code[] = {
		0xb0, ACPI_PM_RESET_VALUE,
		0xba, (ACPI_PM_AT + ACPI_PM_RESET) & 0xff, (ACPI_PM_AT + ACPI_PM_RESET) >> 8,
		0xee, 0xf4, 0xeb, 0xfd,
	};

	memcpy(t->byte + (RESET_VECTOR_AT - ACPI_AT), code, sizeof(code));
}

int arch_describe(const struct platform *p, const struct arch_entry *entry)
{
	struct tables *t = calloc(1, sizeof(*t));
	uint8_t *rsdp, *dsdt;
	unsigned i;
	int r;

	(void)entry;
	if (!t)
		return -ENOMEM;
	rsdp = reserve(t, RSDP_SIZE);
	dsdt = copy_aml(t, dsdt_aml_code, sizeof(dsdt_aml_code));
	add_fadt(t, address(t, dsdt));
	add_madt(t, p->cpus);
	add_mcfg(t);
	for (i = 0; i < p->nslots; i++)
		add_virtio(t, &p->slot[i], i);
	put_rsdp(rsdp, add_xsdt(t));
	put_reset_vector(t);
	r = mem_write(p->mem, ACPI_AT, t->byte, sizeof(t->byte));
	free(t);
	return r;
}

int arch_platform_devices(struct platform *p, struct device_list *list)
{
	static const char *const always[] = {
		"pci-host", "acpi-pm", "i8042", "nmi-status", "pvpanic", "rtc",
		"serial,port=0,file=-",
	};
	unsigned i;
	int r = 0;

	for (i = 0; r == 0 && i < ARRAY_SIZE(always); i++)
		r = device_create(p, list, always[i]);
	return r;
}
