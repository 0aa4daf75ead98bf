/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a guest as a machine: its memory, processors, buses and console.
 *
 * Order of a life: machine_init(), machine_build(), the devices (devices/devices.h, on
 * m->platform), machine_load(), machine_run(), machine_drain(), machine_close(),
 * machine_fini(). All is opened and built in one thread and with all rights;
 * machine_run() gives up the rights, starts the I/O threads and the vCPUs, and
 * serves signals and the terminal until there is a cause to end. What one run
 * wants of a machine is vmm/run/guest.c's business.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include <stdatomic.h>
#include <stdint.h>

#include "devices/devices.h"
#include "vmm/core/bus.h"
#include "vmm/core/loop.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/machine/cause.h"
#include "vmm/machine/halt.h"
#include "vmm/machine/limits.h"
#include "vmm/machine/restart.h"
#include "vmm/machine/vcpu.h"
#include "vmm/machine/vm.h"

#define MACHINE_CPUS_MAX 64
#define MACHINE_IOTHREADS_MAX 64

struct claims;
struct console;
struct image;
struct image_list;

/* What a machine is. */
struct machine_spec {
	uint32_t cpus;
	uint64_t memory;      /* bytes */
	bool shared;          /* other processes are to map it */
	unsigned vhost;       /* enum vhost_policy */
	unsigned on_enospc;   /* enum full_policy */
	bool overlay, commit; /* of disks that do not say it */
	const char *keep;     /* a folder for what overlays have, if the run fails; NULL: none */
	const char *console_log; /* NULL: none */
	uint64_t console_limit;  /* bytes */
	uint64_t file_limit;     /* likewise, of files that devices write to */
	struct limits_cfg limits;
	unsigned on_reboot;      /* enum reboot_policy */
	uint32_t reboot_limit;   /* quick ones in a row, that end the run (restart.h) */
	struct claims *claims;   /* outlives the machine */
};

/* Who is told of its life. */
struct machine_user {
	void (*entered)(void *arg); /* the first vCPU is about to run. [main] */
	void (*printed)(void *arg, const void *data, size_t len); /* on the console. Any thread */
	/* The process has to end at once, without the machine's end. Any thread; may return. */
	void (*abandon)(void *arg);
	/* The guest has reset itself: machine_load() once more. -errno after one line. [main] */
	int (*reload)(void *arg);
};

struct machine {
	struct machine_spec spec;
	const struct machine_user *user;
	void *user_arg;

	struct vm vm;
	struct mem mem;
	struct bus mmio, pio;
	struct loop *main_loop;
	struct console *console;
	struct platform platform;
	struct device_list devices;
	struct loop *iothread[MACHINE_IOTHREADS_MAX];
	unsigned niothreads;
	struct vcpu_host vcpu_host;
	struct vcpu vcpu[MACHINE_CPUS_MAX];
	unsigned ncpus; /* made */

	struct loop_source signals; /* a signalfd */
	struct halt halt;
	struct limits limits;
	struct restart restart;
	bool triple_fault_resets;   /* is how the guest's kernel was told to reset */
	bool paused;
	bool held; /* a debugger says which vCPUs run */
	atomic_bool panicked;       /* the guest has said so, ... */
	struct loop_source silence; /* ... and is given time to say why: a timer; fd -1 before */
	unsigned long printed;      /* by it, when the timer ran last */
	atomic_bool rebooting; /* the guest has reset itself, and is to come back */
	atomic_bool over;      /* no vCPU goes on: that, or ... */
	atomic_bool ended;
	atomic_bool unwritten; /* what the guest has said has not all been written */
	enum cause cause; /* why, once @ended */
	int signal;       /* which one, with CAUSE_SIGNAL */
};

/* @m is for machine_fini() from here on. Borrows @user. -errno after one line. [main] */
int machine_init(struct machine *m, const struct machine_spec *spec,
		 const struct machine_user *user, void *arg);
/*
 * VM, memory, vCPUs, console; devices are next. -errno, or a number of fail.h, after one line but
 * for -ENOMEM. [main]
 */
int machine_build(struct machine *m);
/* All devices are ready: the kernel into memory, and its entry. -errno after one line. [main] */
int machine_load(struct machine *m, const struct image *kernel, const struct image_list *initrds,
		 const char *cmdline);
/*
 * The guest stands still: its vCPUs rest, then its back ends, with nothing in flight. Time goes on,
 * that of limits, too. Paused already: 0. -EBUSY after one line, and nothing has changed: a vCPU
 * waits for somebody who reads the terminal, or for a disk. While machine_run() runs. [main]
 */
int machine_pause(struct machine *m);
/* Of a machine that is not paused: nothing to do. */
void machine_resume(struct machine *m);
/*
 * For a debugger: all vCPUs rest, and none goes on by machine_resume(), until they are released;
 * devices go on. -EBUSY after one line: one does not come to rest. [main]
 */
int machine_hold(struct machine *m);
void machine_release(struct machine *m);
/* Returns why the run is over, once no vCPU runs any more. [main] */
enum cause machine_run(struct machine *m);
/*
 * Returns @cause when what the guest has said has got to its readers; or why it could not. If
 * --timeout ends that, a line says so. [main]
 */
enum cause machine_drain(struct machine *m, enum cause cause);
/* No device is there any more; they drain. [main] */
void machine_close(struct machine *m);
void machine_fini(struct machine *m);

/* The run is over; the first cause counts. Returns at once. Any thread. */
void machine_end(struct machine *m, enum cause cause);

#endif
