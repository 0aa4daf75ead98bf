#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/cmdline.h"
#include "vmm/console.h"
#include "vmm/console_log.h"
#include "vmm/control/control.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/files/files.h"
#include "vmm/kernel/image.h"
#include "vmm/kernel/kernel_check.h"
#include "vmm/memlimit.h"
#include "vmm/net.h"
#include "vmm/picture.h"
#include "vmm/report/report.h"
#include "vmm/sandbox.h"

#define PAGE 4096

void machine_end(struct machine *m, enum cause cause)
{
	bool expected = false;

	/* A kernel that panics may end by a reset or a triple fault: the panic is the cause. */
	if ((cause == CAUSE_REBOOT || cause == CAUSE_TRIPLE_FAULT) &&
	    (atomic_load(&m->panicked) || console_saw_panic(m->console)))
		cause = CAUSE_PANIC;
	cause = limits_cause(&m->limits, cause);
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

static void quit(void *arg)
{
	machine_end(arg, CAUSE_QUIT);
}

static void leaves(void *arg, struct device *dev)
{
	report_leaves(((struct machine *)arg)->report, dev);
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

static int setup_console(struct machine *m, const struct machine_cfg *cfg)
{
	m->console = console_create(m, &m->platform, m->main_loop);
	if (!m->console)
		return -ENOMEM;
	return cfg->console_log ? console_log_open(console_get_log(m->console), cfg->console_log,
						   cfg->console_limit) : 0;
}

static int setup_platform(struct machine *m, const struct machine_cfg *cfg)
{
	int r;

	vm_host_bells(&m->vm, &m->mmio, false);
	vm_host_bells(&m->vm, &m->pio, true);
	m->platform = (struct platform){
		.cpus = cfg->cpus,
		/* What the kernel serves it also counts, and does not tell. */
		.vhost = cfg->vhost == PLATFORM_VHOST_AUTO && cfg->expect.disks.count ?
				 PLATFORM_VHOST_OFF : cfg->vhost,
		.on_enospc = cfg->on_enospc,
		.overlay = cfg->overlay == OVERLAY_AUTO ? !!cfg->job.argv :
							  cfg->overlay == OVERLAY_ON,
		.commit = cfg->commit,
		.mem = &m->mem,
		.mmio = &m->mmio,
		.pio = &m->pio,
		.irqchip = &vm_irqchip,
		.chip = &m->vm,
		.main_loop = m->main_loop,
		.iothread = new_iothread,
		.guest_event = guest_event,
		.disk_full = disk_full,
	};
	r = setup_console(m, cfg);
	if (r < 0)
		return r;
	r = arch_layout(align_up(cfg->memory, PAGE), &m->mem, &m->platform);
	if (r < 0) {
		log_err("--memory: %llu MiB cannot be had: %s",
			(unsigned long long)cfg->memory >> 20, strerror(-r));
		return r;
	}
	r = vm_set_memory(&m->vm, &m->mem);
	if (r < 0)
		return r;
	/* After the memory: a slot would wait for what this leaves under way in KVM, some 5 ms. */
	return arch_vm_init(&m->vm);
}

static int open_trace(struct machine *m, const char *text)
{
	const char *file = text && !strncmp(text, "scsi=", 5) ? text + 5 : NULL;
	int fd, r;

	if (!text)
		return 0;
	if (!file || !*file) {
		log_err("--trace %s: scsi=FILE is wanted", text);
		return -EINVAL;
	}
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0) {
		r = errno == EINVAL ? -EIO : -errno;
		log_err("--trace scsi=%s: %s", file, strerror(errno));
		return r;
	}
	m->platform.scsi_trace = fd;
	return 0;
}

static int open_keep(struct machine *m, const char *folder)
{
	int r;

	if (!folder)
		return 0;
	if (mkdir(folder, 0777) == 0 || errno == EEXIST)
		m->keep = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->keep >= 0)
		return 0;
	r = errno == EINVAL ? -EIO : -errno;
	log_err("--keep-on-fail %s: %s", folder, strerror(errno));
	return r;
}

