/* SPDX-License-Identifier: MIT */
#include "vmm/machine/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/fail.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/machine/arch/arch.h"

#define DEV_KVM "/dev/kvm"

static const struct vm_cap common_caps[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", NULL },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", NULL },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD", NULL },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD", NULL },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING", NULL },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", NULL },
	{ 0 }
};

/* By its file alone: to ask others takes libraries, which a static program has not. */
static void name_group(char *name, size_t size, gid_t gid)
{
	FILE *file = fopen("/etc/group", "re");
	struct group *group;

	snprintf(name, size, "%u", gid); /* which usermod takes, too */
	while (file && (group = fgetgrent(file))) {
		if (group->gr_gid == gid)
			snprintf(name, size, "%s", group->gr_name);
	}
	if (file)
		fclose(file);
}

static void explain_eacces(void)
{
	char group[64];
	struct stat st;

	if (stat(DEV_KVM, &st) < 0 || !(st.st_mode & S_IRGRP) || !st.st_gid) {
		log_err(DEV_KVM ": permission denied; ask root for: chmod 666 " DEV_KVM);
		return;
	}
	name_group(group, sizeof(group), st.st_gid);
	log_err(DEV_KVM ": permission denied; it belongs to group %s: "
		"sudo usermod -aG %s $USER, then log in anew; in CI: lunette doctor --ci github",
		group, group);
}

static void explain_open(int err)
{
	switch (err) {
	case ENOENT:
		log_err(DEV_KVM ": there is none; %s", arch_no_kvm);
		break;
	case EACCES:
	case EPERM:
		explain_eacces();
		break;
	case ENODEV:
	case ENXIO:
		log_err(DEV_KVM ": this processor has no virtualization, or the firmware has it "
			"switched off");
		break;
	case EBUSY:
		log_err(DEV_KVM ": busy; another hypervisor holds the processor's virtualization");
		break;
	default:
		log_err(DEV_KVM ": %s", strerror(err));
	}
}

static int check_caps(int kvm, const struct vm_cap *cap)
{
	for (; cap->name; cap++) {
		if (ioctl(kvm, KVM_CHECK_EXTENSION, cap->cap) <= 0) {
			log_err(DEV_KVM ": this kernel's KVM lacks %s; %s", cap->name,
				cap->cure ? cap->cure : "Linux 5.4 or newer has it");
			return -ENOSYS;
		}
	}
	return 0;
}

static int open_kvm(void)
{
	int kvm = open(DEV_KVM, O_RDWR | O_CLOEXEC), version;

	if (kvm < 0) {
		kvm = -errno;
		explain_open(-kvm);
		return kvm;
	}
	version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		log_err(DEV_KVM ": not KVM, or one with API version %d in place of %d", version,
			KVM_API_VERSION);
		close(kvm);
		return -ENOSYS;
	}
	return kvm;
}

/* KVM_CREATE_VM gives EINTR when a signal comes, and needs some memory. */
static int create_vm(int kvm)
{
	int fd;

	do {
		fd = ioctl(kvm, KVM_CREATE_VM, arch_vm_type(kvm));
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		fd = -errno;
		log_err(DEV_KVM ": KVM_CREATE_VM: %s", strerror(-fd));
	}
	return fd;
}

static unsigned routes_max(void)
{
	return arch_irq_inputs + PLATFORM_MSI_GSIS;
}

/* Whatever KVM says, but that it finds no memory, is that it cannot be used. */
static int cannot(int err)
{
	return err == -ENOMEM ? err : -ENOKVM;
}

int vm_create(struct vm *vm)
{
	int r;

	*vm = (struct vm){ .fd = -1 };
	vm->kvm = open_kvm();
	if (vm->kvm < 0)
		return cannot(vm->kvm);
	r = check_caps(vm->kvm, arch_caps);
	if (r == 0)
		r = check_caps(vm->kvm, common_caps);
	if (r < 0)
		goto close_kvm;
	vm->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->fd = create_vm(vm->kvm);
	if (vm->fd < 0) {
		r = vm->fd;
		goto close_kvm;
	}
	vm->routing = calloc(1, sizeof(*vm->routing) +
				routes_max() * sizeof(vm->routing->entries[0]));
	if (!vm->routing) {
		r = -ENOMEM;
		goto close_vm;
	}
	arch_irq_routes(vm->routing->entries);
	vm->routing->nr = arch_irq_inputs;
	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->collected_lock, NULL);
	return 0;

close_vm:
	close(vm->fd);
	vm->fd = -1;

close_kvm:
	close(vm->kvm);
	return cannot(r);
}

void vm_closing(struct vm *vm)
{
	vm->closing = true;
}

void vm_destroy(struct vm *vm)
{
	pthread_mutex_destroy(&vm->lock);
	pthread_mutex_destroy(&vm->collected_lock);
	free(vm->routing);
	arch_vm_fini(vm);
	close(vm->fd);
	close(vm->kvm);
}

