/* SPDX-License-Identifier: MIT */
#include "vmm/run/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/console.h"
#include "vmm/machine/dump.h"
#include "vmm/machine/gdb.h"
#include "vmm/machine/image.h"
#include "vmm/machine/picture.h"
#include "vmm/run/cmdline.h"
#include "vmm/run/control/control.h"
#include "vmm/run/control/script.h"
#include "vmm/run/exec.h"
#include "vmm/run/files/files.h"
#include "vmm/run/guest_devices.h"
#include "vmm/run/kernel/kernel_check.h"
#include "vmm/run/kernel/kernel_words.h"
#include "vmm/run/report/report.h"

/* What the machine tells. */

static void entered(void *arg)
{
	struct guest *g = arg;

	report_mark(g->cfg->report, PHASE_ENTERED);
	script_start(g->script);
}

static void printed(void *arg, const void *data, size_t len)
{
	struct guest *g = arg;

	report_feed(g->cfg->report, STREAM_CONSOLE, data, len);
	script_printed(g->script, data, len);
}

static void abandon(void *arg)
{
	struct guest *g = arg;

	g->cfg->abandon(g->cfg->abandon_arg);
}

static int load(struct guest *g);

static int reload(void *arg)
{
	struct guest *g = arg;

	g->cfg->report->reboots++;
	exec_again(g->exec);
	log_note("the guest has reset itself, and begins anew (%u)", g->cfg->report->reboots);
	return load(g);
}

static const struct machine_user machine_user = { entered, printed, abandon, reload };

/* What commands ask for. */

static void quit(void *arg)
{
	struct guest *g = arg;

	machine_end(&g->machine, CAUSE_QUIT);
}

static int pause_or_resume(void *arg, bool paused)
{
	struct guest *g = arg;

	if (paused)
		return machine_pause(&g->machine);
	machine_resume(&g->machine);
	return 0;
}

static int sysrq(void *arg, char key)
{
	struct guest *g = arg;

	return console_sysrq(g->machine.console, key);
}

static int nmi(void *arg, unsigned cpu)
{
	struct guest *g = arg;

	if (cpu < g->machine.ncpus) {
		vcpu_ask(&g->machine.vcpu[cpu], VCPU_NMI);
		return 0;
	}
	log_err("nmi %u: the guest's vCPUs are 0 to %u", cpu, g->machine.ncpus - 1);
	return -EUSAGE;
}

/* In one piece: nothing moves meanwhile. */
static int dump(void *arg, const char *file)
{
	struct guest *g = arg;
	struct machine *m = &g->machine;
	bool was_paused = m->paused;
	int r = machine_pause(m);

	if (r < 0)
		return r;
	r = dump_guest(m, AT_FDCWD, file);
	if (!was_paused)
		machine_resume(m);
	return r;
}

static void leaves(void *arg, struct device *dev)
{
	struct guest *g = arg;

	report_leaves(g->cfg->report, dev);
}

static int exec(void *arg)
{
	return exec_may(((struct guest *)arg)->exec);
}

static void take(void *arg, int fd)
{
	exec_take(((struct guest *)arg)->exec, fd);
}

static int open_trace(struct guest *g, const char *text)
{
	struct platform *p = &g->machine.platform;
	const char *file = text && !strncmp(text, "scsi=", 5) ? text + 5 : NULL;
	struct claim *claim;
	char *what;
	int fd, r;

	if (!text)
		return 0;
	if (!file || !*file) {
		log_err("--trace %s: scsi=FILE is wanted", text);
		return -EUSAGE;
	}
	if (asprintf(&what, "--trace %s", text) < 0)
		return -ENOMEM;
	fd = claim_open(p->claims, what, file, CLAIM_APPEND, &claim);
	r = fd < 0 ? fd : stream_open(&g->trace, p, what, fd);
	if (r == 0) {
		stream_limit(&g->trace);
		p->scsi_trace = &g->trace;
	}
	free(what);
	return r;
}

