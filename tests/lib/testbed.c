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

	BUG_ON(irq->gsi > PLATFORM_LAST_GSI || tb->irq_fd[irq->gsi] >= 0);
	tb->irq_fd[irq->gsi] = irq->fd;
	return 0;
}

static void chip_unbind(void *chip, const struct irq *irq)
{
	struct testbed *tb = chip;

	tb->irq_fd[irq->gsi] = -1;
}

static const struct irqchip_ops chip_ops = { .bind = chip_bind, .unbind = chip_unbind };

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
	for (i = 0; i < ARRAY_SIZE(tb->irq_fd); i++)
		tb->irq_fd[i] = -1;
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
		.iothread = make_iothread,
		.guest_event = on_guest_event,
	};
}

void testbed_fini(struct testbed *tb)
{
	unsigned i;

	device_destroy_all(&tb->devices);
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
	eventfd_t count;

	return eventfd_read(tb->irq_fd[gsi], &count) < 0 ? 0 : count;
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
