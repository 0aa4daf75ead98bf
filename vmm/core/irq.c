/* SPDX-License-Identifier: MIT */
#include "vmm/core/irq.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/core/bell.h"

int irq_open(struct irq *irq, uint32_t gsi)
{
	*irq = (struct irq){ .gsi = gsi };
	irq->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return irq->fd < 0 ? -errno : 0;
}

void irq_close(struct irq *irq)
{
	close(irq->fd);
}

int irq_init(struct irq *irq, uint32_t gsi, const struct irqchip_ops *ops, void *chip)
{
	int r;

	r = irq_open(irq, gsi);
	if (r < 0)
		return r;
	irq->pulse = ops->pulse;
	irq->chip = chip;
	r = ops->bind(chip, irq);
	if (r < 0)
		irq_close(irq);
	return r;
}

void irq_fini(struct irq *irq, const struct irqchip_ops *ops, void *chip)
{
	ops->unbind(chip, irq);
	irq_close(irq);
}

void irq_raise(const struct irq *irq)
{
	if (irq->pulse)
		irq->pulse(irq->chip, irq->gsi);
	else
		eventfd_write(irq->fd, 1); /* fails only when the count is full: raised already */
}

void irq_forget(const struct irq *irq)
{
	bell_take(irq->fd);
}

bool irq_pending(const struct irq *irq)
{
	struct pollfd p = { .fd = irq->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}
