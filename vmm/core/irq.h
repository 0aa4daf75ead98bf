/*
 * irq.h - an interrupt is an eventfd.
 *
 * Whoever has something to say writes to @fd: an iothread of ours, the kernel's
 * vhost worker, another process, a unit test. What listens is an irqchip: KVM
 * through KVM_IRQFD, or a recorder in a test. All interrupts are edges.
 */
#ifndef CORE_IRQ_H
#define CORE_IRQ_H

#include <stdint.h>

struct irq {
	int fd;       /* ours: an eventfd, non-blocking */
	uint32_t gsi; /* global system interrupt number */
};

struct irqchip_ops {
	/* From now on a write to irq->fd injects irq->gsi; a count in it does so now. [setup] */
	int (*bind)(void *chip, const struct irq *irq);
	void (*unbind)(void *chip, const struct irq *irq);
};

/* Makes the eventfd and binds it. -errno; nothing is left then. [setup] */
int irq_init(struct irq *irq, uint32_t gsi, const struct irqchip_ops *ops, void *chip);
void irq_fini(struct irq *irq, const struct irqchip_ops *ops, void *chip);

/* An interrupt now, if bound; otherwise as soon as it is. Any thread. */
void irq_raise(const struct irq *irq);

#endif
