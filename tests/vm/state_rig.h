/* SPDX-License-Identifier: MIT */
/*
 * state_rig.h - a VM with two vCPUs for ARCH/state.c, of which the second one is never started:
 * made, saved, and made anew from what was saved. Its guest (ARCH/guest.S) is a few instructions
 * that count; ARCH/guest.h has where that is, and the words of the page that they share.
 */
#ifndef TESTS_VM_STATE_RIG_H
#define TESTS_VM_STATE_RIG_H

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define CPUS 2

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                               \
		}                                                              \
	} while (0)

extern const char guest_start[];
extern const uint64_t guest_size;

static struct vm vm;
static struct mem mem;
static struct bus mmio, pio;
static struct platform platform;
static struct vcpu vcpu[CPUS];
static atomic_bool over;
static struct vcpu_host host;
static uint8_t *saved, memory[MEMORY];
static size_t len;

static void ended(void *arg, enum cause cause)
{
	(void)arg, (void)cause;
	atomic_store(&over, true);
}

static void visit(void *arg, struct state *s)
{
	unsigned i;

	(void)arg;
	arch_vm_state(&vm, s);
	for (i = 0; i < CPUS; i++)
		arch_vcpu_state(&vcpu[i], s);
}

static void visit_vcpu(void *arg, struct state *s)
{
	arch_vcpu_state(arg, s);
}

static void make(void)
{
	unsigned i;

	mmio = pio = (struct bus)BUS_EMPTY;
	mem = (struct mem){ 0 };
	host = (struct vcpu_host){ &vm, &mmio, &pio, &over, ended, NULL };
	platform = (struct platform){ .mmio = &mmio, .pio = &pio, .mem = &mem, .cpus = CPUS };
	CHECK(vm_create(&vm) == 0);
	CHECK(mem_add(&mem, CODE_AT, MEMORY) == 0);
	CHECK(vm_set_memory(&vm, &mem) == 0);
	CHECK(arch_vm_init(&vm, &platform) == 0);
	for (i = 0; i < CPUS; i++)
		CHECK(vcpu_create(&vcpu[i], &host, i) == 0);
	CHECK(arch_vcpus_init(vcpu, CPUS) == 0);
}

static void unmake(void)
{
	unsigned i;

	for (i = 0; i < CPUS; i++) {
		vcpu_stop(&vcpu[i]);
		vcpu_destroy(&vcpu[i]);
	}
	vm_destroy(&vm);
	mem_free(&mem);
}

static uint64_t word(unsigned i)
{
	uint8_t raw[8];

	CHECK(mem_read(&mem, SHARED_AT + 8 * i, raw, sizeof(raw)) == 0);
	return le64_get(raw);
}

static void set_word(uint64_t at, uint64_t v)
{
	CHECK(mem_write(&mem, at, &v, sizeof(v)) == 0);
}

/* Whether all registers are what they should be. (ARCH/state.c) */
static void check_marks(void);

static void show(void)
{
	unsigned i;

	for (i = 0; i < WORDS; i++)
		printf("word %u: %llx\n", i, (unsigned long long)word(i));
	vcpu_stop(&vcpu[0]);
	arch_vcpu_dump(&vcpu[0]);
	exit(1);
}

/* Word @i becomes more than @count. */
static void await_more(unsigned i, uint64_t count)
{
	unsigned tries = 0;

	while (word(i) <= count) {
		if (atomic_load(&over) || word(TROUBLE) || tries++ >= 20000)
			show();
		usleep(1000);
	}
	check_marks();
}

static void pause_it(void)
{
	unsigned tries = 0;

	while (!vcpu_pause(&vcpu[0]))
		CHECK(tries++ < 1000);
}

/* A new guest; what it finds in memory beside its code is there already. */
static void begin(void)
{
	static const struct arch_entry entry = { .pc = CODE_AT, .arg = SHARED_AT };

	CHECK(mem_write(&mem, CODE_AT, guest_start, guest_size) == 0);
	CHECK(arch_vcpu_enter(&vcpu[0], &entry) == 0);
	CHECK(vcpu_start(&vcpu[0]) == 0);
	await_more(COUNT, 10);
}

/* Memory comes last, as tables of interrupt controllers may be in it by then. */
static void save(void)
{
	free(saved);
	CHECK(state_save(visit, NULL, &saved, &len) == 0);
	CHECK(mem_read(&mem, CODE_AT, memory, sizeof(memory)) == 0);
}

/* A new VM, with what memory had. */
static void make_anew(void)
{
	unmake();
	make();
	CHECK(mem_write(&mem, CODE_AT, memory, sizeof(memory)) == 0);
}

/* In a new VM. It does not run yet. */
static void restore(void)
{
	struct kvm_mp_state mp;

	make_anew();
	CHECK(state_restore(visit, NULL, saved, len) == 0);
	CHECK(ioctl(vcpu[1].fd, KVM_GET_MP_STATE, &mp) == 0);
	CHECK(mp.mp_state == KVM_MP_STATE_STOPPED);
}

static void stands_still(void)
{
	uint64_t count = word(COUNT);

	usleep(50000);
	CHECK(word(COUNT) == count);
}

/* Where the value of register @id is in what has been saved of a vCPU. */
static size_t place_of(const uint8_t *data, uint64_t id)
{
	uint32_t n = le32_get(data), i;
	size_t at = 4 + 8 * (size_t)n;

	for (i = 0; i < n; i++) {
		uint64_t is = le64_get(data + 4 + 8 * i);

		if (is == id)
			return at;
		at += 1u << ((is & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
	}
	CHECK(!"there is no such register");
	return 0;
}

/*
 * What is cut off, or is not what KVM takes, leaves the guest, which is paused, as it was. The
 * register @good comes before @bad, and may be anything; KVM does not take all ones for @bad.
 */
static void refuses(uint64_t good, uint64_t bad)
{
	uint8_t *data, *now;
	size_t size, now_size, n;

	for (n = 0; n < len; n += len / 7)
		CHECK(state_restore(visit, NULL, saved, n) == -EPROTO);
	CHECK(state_save(visit_vcpu, &vcpu[0], &data, &size) == 0);
	CHECK(state_save(visit_vcpu, &vcpu[0], &now, &now_size) == 0);
	CHECK(place_of(data, good) < place_of(data, bad));
	memset(data + place_of(data, good), 0x55, 8);
	memset(data + place_of(data, bad), 0xff, 8);
	CHECK(state_restore(visit_vcpu, &vcpu[0], data, size) == -EINVAL);
	free(data);
	CHECK(state_save(visit_vcpu, &vcpu[0], &data, &size) == 0);
	CHECK(size == now_size);
	CHECK(!memcmp(data + place_of(data, good), now + place_of(now, good), 8));
	CHECK(!memcmp(data + place_of(data, bad), now + place_of(now, bad), 8));
	data[4] ^= 1; /* another KVM's registers */
	CHECK(state_restore(visit_vcpu, &vcpu[0], data, size) == -EINVAL);
	free(data);
	free(now);
}

#endif
