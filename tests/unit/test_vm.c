/* SPDX-License-Identifier: MIT */
/*
 * KVM is two functions here: open() of /dev/kvm, and ioctl(), which remembers what it was asked.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/bus.h"
#include "vmm/core/irq.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vm.h"

Suite *vm_suite(void);

#define ARCH_CAP 9999
#define RUN_SIZE 12288
#define INPUTS 24 /* of interrupt controllers */

static struct vm vm;
static struct stderr_text said;
static char asked[1024]; /* what KVM was asked for, a blank behind each */

/* How KVM fares. */
static int open_error, create_error, ioctl_error; /* errno */
static unsigned create_interrupted; /* so often before it comes to that */
static int version = KVM_API_VERSION;
static unsigned long missing_cap = -1ul;

static struct kvm_irq_routing_entry route[INPUTS + PLATFORM_MSI_GSIS + 1];
static unsigned nroutes;

static void put(const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	vsnprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), fmt, list);
	va_end(list);
}

static const char *was_asked(void)
{
	static char text[sizeof(asked)];

	strcpy(text, asked);
	*asked = 0;
	return text;
}

/* Not by its name, which may be a macro's. */
int fake_open(const char *path, int flags, ...) __asm__("open");

int fake_open(const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = va_arg(list, int);
	va_end(list);
	if (strcmp(path, "/dev/kvm"))
		return (int)syscall(SYS_openat, -100 /* AT_FDCWD */, path, flags, mode);
	if (!open_error)
		return memfd_create("kvm", 0);
	errno = open_error;
	return -1;
}

static int create_vm(void)
{
	if (create_interrupted) {
		create_interrupted--;
		errno = EINTR;
		return -1;
	}
	errno = create_error;
	return create_error ? -1 : memfd_create("vm", 0);
}

static void put_memory(const struct kvm_userspace_memory_region *r)
{
	put("memory%u:%llx+%llx ", r->slot, r->guest_phys_addr, r->memory_size);
}

static void put_bell(const struct kvm_ioeventfd *b)
{
	put("%sbell:%s%llx/%u", b->flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? "-" : "",
	    b->flags & KVM_IOEVENTFD_FLAG_PIO ? "port" : "", b->addr, b->len);
	if (b->flags & KVM_IOEVENTFD_FLAG_DATAMATCH)
		put("=%llx", b->datamatch);
	put(" ");
}

static void take_routes(const struct kvm_irq_routing *r)
{
	ck_assert_uint_le(r->nr, ARRAY_SIZE(route));
	nroutes = r->nr;
	memcpy(route, r->entries, r->nr * sizeof(*route));
}

static int ask_vm(unsigned long request, void *arg)
{
	const struct kvm_coalesced_mmio_zone *zone = arg;
	const struct kvm_irqfd *irq = arg;

	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		put_memory(arg);
		break;
	case KVM_IOEVENTFD:
		put_bell(arg);
		break;
	case KVM_IRQFD:
		put("%sirq%u:%u ", irq->flags & KVM_IRQFD_FLAG_DEASSIGN ? "-" : "", irq->gsi,
		    irq->fd);
		break;
	case KVM_REGISTER_COALESCED_MMIO:
		put("collect%llx+%u%s ", zone->addr, zone->size, zone->pio ? "" : "?");
		break;
	case KVM_SET_GSI_ROUTING:
		take_routes(arg);
		break;
	default:
		put("?%lx ", request);
	}
	errno = ioctl_error;
	return ioctl_error ? -1 : 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *arg;

	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	switch (request) {
	case KVM_GET_API_VERSION:
		return version;
	case KVM_CHECK_EXTENSION:
		return (unsigned long)arg == missing_cap ? 0 : 2;
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_CREATE_VM:
		ck_assert_ptr_eq(arg, (void *)36);
		return create_vm();
	default:
		ck_assert_int_eq(fd, vm.fd);
		return ask_vm(request, arg);
	}
}

/* The architecture */

const struct vm_cap arch_caps[] = { { ARCH_CAP, "KVM_CAP_OF_ARCH", "buy one" }, { 0 } };

const unsigned arch_irq_inputs = INPUTS;
const char arch_no_kvm[] = "get a real machine";

unsigned long arch_vm_type(int kvm)
{
	ck_assert_int_eq(kvm, vm.kvm);
	return 36;
}

void arch_vm_fini(struct vm *of)
{
	ck_assert_ptr_eq(of, &vm);
}

