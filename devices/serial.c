/*
 * serial.c - a 16550A UART on the PC's ports, the guest's first console.
 *
 * Sending is immediate: a byte written to THR has left when the write returns,
 * so the transmitter is always empty. Receiving goes through the FIFO of 16
 * bytes; what does not fit waits with the console until the guest has read.
 * Input is taken only once the guest has asked for receive interrupts, so that
 * what a user types, or pipes in, before the guest has opened the port is kept.
 *
 * The interrupt is an edge, as ISA's are: one is sent when the first reason to
 * interrupt appears, and again after all have gone and another has come.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/util.h"

#define FIFO_SIZE 16
#define PORTS 8

static const struct {
	uint16_t base;
	uint8_t gsi;
} com[] = { { 0x3f8, 4 }, { 0x2f8, 3 } };

struct serial {
	struct device dev;
	struct platform *p;
	int file; /* output goes there; -1: to the console, or nowhere */
	bool console;
	struct irq irq;

	pthread_mutex_t lock; /* vCPUs and the main thread; of all that follows */
	uint8_t ier, iir_fifo, lcr, mcr, scr, dll, dlm;
	bool thre; /* "transmitter empty" has not been reported yet */
	bool raised;
	uint8_t fifo[FIFO_SIZE];
	unsigned head, count;
};

struct serial_cfg {
	uint32_t port;
	const char *file;
};

static const struct opt serial_opts[] = {
	{ "port", OPT_U32, offsetof(struct serial_cfg, port), "0", 0, ARRAY_SIZE(com) - 1,
	  .help = "0 is COM1 (ttyS0), 1 is COM2 (ttyS1)" },
	{ "file", OPT_STR, offsetof(struct serial_cfg, file), .arg = "PATH",
	  .help = "what the guest sends is written there; - is lunette's own terminal" },
	{ 0 }
};

/* The most urgent reason to interrupt, as the IIR says it. */
static uint8_t reason(const struct serial *s)
{
	if (s->ier & UART_IER_RDI && s->count)
		return UART_IIR_RDI;
	if (s->ier & UART_IER_THRI && s->thre)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_irq(struct serial *s)
{
	bool want = reason(s) != UART_IIR_NO_INT;

	if (want && !s->raised)
		irq_raise(&s->irq);
	s->raised = want;
}

static uint8_t modem_status(const struct serial *s)
{
	uint8_t v = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	/* Looped back: the outputs appear as the inputs. */
	if (s->mcr & UART_MCR_DTR)
		v |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_RTS)
		v |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_OUT1)
		v |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		v |= UART_MSR_DCD;
	return v;
}

static uint8_t fifo_pop(struct serial *s)
{
	uint8_t v = s->fifo[s->head];

	if (!s->count)
		return 0;
	s->head = (s->head + 1) % FIFO_SIZE;
	s->count--;
	return v;
}

static bool fifo_push(struct serial *s, uint8_t v)
{
	if (s->count == FIFO_SIZE)
		return false;
	s->fifo[(s->head + s->count++) % FIFO_SIZE] = v;
	return true;
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
	uint8_t v;

	switch (reg) {
	case UART_RX:
		return s->lcr & UART_LCR_DLAB ? s->dll : fifo_pop(s);
	case UART_IER:
		return s->lcr & UART_LCR_DLAB ? s->dlm : s->ier;
	case UART_IIR:
		v = reason(s);
		if (v == UART_IIR_THRI)
			s->thre = false; /* reading it is what clears it */
		return v | s->iir_fifo;
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return UART_LSR_THRE | UART_LSR_TEMT | (s->count ? UART_LSR_DR : 0);
	case UART_MSR:
		return modem_status(s);
	default:
		return s->scr;
	}
}

/* True: @v is to be sent. */
static bool write_register(struct serial *s, unsigned reg, uint8_t v)
{
	switch (reg) {
	case UART_TX:
		if (s->lcr & UART_LCR_DLAB) {
			s->dll = v;
			return false;
		}
		s->thre = true;
		if (!(s->mcr & UART_MCR_LOOP))
			return true;
		fifo_push(s, v);
		return false;
	case UART_IER:
		if (s->lcr & UART_LCR_DLAB) {
			s->dlm = v;
			return false;
		}
		if (v & ~s->ier & UART_IER_THRI)
			s->thre = true;
		s->ier = v & 0x0f;
		return false;
	case UART_FCR:
		s->iir_fifo = v & UART_FCR_ENABLE_FIFO ? 0xc0 : 0;
		if (v & UART_FCR_CLEAR_RCVR)
			s->count = 0;
		return false;
	case UART_LCR:
		s->lcr = v;
		return false;
	case UART_MCR:
		s->mcr = v & 0x1f;
		return false;
	case UART_SCR:
		s->scr = v;
		return false;
	default:
		return false; /* LSR and MSR are read-only */
	}
}

