/* SPDX-License-Identifier: MIT */
#include "vmm/machine/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vm.h"

static void nothing(int sig)
{
	(void)sig;
}

void vcpu_setup_signal(void)
{
	struct sigaction sa = { .sa_handler = nothing }; /* no SA_RESTART: it must interrupt */

	sigaction(THREAD_KICK, &sa, NULL);
}

int vcpu_create(struct vcpu *vcpu, const struct vcpu_host *host, unsigned id)
{
	int err;

	*vcpu = (struct vcpu){ .host = host, .id = id, .debug_fd = -1,
			       .exits = calloc(1, sizeof(*vcpu->exits)) };
	if (!vcpu->exits) {
		log_err("vCPU %u: out of memory", id);
		return -ENOMEM;
	}
	vcpu->fd = ioctl(host->vm->fd, KVM_CREATE_VCPU, (unsigned long)id);
	if (vcpu->fd < 0) {
		err = errno;
		log_err("vCPU %u: KVM_CREATE_VCPU: %s", id, strerror(err));
		goto free_exits;
	}
	vcpu->run = mmap(NULL, host->vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		err = errno;
		log_err("vCPU %u: mapping its run page: %s", id, strerror(err));
		close(vcpu->fd);
		goto free_exits;
	}
	if (id == 0)
		vm_map_collected(host->vm, vcpu->run);
	pthread_mutex_init(&vcpu->rest_lock, NULL);
	pthread_cond_init(&vcpu->rest_changed, NULL);
	return 0;

free_exits:
	free(vcpu->exits);
	return -err;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	munmap(vcpu->run, vcpu->host->vm->run_size);
	close(vcpu->fd);
	free(vcpu->exits);
	pthread_cond_destroy(&vcpu->rest_changed);
	pthread_mutex_destroy(&vcpu->rest_lock);
}

static void handle_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct bus *bus = vcpu->host->mmio;
	struct exit_entry *e = exits_note(vcpu->exits, run->mmio.is_write ? EXIT_WRITE : EXIT_READ,
					  run->mmio.phys_addr, run->mmio.len);
	bool there;

	if (run->mmio.is_write)
		there = bus_write(bus, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	else
		there = bus_read(bus, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
	e->data = 0;
	memcpy(&e->data, run->mmio.data, run->mmio.len);
	if (!there)
		log_debug("vCPU %u: nobody at memory address %#llx", vcpu->id,
			  (unsigned long long)run->mmio.phys_addr);
}

static void ended(struct vcpu *vcpu, enum cause cause)
{
	vcpu->host->ended(vcpu->host->arg, cause);
}

static void handle_error(struct vcpu *vcpu, const char *what, unsigned long long code)
{
	exits_note(vcpu->exits, EXIT_OTHER, vcpu->run->exit_reason, 0);
	log_err("vCPU %u: %s (%#llx)", vcpu->id, what, code);
	arch_vcpu_dump(vcpu);
	ended(vcpu, CAUSE_KVM_ERROR);
}

static void handle_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		ended(vcpu, CAUSE_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		ended(vcpu, CAUSE_REBOOT);
		break;
	default:
		ended(vcpu, CAUSE_PANIC);
	}
}

/* KVM_RUN has been interrupted: it has taken what the guest has read before. */
static void rest(struct vcpu *vcpu);

/* The debugger looks at it, and has it go on. Nothing of the guest's is half done. */
static void handle_debug(struct vcpu *vcpu)
{
	if (vcpu->debug_fd < 0)
		return;
	atomic_store(&vcpu->pausing, true);
	atomic_store(&vcpu->debugged, true);
	eventfd_write(vcpu->debug_fd, 1);
	rest(vcpu);
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
	case KVM_EXIT_DEBUG:
		handle_debug(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN:
		vcpu->shut_down = true;
		ended(vcpu, CAUSE_TRIPLE_FAULT);
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

void vcpu_look(struct vcpu *vcpu)
{
	arch_vcpu_look(vcpu);
	exits_text(vcpu->exits);
	atomic_store(&vcpu->looked, true);
}

static void answer(struct vcpu *vcpu)
{
	unsigned asked = atomic_exchange(&vcpu->asked, 0);

	if (asked & VCPU_LOOK)
		vcpu_look(vcpu);
	if (asked & VCPU_NMI)
		arch_vcpu_nmi(vcpu);
	if (asked & VCPU_HALTED)
		atomic_store(&vcpu->halted, arch_vcpu_halted(vcpu));
}

static bool may_run(struct vcpu *vcpu)
{
	if (atomic_load(&vcpu->asked))
		answer(vcpu);
	return !atomic_load(&vcpu->stop) && !atomic_load(vcpu->host->over);
}

static void rest(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->rest_lock);
	vcpu->rests = true;
	pthread_cond_broadcast(&vcpu->rest_changed);
	while (atomic_load(&vcpu->pausing) && may_run(vcpu))
		pthread_cond_wait(&vcpu->rest_changed, &vcpu->rest_lock);
	vcpu->rests = false;
	pthread_mutex_unlock(&vcpu->rest_lock);
	arch_vcpu_paused(vcpu);
}

static void vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;

	while (may_run(vcpu)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			vm_take_collected(vcpu->host->vm, vcpu->host->pio);
			handle_exit(vcpu);
		} else if (errno == EINTR) {
			/* Before may_run(): who wants something says so before he sets this. */
			__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
			if (atomic_load(&vcpu->pausing))
				rest(vcpu);
		} else if (errno != EAGAIN) {
			handle_error(vcpu, strerror(errno), errno);
			break;
		}
	}
}

