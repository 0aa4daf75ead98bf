/* SPDX-License-Identifier: MIT */
#include "tests/lib/testbed.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmm/core/claim.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

static int chip_bind(void *chip, const struct irq *irq)
{
	struct testbed *tb = chip;

	BUG_ON(irq->gsi >= TESTBED_GSIS);
	pthread_mutex_lock(&tb->chip_lock);
	BUG_ON(tb->irq[irq->gsi].fd >= 0);
	if (!tb->chip_error) {
		tb->irq[irq->gsi].fd = irq->fd;
		if (tb->irq[irq->gsi].injected) /* what has not been seen yet can still be polled */
			eventfd_write(irq->fd, tb->irq[irq->gsi].injected);
		tb->irq[irq->gsi].injected = 0;
	}
	pthread_mutex_unlock(&tb->chip_lock);
	return tb->chip_error;
}

static uint64_t take_count(int fd)
{
	eventfd_t count;

	return eventfd_read(fd, &count) < 0 ? 0 : count;
}

static void chip_unbind(void *chip, const struct irq *irq)
{
	struct testbed *tb = chip;

	pthread_mutex_lock(&tb->chip_lock);
	tb->irq[irq->gsi].injected += take_count(irq->fd);
	tb->irq[irq->gsi].fd = -1;
	pthread_mutex_unlock(&tb->chip_lock);
}

static int chip_route_msi(void *chip, uint32_t gsi, uint64_t addr, uint32_t data, uint32_t devid)
{
	struct testbed *tb = chip;

	BUG_ON(gsi < TESTBED_MSI || gsi >= TESTBED_GSIS);
	pthread_mutex_lock(&tb->chip_lock);
	tb->irq[gsi].addr = addr;
	tb->irq[gsi].data = data;
	tb->irq[gsi].devid = devid;
	tb->routes++;
	pthread_mutex_unlock(&tb->chip_lock);
	return 0;
}

static const struct irqchip_ops chip_ops = {
	.bind = chip_bind,
	.unbind = chip_unbind,
	.route_msi = chip_route_msi,
};

static struct loop *make_iothread(struct platform *p, const char *name)
{
	struct testbed *tb = container_of(p, struct testbed, p);
	struct loop *loop = loop_create(name);

	BUG_ON(!loop || tb->niothreads == TESTBED_IOTHREADS);
	tb->iothread[tb->niothreads++] = loop;
	if (tb->started)
		BUG_ON(loop_start(loop) < 0);
	return loop;
}

static void on_guest_event(struct platform *p, enum guest_event event)
{
	struct testbed *tb = container_of(p, struct testbed, p);

	atomic_store(&tb->last_event, event);
}

