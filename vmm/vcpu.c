#include "vmm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/machine.h"

#define KICK_SIGNAL SIGUSR2

static void nothing(int sig)
{
	(void)sig;
}

void vcpu_setup_signal(void)
{
	struct sigaction sa = { .sa_handler = nothing }; /* no SA_RESTART: it must interrupt */
	sigset_t set;

	sigaction(KICK_SIGNAL, &sa, NULL);
	/* Our parent may have blocked it; KVM_RUN would then not end. */
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int vcpu_create(struct vcpu *vcpu, struct machine *machine, unsigned id)
{
	int err;

	*vcpu = (struct vcpu){ .machine = machine, .id = id };
	vcpu->fd = ioctl(machine->vm.fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0) {
		err = errno;
		log_err("vCPU %u: KVM_CREATE_VCPU: %s", id, strerror(err));
		return -err;
	}
	vcpu->run = mmap(NULL, machine->vm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		err = errno;
		log_err("vCPU %u: mapping its run page: %s", id, strerror(err));
		close(vcpu->fd);
		return -err;
	}
	if (id == 0)
		vm_map_collected(&machine->vm, vcpu->run);
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->machine->vm.run_size);
	close(vcpu->fd);
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = &vcpu->machine->mmio;
	bool there;

	if (run->mmio.is_write)
		there = bus_write(bus, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		there = bus_read(bus, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	if (!there)
		log_debug("vCPU %u: nobody at memory address %#llx", vcpu->id,
			  (unsigned long long)run->mmio.phys_addr);
}

static void handle_error(struct vcpu *vcpu, const char *what, unsigned long long code)
{
	log_err("vCPU %u: %s (%#llx)", vcpu->id, what, code);
	arch_vcpu_dump(vcpu);
	machine_end(vcpu->machine, CAUSE_KVM_ERROR);
}

static void handle_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_end(vcpu->machine, CAUSE_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		machine_end(vcpu->machine, CAUSE_REBOOT);
		break;
	default:
		machine_end(vcpu->machine, CAUSE_PANIC);
	}
}

static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		break;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_end(vcpu->machine, CAUSE_TRIPLE_FAULT);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		handle_error(vcpu, "the processor refused to enter the guest",
			     run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		handle_error(vcpu, "KVM internal error", run->internal.suberror);
		break;
	default:
		if (!arch_vcpu_exit(vcpu))
			handle_error(vcpu, "unknown KVM exit", run->exit_reason);
	}
}

static void answer(struct vcpu *vcpu)
{
	unsigned asked = atomic_exchange(&vcpu->asked, 0);

	if (asked & VCPU_LOOK) {
		arch_vcpu_look(vcpu);
		atomic_store(&vcpu->looked, true);
	}
	if (asked & VCPU_NMI)
		arch_vcpu_nmi(vcpu);
}

static bool may_run(struct vcpu *vcpu)
{
	if (atomic_load(&vcpu->asked))
		answer(vcpu);
	return !atomic_load(&vcpu->stop) && !atomic_load(&vcpu->machine->ended);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	pthread_setname_np(pthread_self(), name);
	while (may_run(vcpu)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			vm_take_collected(&vcpu->machine->vm, &vcpu->machine->pio);
			handle_exit(vcpu);
		} else if (errno == EINTR) {
			/* Before may_run(): who wants something says so before he sets this. */
			__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		} else if (errno != EAGAIN) {
			handle_error(vcpu, strerror(errno), errno);
			break;
		}
	}
	return NULL;
}

int vcpu_start(struct vcpu *vcpu)
{
	int r = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);

	if (r) {
		log_err("vCPU %u: no thread: %s", vcpu->id, strerror(r));
		return -r;
	}
	vcpu->has_thread = true;
	return 0;
}

static void kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, KICK_SIGNAL);
}

void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what)
{
	if (!vcpu->has_thread)
		return;
	atomic_fetch_or(&vcpu->asked, what);
	kick(vcpu);
}

/*
 * The signal gets lost when it comes between the thread's look at @stop and a blocking write to the
 * terminal (not before KVM_RUN: immediate_exit is for that), hence again, until the thread is gone.
 */
void vcpu_stop(struct vcpu *vcpu)
{
	struct timespec until;

	if (!vcpu->has_thread)
		return;
	atomic_store(&vcpu->stop, true);
	do {
		kick(vcpu);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 10000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
	} while (pthread_timedjoin_np(vcpu->thread, NULL, &until) == ETIMEDOUT);
	vcpu->has_thread = false;
}
