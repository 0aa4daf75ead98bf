#include "vmm/core/irq.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int irq_init(struct irq *irq, uint32_t gsi, const struct irqchip_ops *ops, void *chip)
{
	int r;

	irq->gsi = gsi;
	irq->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (irq->fd < 0)
		return -errno;
	r = ops->bind(chip, irq);
	if (r < 0)
		close(irq->fd);
	return r;
}

void irq_fini(struct irq *irq, const struct irqchip_ops *ops, void *chip)
{
	ops->unbind(chip, irq);
	close(irq->fd);
}

void irq_raise(const struct irq *irq)
{
	eventfd_write(irq->fd, 1); /* fails only when the count is full: it is raised already */
}
