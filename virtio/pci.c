/* SPDX-License-Identifier: MIT */
/*
 * Virtio over PCI, modern only (virtio 1.3 §4.1). BAR 0 has it all:
 *
 *	0x0000	common configuration, ISR status, and the device's config space
 *	0x1000	notify: 4 bytes for each queue, so that the address alone says which
 *	0x2000	table of MSI-X vectors: one for configuration, one for each queue
 *	0x3000	its pending bits
 *
 * While the function is no bus master, its queues are held and its vectors are
 * silent. It is none at first; a driver has to switch it on.
 *
 * An interrupt is a vector's eventfd, whoever writes it: no register has to be
 * touched on the way, so that a queue can be served without us.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio.h"
#include "vmm/core/pci.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"

#define COMMON 0x0000
#define COMMON_LEN sizeof(struct virtio_pci_common_cfg)
#define ISR 0x0040
#define ISR_LEN 1
#define DEVICE 0x0100
#define NOTIFY 0x1000
#define NOTIFY_MULTIPLIER 4
#define TABLE 0x2000
#define PBA 0x3000
#define BAR_SIZE 0x4000
#define BAR 0

#define ISR_QUEUE 1
#define ISR_CONFIG VIRTIO_PCI_ISR_CONFIG
#define NO_VECTOR VIRTIO_MSI_NO_VECTOR

#define VENDOR_ID 0x1af4
#define DEVICE_ID(class) (0x1040 + (class)->id)
#define REVISION 1
#define NO_CLASS 0xff0000

struct vpci {
	struct pci_function f;
	struct virtio_device *vdev;
	atomic_uint isr; /* set by I/O threads too */
	struct vpci_sel {
		uint32_t device_features, driver_features;
		uint16_t queue;
	} sel;
	unsigned window; /* the capability by which BARs are reached from config space */
	atomic_uint config_vector;
	atomic_uint *vector;   /* of each queue; I/O threads look, too */
	struct pci_bell *bell; /* of each queue */
	unsigned nkicks;       /* queues that have an eventfd */
	int deaf;              /* an eventfd that nobody hears */
};

/* Interrupts. */

/* Without MSI-X no interrupt comes, but a driver may look at the ISR status (§4.1.4.5.1). */
static void vpci_raise(struct vpci *p, unsigned vector, unsigned isr)
{
	if (!pci_msix_enabled(&p->f))
		atomic_fetch_or(&p->isr, isr);
	else if (vector != NO_VECTOR)
		irq_raise(&p->f.vector[vector].irq);
}

static void vpci_notify(struct virtio_device *vdev, unsigned q)
{
	struct vpci *p = vdev->transport_data;

	vpci_raise(p, atomic_load(&p->vector[q]), ISR_QUEUE);
}

static void vpci_notify_config(struct virtio_device *vdev)
{
	struct vpci *p = vdev->transport_data;

	atomic_fetch_or(&p->isr, ISR_CONFIG);
	vpci_raise(p, atomic_load(&p->config_vector), ISR_CONFIG);
}

static int vpci_kick_fd(struct virtio_device *vdev, unsigned q)
{
	struct vpci *p = vdev->transport_data;

	return p->bell[q].fd;
}

static int vpci_call_fd(struct virtio_device *vdev, unsigned q)
{
	struct vpci *p = vdev->transport_data;
	unsigned vector = atomic_load(&p->vector[q]);

	return vector == NO_VECTOR ? p->deaf : p->f.vector[vector].irq.fd;
}

/* A vector that there is not is answered by none at all (§4.1.5.1.2.1). */
static unsigned vector_number(const struct vpci *p, uint32_t v)
{
	return v < p->f.nvectors ? v : NO_VECTOR;
}

/* A back end that has the eventfd of the old vector has to be given the new one. */
static void set_queue_vector(struct vpci *p, unsigned q, unsigned vector)
{
	bool started = p->vdev->started;

	if (vector == atomic_load(&p->vector[q]))
		return;
	virtio_device_stop(p->vdev);
	atomic_store(&p->vector[q], vector);
	if (started)
		virtio_device_start(p->vdev);
}