/* A folder for what is left of a bad run; NULL: none. */
static int open_folder(struct guest *g, const char *option, const char *folder, int *fd)
{
	int r = folder ? claim_folder(g->machine.platform.claims, option, folder) : 0;

	if (!folder || r < 0)
		return r;
	*fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	r = -errno;
	log_err("%s %s: %s", option, folder, strerror(errno));
	return r;
}

/* What is asked for disks, or of them, needs one; commands may bring it later. */
static int check_objects(const struct guest *g)
{
	const struct guest_cfg *cfg = g->cfg;
	const struct machine *m = &g->machine;

	if (cfg->control || cfg->at.count)
		return 0;
	if ((cfg->machine.commit || cfg->machine.keep) && !m->platform.overlays)
		log_err("--%s: is about changes that are kept apart, and no disk has them; "
			"overlay=on at one, or --overlay on, does that",
			cfg->machine.commit ? "commit" : "keep-on-fail");
	else if (cfg->trace && !device_find(&m->devices, "virtio-scsi", NULL))
		log_err("--trace %s: there is no disk", cfg->trace);
	else
		return 0;
	return -EUSAGE;
}

static int setup_control(struct guest *g)
{
	struct machine *m = &g->machine;

	g->host = (struct command_host){ .platform = &m->platform, .devices = &m->devices,
					 .quit = quit, .pause = pause_or_resume, .sysrq = sysrq,
					 .nmi = nmi, .dump = dump, .exec = exec, .take = take,
					 .leaves = leaves, .arg = g };
	if (g->cfg->at.count) {
		g->script = script_create(&g->cfg->at, m->main_loop, &g->host);
		if (!g->script)
			return -ENOMEM;
	}
	if (g->cfg->control) {
		g->control = control_create(g->cfg->control, m->main_loop, &g->host);
		if (!g->control)
			return -EIO;
	}
	return 0;
}

static int claim_images(struct claims *claims, const struct image *kernel,
			const struct image_list *initrds)
{
	int r = image_claim(kernel, claims);
	unsigned i;

	for (i = 0; r == 0 && i < initrds->count; i++)
		r = image_claim(&initrds->image[i], claims);
	return r;
}

/* What the options say of a machine, with what they leave open. */
static struct machine_spec spec_of(const struct guest_cfg *cfg)
{
	struct machine_spec spec = cfg->machine;
	unsigned i;

	for (i = 0; i < cfg->devices.count; i++)
		spec.shared |= device_shares_memory(cfg->devices.item[i]);
	for (i = 0; i < cfg->disks.count; i++)
		spec.shared |= device_disk_is_shared(cfg->disks.item[i]);
	spec.shared |= files_device(cfg->job.files, 0) != NULL;
	/* What the kernel serves it also counts, and does not tell. */
	if (spec.vhost == VHOST_AUTO && cfg->expect.disks.count)
		spec.vhost = VHOST_OFF;
	spec.overlay = cfg->overlay == OVERLAY_AUTO ? !!cfg->job.argv : cfg->overlay == OVERLAY_ON;
	return spec;
}

static int setup_devices(struct guest *g)
{
	const struct guest_cfg *cfg = g->cfg;
	int r = open_trace(g, cfg->trace);

	if (r == 0)
		r = guest_devices(g);
	if (r == 0)
		r = check_objects(g);
	if (r == 0)
		r = open_folder(g, "--keep-on-fail", cfg->machine.keep, &g->keep);
	if (r == 0)
		r = open_folder(g, "--dump-on-fail", cfg->dump, &g->dumps);
	return r ? r : expect_check_devices(&cfg->expect, &g->machine.devices);
}

/* The devices are there. */
static int load(struct guest *g)
{
	return machine_load(&g->machine, &g->kernel, &g->initrds, g->cfg->report->cmdline);
}

/* What is told to the kernel, and what is to be said of it before. */
static int check_kernel(struct guest *g)
{
	const struct guest_cfg *cfg = g->cfg;
	struct machine *m = &g->machine;
	char cmdline[CMDLINE_MAX];
	int r = cmdline_put(g, cmdline);

	if (r < 0)
		return r;
	cfg->report->cmdline = strdup(cmdline);
	if (!cfg->report->cmdline)
		return -ENOMEM;
	m->triple_fault_resets = kernel_words_triple_fault(cmdline);
	kernel_words_warn(cmdline, &m->platform);
	return kernel_check_warn(g->kernel.path, cfg->machine.claims, &m->devices,
				 g->initrds.count);
}

