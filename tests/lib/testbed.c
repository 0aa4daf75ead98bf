#include "tests/lib/testbed.h"

#include <string.h>
#include <sys/eventfd.h>

#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"
#include "vmm/core/util.h"

static int chip_bind(void *chip, const struct irq *irq)
{
	struct testbed *tb = chip;

	BUG_ON(irq->gsi >= TESTBED_GSIS);
	pthread_mutex_lock(&tb->chip_lock);
	BUG_ON(tb->irq[irq->gsi].fd >= 0);
	if (!tb->chip_error)
		tb->irq[irq->gsi].fd = irq->fd;
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

static int chip_route_msi(void *chip, uint32_t gsi, uint64_t addr, uint32_t data)
{
	struct testbed *tb = chip;

	BUG_ON(gsi < PLATFORM_FIRST_MSI_GSI || gsi >= TESTBED_GSIS);
	pthread_mutex_lock(&tb->chip_lock);
	tb->irq[gsi].addr = addr;
	tb->irq[gsi].data = data;
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

void testbed_init(struct testbed *tb)
{
	unsigned i;

	memset(tb, 0, sizeof(*tb));
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
		.ecam_base = TESTBED_ECAM,
		.vhost = PLATFORM_VHOST_OFF,
		.iothread = make_iothread,
		.guest_event = on_guest_event,
	};
	BUG_ON(device_create(&tb->p, &tb->fixed, "pci-host") < 0);
}

void testbed_fini(struct testbed *tb)
{
	unsigned i;

	device_destroy_all(&tb->devices);
	device_destroy_all(&tb->fixed);
	for (i = 0; i < tb->niothreads; i++) {
		loop_join(tb->iothread[i]);
		loop_destroy(tb->iothread[i]);
	}
	loop_join(tb->main_loop);
	loop_destroy(tb->main_loop);
	mem_free(&tb->mem);
}

void testbed_start(struct testbed *tb)
{
	unsigned i;

	BUG_ON(device_ready_all(&tb->devices) < 0);
	tb->started = true;
	BUG_ON(loop_start(tb->main_loop) < 0);
	for (i = 0; i < tb->niothreads; i++)
		BUG_ON(loop_start(tb->iothread[i]) < 0);
}

uint64_t testbed_alloc(struct testbed *tb, uint64_t len, uint64_t align)
{
	uint64_t gpa = align_up(tb->next_free, align);
	void *at = mem_ptr(&tb->mem, gpa, len, 1);

	BUG_ON(!at);
	memset(at, 0, len);
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
	for (i = PLATFORM_FIRST_MSI_GSI; i < TESTBED_GSIS; i++) {
		const struct testbed_irq *irq = &tb->irq[i];

		if (irq->fd >= 0 && irq->addr == addr && irq->data == data)
			gsi = i;
	}
	pthread_mutex_unlock(&tb->chip_lock);
	return gsi;
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

void testbed_settle(struct testbed *tb)
{
	unsigned i, round;

	/* A first call may overtake an event of the same round of the loop; the second may not. */
	for (i = 0; i < tb->niothreads; i++) {
		for (round = 0; round < 2; round++)
			loop_call(tb->iothread[i], nothing, NULL);
	}
}
