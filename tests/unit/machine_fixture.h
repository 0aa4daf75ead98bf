/* SPDX-License-Identifier: MIT */
/*
 * machine_fixture.h
 *
 * A machine of stand-ins, each of which says that it was called, and fails when it is to. Memory,
 * loops, limits and the console's log are real.
 */
#ifndef TESTS_MACHINE_FIXTURE_H
#define TESTS_MACHINE_FIXTURE_H

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"
#include "vmm/core/policy.h"
#include "vmm/core/state.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/console.h"
#include "vmm/machine/console_log.h"
#include "vmm/machine/image.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/picture.h"
#include "vmm/machine/sandbox.h"

#define CPUS 3

static struct machine m;
static struct machine_spec spec = { .cpus = CPUS, .memory = 64 << 20, .console_limit = 1 << 20 };
static struct stderr_text said;
static char path[40];
static struct console_log *console_log;

static char calls[2048];   /* in order, a blank behind each */
static const char *failing; /* which call fails, ... */
static int failure;         /* ... and by what; -errno */

/* The result of a call. */
static inline int call(const char *fmt, ...)
{
	char name[64];
	va_list list;

	va_start(list, fmt);
	vsnprintf(name, sizeof(name), fmt, list);
	va_end(list);
	sprintf(calls + strlen(calls), "%s ", name);
	return failing && !strcmp(name, failing) ? failure : 0;
}

/* What was called since the last time. */
static inline const char *called(void)
{
	static char text[sizeof(calls)];

	strcpy(text, calls);
	*calls = 0;
	return text;
}

/* The VM */

const struct irqchip_ops vm_irqchip;

int vm_create(struct vm *vm)
{
	int r = call("vm");

	if (r == 0)
		vm->fd = 1000;
	return r;
}

void vm_destroy(struct vm *vm)
{
	ck_assert_int_eq(vm->fd, 1000);
	call("-vm");
}

void vm_closing(struct vm *vm)
{
	(void)vm;
	call("closing");
}

int vm_set_memory(struct vm *vm, const struct mem *mem)
{
	(void)vm;
	ck_assert_uint_eq(mem->nregions, 1);
	return call("memory");
}

void vm_host_bells(struct vm *vm, struct bus *bus, bool pio)
{
	(void)vm;
	ck_assert_ptr_eq(bus, pio ? &m.pio : &m.mmio);
}

void vm_take_collected(struct vm *vm, struct bus *pio)
{
	(void)vm, (void)pio;
}

/* The architecture */

int arch_layout(const struct vm *vm, uint64_t size, struct mem *mem)
{
	ck_assert_ptr_eq(vm, &m.vm);
	ck_assert_uint_eq(size, spec.memory);
	ck_assert_int_eq(mem_add(mem, 0, size), 0);
	return call("layout");
}

int arch_vm_init(struct vm *vm, struct platform *p)
{
	(void)vm;
	ck_assert_ptr_eq(p, &m.platform);
	return call("arch");
}

/* A kernel of 16 bytes at 16 MiB. */
int arch_load(struct mem *mem, const struct image *kernel, const struct image_list *initrds,
	      const char *cmdline, struct arch_entry *entry)
{
	(void)initrds;
	*entry = (struct arch_entry){ .pc = MIB(16), .cmdline = cmdline };
	return image_load(kernel, 0, mem, MIB(16), 16);
}

int arch_describe(const struct platform *p, const struct arch_entry *entry)
{
	ck_assert_ptr_eq(p, &m.platform);
	ck_assert_uint_eq(entry->pc, MIB(16));
	return call("tables");
}

int arch_vcpus_init(struct vcpu *vcpu, unsigned n)
{
	ck_assert_ptr_eq(vcpu, m.vcpu);
	ck_assert_uint_eq(n, CPUS);
	return call("features");
}

int arch_vcpu_enter(const struct vcpu *vcpu, const struct arch_entry *entry)
{
	ck_assert_ptr_eq(vcpu, m.vcpu);
	ck_assert_uint_eq(entry->pc, MIB(16));
	return call("registers");
}

/* Their states are a number: 7 at the start, and whatever a test makes of it. */
static uint32_t vm_number, vcpu_number[CPUS];

static inline void visit_number(uint32_t *number, int r, struct state *s)
{
	if (r < 0)
		state_fail(s, r);
	state_u32(s, number);
}