/* What needs another device to be on; who names none gets one. */
static const struct {
	const char *class, *on, *text;
} needs[] = {
	{ "scsi-disk", "virtio-scsi", "virtio-scsi" },
	{ "scsi-cd", "virtio-scsi", "virtio-scsi" },
	{ "console-port", "virtio-console", "virtio-console,terminal=off" },
};

static int add_device(struct machine *m, const char *text)
{
	size_t len = strcspn(text, ",");
	unsigned i;
	int r;

	for (i = 0; i < ARRAY_SIZE(needs); i++) {
		if (strlen(needs[i].class) != len || strncmp(text, needs[i].class, len) ||
		    device_find(&m->devices, needs[i].on, NULL))
			continue;
		r = device_create(&m->platform, &m->devices, needs[i].text);
		if (r < 0)
			return r;
	}
	return device_create(&m->platform, &m->devices, text);
}

static int add_lun(struct machine *m, const char *class, const char *text)
{
	char *device;
	int r;

	if (asprintf(&device, "%s,%s", class, text) < 0)
		return -ENOMEM;
	r = add_device(m, device);
	free(device);
	return r;
}

static int setup_devices(struct machine *m, const struct machine_cfg *cfg)
{
	int r = arch_platform_devices(&m->platform, &m->devices);
	const char *text;
	unsigned i;

	if (r == 0 && cfg->console == CONSOLE_HVC)
		r = device_create(&m->platform, &m->devices, "virtio-console");
	for (i = 0; r == 0 && i < cfg->devices.count; i++)
		r = add_device(m, cfg->devices.item[i]);
	for (i = 0; r == 0 && i < cfg->disks.count; i++)
		r = add_lun(m, "scsi-disk", cfg->disks.item[i]);
	for (i = 0; r == 0 && i < cfg->cdroms.count; i++)
		r = add_lun(m, "scsi-cd", cfg->cdroms.item[i]);
	for (i = 0; r == 0 && (text = files_disk(cfg->job.files, i)); i++)
		r = add_lun(m, "scsi-disk", text);
	if (r == 0 && cfg->job.argv) {
		m->job = job_create(m, &cfg->job);
		r = m->job ? 0 : -errno;
	}
	r = r ? r : net_add(&m->platform, &m->devices, cfg->net, &cfg->publish);
	return r ? r : device_ready_all(&m->devices);
}

static int setup_control(struct machine *m, const struct machine_cfg *cfg)
{
	if (!cfg->control)
		return 0;
	m->host = (struct command_host){ &m->platform, &m->devices, quit, leaves, m };
	m->control = control_create(cfg->control, m->main_loop, &m->host);
	return m->control ? 0 : -EIO;
}

static int setup_vcpus(struct machine *m, const struct arch_entry *entry)
{
	int r;

	for (; m->ncpus < m->cpus; m->ncpus++) {
		r = vcpu_create(&m->vcpu[m->ncpus], m, m->ncpus);
		if (r < 0)
			return r;
	}
	return arch_vcpus_init(m->vcpu, m->cpus, entry);
}

static int setup_guest(struct machine *m, const struct machine_cfg *cfg, const struct image *kernel,
		       const struct image *initrd)
{
	char cmdline[CMDLINE_MAX];
	struct arch_entry entry;
	int r;

	r = setup_platform(m, cfg);
	if (r == -EINVAL) /* the kernel's word; from here on it means that the user is wrong */
		r = -EIO;
	if (r == 0)
		r = open_trace(m, cfg->trace);
	if (r == 0)
		r = open_keep(m, cfg->keep);
	if (r == 0)
		r = setup_devices(m, cfg);
	if (r == 0)
		r = expect_check_devices(&cfg->expect, &m->devices);
	if (r == 0)
		r = cmdline_put(m, cfg, cmdline);
	if (r == 0) {
		m->report->cmdline = strdup(cmdline);
		kernel_check_warn(kernel->path, &m->devices, initrd);
		r = arch_load(m, kernel, initrd, cmdline, &entry);
	}
	if (r == 0)
		r = arch_describe(m);
	if (r == 0)
		r = setup_vcpus(m, &entry);
	if (r == 0)
		r = setup_control(m, cfg);
	return r;
}

/* The user's files are looked at first: a typing mistake should not hide behind a missing KVM. */
static enum cause create(struct machine *m, const struct machine_cfg *cfg)
{
	struct image kernel, initrd;
	enum cause cause = CAUSE_SETUP;
	int r;