static void forget_vectors(struct vpci *p)
{
	unsigned q;

	for (q = 0; q < p->vdev->nvq; q++)
		atomic_store(&p->vector[q], NO_VECTOR);
	atomic_store(&p->config_vector, NO_VECTOR);
}

/* The common configuration (§4.1.4.3). All with the device's lock. */

/* The queue that queue_select selects, or NULL. */
static struct virtqueue *vpci_queue(const struct vpci *p)
{
	return p->sel.queue < p->vdev->nvq ? &p->vdev->vq[p->sel.queue] : NULL;
}

/* The address that register @off is a half of, or NULL. */
static uint64_t *queue_address(struct vq_state *s, unsigned off)
{
	switch (off & ~4u) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return &s->desc;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return &s->driver;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return &s->device;
	default:
		return NULL;
	}
}

static uint32_t vpci_load_queue(struct vpci *p, unsigned off)
{
	struct virtqueue *vq = vpci_queue(p);
	uint64_t *addr;

	if (!vq)
		return 0;
	switch (off) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return vq->s.size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return atomic_load(&p->vector[p->sel.queue]);
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return vq->s.ready;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return p->sel.queue;
	default:
		addr = queue_address(&vq->s, off);
		return addr ? *addr >> (off & 4 ? 32 : 0) : 0;
	}
}

static uint32_t vpci_load(struct vpci *p, unsigned off)
{
	const struct virtio_device *vdev = p->vdev;
	uint32_t half;

	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return p->sel.device_features;
	case VIRTIO_PCI_COMMON_DF:
		half = p->sel.device_features;
		return half > 1 ? 0 : vdev->offered >> 32 * half;
	case VIRTIO_PCI_COMMON_GFSELECT:
		return p->sel.driver_features;
	case VIRTIO_PCI_COMMON_GF:
		half = p->sel.driver_features;
		return half > 1 ? 0 : vdev->accepted >> 32 * half;
	case VIRTIO_PCI_COMMON_MSIX:
		return atomic_load(&p->config_vector);
	case VIRTIO_PCI_COMMON_NUMQ:
		return vdev->nvq;
	case VIRTIO_PCI_COMMON_STATUS:
		return virtio_get_status(vdev);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return atomic_load(&vdev->generation);
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return p->sel.queue;
	default:
		return vpci_load_queue(p, off);
	}
}

/* The registers of the selected queue. Values are judged when the queue is started. */
static void vpci_store_queue(struct vpci *p, unsigned off, uint32_t v)
{
	struct virtqueue *vq = vpci_queue(p);
	uint64_t *addr;

	if (vq && off == VIRTIO_PCI_COMMON_Q_MSIX)
		set_queue_vector(p, p->sel.queue, vector_number(p, v));
	if (!vq || !virtio_queue_writable(p->vdev, vq))
		return;
	if (off == VIRTIO_PCI_COMMON_Q_ENABLE)
		vq->s.ready = v == 1;
	if (off == VIRTIO_PCI_COMMON_Q_SIZE)
		vq->s.size = v;
	addr = queue_address(&vq->s, off);
	if (addr)
		set_half_u64(addr, !!(off & 4), v);
}

static void vpci_store_status(struct vpci *p, uint8_t v)
{
	virtio_set_status(p->vdev, v);
	if (v)
		return;
	forget_vectors(p);
	atomic_store(&p->isr, 0);
}

static void vpci_store(struct vpci *p, unsigned off, uint32_t v)
{
	switch (off) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		p->sel.device_features = v;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		p->sel.driver_features = v;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_set_features(p->vdev, p->sel.driver_features, v);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		atomic_store(&p->config_vector, vector_number(p, v));
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		vpci_store_status(p, v);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		p->sel.queue = v;
		break;
	default:
		vpci_store_queue(p, off, v);
	}
}