void arch_vm_state(struct vm *vm, struct state *s)
{
	ck_assert_ptr_eq(vm, &m.vm);
	visit_number(&vm_number, call("vmstate"), s);
}

void arch_vcpu_state(struct vcpu *vcpu, struct state *s)
{
	visit_number(&vcpu_number[vcpu->id], call("state%u", vcpu->id), s);
}

/* vCPUs. What the guest does is done when the last one starts. */

static void (*guest)(void);
static bool blocked_in_guest; /* SIGTERM, in threads that begin there */

static inline bool is_blocked(int sig)
{
	sigset_t set;

	pthread_sigmask(SIG_BLOCK, NULL, &set);
	return sigismember(&set, sig);
}

void vcpu_setup_signal(void)
{
}

int vcpu_create(struct vcpu *vcpu, const struct vcpu_host *host, unsigned id)
{
	ck_assert_ptr_eq(host, &m.vcpu_host);
	vcpu->id = id;
	return call("vcpu%u", id);
}

void vcpu_destroy(struct vcpu *vcpu)
{
	call("-vcpu%u", vcpu->id);
}

int vcpu_start(struct vcpu *vcpu)
{
	int r = call("start%u", vcpu->id);

	blocked_in_guest = is_blocked(SIGTERM);
	if (r == 0 && vcpu->id == CPUS - 1 && guest)
		guest();
	return r;
}

void vcpu_stop(struct vcpu *vcpu)
{
	call("stop%u", vcpu->id);
}

static unsigned stubborn; /* so often vCPU 1 has not ended yet */

bool vcpu_try_stop(struct vcpu *vcpu)
{
	call("try%u", vcpu->id);
	return vcpu->id != 1 || !stubborn || !stubborn--;
}

void vcpu_settle(struct vcpu *vcpu)
{
	call("settle%u", vcpu->id);
}

static bool restless; /* vCPU 1 does not rest */
static unsigned pauses;

bool vcpu_pause(struct vcpu *vcpu)
{
	pauses++;
	return vcpu->id != 1 || !restless;
}

void vcpu_resume(struct vcpu *vcpu)
{
	call("resume%u", vcpu->id);
}

void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what)
{
	(void)vcpu, (void)what;
}