static void init(struct testbed *tb, bool shared)
{
	unsigned i;

	memset(tb, 0, sizeof(*tb));
	tb->mem.shared = shared;
	BUG_ON(mem_add(&tb->mem, 0, TESTBED_LOW_SIZE) < 0 ||
	       mem_add(&tb->mem, TESTBED_BORDER, TESTBED_LOW_SIZE) < 0 ||
	       mem_add(&tb->mem, TESTBED_HIGH, TESTBED_HIGH_SIZE) < 0);
	tb->main_loop = loop_create("main");
	BUG_ON(!tb->main_loop);
	for (i = 0; i < TESTBED_GSIS; i++)
		tb->irq[i].fd = -1;
	tb->mmio = tb->pio = (struct bus)BUS_EMPTY;
	pthread_mutex_init(&tb->chip_lock, NULL);
	tb->next_free = TESTBED_HIGH;
	atomic_store(&tb->last_event, -1);
	tb->p = (struct platform){
		.mem = &tb->mem,
		.mmio = &tb->mmio,
		.pio = &tb->pio,
		.irqchip = &chip_ops,
		.chip = tb,
		.main_loop = tb->main_loop,
		.mmio_next = TESTBED_MMIO,
		.mmio_end = TESTBED_MMIO_END,
		.pci_next = TESTBED_BARS,
		.pci_end = TESTBED_BARS_END,
		.gsi_next = TESTBED_INPUT,
		.gsi_end = TESTBED_MSI,
		.msi_next = TESTBED_MSI,
		.msi_end = TESTBED_GSIS,
		.place = {
			[PLATFORM_SERIAL0] = { &tb->pio, 0x3f8, 4 },
			[PLATFORM_SERIAL1] = { &tb->pio, 0x2f8, 3 },
			[PLATFORM_RTC] = { &tb->pio, 0x70, 0 },
			[PLATFORM_PVPANIC] = { &tb->pio, 0x505, 0 },
			[PLATFORM_ACPI_PM] = { &tb->pio, 0x600, 0 },
			[PLATFORM_I8042] = { &tb->pio, 0x64, 0 },
			[PLATFORM_NMI_STATUS] = { &tb->pio, 0x61, 0 },
			[PLATFORM_ECAM] = { &tb->mmio, TESTBED_ECAM, 0 },
			[PLATFORM_PCI_PORTS] = { &tb->pio, 0xcf8, 0 },
		},
		.vhost = VHOST_OFF,
		.claims = claims_create(false),
		.iothread = make_iothread,
		.guest_event = on_guest_event,
	};
	BUG_ON(device_create(&tb->p, &tb->fixed, "pci-host") < 0);
}

void testbed_init(struct testbed *tb)
{
	init(tb, false);
}

void testbed_init_shared(struct testbed *tb)
{
	init(tb, true);
}

static void start_loops(struct testbed *tb, unsigned first)
{
	tb->started = true;
	for (; first < tb->niothreads; first++)
		BUG_ON(loop_start(tb->iothread[first]) < 0);
}

static void end_loop(struct loop *loop)
{
	loop_join(loop);
	loop_destroy(loop);
}

void testbed_fini(struct testbed *tb)
{
	unsigned i;

	device_destroy_all(&tb->devices);
	device_destroy_all(&tb->fixed);
	for (i = 0; i < tb->niothreads; i++)
		end_loop(tb->iothread[i]);
	end_loop(tb->main_loop);
	mem_free(&tb->mem);
	claims_destroy(tb->p.claims);
}

void testbed_start(struct testbed *tb)
{
	BUG_ON(device_ready_all(&tb->devices) < 0);
	BUG_ON(loop_start(tb->main_loop) < 0);
	start_loops(tb, 0);
}

struct testbed_given testbed_given(const struct testbed *tb)
{
	return (struct testbed_given){ tb->p.mmio_next, tb->p.pci_next, tb->p.gsi_next,
				       tb->p.msi_next, tb->p.nslots, tb->niothreads };
}

void testbed_give_again(struct testbed *tb, const struct testbed_given *given)
{
	tb->p.mmio_next = given->mmio_next;
	tb->p.pci_next = given->pci_next;
	tb->p.nslots = given->nslots;
	tb->p.gsi_next = given->gsi_next;
	tb->p.msi_next = given->msi_next;
	while (tb->niothreads > given->niothreads)
		end_loop(tb->iothread[--tb->niothreads]);
}

void testbed_device(struct testbed *tb, const char *text)
{
	if (!tb->ndevices)
		tb->before_devices = testbed_given(tb);
	BUG_ON(tb->ndevices == TESTBED_DEVICES);
	tb->text[tb->ndevices++] = text;
	BUG_ON(device_create(&tb->p, &tb->devices, text) < 0);
}

static void all_devices(void *testbed, struct state *s)
{
	struct testbed *tb = testbed;

	device_state_all(&tb->fixed, s);
	device_state_all(&tb->devices, s);
}

/* Nothing that is cut short, or goes on too long, is taken; what was saved is. */
static void restore(struct testbed *tb, uint8_t *data, size_t len)
{
	BUG_ON(state_restore(all_devices, tb, data, len - 1) != -EPROTO);
	BUG_ON(state_restore(all_devices, tb, data, len) < 0);
	free(data);
	device_pause_all(&tb->devices, false);
}

