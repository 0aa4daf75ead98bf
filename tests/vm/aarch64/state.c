/*
 * state.c - a guest of a few instructions (guest.S) goes on in another VM, with its registers, its
 * timer, a message that is pending, and the tables by which messages come. By this machine's KVM.
 *
 *	usage: state
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/vm/aarch64/guest.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/aarch64/layout.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define CPUS 2 /* the second one is never started */
#define GITS_TRANSLATER 0x10040
#define PSTATE (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
		KVM_REG_ARM_CORE_REG(regs.pstate))

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

static void show(void)
{
	unsigned i;

	for (i = 0; i <= VECTOR_FROM + 1; i++)
		printf("word %u: %llx\n", i, (unsigned long long)word(i));
	vcpu_stop(&vcpu[0]);
	arch_vcpu_dump(&vcpu[0]);
	exit(1);
}

/* Word @i becomes more than @count, and all registers are what they should be. */
static void await_more(unsigned i, uint64_t count)
{
	unsigned tries = 0;

	while (word(i) <= count) {
		if (atomic_load(&over) || word(TROUBLE) || tries++ >= 20000)
			show();
		usleep(1000);
	}
	CHECK(word(GENERAL) == MARK);
	CHECK(word(SYSTEM) == SYSTEM_MARK);
	CHECK(word(VECTOR) == MARK && word(VECTOR + 1) == ~(uint64_t)MARK);
}

static void pause_it(void)
{
	unsigned tries = 0;

	while (!vcpu_pause(&vcpu[0]))
		CHECK(tries++ < 1000);
}

static void send_message(void)
{
	struct kvm_msi msi = {
		.address_lo = GIC_ITS_AT + GITS_TRANSLATER,
		.data = EVENT,
		.flags = KVM_MSI_VALID_DEVID,
		.devid = DEVICE,
	};

	CHECK(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) > 0);
}

/* What the ITS is told: which device, which CPU, which message. */
static void write_commands(void)
{
	static const uint64_t command[COMMANDS][4] = {
		/* MAPD, MAPC, MAPTI, INV */
		{ 0x08 | (uint64_t)DEVICE << 32, 4, EVENTS_AT | 1ull << 63 },
		{ 0x09, 0, 1ull << 63 },
		{ 0x0a | (uint64_t)DEVICE << 32, EVENT | (uint64_t)MESSAGE_INTID << 32 },
		{ 0x0c | (uint64_t)DEVICE << 32, EVENT },
	};

	CHECK(mem_write(&mem, COMMANDS_AT, command, sizeof(command)) == 0);
	set_word(PROP_AT, 0xa1); /* open */
}

static void start_it(void)
{
	static const struct arch_entry entry = { .pc = CODE_AT, .arg = SHARED_AT };

	make();
	CHECK(mem_write(&mem, CODE_AT, guest_start, guest_size) == 0);
	write_commands();
	set_word(SHARED_AT + 8 * VECTOR_FROM, MARK);
	set_word(SHARED_AT + 8 * (VECTOR_FROM + 1), ~(uint64_t)MARK);
	CHECK(arch_vcpu_enter(&vcpu[0], &entry) == 0);
	CHECK(vcpu_start(&vcpu[0]) == 0);
	await_more(COUNT, 10);
}

/* Memory comes last, as the tables are in it by then. */
static void save(void)
{
	free(saved);
	CHECK(state_save(visit, NULL, &saved, &len) == 0);
	CHECK(mem_read(&mem, CODE_AT, memory, sizeof(memory)) == 0);
}

/* In a new VM. It does not run yet. */
static void restore(void)
{
	struct kvm_mp_state mp;

	unmake();
	make();
	CHECK(mem_write(&mem, CODE_AT, memory, sizeof(memory)) == 0);
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

/* With interrupts masked, and a message and the timer pending. */
static void pending_goes_on(void)
{
	uint64_t clock;

	send_message();
	usleep(20000);
	pause_it();
	stands_still();
	save();
	CHECK(word(TIMER) == 0 && word(MESSAGES) == 0);
	clock = word(CLOCK);
	restore();
	set_word(SHARED_AT + 8 * OPEN, 1);
	CHECK(vcpu_start(&vcpu[0]) == 0);
	await_more(MESSAGES, 0);
	await_more(TIMER, 3);
	CHECK(word(MESSAGES) == 1);
	CHECK(word(CLOCK) > clock);
	printf("goes on with what was pending\n");
}

/* While it takes interrupts. The clock is the same one, and the message's way, too. */
static void running_goes_on(void)
{
	uint64_t count, timer, clock;
	unsigned round;

	for (round = 0; round < 3; round++) {
		pause_it();
		save();
		count = word(COUNT);
		timer = word(TIMER);
		clock = word(CLOCK);
		sleep(1);
		restore();
		CHECK(vcpu_start(&vcpu[0]) == 0);
		send_message();
		await_more(COUNT, count);
		CHECK(word(CLOCK) > clock);
		await_more(TIMER, timer + 3);
		await_more(MESSAGES, 1 + round);
		CHECK(word(MESSAGES) == 2 + round);
	}
	printf("goes on three times more\n");
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

/* What is cut off, or is not what KVM takes, leaves the guest as it was: it goes on. */
static void refused(void)
{
	uint8_t *data, *now;
	size_t size, now_size, n, x30;

	pause_it();
	save();
	for (n = 0; n < len; n += len / 7)
		CHECK(state_restore(visit, NULL, saved, n) == -EPROTO);
	CHECK(state_save(visit_vcpu, &vcpu[0], &data, &size) == 0);
	CHECK(state_save(visit_vcpu, &vcpu[0], &now, &now_size) == 0);
	x30 = place_of(data, PSTATE) - 3 * 8; /* behind it come SP and PC */
	memset(data + x30, 0x55, 8); /* this is taken */
	memset(data + place_of(data, PSTATE), 0xff, 8); /* and this is not: no such mode */
	CHECK(state_restore(visit_vcpu, &vcpu[0], data, size) == -EINVAL);
	free(data);
	CHECK(state_save(visit_vcpu, &vcpu[0], &data, &size) == 0);
	CHECK(size == now_size && !memcmp(data + x30, now + x30, 4 * 8));
	data[4] ^= 1; /* another KVM's registers */
	CHECK(state_restore(visit_vcpu, &vcpu[0], data, size) == -EINVAL);
	free(data);
	free(now);
	vcpu_resume(&vcpu[0]);
	n = word(MESSAGES);
	send_message();
	await_more(TIMER, word(TIMER) + 3);
	await_more(MESSAGES, n);
	printf("what cannot be is refused\n");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(LOG_ERR);
	vcpu_setup_signal();
	start_it();
	pending_goes_on();
	running_goes_on();
	refused();
	unmake();
	free(saved);
	return 0;
}
