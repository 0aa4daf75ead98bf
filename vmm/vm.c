#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"

#define DEV_KVM "/dev/kvm"

static const struct vm_cap common_caps[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
	{ 0 }
};

static void explain_eacces(void)
{
	struct group *group;
	struct stat st;

	if (stat(DEV_KVM, &st) < 0 || !(st.st_mode & S_IRGRP) || !(group = getgrgid(st.st_gid)) ||
	    !st.st_gid) {
		log_err(DEV_KVM ": permission denied; ask root for: chmod 666 " DEV_KVM);
		return;
	}
	log_err(DEV_KVM ": permission denied; it belongs to group %s: "
		"sudo usermod -aG %s $USER, then log in anew", group->gr_name, group->gr_name);
}

static void explain_open(int err)
{
	switch (err) {
	case ENOENT:
		log_err(DEV_KVM ": there is none; load kvm_intel or kvm_amd (modprobe), switch on "
			"virtualization in the firmware, or give the container --device " DEV_KVM);
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
			log_err(DEV_KVM ": this kernel's KVM lacks %s; Linux 5.4 or newer has it",
				cap->name);
			return -ENOSYS;
		}
	}
	return 0;
}

static int open_kvm(void)
{
	int kvm = open(DEV_KVM, O_RDWR | O_CLOEXEC), version;

	if (kvm < 0) {
		explain_open(errno);
		return -errno;
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
		fd = ioctl(kvm, KVM_CREATE_VM, 0);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		fd = -errno;
		log_err(DEV_KVM ": KVM_CREATE_VM: %s", strerror(-fd));
	}
	return fd;
}

int vm_create(struct vm *vm)
{
	int r;

	vm->fd = -1;
	vm->kvm = open_kvm();
	if (vm->kvm < 0)
		return vm->kvm;
	r = check_caps(vm->kvm, common_caps);
	if (r == 0)
		r = check_caps(vm->kvm, arch_caps);
	if (r < 0)
		goto close_kvm;
	vm->run_size = ioctl(vm->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->fd = create_vm(vm->kvm);
	if (vm->fd < 0) {
		r = vm->fd;
		goto close_kvm;
	}
	return 0;

close_kvm:
	close(vm->kvm);
	return r;
}

void vm_destroy(struct vm *vm)
{
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

static int add_bell(struct vm *vm, const struct ioeventfd *bell, uint32_t flags)
{
	struct kvm_ioeventfd io = {
		.addr = bell->addr,
		.len = bell->len,
		.fd = bell->fd,
		.datamatch = bell->data,
		.flags = flags | (bell->datamatch ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &io) < 0 ? -errno : 0;
}

static int add_mmio_bell(void *host, const struct ioeventfd *bell)
{
	return add_bell(host, bell, 0);
}

static int add_pio_bell(void *host, const struct ioeventfd *bell)
{
	return add_bell(host, bell, KVM_IOEVENTFD_FLAG_PIO);
}

void vm_host_bells(struct vm *vm, struct bus *bus, bool pio)
{
	bus->host_bell = pio ? add_pio_bell : add_mmio_bell;
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
	set_irqfd(chip, irq, KVM_IRQFD_FLAG_DEASSIGN);
}

const struct irqchip_ops vm_irqchip = { .bind = bind_irq, .unbind = unbind_irq };