int vm_set_memory(struct vm *vm, const struct mem *mem)
{
	unsigned i;

	for (i = 0; i < mem->nregions; i++) {
		const struct mem_region *r = &mem->region[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = r->gpa,
			.memory_size = r->size,
			.userspace_addr = (uintptr_t)r->hva,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0) {
			int err = errno;

			log_err("guest memory, %llu MiB at %#llx: %s",
				(unsigned long long)r->size >> 20, (unsigned long long)r->gpa,
				strerror(err));
			return -err;
		}
	}
	return 0;
}

void vm_collect_pio(struct vm *vm, uint16_t port, unsigned count)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = port, .size = count, .pio = 1 };

	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0)
		ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

void vm_map_collected(struct vm *vm, void *run)
{
	int page = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	if (page > 0)
		vm->collected = (void *)((char *)run + page * sysconf(_SC_PAGESIZE));
}

/* All by atomics, as the kernel adds meanwhile, and as vCPUs look whether there is anything. */
void vm_take_collected(struct vm *vm, struct bus *pio)
{
	struct kvm_coalesced_mmio_ring *ring = vm->collected;
	uint32_t first, max;

	if (!ring || __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
		     __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return;
	max = (sysconf(_SC_PAGESIZE) - sizeof(*ring)) / sizeof(ring->coalesced_mmio[0]);
	pthread_mutex_lock(&vm->collected_lock);
	first = __atomic_load_n(&ring->first, __ATOMIC_RELAXED);
	while (first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		const struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[first];

		bus_write(pio, e->phys_addr, e->data, e->len);
		first = (first + 1) % max;
		/* Not before it has been done: another vCPU may go on when the ring is empty. */
		__atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&vm->collected_lock);
}

static int set_bell(struct vm *vm, const struct ioeventfd *bell, bool add, uint32_t flags)
{
	struct kvm_ioeventfd io = {
		.addr = bell->addr,
		.len = bell->len,
		.fd = bell->fd,
		.datamatch = bell->data,
		.flags = flags | (bell->datamatch ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};

	if (!add && vm->closing)
		return 0;
	return ioctl(vm->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static int set_mmio_bell(void *host, const struct ioeventfd *bell, bool add)
{
	return set_bell(host, bell, add, 0);
}

static int set_pio_bell(void *host, const struct ioeventfd *bell, bool add)
{
	return set_bell(host, bell, add, KVM_IOEVENTFD_FLAG_PIO);
}

void vm_host_bells(struct vm *vm, struct bus *bus, bool pio)
{
	bus->host_bell = pio ? set_pio_bell : set_mmio_bell;
	bus->host = vm;
}

static int set_irqfd(struct vm *vm, const struct irq *irq, uint32_t flags)
{
	struct kvm_irqfd f = { .fd = irq->fd, .gsi = irq->gsi, .flags = flags };

	return ioctl(vm->fd, KVM_IRQFD, &f) < 0 ? -errno : 0;
}

static int bind_irq(void *chip, const struct irq *irq)
{
	return set_irqfd(chip, irq, 0);
}

static void unbind_irq(void *chip, const struct irq *irq)
{
	struct vm *vm = chip;

	if (!vm->closing)
		set_irqfd(vm, irq, KVM_IRQFD_FLAG_DEASSIGN);
}

static struct kvm_irq_routing_entry *find_route(struct kvm_irq_routing *routing, uint32_t gsi)
{
	unsigned i;

	for (i = arch_irq_inputs; i < routing->nr; i++) {
		if (routing->entries[i].gsi == gsi)
			return &routing->entries[i];
	}
	return routing->nr < routes_max() ? &routing->entries[routing->nr++] : NULL;
}

/* KVM takes the whole table or nothing; what it refuses must not stay in it. */
static int route_msi(void *chip, uint32_t gsi, uint64_t addr, uint32_t data, uint32_t devid)
{
	struct kvm_irq_routing_entry *e, old;
	struct vm *vm = chip;
	int r = -ENOSPC;
	uint32_t nr;

	pthread_mutex_lock(&vm->lock);
	nr = vm->routing->nr;
	e = find_route(vm->routing, gsi);
	if (e) {
		old = *e;
		*e = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_MSI,
			.flags = vm->msi_devid ? KVM_MSI_VALID_DEVID : 0,
			.u.msi = { .address_lo = addr, .address_hi = addr >> 32, .data = data,
				   .devid = vm->msi_devid ? devid : 0 },
		};
		r = ioctl(vm->fd, KVM_SET_GSI_ROUTING, vm->routing) < 0 ? -errno : 0;
		if (r < 0) {
			*e = old;
			vm->routing->nr = nr;
		}
	}
	pthread_mutex_unlock(&vm->lock);
	return r;
}

const struct irqchip_ops vm_irqchip = {
	.bind = bind_irq,
	.unbind = unbind_irq,
	.route_msi = route_msi,
};