static int build(struct guest *g)
{
	int r = claim_images(g->cfg->machine.claims, &g->kernel, &g->initrds);

	if (r == 0)
		r = machine_build(&g->machine);
	if (r == 0)
		r = setup_devices(g);
	if (r == 0)
		r = check_kernel(g);
	if (r == 0)
		r = load(g);
	if (r == 0)
		r = gdb_create(&g->gdb, &g->machine, g->cfg->gdb);
	return r ? r : setup_control(g);
}

/* The user's files are looked at first: a typing mistake should not hide behind a missing KVM. */
static int create(struct guest *g)
{
	struct machine_spec spec = spec_of(g->cfg);
	int r = machine_init(&g->machine, &spec, &machine_user, g);

	if (r < 0)
		return r;
	r = image_open(&g->kernel, "--kernel", g->cfg->kernel);
	if (r < 0) {
		g->kernel.fd = -1;
		return r;
	}
	r = image_list_open(&g->initrds, "--initrd", &g->cfg->initrds);
	return r ? r : build(g);
}

enum cause guest_create(struct guest *g, const struct guest_cfg *cfg)
{
	unsigned before = log_errors();
	int r;

	*g = (struct guest){ .cfg = cfg, .keep = -1, .dumps = -1, .kernel.fd = -1 };
	r = log_if_silent(before, "the machine cannot be built", create(g));
	if (r < 0)
		guest_destroy(g);
	else
		report_mark(cfg->report, PHASE_BUILT);
	return cause_of_err(r);
}

/* After a success the changes that are to stay are written; after a failure they are kept. */
static enum cause finish(struct guest *g, enum cause cause)
{
	struct device_list *devices = &g->machine.devices;
	bool success = cause == CAUSE_POWEROFF ||
		       (cause == CAUSE_EXIT && g->cfg->report->exit == 0);

	if (success && device_finish_all(devices) < 0)
		return CAUSE_SETUP;
	if (!success && g->keep >= 0)
		device_keep_all(devices, g->keep);
	if (!success && g->dumps >= 0)
		dump_failed(&g->machine, g->dumps, g->cfg->dump);
	return cause;
}

/* What clients hear of it: none of the statuses that a command has. */
static void end_commands(struct guest *g, enum cause cause)
{
	int status = causes[cause].status;
	const char *text = causes[cause].text;

	if (cause == CAUSE_EXIT)
		text = "the run's own command has ended";
	else if (cause == CAUSE_SIGNAL)
		text = "a signal has ended the run";
	if (status < causes[CAUSE_USAGE].status)
		status = causes[CAUSE_NO_RESULT].status;
	exec_end(g->exec, (unsigned)status, text);
}

enum cause guest_run(struct guest *g)
{
	struct report *report = g->cfg->report;
	struct machine *m = &g->machine;
	enum cause cause = machine_run(m);

	if (!atomic_load(&m->ended)) /* it has not begun */
		return cause;
	if (g->job)
		cause = job_cause(g->job, cause);
	cause = machine_drain(m, cause);
	end_commands(g, cause);
	picture_end(m, report_vcpu, report);
	cause = finish(g, cause);
	report_disks(report, &m->devices);
	report->script = script_report(g->script);
	return cause;
}

void guest_destroy(struct guest *g)
{
	struct machine *m = &g->machine;

	control_destroy(g->control);
	files_unwatch(g->cfg->job.files);
	gdb_destroy(g->gdb);
	machine_close(m);
	script_destroy(g->script); /* nobody prints any more */
	job_destroy(g->job);
	exec_destroy(g->exec);
	if (m->console)
		report_console(g->cfg->report, console_get_log(m->console));
	machine_fini(m);
	stream_close(&g->trace);
	if (g->keep >= 0)
		close(g->keep);
	if (g->dumps >= 0)
		close(g->dumps);
	image_list_close(&g->initrds);
	if (g->kernel.fd >= 0)
		image_close(&g->kernel);
}
