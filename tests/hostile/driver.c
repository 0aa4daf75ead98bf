/* SPDX-License-Identifier: MIT */
#include "tests/hostile/driver.h"

#include "tests/hostile/pci.h"

#define SLOTS 19
#define PATIENCE 20000000000ull /* cycles: some seconds */

volatile uint8_t *device, *config;
struct queue queue[QUEUES_MAX];
unsigned queues = QUEUES, entries = QUEUE_MAX;
struct request request[QUEUE_MAX];
_Alignas(4096) uint8_t data[DATA_SIZE];

uint32_t reg(unsigned off)
{
	return pci.home ? pci_reg(off) : *(volatile uint32_t *)(device + off);
}

void set_reg(unsigned off, uint32_t value)
{
	if (pci.home)
		pci_set_reg(off, value);
	else
		*(volatile uint32_t *)(device + off) = value;
}

void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

void power_off(void)
{
	out8(0x600, 0x34);
	for (;;)
		;
}

void mask_interrupts(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

void print(const char *text)
{
	while (*text)
		out8(0x3f8, *text++);
}

void print_number(uint64_t n)
{
	if (n >= 10)
		print_number(n / 10);
	out8(0x3f8, '0' + n % 10);
}

/* xorshift, from a fixed seed: a run that failed can be had again. */
uint32_t random32(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x >> 16;
}

uint64_t cycles(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

void zero(void *to, size_t len)
{
	volatile uint8_t *p = to;

	while (len--)
		*p++ = 0;
}

void *memcpy(void *to, const void *from, size_t len)
{
	void *end = to;

	__asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(len) : : "memory");
	return to;
}

void *memset(void *to, int value, size_t len)
{
	void *end = to;

	__asm__ volatile("rep stosb" : "+D"(end), "+c"(len) : "a"(value) : "memory");
	return to;
}

static bool find(unsigned id)
{
	unsigned slot;

	if (pci_find(id))
		return true;
	for (slot = 0; slot < SLOTS; slot++) {
		device = (volatile uint8_t *)(WINDOW + slot * 0x1000);
		config = device + VIRTIO_MMIO_CONFIG;
		if (reg(VIRTIO_MMIO_MAGIC_VALUE) == 0x74726976 && reg(VIRTIO_MMIO_DEVICE_ID) == id)
			return true;
	}
	return false;
}

bool find_virtio(unsigned id, unsigned nqueues)
{
	if (!find(id))
		return false;
	queues = nqueues;
	set_reg(VIRTIO_MMIO_STATUS, 0);
	set_reg(VIRTIO_MMIO_QUEUE_SEL, 0);
	entries = reg(VIRTIO_MMIO_QUEUE_NUM_MAX);
	entries = entries < QUEUE_MAX ? entries : QUEUE_MAX;
	return true;
}

bool find_device(void)
{
	return find_virtio(VIRTIO_ID_SCSI, QUEUES);
}

void reset(void)
{
	unsigned q;

	set_reg(VIRTIO_MMIO_STATUS, 0);
	while (reg(VIRTIO_MMIO_STATUS))
		;
	for (q = 0; q < queues; q++)
		zero(&queue[q], sizeof(queue[q]));
	zero(request, sizeof(request));
}

bool negotiate(uint64_t features)
{
	set_reg(VIRTIO_MMIO_STATUS, 1);
	set_reg(VIRTIO_MMIO_STATUS, 3);
	set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set_reg(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	set_reg(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set_reg(VIRTIO_MMIO_DRIVER_FEATURES, features >> 32);
	set_reg(VIRTIO_MMIO_STATUS, 11);
	return reg(VIRTIO_MMIO_STATUS) == 11;
}

void set_queue(unsigned q, unsigned size, uint64_t desc, uint64_t driver, uint64_t used)
{
	set_reg(VIRTIO_MMIO_QUEUE_SEL, q);
	set_reg(VIRTIO_MMIO_QUEUE_NUM, size);
	set_reg(VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
	set_reg(VIRTIO_MMIO_QUEUE_DESC_HIGH, desc >> 32);
	set_reg(VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)driver);
	set_reg(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, driver >> 32);
	set_reg(VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
	set_reg(VIRTIO_MMIO_QUEUE_USED_HIGH, used >> 32);
	set_reg(VIRTIO_MMIO_QUEUE_READY, 1);
}

void start(uint64_t features)
{
	unsigned q;

	reset();
	negotiate(features);
	for (q = 0; q < queues; q++)
		set_queue(q, entries, (uintptr_t)queue[q].desc, (uintptr_t)&queue[q].avail,
			  (uintptr_t)&queue[q].used);
	set_reg(VIRTIO_MMIO_STATUS, 15);
}

bool is_broken(void)
{
	return reg(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

void offer(unsigned q, uint16_t head)
{
	struct queue *vq = &queue[q];

	vq->avail.ring[vq->avail.idx % entries] = head;
	__asm__ volatile("mfence" : : : "memory");
	vq->avail.idx++;
}

void kick(unsigned q)
{
	__asm__ volatile("mfence" : : : "memory");
	set_reg(VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

bool wait_used(unsigned q, struct used_element *element)
{
	struct queue *vq = &queue[q];
	uint64_t begin = cycles();
	unsigned rounds = 0;

	while (vq->used.idx == vq->seen) {
		if (++rounds % 4096 == 0 && (is_broken() || cycles() - begin > PATIENCE))
			return false;
		__asm__ volatile("pause");
	}
	if (element)
		*element = (struct used_element){ vq->used.ring[vq->seen % entries].id,
						  vq->used.ring[vq->seen % entries].len };
	vq->seen++;
	return true;
}

static void link_desc(unsigned at, uint64_t addr, uint32_t len, uint16_t flags)
{
	volatile struct desc *d = &queue[REQUEST].desc[at];

	d->addr = addr;
	d->len = len;
	d->flags = flags;
	d->next = at + 1;
}

void prepare(unsigned n, unsigned lun, const uint8_t *cdb, unsigned cdb_len, bool in, uint64_t addr,
	     uint32_t len)
{
	struct request *r = &request[n];
	unsigned at = 4 * n;

	zero(r, sizeof(*r));
	r->head.lun[0] = 1;
	r->head.lun[2] = 0x40 | lun >> 8;
	r->head.lun[3] = lun;
	r->head.tag = n + 1;
	r->tail.response = 0xff;
	memcpy(r->head.cdb, cdb, cdb_len);
	link_desc(at++, (uintptr_t)&r->head, sizeof(r->head), NEXT);
	if (len && !in)
		link_desc(at++, addr, len, NEXT);
	link_desc(at++, (uintptr_t)&r->tail, sizeof(r->tail), WRITE | (len && in ? NEXT : 0));
	if (len && in)
		link_desc(at, addr, len, WRITE);
}

bool run(unsigned lun, const uint8_t *cdb, unsigned cdb_len, bool in, uint64_t addr, uint32_t len)
{
	struct used_element e;

	prepare(0, lun, cdb, cdb_len, in, addr, len);
	offer(REQUEST, 0);
	kick(REQUEST);
	return wait_used(REQUEST, &e) && e.id == 0 &&
	       ((volatile struct request *)request)->tail.response != 0xff;
}

bool transfer(bool in, uint32_t lba, unsigned blocks, void *buffer)
{
	uint8_t cdb[10] = { in ? 0x28 : 0x2a, 0, lba >> 24, lba >> 16, lba >> 8, lba, 0,
			    blocks >> 8, blocks };

	return run(0, cdb, sizeof(cdb), in, (uintptr_t)buffer, blocks * 512) &&
	       !request[0].tail.response;
}