uint64_t vcpu_used(const struct vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

/* The console, and what limits show. */

static unsigned long printed; /* by the guest */
static bool saw_panic;
static struct console_host console_host;

struct console *console_create(const struct console_host *host, struct platform *p,
			       struct loop *loop)
{
	ck_assert_ptr_eq(p, &m.platform);
	ck_assert_ptr_eq(loop, m.main_loop);
	console_host = *host;
	return call("console") ? NULL : (struct console *)&printed;
}

void console_destroy(struct console *con)
{
	(void)con;
	call("-console");
}

void console_start(struct console *con)
{
	(void)con;
	call("terminal");
}

void console_stop(struct console *con)
{
	(void)con;
	call("-terminal");
}

void console_hurry(struct console *con)
{
	(void)con;
	call("hurry");
}

struct console_log *console_get_log(const struct console *con)
{
	(void)con;
	return console_log;
}

unsigned long console_printed(const struct console *con)
{
	(void)con;
	return printed;
}

bool console_saw_panic(const struct console *con)
{
	(void)con;
	return saw_panic;
}

static inline void look(void *host)
{
	(void)host;
}

static inline bool looked(void *host)
{
	(void)host;
	return true;
}

static inline unsigned long no_output(void *host)
{
	(void)host;
	return 0;
}

static inline void end(void *host, enum cause cause)
{
	machine_end(host, cause);
}

const struct limits_ops picture_limits = { look, looked, look, no_output, end };

int sandbox_enter(void)
{
	return call("sandbox");
}

/* A device */

static inline void device_drain(struct device *dev)
{
	(void)dev;
	call("drain");
}

static inline void device_destroy(struct device *dev)
{
	call("-device");
	free(dev->text);
	free(dev);
}

static const struct device_class class = { .name = "stand-in", .destroy = device_destroy,
					   .drain = device_drain };

static inline void add_device(void)
{
	struct device *dev = calloc(1, sizeof(*dev));

	dev->class = &class;
	m.devices.last = dev;
	ck_assert_ptr_nonnull(m.platform.iothread(&m.platform, "io"));
}

/* The user */

static inline void on_entered(void *arg)
{
	ck_assert_ptr_eq(arg, &spec);
	call("entered");
}

static inline void on_printed(void *arg, const void *data, size_t len)
{
	ck_assert_ptr_eq(arg, &spec);
	call("printed:%.*s", (int)len, (const char *)data);
}

static inline void on_abandon(void *arg)
{
	ck_assert_ptr_eq(arg, &spec);
	call("abandon");
}

static int load(void);

static inline int on_reload(void *arg)
{
	int r = call("reload");

	ck_assert_ptr_eq(arg, &spec);
	return r ? r : load();
}

static const struct machine_user user = { on_entered, on_printed, on_abandon, on_reload };

static inline void make_kernel(void)
{
	int fd;

	strcpy(path, "/tmp/lunette-machine-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_eq(write(fd, "sixteen bytes...", 16), 16);
	close(fd);
}

static inline void set_up(void)
{
	make_kernel();
	console_log = console_log_create();
	spec.claims = claims_create(false);
	ck_assert_ptr_nonnull(spec.claims);
	ck_assert_int_eq(machine_init(&m, &spec, &user, &spec), 0);
	stderr_begin(&said);
}

static inline void tear_down(void)
{
	machine_close(&m);
	machine_fini(&m);
	claims_destroy(spec.claims);
	console_log_destroy(console_log);
	unlink(path);
}

static inline int load(void)
{
	const struct image_list none = { 0 };
	struct image kernel;
	int r;

	ck_assert_int_eq(image_open(&kernel, "--kernel", path), 0);
	r = machine_load(&m, &kernel, &none, "");
	image_close(&kernel);
	return r;
}

/* Up to machine_run(). */
static inline void make(void)
{
	ck_assert_int_eq(machine_build(&m), 0);
	add_device();
	ck_assert_int_eq(load(), 0);
}

static inline void take_down(void)
{
	machine_close(&m);
	machine_fini(&m);
	ck_assert_int_eq(machine_init(&m, &spec, &user, &spec), 0); /* for tear_down() */
}

/* The order of a life */

static inline void power_off(void)
{
	m.platform.guest_event(&m.platform, GUEST_POWEROFF);
}

/* Each step that fails: the cause, the error, what was done, and what was undone. */
static const struct failure {
	const char *call;
	int error;
	enum cause cause;
	const char *done, *undone;
} build_failures[] = {
	{ "vm", -ENOKVM, CAUSE_NO_KVM, "vm ", "closing " },
	{ "vm", -ENOMEM, CAUSE_SETUP, "vm ", "closing " },
	{ "layout", -ENOMEM, CAUSE_SETUP, "vm layout ", "closing -vm " },
	/* The kernel's EINVAL is no mistake of the user's. */
	{ "memory", -EINVAL, CAUSE_SETUP, "vm layout memory ", "closing -vm " },
	{ "memory", -EEXIST, CAUSE_SETUP, "vm layout memory ", "closing -vm " },
	{ "arch", -EINVAL, CAUSE_SETUP, "vm layout memory arch ", "closing -vm " },
	{ "vcpu0", -EEXIST, CAUSE_SETUP, "vm layout memory arch vcpu0 ", "closing -vm " },
	{ "vcpu2", -EINVAL, CAUSE_SETUP, "vm layout memory arch vcpu0 vcpu1 vcpu2 ",
	  "closing -vcpu1 -vcpu0 -vm " },
	{ "features", -EINVAL, CAUSE_SETUP,
	  "vm layout memory arch vcpu0 vcpu1 vcpu2 features ",
	  "closing -vcpu2 -vcpu1 -vcpu0 -vm " },
	{ "console", -ENOMEM, CAUSE_SETUP,
	  "vm layout memory arch vcpu0 vcpu1 vcpu2 features console ",
	  "closing -vcpu2 -vcpu1 -vcpu0 -vm " },
};

static inline void check_log(const char *file, int wanted)
{
	m.spec.console_log = file;
	ck_assert_int_eq(machine_build(&m), wanted);
	take_down();
	ck_assert_str_eq(called(), "vm layout memory arch vcpu0 vcpu1 vcpu2 features console "
				   "closing -vcpu2 -vcpu1 -vcpu0 -console -vm ");
	stderr_end(&said);
}

#endif