void arch_irq_routes(struct kvm_irq_routing_entry *entry)
{
	unsigned i;

	for (i = 0; i < INPUTS; i++)
		entry[i] = (struct kvm_irq_routing_entry){ .gsi = i,
							   .type = KVM_IRQ_ROUTING_IRQCHIP };
}

static int next_fd(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

/* Opening it */

static const struct {
	int *what, value; /* what goes wrong */
	int result;
	const char *said;
} failures[] = {
	{ &open_error, ENOENT, -ENOKVM, "/dev/kvm: there is none; get a real machine" },
	{ &open_error, EACCES, -ENOKVM, "/dev/kvm: permission denied; " },
	{ &open_error, EPERM, -ENOKVM, "/dev/kvm: permission denied; " },
	{ &open_error, ENODEV, -ENOKVM, "/dev/kvm: this processor has no virtualization, or the" },
	{ &open_error, ENXIO, -ENOKVM, "/dev/kvm: this processor has no virtualization, or the" },
	{ &open_error, EBUSY, -ENOKVM, "/dev/kvm: busy; another hypervisor holds the processor" },
	{ &open_error, EMFILE, -ENOKVM, "/dev/kvm: Too many open files" },
	{ &version, 11, -ENOKVM, "/dev/kvm: not KVM, or one with API version 11 in place of 12" },
	{ &create_error, ENOMEM, -ENOMEM, "/dev/kvm: KVM_CREATE_VM: Cannot allocate memory" },
	{ &create_error, EBUSY, -ENOKVM, "/dev/kvm: KVM_CREATE_VM: Device or resource busy" },
};

START_TEST(what_goes_wrong)
{
	char wanted[200];
	int next, r;

	*failures[_i].what = failures[_i].value;
	stderr_begin(&said);
	next = next_fd();
	r = vm_create(&vm);
	ck_assert_int_eq(next_fd(), next); /* nothing is left open */
	stderr_end(&said);
	snprintf(wanted, sizeof(wanted), "lunette: error: %s", failures[_i].said);
	ck_assert_msg(!strncmp(said.text, wanted, strlen(wanted)), "%s", said.text);
	ck_assert_str_eq(strchr(said.text, '\n'), "\n"); /* one line */
	ck_assert_int_eq(r, failures[_i].result);
	ck_assert_int_lt(vm.fd, 0);
}
END_TEST

static const struct vm_cap needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "Linux 5.4 or newer has it" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", "Linux 5.4 or newer has it" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD", "Linux 5.4 or newer has it" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD", "Linux 5.4 or newer has it" },
	{ KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING", "Linux 5.4 or newer has it" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "Linux 5.4 or newer has it" },
	{ ARCH_CAP, "KVM_CAP_OF_ARCH", "buy one" },
};

START_TEST(what_kvm_lacks)
{
	char wanted[200];
	int next, r;

	missing_cap = needed[_i].cap;
	stderr_begin(&said);
	next = next_fd();
	r = vm_create(&vm);
	ck_assert_int_eq(next_fd(), next);
	snprintf(wanted, sizeof(wanted), "lunette: error: /dev/kvm: this kernel's KVM lacks %s; "
		 "%s\n", needed[_i].name, needed[_i].cure);
	ck_assert_str_eq(stderr_end(&said), wanted);
	ck_assert_int_eq(r, -ENOKVM);
}
END_TEST

static void set_up(void)
{
	ck_assert_int_eq(vm_create(&vm), 0);
	stderr_begin(&said);
}

static void tear_down(void)
{
	vm_destroy(&vm);
}

START_TEST(made)
{
	ck_assert_uint_eq(vm.run_size, RUN_SIZE);
	ck_assert(!vm.closing);
	stderr_end(&said);
}
END_TEST

START_TEST(made_in_spite_of_signals)
{
	vm_destroy(&vm);
	create_interrupted = 3;
	ck_assert_int_eq(vm_create(&vm), 0);
	ck_assert_uint_eq(create_interrupted, 0);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* Memory */

START_TEST(memory)
{
	static struct mem mem;

	ck_assert_int_eq(mem_add(&mem, 0, MIB(1)), 0);
	ck_assert_int_eq(mem_add(&mem, 1ull << 32, MIB(2)), 0);
	ck_assert_int_eq(vm_set_memory(&vm, &mem), 0);
	ck_assert_str_eq(was_asked(), "memory0:0+100000 memory1:100000000+200000 ");
	ioctl_error = EEXIST;
	ck_assert_int_eq(vm_set_memory(&vm, &mem), -EEXIST);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: guest memory, 1 MiB at 0: File exists\n");
	ck_assert_str_eq(was_asked(), "memory0:0+100000 ");
	mem_free(&mem);
}
END_TEST

/* Doorbells */

START_TEST(doorbells)
{
	static const struct ioeventfd bells[] = {
		{ .addr = 0x1000, .len = 4, .data = 7, .datamatch = true, .fd = 1 },
		{ .addr = 0x2000, .fd = 1 },
	};
	static struct bus mmio = BUS_EMPTY, pio = BUS_EMPTY;

	vm_host_bells(&vm, &mmio, false);
	vm_host_bells(&vm, &pio, true);
	ck_assert_int_eq(bus_ioeventfd_add(&mmio, &bells[0]), 0);
	ck_assert_int_eq(bus_ioeventfd_add(&pio, &bells[0]), 0);
	ck_assert_int_eq(bus_ioeventfd_add(&mmio, &bells[1]), 0);
	ck_assert_str_eq(was_asked(), "bell:1000/4=7 bell:port1000/4=7 bell:2000/0 ");
	bus_ioeventfd_del(&mmio, &bells[1]);
	ck_assert_str_eq(was_asked(), "-bell:2000/0 ");
	ioctl_error = ENOSPC;
	ck_assert_int_eq(bus_ioeventfd_add(&mmio, &bells[1]), -ENOSPC);
	was_asked();
	vm_closing(&vm); /* all go at once, with the VM */
	bus_ioeventfd_del(&mmio, &bells[0]);
	bus_ioeventfd_del(&pio, &bells[0]);
	ck_assert_str_eq(was_asked(), "");
	stderr_end(&said);
}
END_TEST

/* Interrupts */

START_TEST(interrupts)
{
	struct irq irq = { .fd = 5, .gsi = 9 };

	ck_assert_int_eq(vm_irqchip.bind(&vm, &irq), 0);
	vm_irqchip.unbind(&vm, &irq);
	ck_assert_str_eq(was_asked(), "irq9:5 -irq9:5 ");
	ioctl_error = EBUSY;
	ck_assert_int_eq(vm_irqchip.bind(&vm, &irq), -EBUSY);
	was_asked();
	vm_closing(&vm);
	vm_irqchip.unbind(&vm, &irq);
	ck_assert_str_eq(was_asked(), "");
	stderr_end(&said);
}
END_TEST

static void check_route(unsigned i, uint32_t gsi, uint64_t addr, uint32_t data)
{
	const struct kvm_irq_routing_entry *e = &route[INPUTS + i];

	ck_assert_uint_lt(INPUTS + i, nroutes);
	ck_assert_uint_eq(e->type, KVM_IRQ_ROUTING_MSI);
	ck_assert_uint_eq(e->gsi, gsi);
	ck_assert_uint_eq(e->u.msi.address_lo | (uint64_t)e->u.msi.address_hi << 32, addr);
	ck_assert_uint_eq(e->u.msi.data, data);
	ck_assert_uint_eq(e->flags, vm.msi_devid ? KVM_MSI_VALID_DEVID : 0);
	ck_assert_uint_eq(e->u.msi.devid, vm.msi_devid ? 8 : 0);
}

START_TEST(messages)
{
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24, 0xfee00000, 1, 8), 0);
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 30, 0x1fee01000, 2, 8), 0);
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24, 0xfee02000, 3, 8), 0); /* in its place */
	ck_assert_uint_eq(nroutes, INPUTS + 2);
	ck_assert_uint_eq(route[0].type, KVM_IRQ_ROUTING_IRQCHIP);
	check_route(0, 24, 0xfee02000, 3);
	check_route(1, 30, 0x1fee01000, 2);
	stderr_end(&said);
}
END_TEST

