/* SPDX-License-Identifier: MIT */
/*
 * irq.h - an interrupt is an eventfd.
 *
 * Whoever has something to say writes to @fd: an iothread of ours, the kernel's
 * vhost worker, another process, a unit test. What listens is an irqchip: KVM
 * through KVM_IRQFD, or a recorder in a test. All interrupts are edges.
 *
 * While nobody listens, the eventfd counts; the first to listen hears of it at
 * once. That makes masking an interrupt the same as unbinding it, and the count
 * of an unbound one its pending bit.
 */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct irq {
	int fd;       /* ours: an eventfd, non-blocking */
	uint32_t gsi; /* global system interrupt number */
	/* How irq_raise() does it, after irq_init() of a chip that has to be asked each time;
	 * NULL: by the eventfd. */
	void (*pulse)(void *chip, uint32_t gsi);
	void *chip;
};

/* All may be called from any thread: a guest masks and routes interrupts while it runs. */
struct irqchip_ops {
	/* From now on a write to irq->fd injects irq->gsi; a count in it does so now. -errno. */
	int (*bind)(void *chip, const struct irq *irq);
	/* What was written before the call has been injected when this returns; the count is 0. */
	void (*unbind)(void *chip, const struct irq *irq);
	/* From now on @gsi, which platform_msi_alloc() gave out, is the message @data to @addr from
	 * the function @devid, by its bus, device and function (16 bits). The first two are as the
	 * guest wrote them, and need not make sense. -errno. */
	int (*route_msi)(void *chip, uint32_t gsi, uint64_t addr, uint32_t data, uint32_t devid);
	/* An edge at an input that is no message, now. NULL: what is bound does it. */
	void (*pulse)(void *chip, uint32_t gsi);
};

/* Makes the eventfd, not bound yet. -errno. [setup] */
int irq_open(struct irq *irq, uint32_t gsi);
/* Not bound any more. */
void irq_close(struct irq *irq);

/* Makes the eventfd and binds it. -errno; nothing is left then. [setup] */
int irq_init(struct irq *irq, uint32_t gsi, const struct irqchip_ops *ops, void *chip);
void irq_fini(struct irq *irq, const struct irqchip_ops *ops, void *chip);

/* An interrupt now, if bound; otherwise as soon as it is. Any thread. */
void irq_raise(const struct irq *irq);
/* What it has been raised while nobody listened is forgotten. */
void irq_forget(const struct irq *irq);
/* Has it been raised while nobody listened? Any thread. */
bool irq_pending(const struct irq *irq);

#endif
