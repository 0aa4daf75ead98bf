/* SPDX-License-Identifier: MIT */
/*
 * state.c - a guest of a few instructions (guest.S) goes on in another VM, with its registers, its
 * timer, a message that is pending, and the tables by which messages come. By this machine's KVM.
 *
 *	usage: state
 */
#include "tests/vm/aarch64/guest.h"
#include "tests/vm/state_rig.h"
#include "vmm/machine/arch/aarch64/layout.h"

#define GITS_TRANSLATER 0x10040
#define CORE(field) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | \
		     KVM_REG_ARM_CORE_REG(field))

static void check_marks(void)
{
	CHECK(word(GENERAL) == MARK);
	CHECK(word(SYSTEM) == SYSTEM_MARK);
	CHECK(word(VECTOR) == MARK && word(VECTOR + 1) == ~(uint64_t)MARK);
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
	make();
	write_commands();
	set_word(SHARED_AT + 8 * VECTOR_FROM, MARK);
	set_word(SHARED_AT + 8 * (VECTOR_FROM + 1), ~(uint64_t)MARK);
	begin();
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

/* And after that it goes on. */
static void refused(void)
{
	uint64_t n;

	pause_it();
	save();
	refuses(CORE(regs.regs[30]), CORE(regs.pstate)); /* no such mode */
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
