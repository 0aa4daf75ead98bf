/* SPDX-License-Identifier: MIT */
/*
 * pci_fixture.h - functions with memory in their BARs and doorbells, and a CPU that finds them.
 */
#ifndef TESTS_PCI_FIXTURE_H
#define TESTS_PCI_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/lib/driver.h"
#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "vmm/core/pci.h"
#include "vmm/core/util.h"

#define BAR_SIZE 0x4000u
#define TABLE 0x2000u
#define PBA 0x3000u
#define BELL 0x1000u
#define VECTORS 70 /* two words of pending bits */
#define MSI 0xfee01000ull

/* A function with memory in its BAR and a doorbell. */
struct toy {
	struct pci_function f;
	atomic_uint readings, writtens;
	pthread_mutex_t lock; /* of what follows */
	uint8_t bytes[BAR_SIZE];
	unsigned reads, writes;
	uint64_t off;
	struct pci_bell bell;
};

static struct testbed tb;
static struct toy toys[2];
static struct stderr_text said;

static inline void toy_read(struct pci_function *f, uint64_t off, void *data, unsigned len)
{
	struct toy *t = container_of(f, struct toy, f);

	pthread_mutex_lock(&t->lock);
	memcpy(data, t->bytes + off, len);
	t->reads++;
	t->off = off;
	pthread_mutex_unlock(&t->lock);
}

static inline void toy_write(struct pci_function *f, uint64_t off, const void *data, unsigned len)
{
	struct toy *t = container_of(f, struct toy, f);

	pthread_mutex_lock(&t->lock);
	memcpy(t->bytes + off, data, len);
	t->writes++;
	t->off = off;
	pthread_mutex_unlock(&t->lock);
}

static inline void toy_reading(struct pci_function *f, unsigned off, unsigned len)
{
	(void)off;
	(void)len;
	atomic_fetch_add(&container_of(f, struct toy, f)->readings, 1);
}

static inline void toy_written(struct pci_function *f, unsigned off, unsigned len)
{
	(void)off;
	(void)len;
	atomic_fetch_add(&container_of(f, struct toy, f)->writtens, 1);
}

static const struct pci_ops toy_ops = { toy_read, toy_write, toy_reading, toy_written };
static const struct pci_ids toy_ids = { .vendor = 0x1234, .device = 0x5678, .sub_vendor = 0x9abc,
					.sub_device = 0xdef0, .class = 0x112233, .revision = 0x44 };

static inline int toy_init(struct toy *t)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	t->bell = (struct pci_bell){ BELL, eventfd(0, EFD_NONBLOCK) };
	pci_function_init(&t->f, "toy", &toy_ids, &toy_ops);
	t->f.bar_size = BAR_SIZE;
	t->f.bell = &t->bell;
	t->f.nbells = 1;
	t->f.nvectors = VECTORS;
	t->f.table = TABLE;
	t->f.pba = PBA;
	return pci_attach(tb.p.pci, &t->f);
}

static inline void set_up(void)
{
	testbed_init(&tb);
	ck_assert_int_eq(toy_init(&toys[0]), 0);
	ck_assert_int_eq(toy_init(&toys[1]), 0);
}

static inline void tear_down(void)
{
	unsigned i;

	for (i = 0; i < 2; i++) {
		pci_detach(&toys[i].f);
		close(toys[i].bell.fd);
	}
	ck_assert_uint_eq(tb.mmio.nbells, 0);
	testbed_fini(&tb);
}

/* Config space of a toy: toys[0] is in slot 1, behind the host bridge. */
static inline uint32_t get(unsigned toy, unsigned off, unsigned len)
{
	uint8_t raw[8] = { 0 };

	pci_config_read(tb.p.pci, 8 * (toy + 1), off, raw, len);
	return le32_get(raw);
}

static inline void put(unsigned toy, unsigned off, uint32_t value, unsigned len)
{
	uint8_t raw[4];

	le32_put(raw, value);
	pci_config_write(tb.p.pci, 8 * (toy + 1), off, raw, len);
}

static inline uint64_t peek(uint64_t addr, unsigned len)
{
	uint8_t raw[8] = { 0 };

	bus_read(&tb.mmio, addr, raw, len);
	return le64_get(raw);
}

static inline void poke(uint64_t addr, uint64_t value, unsigned len)
{
	uint8_t raw[8];

	le64_put(raw, value);
	bus_write(&tb.mmio, addr, raw, len);
}

static inline uint32_t bar(unsigned toy)
{
	return get(toy, PCI_BASE_ADDRESS_0, 4);
}

static inline void decode(unsigned toy, bool on)
{
	put(toy, PCI_COMMAND, PCI_COMMAND_MASTER | (on ? PCI_COMMAND_MEMORY : 0), 2);
}

static inline bool is_there(unsigned toy, uint64_t at)
{
	unsigned before = toys[toy].reads;

	peek(at + 0x123, 1);
	return toys[toy].reads == before + 1 && toys[toy].off == 0x123;
}

/* A doorbell that the host has no room for works the slow way. */
static inline int no_room(void *host, const struct ioeventfd *bell, bool add)
{
	(void)host;
	(void)bell;
	return add ? -ENOSPC : 0;
}

/* Vectors. */

#define FLAGS (toys[0].f.msix + PCI_MSIX_FLAGS)

static inline uint64_t entry(unsigned n)
{
	return bar(0) + TABLE + 16ull * n;
}

static inline void mask(unsigned n, bool masked)
{
	poke(entry(n) + PCI_MSIX_ENTRY_VECTOR_CTRL, masked, 4);
}

static inline void program(unsigned n, uint32_t data)
{
	poke(entry(n), MSI, 8);
	poke(entry(n) + PCI_MSIX_ENTRY_DATA, data, 4);
}

/* Set-up. */

static inline void check_refused(struct toy *t, const char *line)
{
	stderr_begin(&said);
	ck_assert_int_eq(toy_init(t), -ENOSPC);
	ck_assert_str_eq(stderr_end(&said), line);
	close(t->bell.fd);
}

#endif
