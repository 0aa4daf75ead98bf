/* SPDX-License-Identifier: MIT */
/*
 * state.c - a guest of a few instructions (guest.S) goes on in another VM, with its registers, its
 * timer, and what is pending in its APLIC and its IMSIC. By this machine's KVM.
 *
 *	usage: state
 */
#include "tests/vm/riscv64/guest.h"
#include "tests/vm/state_rig.h"
#include "vmm/machine/arch/riscv64/layout.h"

#define REG(type, number) (KVM_REG_RISCV | KVM_REG_SIZE_U64 | (type) | (number))

static void check_marks(void)
{
	CHECK(word(GENERAL) == MARK);
	CHECK(word(SYSTEM) == SYSTEM_MARK);
	CHECK(word(FLOAT) == MARK);
}

static void send_message(uint32_t number)
{
	struct kvm_msi msi = { .address_lo = IMSIC_AT, .data = number };

	CHECK(ioctl(vm.fd, KVM_SIGNAL_MSI, &msi) >= 0);
}

static void pulse(uint32_t source)
{
	struct kvm_irq_level line = { .irq = source, .level = 1 };

	CHECK(ioctl(vm.fd, KVM_IRQ_LINE, &line) == 0);
	line.level = 0;
	CHECK(ioctl(vm.fd, KVM_IRQ_LINE, &line) == 0);
}

static void start_it(void)
{
	make();
	set_word(SHARED_AT + 8 * FLOAT_FROM, MARK);
	begin();
}

/* With interrupts masked, and messages, a source that is not enabled yet, and the timer pending. */
static void pending_goes_on(void)
{
	uint64_t clock;

	send_message(MESSAGE);
	pulse(INPUT);
	pulse(LATE);
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
	await_more(INPUTS, 0);
	await_more(LATES, 0);
	await_more(TIMER, 3);
	CHECK(word(MESSAGES) == 1 && word(INPUTS) == 1 && word(LATES) == 1);
	CHECK(word(CLOCK) > clock);
	printf("goes on with what was pending\n");
}

/* While it takes interrupts. The clock is the same one, and the ways of messages, too. */
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
		send_message(MESSAGE);
		pulse(INPUT);
		pulse(LATE);
		await_more(COUNT, count);
		CHECK(word(CLOCK) > clock);
		await_more(TIMER, timer + 3);
		await_more(MESSAGES, 1 + round);
		await_more(INPUTS, 1 + round);
		await_more(LATES, 1 + round);
		CHECK(word(MESSAGES) == 2 + round && word(INPUTS) == 2 + round);
	}
	printf("goes on three times more\n");
}

/* And after that it goes on. */
static void refused(void)
{
	uint64_t n;

	pause_it();
	save();
	refuses(REG(KVM_REG_RISCV_CORE, KVM_REG_RISCV_CORE_REG(regs.t6)),
		REG(KVM_REG_RISCV_TIMER, KVM_REG_RISCV_TIMER_REG(state)));
	vcpu_resume(&vcpu[0]);
	n = word(MESSAGES);
	send_message(MESSAGE);
	await_more(TIMER, word(TIMER) + 3);
	await_more(MESSAGES, n);
	printf("what cannot be is refused\n");
}

static void visit_vm(void *arg, struct state *s)
{
	arch_vm_state(arg, s);
}

/* All of a register comes back, or KVM cannot, and nothing has changed. */
static void high_halves(void)
{
	uint8_t *before, *after;
	size_t size, n;
	int r;

	set_word(SHARED_AT + 8 * OPEN, 2);
	await_more(COUNT, word(COUNT) + 2);
	send_message(HIGH_MESSAGE);
	await_more(HIGH_MESSAGES, 0);
	pause_it();
	save();
	make_anew();
	CHECK(state_save(visit_vm, &vm, &before, &size) == 0);
	r = state_restore(visit, NULL, saved, len);
	if (r == 0) {
		CHECK(vcpu_start(&vcpu[0]) == 0);
		send_message(HIGH_MESSAGE);
		await_more(HIGH_MESSAGES, 1);
	} else {
		CHECK(r == -EOPNOTSUPP);
		CHECK(state_save(visit_vm, &vm, &after, &n) == 0);
		CHECK(n == size && !memcmp(before, after, size));
		free(after);
	}
	free(before);
	printf("all messages, or none\n");
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
	high_halves();
	unmake();
	free(saved);
	return 0;
}