/* The registers in order of address: all from @from on have this width. */
static const struct {
	uint8_t from, width;
} widths[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4 },
	{ VIRTIO_PCI_COMMON_MSIX, 2 },
	{ VIRTIO_PCI_COMMON_STATUS, 1 },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2 },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4 },
};

/* A driver accesses registers one by one, and 64 bits by halves (§4.1.3.1). */
static bool is_register(uint64_t off, unsigned len)
{
	unsigned width = 0, i;

	for (i = 0; i < ARRAY_SIZE(widths) && widths[i].from <= off; i++)
		width = widths[i].width;
	return range_ok(off, len, COMMON_LEN) && len == width && off % len == 0;
}

/* BAR 0. */

static void vpci_read(struct pci_function *f, uint64_t off, void *data, unsigned len)
{
	struct vpci *p = container_of(f, struct vpci, f);
	uint8_t raw[4];

	memset(data, 0, len);
	pthread_mutex_lock(&p->vdev->lock);
	if (is_register(off, len)) {
		le32_put(raw, vpci_load(p, off));
		memcpy(data, raw, len);
	} else if (off == ISR) {
		*(uint8_t *)data = atomic_exchange(&p->isr, 0);
	} else if (off >= DEVICE && off < NOTIFY) {
		virtio_config_read(p->vdev, off - DEVICE, data, len);
	}
	pthread_mutex_unlock(&p->vdev->lock);
}

/* Most kicks do not come here: the bus and the kernel know the doorbells. */
static void vpci_kick(const struct vpci *p, uint64_t off)
{
	uint64_t q = off / NOTIFY_MULTIPLIER;

	if (off % NOTIFY_MULTIPLIER == 0 && q < p->vdev->nvq)
		eventfd_write(p->bell[q].fd, 1);
}

static void vpci_write(struct pci_function *f, uint64_t off, const void *data, unsigned len)
{
	struct vpci *p = container_of(f, struct vpci, f);
	uint8_t raw[4] = { 0 };

	if (off >= NOTIFY) {
		vpci_kick(p, off - NOTIFY);
		return;
	}
	pthread_mutex_lock(&p->vdev->lock);
	if (is_register(off, len)) {
		memcpy(raw, data, len);
		vpci_store(p, off, le32_get(raw));
	} else if (off >= DEVICE) {
		virtio_config_write(p->vdev, off - DEVICE, data, len);
	}
	pthread_mutex_unlock(&p->vdev->lock);
}

/*
 * The window (§4.1.4.9): a driver that has no way to BARs writes into the capability which one,
 * where and how many bytes, and then reads or writes the 4 bytes of data at its end.
 */

#define WINDOW_DATA offsetof(struct virtio_pci_cfg_cap, pci_cfg_data)

static bool overlap(unsigned off, unsigned len, unsigned other, unsigned other_len)
{
	return off < other + other_len && other < off + len;
}

static bool is_window(const struct vpci *p, unsigned off, unsigned len)
{
	return overlap(off, len, p->window + WINDOW_DATA, 4);
}

/* What the window shows. False: nothing. */
static bool window_get(struct vpci *p, struct virtio_pci_cfg_cap *cap, uint32_t *at, uint32_t *len)
{
	pci_config_get(&p->f, p->window, cap, sizeof(*cap));
	*at = le32_get(&cap->cap.offset);
	*len = le32_get(&cap->cap.length);
	return cap->cap.bar == BAR && (*len == 1 || *len == 2 || *len == 4) && *at % *len == 0;
}

static void show_interrupt_status(struct vpci *p)
{
	uint8_t status = PCI_STATUS_CAP_LIST;

	if (!pci_msix_enabled(&p->f) && atomic_load(&p->isr))
		status |= PCI_STATUS_INTERRUPT;
	pci_config_set(&p->f, PCI_STATUS, &status, 1);
}

