/* SPDX-License-Identifier: MIT */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/console.h"
#include "vmm/machine/console_log.h"
#include "vmm/machine/image.h"
#include "vmm/machine/memlimit.h"
#include "vmm/machine/picture.h"
#include "vmm/machine/sandbox.h"

#define PAGE 4096

void machine_end(struct machine *m, enum cause cause)
{
	bool expected = false;

	/* A kernel that panics may then end in one of these ways: the panic is the cause. */
	if ((cause == CAUSE_REBOOT || cause == CAUSE_TRIPLE_FAULT || cause == CAUSE_HALTED) &&
	    (atomic_load(&m->panicked) || console_saw_panic(m->console)))
		cause = CAUSE_PANIC;
	cause = limits_cause(&m->limits, cause);
	if (restart_takes(m, cause))
		return;
	atomic_store(&m->over, true);
	if (!atomic_compare_exchange_strong(&m->ended, &expected, true))
		return;
	m->cause = cause;
	loop_stop(m->main_loop);
}

static void silence_checked(void *arg)
{
	struct machine *m = arg;
	unsigned long printed = console_printed(m->console);
	uint64_t ticks;

	if (read(m->silence.fd, &ticks, sizeof(ticks)) != sizeof(ticks))
		return;
	if (printed == m->printed)
		machine_end(m, CAUSE_PANIC);
	m->printed = printed;
}

/* [main] */
static int wait_for_silence(void *arg)
{
	static const struct itimerspec second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	struct machine *m = arg;

	if (m->silence.fd >= 0)
		return 0;
	m->silence = (struct loop_source){ .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
					   .fn = silence_checked, .arg = m };
	if (m->silence.fd < 0 || timerfd_settime(m->silence.fd, 0, &second, NULL) < 0 ||
	    loop_add(m->main_loop, &m->silence) < 0)
		machine_end(m, CAUSE_PANIC);
	return 0;
}

/*
 * Linux reports a panic first and then, with panic_print, prints its whole log; with panic=-1 it
 * resets after that, which is the end. One that does not is silent some time.
 */
static void guest_panicked(struct machine *m)
{
	atomic_store(&m->panicked, true);
	loop_call(m->main_loop, wait_for_silence, m);
}

static void guest_event(struct platform *p, enum guest_event event)
{
	struct machine *m = container_of(p, struct machine, platform);

	switch (event) {
	case GUEST_POWEROFF:
		machine_end(m, CAUSE_POWEROFF);
		break;
	case GUEST_RESET:
		machine_end(m, CAUSE_REBOOT);
		break;
	case GUEST_PANIC:
		guest_panicked(m);
		break;
	}
}

static void disk_full(struct platform *p)
{
	machine_end(container_of(p, struct machine, platform), CAUSE_HOST_IO);
}

static void disk_hangs(struct platform *p)
{
	struct machine *m = container_of(p, struct machine, platform);

	m->user->abandon(m->user_arg);
}

static void quit(void *arg)
{
	machine_end(arg, CAUSE_QUIT);
}

static struct loop *new_iothread(struct platform *p, const char *name)
{
	struct machine *m = container_of(p, struct machine, platform);
	struct loop *loop;

	if (m->niothreads == MACHINE_IOTHREADS_MAX) {
		errno = ENOSPC;
		return NULL;
	}
	loop = loop_create(name);
	if (loop)
		m->iothread[m->niothreads++] = loop;
	return loop;
}