void testbed_rebirth(void *testbed)
{
	struct testbed *tb = testbed;
	uint8_t *data;
	unsigned i;
	size_t len;

	device_pause_all(&tb->devices, true);
	BUG_ON(state_save(all_devices, tb, &data, &len) < 0);
	device_destroy_all(&tb->devices);
	testbed_give_again(tb, &tb->before_devices);
	tb->started = false; /* loops are to start when all devices are ready */
	for (i = 0; i < tb->ndevices; i++)
		BUG_ON(device_create(&tb->p, &tb->devices, tb->text[i]) < 0);
	BUG_ON(device_ready_all(&tb->devices) < 0);
	start_loops(tb, tb->before_devices.niothreads);
	restore(tb, data, len);
}

void testbed_reborn(struct testbed *tb, void (*tear_down)(void), void (*set_up)(void))
{
	uint8_t *data;
	size_t len;

	BUG_ON(state_save(all_devices, tb, &data, &len) < 0);
	tear_down();
	set_up();
	restore(tb, data, len);
}

/* In this ThreadSanitizer has nothing to find, and would spend half of a run's time. */
__attribute__((no_sanitize("thread"))) static void clear(uint8_t *at, uint64_t len)
{
	while (len--)
		*at++ = 0;
}

uint64_t testbed_alloc(struct testbed *tb, uint64_t len, uint64_t align)
{
	uint64_t gpa = align_up(tb->next_free, align);
	void *at = mem_ptr(&tb->mem, gpa, len, 1);

	BUG_ON(!at);
	clear(at, len);
	tb->next_free = gpa + len;
	return gpa;
}

void testbed_release(struct testbed *tb)
{
	tb->next_free = TESTBED_HIGH;
}

uint64_t testbed_irqs(struct testbed *tb, uint32_t gsi)
{
	struct testbed_irq *irq = &tb->irq[gsi];
	uint64_t count;

	pthread_mutex_lock(&tb->chip_lock);
	count = irq->injected + (irq->fd < 0 ? 0 : take_count(irq->fd));
	irq->injected = 0;
	pthread_mutex_unlock(&tb->chip_lock);
	return count;
}

int testbed_irq_fd(struct testbed *tb, uint32_t gsi)
{
	int fd;

	pthread_mutex_lock(&tb->chip_lock);
	fd = tb->irq[gsi].fd;
	pthread_mutex_unlock(&tb->chip_lock);
	return fd;
}

int testbed_msi(struct testbed *tb, uint64_t addr, uint32_t data)
{
	int gsi = -1;
	unsigned i;

	pthread_mutex_lock(&tb->chip_lock);
	for (i = TESTBED_MSI; i < TESTBED_GSIS; i++) {
		const struct testbed_irq *irq = &tb->irq[i];

		if (irq->fd >= 0 && irq->addr == addr && irq->data == data)
			gsi = i;
	}
	pthread_mutex_unlock(&tb->chip_lock);
	return gsi;
}

/* What runs at the end of a round of a loop. */
struct round {
	struct loop *loop;
	struct loop_task task;
	sem_t over;
};

static void round_over(void *arg)
{
	struct round *r = arg;

	sem_post(&r->over);
}

static int await_end(void *arg)
{
	struct round *r = arg;

	loop_defer(r->loop, &r->task);
	return 0;
}

/*
 * The round in which a call runs may have begun before what was to be seen was there, and one call
 * may run right behind another. So the first is waited for until its round is over: the second one
 * then runs in a round that sees it all.
 */
void testbed_settle(struct testbed *tb)
{
	unsigned i, n;

	for (i = 0; i < tb->niothreads; i++) {
		for (n = 0; n < 2; n++) {
			struct round r = { .loop = tb->iothread[i],
					   .task = { .fn = round_over, .arg = &r } };

			sem_init(&r.over, 0, 0);
			loop_call(r.loop, await_end, &r);
			sem_wait(&r.over);
			sem_destroy(&r.over);
		}
	}
}