static void vpci_config_reading(struct pci_function *f, unsigned off, unsigned len)
{
	struct vpci *p = container_of(f, struct vpci, f);
	struct virtio_pci_cfg_cap cap;
	uint32_t at, n;

	if (overlap(off, len, PCI_STATUS, 1))
		show_interrupt_status(p);
	if (is_window(p, off, len) && window_get(p, &cap, &at, &n)) {
		pci_bar_read(f, at, cap.pci_cfg_data, n);
		pci_config_set(f, p->window + WINDOW_DATA, cap.pci_cfg_data, n);
	}
}

/* With the lock: of two vCPUs that write, the later one sees what has come of both. */
static void settle_master(struct vpci *p)
{
	uint8_t command[2];

	pthread_mutex_lock(&p->vdev->lock);
	pci_config_get(&p->f, PCI_COMMAND, command, sizeof(command));
	virtio_device_hold(p->vdev, VIRTIO_HOLD_BUS, !(le16_get(command) & PCI_COMMAND_MASTER));
	pthread_mutex_unlock(&p->vdev->lock);
}

static void vpci_config_written(struct pci_function *f, unsigned off, unsigned len)
{
	struct vpci *p = container_of(f, struct vpci, f);
	struct virtio_pci_cfg_cap cap;
	uint32_t at, n;

	if (overlap(off, len, PCI_COMMAND, 2))
		settle_master(p);
	if (is_window(p, off, len) && window_get(p, &cap, &at, &n))
		pci_bar_write(f, at, cap.pci_cfg_data, n);
}

static const struct pci_ops vpci_ops = {
	.bar_read = vpci_read,
	.bar_write = vpci_write,
	.config_reading = vpci_config_reading,
	.config_written = vpci_config_written,
};

/* Set-up. */

/* Says where in the BAR a structure is (§4.1.4); @size: of the capability. */
static unsigned add_cap(struct vpci *p, uint8_t type, uint8_t size, uint32_t offset,
			uint32_t length)
{
	uint8_t raw[sizeof(struct virtio_pci_cfg_cap)] = {
		[VIRTIO_PCI_CAP_LEN] = size,
		[VIRTIO_PCI_CAP_CFG_TYPE] = type,
		[VIRTIO_PCI_CAP_BAR] = BAR,
	};

	le32_put(raw + VIRTIO_PCI_CAP_OFFSET, offset);
	le32_put(raw + VIRTIO_PCI_CAP_LENGTH, length);
	return pci_capability_add(&p->f, PCI_CAP_ID_VNDR, raw + VIRTIO_PCI_CAP_LEN,
				  size - VIRTIO_PCI_CAP_LEN);
}

static void add_caps(struct vpci *p)
{
	const uint8_t plain = sizeof(struct virtio_pci_cap);
	uint32_t notify_len = p->vdev->nvq * NOTIFY_MULTIPLIER;
	uint8_t *writable;
	unsigned at;

	add_cap(p, VIRTIO_PCI_CAP_COMMON_CFG, plain, COMMON, COMMON_LEN);
	at = add_cap(p, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap), NOTIFY,
		     notify_len);
	le32_put(p->f.config + at + VIRTIO_PCI_NOTIFY_CAP_MULT, NOTIFY_MULTIPLIER);
	add_cap(p, VIRTIO_PCI_CAP_ISR_CFG, plain, ISR, ISR_LEN);
	if (p->vdev->config_len)
		add_cap(p, VIRTIO_PCI_CAP_DEVICE_CFG, plain, DEVICE, p->vdev->config_len);
	p->window = add_cap(p, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap), 0, 0);
	writable = p->f.writable + p->window;
	writable[VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(writable + VIRTIO_PCI_CAP_OFFSET, 0xff, 4 + 4 + 4); /* offset, length, data */
}

static int make_eventfd(int *fd)
{
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? -errno : 0;
}

static int make_kicks(struct vpci *p)
{
	int r = make_eventfd(&p->deaf);

	while (r == 0 && p->nkicks < p->vdev->nvq) {
		p->bell[p->nkicks].off = NOTIFY + NOTIFY_MULTIPLIER * p->nkicks;
		r = make_eventfd(&p->bell[p->nkicks].fd);
		if (r == 0)
			p->nkicks++;
	}
	return r;
}