	if (setup_loop(m) < 0 || image_open(&kernel, "--kernel", cfg->kernel) < 0)
		return cause;
	if (cfg->initrd && image_open(&initrd, "--initrd", cfg->initrd) < 0)
		goto close_kernel;
	if (memlimit_check("", cfg->memory, cfg->cpus) < 0) {
		cause = CAUSE_MEMORY;
	} else if (vm_create(&m->vm) < 0) {
		cause = CAUSE_NO_KVM;
	} else {
		r = setup_guest(m, cfg, &kernel, cfg->initrd ? &initrd : NULL);
		if (r == 0)
			cause = CAUSE_POWEROFF;
		else if (r == -EINVAL) /* what was asked for makes no sense, whatever is there */
			cause = CAUSE_USAGE;
	}
	if (cfg->initrd)
		image_close(&initrd);
close_kernel:
	image_close(&kernel);
	return cause;
}

enum cause machine_create(struct machine *m, const struct machine_cfg *cfg)
{
	enum cause cause;

	*m = (struct machine){ .vm.fd = -1, .signals.fd = -1, .silence.fd = -1, .keep = -1,
			       .cpus = cfg->cpus, .limits = LIMITS_NONE, .limits_cfg = cfg->limits,
			       .report = cfg->report, .mmio = BUS_EMPTY, .pio = BUS_EMPTY };
	cause = create(m, cfg);
	if (cause != CAUSE_POWEROFF)
		machine_destroy(m);
	else
		report_mark(m->report, PHASE_BUILT);
	return cause;
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
	report_mark(m->report, PHASE_ENTERED);
	for (i = 0; r == 0 && i < m->ncpus; i++)
		r = vcpu_start(&m->vcpu[i]);
	return r;
}

/* Then what is to be kept of the run is kept. */
static bool is_success(const struct machine *m)
{
	return m->cause == CAUSE_POWEROFF || (m->cause == CAUSE_EXIT && m->report->exit == 0);
}

enum cause machine_run(struct machine *m)
{
	unsigned i;

	if (sandbox_enter() < 0)
		return CAUSE_SETUP;
	catch_signals(true); /* before any thread is made, so that all of them inherit the mask */
	console_start(m->console);
	if (limits_start(&m->limits, &m->limits_cfg, &picture_limits, m, m->main_loop) < 0 ||
	    start_threads(m) < 0)
		machine_end(m, CAUSE_SETUP);
	loop_run(m->main_loop);

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
	if (m->job)
		m->cause = job_cause(m->job, m->cause);
	picture_end(m);
	if (is_success(m) && device_finish_all(&m->devices) < 0)
		m->cause = CAUSE_SETUP;
	else if (!is_success(m) && m->keep >= 0)
		device_keep_all(&m->devices, m->keep);
	report_disks(m->report, &m->devices);
	return m->cause;
}

void machine_destroy(struct machine *m)
{
	bool hurry = atomic_load(&m->platform.hurry);

	control_destroy(m->control);
	limits_stop(&m->limits);
	vm_closing(&m->vm);
	/* The back ends first, while the I/O threads still run: they drain there. */
	device_destroy_all(&m->devices);
	if (!hurry && atomic_load(&m->platform.hurry))
		limits_unread(&m->limits);
	job_destroy(m->job);
	while (m->niothreads) {
		struct loop *loop = m->iothread[--m->niothreads];

		loop_join(loop);
		loop_destroy(loop);
	}
	while (m->ncpus)
		vcpu_destroy(&m->vcpu[--m->ncpus]);
	if (m->console) {
		report_console(m->report, console_get_log(m->console));
		console_destroy(m->console);
	}
	if (m->vm.fd >= 0)
		vm_destroy(&m->vm);
	mem_free(&m->mem);
	if (m->platform.scsi_trace)
		close(m->platform.scsi_trace);
	if (m->keep >= 0)
		close(m->keep);
	if (m->signals.fd >= 0)
		close(m->signals.fd);
	if (m->silence.fd >= 0)
		close(m->silence.fd);
	loop_destroy(m->main_loop);
}