/* Where an ITS wants to know who sends. */
START_TEST(messages_with_senders)
{
	vm.msi_devid = true;
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24, 0x8090040, 1, 8), 0);
	check_route(0, 24, 0x8090040, 1);
	stderr_end(&said);
}
END_TEST

/* A guest writes what it likes; KVM refuses the whole table for it, and the others stay. */
START_TEST(messages_that_kvm_refuses)
{
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24, 0xfee00000, 1, 8), 0);
	ioctl_error = EINVAL;
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24, 0xbad, 66, 8), -EINVAL);
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 25, 0xbad, 66, 8), -EINVAL);
	ioctl_error = 0;
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 26, 0xfee00000, 2, 8), 0);
	ck_assert_uint_eq(nroutes, INPUTS + 2);
	check_route(0, 24, 0xfee00000, 1);
	check_route(1, 26, 0xfee00000, 2);
	stderr_end(&said);
}
END_TEST

START_TEST(too_many_messages)
{
	unsigned i;

	for (i = 0; i < PLATFORM_MSI_GSIS; i++)
		ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24 + i, 0xfee00000, i, 8), 0);
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24 + i, 0xfee00000, i, 8), -ENOSPC);
	/* Those that there are can still be changed. */
	ck_assert_int_eq(vm_irqchip.route_msi(&vm, 24, 0xfee00000, 5, 8), 0);
	check_route(0, 24, 0xfee00000, 5);
	stderr_end(&said);
}
END_TEST

