/* SPDX-License-Identifier: MIT */
/*
 * serial.c - a 16550A UART, the guest's first console. On a PC it is on I/O ports.
 *
 * Sending is immediate: a byte written to THR has left when the write returns,
 * so the transmitter is always empty. Receiving goes through the FIFO of 16
 * bytes; what does not fit waits with the console until the guest has read.
 * Input is taken only once the guest has asked for receive interrupts, so that
 * what a user types, or pipes in, before the guest has opened the port is kept.
 *
 * The interrupt is an edge, as ISA's are: one is sent when the first reason to
 * interrupt appears, and again after all have gone and another has come.
 *
 * A break is a zero in the FIFO that is marked: Linux takes the character after it as a SysRq key.
 */
#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/claim.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/stream.h"
#include "vmm/core/util.h"

#define FIFO_SIZE 16
#define IER_BITS 0x0f
#define IIR_FIFO 0xc0
#define MCR_BITS 0x1f
#define REGISTERS 8

struct serial {
	struct device dev;
	struct platform *p;
	struct claim *claim;
	struct stream file; /* output goes there; all zero: to the console, or nowhere */
	bool console;
	struct irq irq;

	pthread_mutex_t lock; /* vCPUs and the main thread; of all that follows */
	struct serial_state {
		uint8_t ier, iir_fifo, lcr, mcr, scr, dll, dlm;
		bool thre; /* "transmitter empty" has not been reported yet */
		bool raised;
		uint8_t fifo[FIFO_SIZE];
		uint8_t head, count;
		uint16_t breaks; /* a bit for each place of the FIFO */
	} r;
};

struct serial_cfg {
	uint32_t port;
	const char *file;
};

static const struct opt serial_opts[] = {
	{ "port", OPT_U32, offsetof(struct serial_cfg, port), "0", 0, 1,
	  .help = "0 is COM1 (ttyS0), 1 is COM2 (ttyS1)" },
	{ "file", OPT_STR, offsetof(struct serial_cfg, file), .written = true, .arg = "PATH",
	  .help = "what the guest sends is written there; - is lunette's own terminal" },
	{ 0 }
};

static bool break_is_next(const struct serial *s)
{
	return s->r.count && s->r.breaks >> s->r.head & 1;
}