/* nohup's word counts: a signalfd would get a signal that is ignored, too, while it is blocked. */
static bool ignores_hang_up(void)
{
	struct sigaction sa;

	return sigaction(SIGHUP, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static void termination_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	if (!ignores_hang_up())
		sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
}

static void signal_ready(void *arg)
{
	struct machine *m = arg;
	struct signalfd_siginfo info;

	if (read(m->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	m->signal = info.ssi_signo;
	machine_end(m, CAUSE_SIGNAL);
}

/*
 * Whether signals come to signal_ready(), which ends the run in good order, or do as signals do:
 * set-up and teardown may wait for files, and nobody reads the signalfd then. [main]
 */
static void catch_signals(bool on)
{
	sigset_t set;

	termination_signals(&set);
	pthread_sigmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static int setup_signals(struct machine *m)
{
	sigset_t set;
	int r;

	termination_signals(&set);
	/* These are errors of a write(), and no reason to end a guest. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	vcpu_setup_signal();
	m->signals = (struct loop_source){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
					   .fn = signal_ready, .arg = m };
	if (m->signals.fd < 0) {
		r = -errno;
		log_err("signalfd: %s", strerror(-r));
		return r;
	}
	return loop_add(m->main_loop, &m->signals);
}

static int setup_loop(struct machine *m)
{
	m->main_loop = loop_create("main");
	if (!m->main_loop) {
		int r = -errno;

		log_err("main loop: %s", strerror(-r));
		return r;
	}
	return setup_signals(m);
}

static void log_failed(void *arg)
{
	struct machine *m = arg;

	atomic_store(&m->unwritten, true);
	machine_end(m, CAUSE_HOST_IO);
}

/* One line, whatever else fails for the same reason. */
static void output_failed(struct platform *p, const char *what, int err)
{
	struct machine *m = container_of(p, struct machine, platform);

	if (!atomic_exchange(&m->unwritten, true))
		log_err("%s: cannot be written: %s%s; the run ends here, as what the guest says "
			"would be lost", what, strerror(err),
			err == EFBIG ? " (--file-limit, ulimit -f)" : "");
	machine_end(m, CAUSE_HOST_IO);
}

static void printed(void *arg, const void *data, size_t len)
{
	struct machine *m = arg;

	m->user->printed(m->user_arg, data, len);
}

static int setup_console(struct machine *m)
{
	const struct console_host host = { printed, quit, m };
	const struct machine_spec *spec = &m->spec;

	m->console = console_create(&host, &m->platform, m->main_loop);
	if (!m->console)
		return -ENOMEM;
	return spec->console_log ? console_log_open(console_get_log(m->console), spec->claims,
						    spec->console_log, spec->console_limit,
						    log_failed, m) : 0;
}

static int setup_platform(struct machine *m)
{
	const struct machine_spec *spec = &m->spec;
	int r;

	vm_host_bells(&m->vm, &m->mmio, false);
	vm_host_bells(&m->vm, &m->pio, true);
	m->platform = (struct platform){
		.cpus = spec->cpus,
		.vhost = spec->vhost,
		.on_enospc = spec->on_enospc,
		.overlay = spec->overlay,
		.commit = spec->commit,
		.claims = spec->claims,
		.keep = spec->keep,
		.file_limit = spec->file_limit,
		.mem = &m->mem,
		.mmio = &m->mmio,
		.pio = &m->pio,
		.irqchip = &vm_irqchip,
		.chip = &m->vm,
		.main_loop = m->main_loop,
		.iothread = new_iothread,
		.guest_event = guest_event,
		.disk_full = disk_full,
		.output_failed = output_failed,
		.disk_hangs = disk_hangs,
	};
	m->mem.shared = spec->shared;
	r = arch_layout(&m->vm, align_up(spec->memory, PAGE), &m->mem);
	if (r < 0) {
		log_err("--memory: %llu MiB cannot be had: %s",
			(unsigned long long)spec->memory >> 20, r == -ERANGE ?
			"more than this processor can address for a guest" : strerror(-r));
		return r;
	}
	r = vm_set_memory(&m->vm, &m->mem);
	if (r < 0)
		return r;
	/* After the memory: a slot would wait for what this leaves under way in KVM, some 5 ms. */
	return arch_vm_init(&m->vm, &m->platform);
}

static void vcpu_ended(void *arg, enum cause cause)
{
	struct machine *m = arg;

	if (cause == CAUSE_TRIPLE_FAULT && m->triple_fault_resets)
		cause = CAUSE_REBOOT;
	machine_end(m, cause);
}

static int setup_vcpus(struct machine *m)
{
	int r;

	m->vcpu_host = (struct vcpu_host){ &m->vm, &m->mmio, &m->pio, &m->over, vcpu_ended, m };
	for (; m->ncpus < m->spec.cpus; m->ncpus++) {
		r = vcpu_create(&m->vcpu[m->ncpus], &m->vcpu_host, m->ncpus);
		if (r < 0)
			return r;
	}
	return arch_vcpus_init(m->vcpu, m->ncpus);
}

int machine_init(struct machine *m, const struct machine_spec *spec,
		 const struct machine_user *user, void *arg)
{
	*m = (struct machine){ .spec = *spec, .user = user, .user_arg = arg, .vm.fd = -1,
			       .signals.fd = -1, .silence.fd = -1, .halt = HALT_NONE,
			       .limits = LIMITS_NONE, .mmio = BUS_EMPTY, .pio = BUS_EMPTY };
	return setup_loop(m);
}

int machine_build(struct machine *m)
{
	int r = memlimit_check("", m->spec.memory, m->spec.cpus, 0);

	if (r == 0)
		r = vm_create(&m->vm);
	if (r == 0)
		r = setup_platform(m);
	if (r == 0)
		r = setup_vcpus(m);
	return r ? r : setup_console(m);
}

int machine_load(struct machine *m, const struct image *kernel, const struct image_list *initrds,
		 const char *cmdline)
{
	struct arch_entry entry;
	int r = arch_load(&m->mem, kernel, initrds, cmdline, &entry);

	if (r == 0)
		r = arch_describe(&m->platform, &entry);
	if (r == 0)
		r = arch_vcpu_enter(m->vcpu, &entry);
	return r ? r : restart_keep(m);
}

static int start_threads(struct machine *m)
{
	unsigned i;
	int r = 0;

	m->platform.deadline = m->limits.deadline;
	for (i = 0; r == 0 && i < m->niothreads; i++) {
		r = loop_start(m->iothread[i]);
		if (r < 0)
			log_err("no thread for I/O: %s", strerror(-r));
	}
	m->user->entered(m->user_arg);
	for (i = 0; r == 0 && i < m->ncpus; i++)
		r = vcpu_start(&m->vcpu[i]);
	return r;
}

/* Halted for good, all of them? */

/* Writes that KVM has collected are done, too: one of them may be what the guest waits for. */
static uint64_t used(void *host)
{
	struct machine *m = host;
	uint64_t sum = 0;
	unsigned i;

	vm_take_collected(&m->vm, &m->pio);
	for (i = 0; i < m->ncpus; i++)
		sum += vcpu_used(&m->vcpu[i]);
	return sum;
}

static void ask_all(void *host)
{
	struct machine *m = host;
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		atomic_store(&m->vcpu[i].halted, false);
		vcpu_ask(&m->vcpu[i], VCPU_HALTED);
	}
}

static bool all_halted(void *host)
{
	struct machine *m = host;
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		if (!atomic_load(&m->vcpu[i].halted))
			return false;
	}
	return true;
}

static void end_halted(void *host)
{
	machine_end(host, CAUSE_HALTED);
}

static const struct halt_ops halt_ops = { used, ask_all, all_halted, end_halted };

/* Pausing. */

#define PAUSE_TRIES 500 /* some 10 ms each */

static bool all_rest(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->ncpus; i++) {
		if (!vcpu_pause(&m->vcpu[i]))
			return false;
	}
	return true;
}

static void resume_vcpus(struct machine *m)
{
	unsigned i;

	for (i = 0; !m->held && !m->paused && i < m->ncpus; i++)
		vcpu_resume(&m->vcpu[i]);
}

/* What a vCPU is at may need this thread. */
static int rest_all(struct machine *m)
{
	unsigned tries = 0;

	while (!all_rest(m)) {
		if (++tries == PAUSE_TRIES || atomic_load(&m->over)) {
			resume_vcpus(m);
			log_err("the guest cannot be paused now: what it has sent to the terminal "
				"or a disk is not read, or done, yet");
			return -EBUSY;
		}
		loop_serve(m->main_loop);
	}
	return 0;
}

int machine_hold(struct machine *m)
{
	bool was = m->held;
	int r;

	m->held = false;
	r = rest_all(m);
	m->held = r == 0 || was;
	return r;
}

void machine_release(struct machine *m)
{
	m->held = false;
	resume_vcpus(m);
}

/* The vCPUs first: what they are at takes the locks of devices. */
int machine_pause(struct machine *m)
{
	int r = m->paused ? 0 : rest_all(m);

	if (r < 0)
		return r;
	vm_take_collected(&m->vm, &m->pio);
	if (!m->paused)
		device_pause_all(&m->devices, true);
	m->paused = true;
	return 0;
}

void machine_resume(struct machine *m)
{
	if (!m->paused)
		return;
	m->paused = false;
	device_pause_all(&m->devices, false);
	resume_vcpus(m);
}

enum cause machine_run(struct machine *m)
{
	unsigned i;

	if (sandbox_enter() < 0)
		return m->cause = CAUSE_SETUP;
	catch_signals(true); /* before any thread is made, so that all of them inherit the mask */
	console_start(m->console);
	if (limits_start(&m->limits, &m->spec.limits, &picture_limits, m, m->main_loop) < 0 ||
	    start_threads(m) < 0 || halt_start(&m->halt, &halt_ops, m, m->main_loop) < 0)
		machine_end(m, CAUSE_SETUP);
	do
		loop_run(m->main_loop);
	while (restart_guest(m));

	/* The terminal first: what follows waits for I/O, and the next signal kills us there. */
	console_stop(m->console);
	catch_signals(false);
	console_hurry(m->console);
	/* Else what the guest has sent is worth waiting for; the next signal ends that. */
	if (m->cause == CAUSE_QUIT || m->cause == CAUSE_SIGNAL ||
	    limits_cause(&m->limits, CAUSE_POWEROFF) != CAUSE_POWEROFF)
		atomic_store(&m->platform.hurry, true);
	for (i = 0; i < m->ncpus; i++)
		vcpu_stop(&m->vcpu[i]);
	machine_resume(m); /* what the guest had sent is for its readers all the same */
	return m->cause;
}

/* A guest that ended by itself believes that all it has said was read. */
enum cause machine_drain(struct machine *m, enum cause cause)
{
	bool hurry = atomic_load(&m->platform.hurry);

	device_drain_all(&m->devices);
	if (!hurry && atomic_load(&m->platform.hurry))
		limits_unread(&m->limits);
	m->cause = limits_cause(&m->limits, cause);
	if (atomic_load(&m->unwritten) && (m->cause == CAUSE_POWEROFF || m->cause == CAUSE_EXIT))
		m->cause = CAUSE_HOST_IO;
	return m->cause;
}

void machine_close(struct machine *m)
{
	limits_stop(&m->limits);
	halt_stop(&m->halt);
	vm_closing(&m->vm);
	/* The back ends first, while the I/O threads still run: they drain there. */
	device_destroy_all(&m->devices);
}

void machine_fini(struct machine *m)
{
	while (m->niothreads) {
		struct loop *loop = m->iothread[--m->niothreads];

		loop_join(loop);
		loop_destroy(loop);
	}
	restart_free(&m->restart);
	while (m->ncpus)
		vcpu_destroy(&m->vcpu[--m->ncpus]);
	if (m->console)
		console_destroy(m->console);
	if (m->vm.fd >= 0)
		vm_destroy(&m->vm);
	mem_free(&m->mem);
	if (m->signals.fd >= 0)
		close(m->signals.fd);
	if (m->silence.fd >= 0)
		close(m->silence.fd);
	loop_destroy(m->main_loop);
}