static void vpci_free(struct vpci *p)
{
	while (p->nkicks)
		close(p->bell[--p->nkicks].fd);
	if (p->deaf >= 0)
		close(p->deaf);
	free(p->bell);
	free(p->vector);
	free(p);
}

/* -errno; nothing is left then. */
static int vpci_create(struct virtio_device *vdev, struct vpci **new)
{
	struct vpci *p = calloc(1, sizeof(*p));
	int r = -ENOMEM;

	if (!p)
		return r;
	p->vdev = vdev;
	p->deaf = -1;
	p->vector = calloc(vdev->nvq, sizeof(*p->vector));
	p->bell = calloc(vdev->nvq, sizeof(*p->bell));
	if (p->vector && p->bell)
		r = make_kicks(p);
	if (r < 0) {
		vpci_free(p);
		return r;
	}
	forget_vectors(p);
	*new = p;
	return 0;
}

static void vpci_describe(struct vpci *p)
{
	const struct virtio_class *class = p->vdev->class;
	const struct pci_ids ids = {
		.vendor = VENDOR_ID,
		.device = DEVICE_ID(class),
		.sub_vendor = VENDOR_ID,
		.sub_device = DEVICE_ID(class),
		.class = class->pci_class ? class->pci_class : NO_CLASS,
		.revision = REVISION,
	};

	pci_function_init(&p->f, p->vdev->name, &ids, &vpci_ops);
	p->f.bar_size = BAR_SIZE;
	p->f.bell = p->bell;
	p->f.nbells = p->vdev->nvq;
	p->f.nvectors = 1 + p->vdev->nvq;
	p->f.table = TABLE;
	p->f.pba = PBA;
	add_caps(p);
}

static int vpci_attach(struct virtio_device *vdev, struct platform *platform)
{
	struct vpci *p;
	int r;

	BUG_ON(vdev->nvq >= PCI_VECTORS_MAX);
	if (!platform->pci) {
		log_err("%s: transport=pci: this machine has no PCI; transport=mmio will do",
			vdev->name);
		return -ENODEV;
	}
	r = vpci_create(vdev, &p);
	if (r < 0) {
		log_err("%s: cannot attach to the PCI bus: %s", vdev->name, strerror(-r));
		return r;
	}
	vpci_describe(p);
	r = pci_attach(platform->pci, &p->f);
	if (r < 0) {
		vpci_free(p);
		return r;
	}
	vdev->transport_data = p;
	vdev->held = VIRTIO_HOLD_BUS;
	return 0;
}

static void vector_state(struct vpci *p, atomic_uint *vector, struct state *s)
{
	uint32_t v = state_atomic(s, vector, UINT16_MAX);

	state_check(s, v == vector_number(p, v));
}

static void vpci_state(struct virtio_device *vdev, struct state *s)
{
	struct vpci *p = vdev->transport_data;
	struct vpci_sel sel = p->sel;
	unsigned q;

	state_atomic(s, &p->isr, ISR_QUEUE | ISR_CONFIG);
	state_u32(s, &sel.device_features);
	state_u32(s, &sel.driver_features);
	state_u16(s, &sel.queue);
	vector_state(p, &p->config_vector, s);
	for (q = 0; q < vdev->nvq; q++)
		vector_state(p, &p->vector[q], s);
	pci_function_state(&p->f, s);
	if (state_takes(s)) {
		p->sel = sel;
		settle_master(p);
	}
}

static void vpci_detach(struct virtio_device *vdev, struct platform *platform)
{
	struct vpci *p = vdev->transport_data;

	(void)platform;
	pci_detach(&p->f);
	vpci_free(p);
}

const struct virtio_transport_ops virtio_pci = {
	.name = "pci",
	.help = "a doorbell and an MSI-X vector for each queue",
	.attach = vpci_attach,
	.detach = vpci_detach,
	.kick_fd = vpci_kick_fd,
	.call_fd = vpci_call_fd,
	.notify = vpci_notify,
	.notify_config = vpci_notify_config,
	.state = vpci_state,
};