/* Collected writes */

static char written[256];

static void write_port(void *dev, uint64_t off, const void *data, unsigned len)
{
	(void)dev;
	sprintf(written + strlen(written), "%llx/%u=%x ", (unsigned long long)off, len,
		*(const uint8_t *)data);
}

static const struct bus_ops port_ops = { .write = write_port };

START_TEST(collecting)
{
	vm_collect_pio(&vm, 0x70, 1);
	ck_assert_str_eq(was_asked(), "collect70+1 ");
	missing_cap = KVM_CAP_COALESCED_PIO;
	vm_collect_pio(&vm, 0x70, 1);
	ck_assert_str_eq(was_asked(), "");
	stderr_end(&said);
}
END_TEST

/* Entry @i of the ring, as the kernel fills it. */
static void collect(struct kvm_coalesced_mmio_ring *ring, unsigned i, uint64_t port, uint8_t value)
{
	ring->coalesced_mmio[i] = (struct kvm_coalesced_mmio){ .phys_addr = port, .len = 1,
							       .data = { value } };
}

START_TEST(collected)
{
	static struct bus pio = BUS_EMPTY;
	struct kvm_coalesced_mmio_ring *ring;
	long page = sysconf(_SC_PAGESIZE);
	unsigned max = (page - sizeof(*ring)) / sizeof(struct kvm_coalesced_mmio);
	char *run = calloc(3, page);

	ck_assert_int_eq(bus_map(&pio, 0, 0x100, &port_ops, NULL), 0);
	vm_take_collected(&vm, &pio); /* nothing is mapped */
	vm_map_collected(&vm, run);
	ring = (void *)(run + 2 * page); /* where KVM_CHECK_EXTENSION says that it is */
	vm_take_collected(&vm, &pio);
	ck_assert_str_eq(written, "");
	ring->first = ring->last = max - 2;
	collect(ring, max - 2, 0x70, 1);
	collect(ring, max - 1, 0x71, 2);
	collect(ring, 0, 0x70, 3); /* the ring goes on at its beginning */
	collect(ring, 1, 0x72, 99); /* one that is not there yet */
	ring->last = 1;
	vm_take_collected(&vm, &pio);
	ck_assert_str_eq(written, "70/1=1 71/1=2 70/1=3 ");
	ck_assert_uint_eq(ring->first, 1);
	vm_take_collected(&vm, &pio); /* once */
	ck_assert_str_eq(written, "70/1=1 71/1=2 70/1=3 ");
	free(run);
	stderr_end(&said);
}
END_TEST

START_TEST(kvm_that_does_not_collect)
{
	static struct bus pio = BUS_EMPTY;

	missing_cap = KVM_CAP_COALESCED_MMIO;
	vm_map_collected(&vm, &vm);
	ck_assert_ptr_null(vm.collected);
	vm_take_collected(&vm, &pio);
	stderr_end(&said);
}
END_TEST

Suite *vm_suite(void)
{
	Suite *s = suite_create("vm");
	TCase *tc = unit_case(s, "failures");

	tcase_add_loop_test(tc, what_goes_wrong, 0, ARRAY_SIZE(failures));
	tcase_add_loop_test(tc, what_kvm_lacks, 0, ARRAY_SIZE(needed));

	tc = unit_case(s, "vm");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, made);
	tcase_add_test(tc, made_in_spite_of_signals);
	tcase_add_test(tc, memory);
	tcase_add_test(tc, doorbells);
	tcase_add_test(tc, interrupts);
	tcase_add_test(tc, messages);
	tcase_add_test(tc, messages_with_senders);
	tcase_add_test(tc, messages_that_kvm_refuses);
	tcase_add_test(tc, too_many_messages);
	tcase_add_test(tc, collecting);
	tcase_add_test(tc, collected);
	tcase_add_test(tc, kvm_that_does_not_collect);
	return s;
}

UNIT_MAIN(vm_suite)