static void send(struct serial *s, uint8_t v)
{
	if (s->file < 0 && s->console)
		s->p->console_ops->write(s->p->console, &v, 1);
	/* A signal means that the vCPU is to stop: it must not go on waiting for a slow reader. */
	if (s->file >= 0 && write(s->file, &v, 1) < 0)
		return; /* lost, as on a line that nobody listens to */
}

static void serial_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct serial *s = dev;
	bool more;

	if (len != 1)
		return;
	pthread_mutex_lock(&s->lock);
	*(uint8_t *)data = read_register(s, off);
	more = off == UART_RX && !s->count;
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	if (more && s->console)
		s->p->console_ops->more(s->p->console);
}

static void serial_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	struct serial *s = dev;
	uint8_t v = *(const uint8_t *)data;
	bool out, more;

	if (len != 1)
		return;
	pthread_mutex_lock(&s->lock);
	out = write_register(s, off, v);
	more = off == UART_IER && s->ier & UART_IER_RDI;
	pthread_mutex_unlock(&s->lock);
	/* Not under the lock: a slow terminal may make this wait, and the main thread must not. */
	if (out)
		send(s, v);
	if (more && s->console)
		s->p->console_ops->more(s->p->console);
	pthread_mutex_lock(&s->lock);
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

static const struct bus_ops serial_bus = { .read = serial_read, .write = serial_write };

static size_t serial_input(void *dev, const void *data, size_t len)
{
	const uint8_t *from = data;
	struct serial *s = dev;
	size_t took = 0;

	pthread_mutex_lock(&s->lock);
	if (s->ier & UART_IER_RDI && !(s->mcr & UART_MCR_LOOP)) {
		while (took < len && fifo_push(s, from[took]))
			took++;
	}
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return took;
}

static const struct console_user serial_user = { .input = serial_input };

static int open_output(struct serial *s, const char *path)
{
	s->file = -1;
	if (!path)
		return 0;
	if (!strcmp(path, "-")) {
		s->console = s->p->console_ops;
		if (s->console)
			s->p->console_attach(s->p->console, &serial_user, s);
		return 0;
	}
	s->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (s->file < 0) {
		log_err("serial: file=%s: %s", path, strerror(errno));
		return -errno;
	}
	return 0;
}

static void serial_destroy(struct device *dev)
{
	struct serial *s = container_of(dev, struct serial, dev);

	irq_fini(&s->irq, s->p->irqchip, s->p->chip);
	if (s->file >= 0)
		close(s->file);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int serial_create(struct platform *p, struct device_list *list, const char *id,
			 const void *config, struct device **dev)
{
	const struct serial_cfg *cfg = config;
	struct serial *s = calloc(1, sizeof(*s));
	int r;

	(void)list;
	if (!s)
		return -ENOMEM;
	s->p = p;
	s->dll = 1; /* 115200 */
	r = open_output(s, cfg->file);
	if (r < 0)
		goto free;
	r = bus_map(p->pio, com[cfg->port].base, PORTS, &serial_bus, s);
	if (r < 0) {
		log_err("%s: port=%u: there is a serial port already", id, cfg->port);
		goto close;
	}
	r = irq_init(&s->irq, com[cfg->port].gsi, p->irqchip, p->chip);
	if (r < 0) {
		log_err("%s: interrupt %u: %s", id, com[cfg->port].gsi, strerror(-r));
		goto close;
	}
	pthread_mutex_init(&s->lock, NULL);
	*dev = &s->dev;
	return 0;

close:
	if (s->file >= 0)
		close(s->file);
free:
	free(s);
	return r;
}

const struct device_class serial_class = {
	.name = "serial",
	.help = "16550A UART; COM1 on lunette's terminal is always there",
	.opts = serial_opts,
	.cfg_size = sizeof(struct serial_cfg),
	.create = serial_create,
	.destroy = serial_destroy,
};
