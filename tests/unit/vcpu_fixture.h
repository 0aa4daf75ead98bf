/* SPDX-License-Identifier: MIT */
/*
 * vcpu_fixture.h
 *
 * KVM is a function here: ioctl() hands out run pages, memory files, and each KVM_RUN ends as the
 * test has written it down.
 */
#ifndef TESTS_VCPU_FIXTURE_H
#define TESTS_VCPU_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define VM_FD 1000 /* no descriptor: only the stand-in below knows it */
#define RUN_SIZE 8192
#define WAIT_S 20

#define RAM_BASE 0x1000
#define DEVICE_BASE 0x5000

/* How one KVM_RUN ends. */
struct step {
	int err; /* errno; 0: an exit */
	void (*exit)(struct kvm_run *run);
	void (*meanwhile)(void);
};

static struct vm vm = { .kvm = -1, .fd = VM_FD, .run_size = RUN_SIZE };
static struct bus mmio = BUS_EMPTY, pio = BUS_EMPTY;
static struct vcpu vcpu;
static bool exists;
static atomic_bool over;
static struct stderr_text said;

static const struct step *script; /* ends with one of all zero: the guest computes for ever */
static unsigned at;               /* in it */
static sem_t inside;              /* one for each entry into the guest that stays there */
static unsigned runs;             /* KVM_RUNs */
static int create_error;          /* of KVM_CREATE_VCPU */

static char calls[1024]; /* what was called, in order */

static inline void note(const char *what)
{
	strcat(calls, what);
	strcat(calls, " ");
}

/* KVM */

static inline int fake_create(unsigned long id)
{
	int fd;

	ck_assert_uint_eq(id, vcpu.id);
	if (create_error) {
		errno = create_error;
		return -1;
	}
	fd = memfd_create("vcpu", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, RUN_SIZE), 0);
	return fd;
}

/* As KVM does it: a signal, or immediate_exit, which may come before. */
static inline int stay_inside(void)
{
	sem_post(&inside);
	while (!__atomic_load_n(&vcpu.run->immediate_exit, __ATOMIC_SEQ_CST))
		usleep(1000);
	errno = EINTR;
	return -1;
}

static inline int fake_run(void)
{
	const struct step *s = &script[at];

	runs++;
	if (__atomic_load_n(&vcpu.run->immediate_exit, __ATOMIC_SEQ_CST)) {
		errno = EINTR;
		return -1;
	}
	if (!s->exit && !s->err)
		return stay_inside();
	at++;
	if (s->meanwhile)
		s->meanwhile();
	if (s->exit)
		s->exit(vcpu.run);
	errno = s->err;
	return s->err ? -1 : 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list list;

	va_start(list, request);
	arg = va_arg(list, unsigned long);
	va_end(list);
	if (fd == VM_FD && request == KVM_CREATE_VCPU)
		return fake_create(arg);
	if (exists && fd == vcpu.fd && request == KVM_RUN)
		return fake_run();
	return (int)syscall(SYS_ioctl, fd, request, arg);
}

/* The VM, and the architecture. */

static unsigned taken; /* how often collected writes were */

void vm_map_collected(struct vm *of, void *run)
{
	ck_assert_ptr_eq(of, &vm);
	ck_assert_ptr_nonnull(run);
	note("map");
}

void vm_take_collected(struct vm *of, struct bus *to)
{
	ck_assert_ptr_eq(of, &vm);
	ck_assert_ptr_eq(to, &pio);
	taken++;
}

bool arch_vcpu_exit(struct vcpu *of)
{
	note("arch");
	return of->run->exit_reason == KVM_EXIT_IO;
}

void arch_vcpu_dump(struct vcpu *of)
{
	(void)of;
	note("dump");
}

void arch_vcpu_look(struct vcpu *of)
{
	strcpy(of->picture, "here");
	of->trouble = VCPU_BUSY;
	note("look");
}

bool arch_vcpu_halted(struct vcpu *of)
{
	(void)of;
	note("halted");
	return true;
}

void arch_vcpu_paused(struct vcpu *of)
{
	(void)of;
	note("paused");
}

void arch_vcpu_nmi(struct vcpu *of)
{
	(void)of;
	note("nmi");
}

/* The machine, which is over by the first reason that it hears. */
static enum cause causes_heard[8];
static unsigned ncauses;

static inline void ended(void *arg, enum cause cause)
{
	ck_assert_ptr_eq(arg, &over);
	causes_heard[ncauses++] = cause;
	atomic_store(&over, true);
}

static const struct vcpu_host host = { &vm, &mmio, &pio, &over, ended, &over };

/* A device of 16 bytes, which are 0, 1, 2, ... at first. */
static uint8_t device[16];

static inline void device_read(void *dev, uint64_t off, void *data, unsigned len)
{
	memcpy(data, (uint8_t *)dev + off, len);
}

static inline void device_write(void *dev, uint64_t off, const void *data, unsigned len)
{
	memcpy((uint8_t *)dev + off, data, len);
}

static const struct bus_ops device_ops = { device_read, device_write };

static inline void set_up(void)
{
	unsigned i;

	for (i = 0; i < sizeof(device); i++)
		device[i] = i;
	ck_assert_int_eq(bus_map(&mmio, DEVICE_BASE, sizeof(device), &device_ops, device), 0);
	sem_init(&inside, 0, 0);
	vcpu_setup_signal();
	ck_assert_int_eq(vcpu_create(&vcpu, &host, 0), 0);
	exists = true;
	stderr_begin(&said);
}

static inline void tear_down(void)
{
	vcpu_stop(&vcpu);
	vcpu_destroy(&vcpu);
	sem_destroy(&inside);
}

static inline void await_inside(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	ck_assert_int_eq(sem_timedwait(&inside, &until), 0);
}

/* The thread goes through all of @steps, and has then ended by itself or is in the guest. */
static inline void run(const struct step *steps, bool ends)
{
	script = steps;
	ck_assert_int_eq(vcpu_start(&vcpu), 0);
	if (ends)
		thread_join(&vcpu.thread);
	else
		await_inside();
	vcpu.has_thread = !ends;
}

/* Exits */

static inline void exit_read4(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = DEVICE_BASE + 4;
	run->mmio.len = 4;
	run->mmio.is_write = 0;
	memset(run->mmio.data, 0xee, sizeof(run->mmio.data));
}

static inline void exit_write2(struct kvm_run *run)
{
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = DEVICE_BASE + 8;
	run->mmio.len = 2;
	run->mmio.is_write = 1;
	memcpy(run->mmio.data, "\x34\x12\x99\x99", 4);
}

#endif