int vcpu_start(struct vcpu *vcpu)
{
	char name[THREAD_NAME_MAX + 1];
	int r;

	atomic_store(&vcpu->stop, false);
	atomic_store(&vcpu->asked, 0);
	vcpu->shut_down = false;
	/* One that is to rest does so before the guest's first instruction. */
	__atomic_store_n(&vcpu->run->immediate_exit, atomic_load(&vcpu->pausing), __ATOMIC_SEQ_CST);
	snprintf(name, sizeof(name), "vcpu%u", vcpu->id);
	r = thread_start(&vcpu->thread, THREAD_VCPU, name, vcpu_main, vcpu);
	if (r < 0) {
		log_err("vCPU %u: no thread: %s", vcpu->id, strerror(-r));
		return r;
	}
	vcpu->has_thread = true;
	return 0;
}

static void kick(struct vcpu *vcpu)
{
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&vcpu->rest_lock);
	pthread_cond_broadcast(&vcpu->rest_changed);
	pthread_mutex_unlock(&vcpu->rest_lock);
	pthread_kill(vcpu->thread.id, THREAD_KICK);
}

/* A time to wait for until another kick. */
static void soon(struct timespec *until)
{
	clock_gettime(CLOCK_REALTIME, until);
	until->tv_nsec += 10000000;
	if (until->tv_nsec >= 1000000000) {
		until->tv_nsec -= 1000000000;
		until->tv_sec++;
	}
}

bool vcpu_pause(struct vcpu *vcpu)
{
	struct timespec until;
	bool rests;

	atomic_store(&vcpu->pausing, true);
	if (!vcpu->has_thread)
		return true;
	kick(vcpu);
	soon(&until);
	pthread_mutex_lock(&vcpu->rest_lock);
	while (!vcpu->rests &&
	       pthread_cond_timedwait(&vcpu->rest_changed, &vcpu->rest_lock, &until) == 0)
		;
	rests = vcpu->rests;
	pthread_mutex_unlock(&vcpu->rest_lock);
	return rests;
}

void vcpu_resume(struct vcpu *vcpu)
{
	atomic_store(&vcpu->pausing, false);
	if (vcpu->has_thread)
		kick(vcpu);
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
bool vcpu_try_stop(struct vcpu *vcpu)
{
	struct timespec until;

	if (!vcpu->has_thread)
		return true;
	atomic_store(&vcpu->stop, true);
	kick(vcpu);
	soon(&until);
	vcpu->has_thread = pthread_timedjoin_np(vcpu->thread.id, NULL, &until) == ETIMEDOUT;
	return !vcpu->has_thread;
}

void vcpu_stop(struct vcpu *vcpu)
{
	while (!vcpu_try_stop(vcpu))
		;
}

/* A string instruction leaves for each element. */
#define SETTLE_MAX 65536

void vcpu_settle(struct vcpu *vcpu)
{
	unsigned i = 0;

	do
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	while (ioctl(vcpu->fd, KVM_RUN, 0) == 0 && ++i < SETTLE_MAX);
}

uint64_t vcpu_used(const struct vcpu *vcpu)
{
	struct timespec t;
	clockid_t clock;

	if (!vcpu->has_thread || pthread_getcpuclockid(vcpu->thread.id, &clock) ||
	    clock_gettime(clock, &t) < 0)
		return 0;
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}
