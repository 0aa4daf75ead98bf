/*
 * machine.h - the whole machine: built from the options, run, taken down.
 *
 * Order of a life: machine_create() opens and builds everything, in one thread
 * and with all rights. machine_run() gives up the rights, starts the I/O
 * threads and the vCPUs, and serves signals and the terminal until there is a
 * cause to end. machine_destroy() frees in the reverse order.
 */
#ifndef VMM_MACHINE_H
#define VMM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "devices/devices.h"
#include "vmm/cause.h"
#include "vmm/control/command.h"
#include "vmm/core/bus.h"
#include "vmm/core/loop.h"
#include "vmm/core/mem.h"
#include "vmm/core/platform.h"
#include "vmm/report/expect.h"
#include "vmm/job.h"
#include "vmm/limits.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

#define MACHINE_CPUS_MAX 64
#define MACHINE_IOTHREADS_MAX 64

struct console;
struct control;
struct report;

/* Where the guest's console is. */
enum machine_console { CONSOLE_SERIAL, CONSOLE_HVC };

/* What the guest changes on its disks: to be dropped? */
enum machine_overlay { OVERLAY_AUTO /* with a command */, OVERLAY_ON, OVERLAY_OFF };

struct machine_cfg {
	const char *kernel, *initrd, *append, *control, *trace, *root, *net;
	uint32_t cpus;
	uint64_t memory; /* bytes */
	unsigned vhost;  /* enum platform_vhost */
	unsigned on_enospc; /* enum platform_full */
	unsigned overlay; /* enum machine_overlay */
	bool commit;
	const char *keep; /* a folder for disks of a failed run; NULL: none */
	unsigned console; /* enum machine_console */
	const char *console_log;
	uint64_t console_limit; /* bytes */
	struct limits_cfg limits;
	struct opt_list disks, cdroms, devices, publish;
	struct job_cfg job;
	struct expect_cfg expect;
	struct report *report; /* outlives the machine */
};

struct machine {
	struct vm vm;
	struct mem mem;
	struct bus mmio, pio;
	struct report *report; /* borrowed */
	struct loop *main_loop;
	struct console *console;
	struct platform platform;
	struct device_list devices;
	struct job *job;          /* the guest's command; NULL: it does what it likes */
	struct command_host host; /* what commands work on, ... */
	struct control *control;  /* ... and where they come from; NULL: from nowhere */
	struct loop *iothread[MACHINE_IOTHREADS_MAX];
	unsigned niothreads;
	struct vcpu vcpu[MACHINE_CPUS_MAX];
	unsigned cpus;  /* wanted */
	unsigned ncpus; /* made */

	struct loop_source signals; /* a signalfd */
	struct limits limits;
	struct limits_cfg limits_cfg;
	atomic_bool panicked;       /* the guest has said so, ... */
	struct loop_source silence; /* ... and is given time to say why: a timer; fd -1 before */
	unsigned long printed;      /* by it, when the timer ran last */
	int keep; /* where disks of a failed run are left; -1: nowhere */
	atomic_bool ended;
	enum cause cause; /* why, once @ended */
	int signal;       /* which one, with CAUSE_SIGNAL */
};

/* Returns CAUSE_POWEROFF when all is well; otherwise, after one line, the reason why not. */
enum cause machine_create(struct machine *m, const struct machine_cfg *cfg);
enum cause machine_run(struct machine *m);
/* What is still on its way to its readers gets there. If --timeout ends that, m->limits says so. */
void machine_destroy(struct machine *m);

/* The run is over; the first cause counts. Returns at once. Any thread. */
void machine_end(struct machine *m, enum cause cause);

#endif