/* The most urgent reason to interrupt, as the IIR says it. */
static uint8_t reason(const struct serial *s)
{
	if (s->r.ier & UART_IER_RLSI && break_is_next(s))
		return UART_IIR_RLSI;
	if (s->r.ier & UART_IER_RDI && s->r.count)
		return UART_IIR_RDI;
	if (s->r.ier & UART_IER_THRI && s->r.thre)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update_irq(struct serial *s)
{
	bool want = reason(s) != UART_IIR_NO_INT;

	if (want && !s->r.raised)
		irq_raise(&s->irq);
	s->r.raised = want;
}

static uint8_t modem_status(const struct serial *s)
{
	uint8_t v = 0;

	if (!(s->r.mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	/* Looped back: the outputs appear as the inputs. */
	if (s->r.mcr & UART_MCR_DTR)
		v |= UART_MSR_DSR;
	if (s->r.mcr & UART_MCR_RTS)
		v |= UART_MSR_CTS;
	if (s->r.mcr & UART_MCR_OUT1)
		v |= UART_MSR_RI;
	if (s->r.mcr & UART_MCR_OUT2)
		v |= UART_MSR_DCD;
	return v;
}

static uint8_t fifo_pop(struct serial *s)
{
	uint8_t v = s->r.fifo[s->r.head];

	if (!s->r.count)
		return 0;
	s->r.breaks &= ~(1u << s->r.head);
	s->r.head = (s->r.head + 1) % FIFO_SIZE;
	s->r.count--;
	return v;
}

static bool fifo_push(struct serial *s, uint8_t v)
{
	if (s->r.count == FIFO_SIZE)
		return false;
	s->r.fifo[(s->r.head + s->r.count++) % FIFO_SIZE] = v;
	return true;
}

/* The line's status; reading it is what clears a break. */
static uint8_t line_status(struct serial *s)
{
	uint8_t v = UART_LSR_THRE | UART_LSR_TEMT | (s->r.count ? UART_LSR_DR : 0);

	if (break_is_next(s))
		v |= UART_LSR_BI;
	s->r.breaks &= ~(1u << s->r.head);
	return v;
}

static uint8_t read_register(struct serial *s, unsigned reg)
{
	uint8_t v;

	switch (reg) {
	case UART_RX:
		return s->r.lcr & UART_LCR_DLAB ? s->r.dll : fifo_pop(s);
	case UART_IER:
		return s->r.lcr & UART_LCR_DLAB ? s->r.dlm : s->r.ier;
	case UART_IIR:
		v = reason(s);
		if (v == UART_IIR_THRI)
			s->r.thre = false; /* reading it is what clears it */
		return v | s->r.iir_fifo;
	case UART_LCR:
		return s->r.lcr;
	case UART_MCR:
		return s->r.mcr;
	case UART_LSR:
		return line_status(s);
	case UART_MSR:
		return modem_status(s);
	default:
		return s->r.scr;
	}
}

/* True: @v is to be sent. */
static bool write_register(struct serial *s, unsigned reg, uint8_t v)
{
	switch (reg) {
	case UART_TX:
		if (s->r.lcr & UART_LCR_DLAB) {
			s->r.dll = v;
			return false;
		}
		s->r.thre = true;
		if (!(s->r.mcr & UART_MCR_LOOP))
			return true;
		fifo_push(s, v);
		return false;
	case UART_IER:
		if (s->r.lcr & UART_LCR_DLAB) {
			s->r.dlm = v;
			return false;
		}
		if (v & ~s->r.ier & UART_IER_THRI)
			s->r.thre = true;
		s->r.ier = v & IER_BITS;
		return false;
	case UART_FCR:
		s->r.iir_fifo = v & UART_FCR_ENABLE_FIFO ? IIR_FIFO : 0;
		if (v & UART_FCR_CLEAR_RCVR)
			s->r.count = s->r.breaks = 0;
		return false;
	case UART_LCR:
		s->r.lcr = v;
		return false;
	case UART_MCR:
		s->r.mcr = v & MCR_BITS;
		return false;
	case UART_SCR:
		s->r.scr = v;
		return false;
	default:
		return false; /* LSR and MSR are read-only */
	}
}

static void send(struct serial *s, uint8_t v)
{
	if (s->file.what)
		stream_put(&s->file, &v, 1);
	else if (s->console)
		s->p->console_ops->write(s->p->console, &v, 1);
}

static void serial_read(void *dev, uint64_t off, void *data, unsigned len)
{
	struct serial *s = dev;
	bool more;

	if (len != 1)
		return;
	pthread_mutex_lock(&s->lock);
	*(uint8_t *)data = read_register(s, off);
	more = off == UART_RX && !s->r.count;
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
	more = off == UART_IER && s->r.ier & UART_IER_RDI;
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
	if (s->r.ier & UART_IER_RDI && !(s->r.mcr & UART_MCR_LOOP)) {
		while (took < len && fifo_push(s, from[took]))
			took++;
	}
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return took;
}

static bool serial_sysrq(void *dev, char key)
{
	struct serial *s = dev;
	bool can;

	pthread_mutex_lock(&s->lock);
	can = s->r.ier & UART_IER_RDI && !(s->r.mcr & UART_MCR_LOOP) &&
	      s->r.count + 2 <= FIFO_SIZE;
	if (can) {
		s->r.breaks |= 1u << (s->r.head + s->r.count) % FIFO_SIZE;
		fifo_push(s, 0);
		fifo_push(s, (uint8_t)key);
	}
	update_irq(s);
	pthread_mutex_unlock(&s->lock);
	return can;
}

static const struct console_user serial_user = { .input = serial_input, .sysrq = serial_sysrq };

static void serial_state(struct device *dev, struct state *s)
{
	struct serial *serial = container_of(dev, struct serial, dev);
	struct serial_state r = serial->r;

	state_u8(s, &r.ier);
	state_u8(s, &r.iir_fifo);
	state_u8(s, &r.lcr);
	state_u8(s, &r.mcr);
	state_u8(s, &r.scr);
	state_u8(s, &r.dll);
	state_u8(s, &r.dlm);
	state_bool(s, &r.thre);
	state_bool(s, &r.raised);
	state_bytes(s, r.fifo, sizeof(r.fifo));
	state_u8(s, &r.head);
	state_u8(s, &r.count);
	state_u16(s, &r.breaks);
	state_check(s, !(r.ier & ~IER_BITS) && !(r.iir_fifo & ~IIR_FIFO) && !(r.mcr & ~MCR_BITS));
	state_check(s, r.head < FIFO_SIZE && r.count <= FIFO_SIZE);
	if (state_takes(s))
		serial->r = r;
}

static int open_output(struct serial *s, const char *id, const char *path)
{
	char *what;
	int r;

	if (!path)
		return 0;
	if (!strcmp(path, "-")) {
		s->console = s->p->console_ops;
		if (s->console)
			s->p->console_attach(s->p->console, &serial_user, s);
		return 0;
	}
	if (asprintf(&what, "%s: file=%s", id, path) < 0)
		return -ENOMEM;
	r = claim_open(s->p->claims, what, path, 0, &s->claim);
	if (r >= 0)
		r = stream_open(&s->file, s->p, what, r);
	if (r == 0)
		stream_limit(&s->file);
	free(what);
	return r;
}

static void serial_destroy(struct device *dev)
{
	struct serial *s = container_of(dev, struct serial, dev);

	irq_fini(&s->irq, s->p->irqchip, s->p->chip);
	stream_close(&s->file);
	claim_drop(s->claim);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int serial_create(struct platform *p, struct device_list *list, const char *id,
			 const void *config, struct device **dev)
{
	const struct serial_cfg *cfg = config;
	enum platform_fixed place = PLATFORM_SERIAL0 + cfg->port;
	struct serial *s = calloc(1, sizeof(*s));
	int r;

	(void)list;
	if (!s)
		return -ENOMEM;
	s->p = p;
	s->r.dll = 1; /* 115200 */
	r = open_output(s, id, cfg->file);
	if (r < 0)
		goto close;
	r = platform_map(p, id, place, REGISTERS, &serial_bus, s);
	if (r < 0)
		goto close;
	r = irq_init(&s->irq, p->place[place].gsi, p->irqchip, p->chip);
	if (r < 0) {
		log_err("%s: interrupt %u: %s", id, p->place[place].gsi, strerror(-r));
		goto close;
	}
	pthread_mutex_init(&s->lock, NULL);
	*dev = &s->dev;
	return 0;

close:
	stream_close(&s->file);
	claim_drop(s->claim);
	free(s);
	return r;
}

const struct device_class serial_class = {
	.name = "serial",
	.help = "16550A UART; COM1 on lunette's terminal is always there",
	.opts = serial_opts,
	.cfg_size = sizeof(struct serial_cfg),
	.create = serial_create,
	.state = serial_state,
	.destroy = serial_destroy,
};
