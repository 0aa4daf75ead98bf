/* SPDX-License-Identifier: MIT */
/*
 * run.c - "lunette run": the command line as a machine.
 */
#include "vmm/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/help.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/policy.h"
#include "vmm/core/util.h"
#include "vmm/machine/crash.h"
#include "vmm/machine/gdb.h"
#include "vmm/run/control/script.h"
#include "vmm/run/files/files.h"
#include "vmm/run/files/root.h"
#include "vmm/run/guest.h"
#include "vmm/run/inherited.h"
#include "vmm/run/net.h"
#include "vmm/run/report/report.h"
#include "vmm/run/report/report_out.h"
#include "vmm/run/run_kernel.h"

struct run_cfg {
	struct guest_cfg guest;
	struct report_cfg report;
	struct files_cfg files;
	unsigned log_level;
	bool explain;
	const struct report_out *out;
};

/* The first one: warnings beside a command, as its stderr is not ours; notes otherwise. */
static const char *const log_words[] = { "auto", "error", "warning", "note", "info", "debug",
					 NULL };
static const char *const console_words[] = { "serial", "hvc", NULL };
static const char *const no_time[] = { "none", NULL };

#define TIME_MAX (1000ull * 3600 * 1000) /* 1000 h, in ms */
#define BOOT_TIME 60000

#define AT(member) offsetof(struct run_cfg, member)

static const struct opt run_opts[] = {
	{ "kernel", OPT_STR, AT(guest.kernel), .arg = "FILE|TREE|VERSION|micro|full|debug|host",
	  .help = "the guest's kernel: a bzImage, ELF vmlinux or Image; a tree that has been "
		  "built; one of this distribution's, as 6.12; what lunette kernel makes; or "
		  "this system's. A command has micro or else host" },
	{ "initrd", OPT_LIST, AT(guest.initrds), .arg = "FILE",
	  .help = "its initial file system; several are joined, later files replace earlier ones" },
	{ "append", OPT_LIST, AT(guest.append), .arg = "WORDS", .may_be_empty = true,
	  .help = "added to its command line: quiet panic=-1 console=ttyS0 and others" },
	{ "root", OPT_STR, AT(guest.root), .arg = "lun:N|blk:N|DIR|FILE|oci:DIR[:TAG]|host",
	  .help = "the guest's root file system: a disk; or a folder, an archive (tar), an image "
		  "of container tools or this system, to which the guest writes in its memory" },
	{ "console", OPT_ENUM, AT(guest.console), "serial", .words = console_words,
	  .help = "the serial port, or hvc0 for guests that have virtio_console" },
	{ "console-log", OPT_STR, AT(guest.machine.console_log), .written = true, .arg = "FILE",
	  .help = "all that the guest prints on its console, in a file too" },
	{ "console-limit", OPT_SIZE, AT(guest.machine.console_limit), "64M", KIB(64), GIB(1024),
	  .arg = "SIZE", .help = "how large that may become; what is older is dropped",
	  .needs = "console-log" },
	{ "cpus", OPT_U32, AT(guest.machine.cpus), "1", 1, MACHINE_CPUS_MAX,
	  .help = "virtual CPUs" },
	{ "memory", OPT_SIZE, AT(guest.machine.memory), "512M", MIB(64), GIB(512), .arg = "SIZE",
	  .help = "guest RAM" },
	{ "disk", OPT_LIST, AT(guest.disks), .arg = "FILE[,KEY=VALUE...]",
	  .help = "an image or block device as the next LUN, or with on=blk as a virtio disk; see "
		  "--device scsi-disk,help and virtio-blk,help" },
	{ "cdrom", OPT_LIST, AT(guest.cdroms), .arg = "FILE[,KEY=VALUE...]",
	  .help = "an image in a CD-ROM drive, as the LUN after the disks" },
	{ "device", OPT_LIST, AT(guest.devices), .arg = "CLASS[,KEY=VALUE...]",
	  .help = "a device; --device help lists the classes" },
	{ "net", OPT_STR, AT(guest.net), "none", .arg = "WHAT",
	  .help = "the guest's network: none, user (by passt), tap=NAME; see --device virtio-net,"
		  "help" },
	{ "publish", OPT_LIST, AT(guest.publish), .arg = "[tcp:|udp:][ADDRESS:]HOST:GUEST",
	  .help = "a port of the host that is one of the guest's, with --net user" },
	{ "vsock", OPT_STR, AT(guest.vsock), .arg = "CID|auto[,path=PATH]",
	  .help = "sockets between host and guest, by the kernel, or with path= by Unix sockets; "
		  "see --device virtio-vsock,help" },
	{ "balloon", OPT_BOOL, AT(guest.balloon),
	  .help = "memory that the guest does not need goes back to this machine; lunette ctl says "
		  "how much it is to have; see --device virtio-balloon,help" },
	{ "vhost", OPT_ENUM, AT(guest.machine.vhost), "auto", .words = vhost_words,
	  .help = "let the kernel serve disks: where it can, or not run without, or never" },
	{ "on-enospc", OPT_ENUM, AT(guest.machine.on_enospc), "report", .words = full_words,
	  .help = "when the host's disk is full: tell the guest, wait for room, end the run" },
	{ "on-reboot", OPT_ENUM, AT(guest.machine.on_reboot), "end", .words = reboot_words,
	  .help = "when the guest resets itself: end the run, or boot it again, with its disks" },
	{ "reboot-limit", OPT_U32, AT(guest.machine.reboot_limit), "10", 1, 1000000,
	  .help = "so many resets in a row, each within 10 s, end the run all the same",
	  .needs = "on-reboot" },
	{ "overlay", OPT_ENUM, AT(guest.overlay), "auto", .words = overlay_words,
	  .help = "are changes of disks kept apart and dropped, where --disk does not say it: auto "
		  "is on with a command" },
	{ "commit", OPT_BOOL, AT(guest.machine.commit),
	  .help = "overlay=on keeps what the guest has written, if the run is a success" },
	{ "keep-on-fail", OPT_STR, AT(guest.machine.keep), .written = true, .arg = "DIR",
	  .help = "what overlay=on would drop is left in DIR, if the run is no success" },
	{ "dump-on-fail", OPT_STR, AT(guest.dump), .written = true, .arg = "DIR",
	  .help = "the guest's memory and registers as a core in DIR, if the run is no success" },
	{ "control", OPT_STR, AT(guest.control), .written = true, .arg = "PATH",
	  .help = "a socket for commands while the guest runs; see lunette ctl --help" },
	{ "at", OPT_LIST, AT(guest.at), .arg = "'TIME|console:TEXT COMMAND'",
	  .help = "a command of lunette ctl so long after the start, or once that is printed" },
	{ "gdb", OPT_STR, AT(guest.gdb), .written = true, .arg = "PORT|PATH[,wait=on]",
	  .help = "GDB debugs the guest, by a port of 127.0.0.1 or a socket; wait: from its first "
		  "instruction" },
	{ "trace", OPT_STR, AT(guest.trace), .written = true, .arg = "scsi=FILE",
	  .help = "a line for each SCSI command, with its result, in a file" },
	{ "file-limit", OPT_SIZE, AT(guest.machine.file_limit), "16G", KIB(64), GIB(1024),
	  .arg = "SIZE",
	  .help = "how large a file of --trace, serial,file= or console-port,out= may become; the "
		  "run ends there" },
	{ "json", OPT_STR, AT(report.json), .written = true, .arg = "FILE",
	  .help = "how the run ended, and why, as JSON" },
	{ "junit", OPT_STR, AT(report.junit), .written = true, .arg = "FILE",
	  .help = "the same for CI systems, with TAP and KTAP results of tests that are printed" },
	{ "expect", OPT_LIST, AT(guest.expect.disks), .arg = "DISK.COUNTER>=N",
	  .help = "the run fails if a disk has done less; or == != < <= >" },
	{ "boot-budget", OPT_TIME, AT(guest.expect.boot_ms), NULL, 1, 86400000, .arg = "TIME",
	  .help = "the run fails if its command begins later", .needs = OPT_COMMAND },
	{ "share", OPT_LIST, AT(files.shares), .arg = "DIR[:PATH][,live=on[,rw=on]]",
	  .help = "a folder as it is now, which the guest may write to and changes nothing here; "
		  "PATH is DIR's own, and where the command runs. live=on: the folder itself, to "
		  "be read, or with rw=on written", .needs = OPT_COMMAND },
	{ "out", OPT_STR, AT(files.out), .written = true, .arg = "DIR[:PATH]",
	  .help = "what the command leaves in PATH, by default /out, comes to DIR",
	  .needs = OPT_COMMAND },
	{ "out-limit", OPT_SIZE, AT(files.out_limit), "16G", MIB(1), GIB(1024), .arg = "SIZE",
	  .help = "how much that may be", .needs = "out" },
	{ "tty", OPT_BOOL, AT(guest.job.tty), .letter = 't',
	  .help = "this terminal is the command's; without one, a shell's in the guest" },
	{ "env", OPT_LIST, AT(guest.job.env), .arg = "NAME[=VALUE]",
	  .help = "a variable of the command's environment; without a value, as it is here",
	  .needs = OPT_COMMAND },
	{ "cwd", OPT_STR, AT(guest.job.cwd), .arg = "DIR",
	  .help = "where in the guest the command runs", .needs = OPT_COMMAND },
	{ "user", OPT_STR, AT(guest.job.user), .arg = "NAME[:GROUP]",
	  .help = "as whom, by the guest's own files or a number; root, or whom --root's image "
		  "says",
	  .needs = OPT_COMMAND },
	{ "timeout", OPT_TIME, AT(guest.machine.limits.run), .min = 1, .max = TIME_MAX,
	  .arg = "TIME",
	  .help = "end the run when it takes longer, and show where the guest is" },
	{ "boot-timeout", OPT_TIME, AT(guest.machine.limits.boot), .min = 1, .max = TIME_MAX,
	  .words = no_time, .arg = "TIME|none",
	  .help = "the same when a command has not begun by then; 60s where nothing is said",
	  .needs = OPT_COMMAND },
	{ "explain", OPT_BOOL, AT(explain), .help = "say what would be made, and why, and end" },
	{ "log", OPT_ENUM, AT(log_level), "auto", .words = log_words,
	  .help = "how much lunette says of itself; auto: warning beside a command, else note" },
	{ 0 }
};

void run_help(FILE *out)
{
	fputs("usage: lunette run --kernel FILE [OPTION...]\n"
	      "       lunette run [OPTION...] -- COMMAND [ARGUMENT...]\n\n"
	      "Boots a Linux guest, its console on this terminal; or runs a command in one,\n"
	      "with stdin, stdout, stderr and status as if it ran here. Ctrl-A x ends it.\n\n",
	      out);
	opt_help(run_opts, "--", out);
	fputs("\nExit status:\n", out);
	cause_help(out);
}

/* "--device help" and "--device CLASS,help". Returns an exit status, or -1: that was not asked. */
static int class_help(const char *text)
{
	size_t len = strcspn(text, ",");
	char name[64];

	if (!strcmp(text, "help"))
		return device_help(NULL, stdout) ? 0 : causes[CAUSE_USAGE].status;
	if (strcmp(text + len, ",help") || len >= sizeof(name))
		return -1;
	memcpy(name, text, len);
	name[len] = 0;
	if (device_help(name, stdout))
		return 0;
	log_err("--device %s: there is no such class; --device help lists them", name);
	return causes[CAUSE_USAGE].status;
}

/* One option from argv on. Returns how many words it took, -EUSAGE after one line. */
static int parse_one(struct opt_reader *r, char **argv)
{
	int n = opt_word(r, argv);

	if (n)
		return n;
	log_err("run: '%s' is no option; a disk is given with --disk, a kernel with --kernel, a "
		"command after --", argv[0]);
	return -EUSAGE;
}

/* A word that makes no sense is reported, too: where to may stand in those that follow. */
static void find_report(struct opt_reader *r, char **argv)
{
	char heard[256];

	log_hear(heard, sizeof(heard));
	for (; *argv && strcmp(*argv, "--"); argv++) {
		if (!strncmp(*argv, "--json", 6) || !strncmp(*argv, "--junit", 7))
			parse_one(r, argv);
	}
	log_hear(NULL, 0);
}

/* -t alone. */
static void make_shell(struct guest_cfg *cfg)
{
	static char *const argv[] = { "sh", "-l", NULL };

	if (cfg->job.argv || !cfg->job.tty)
		return;
	cfg->job.shell = true;
	cfg->job.argv = cfg->report->argv = argv;
	if (cfg->overlay == OVERLAY_AUTO)
		cfg->overlay = OVERLAY_OFF; /* who looks around wants to find it again */
}

/* An image that has a command, where the user has given none. */
static void make_own(struct guest_cfg *cfg)
{
	static char *const argv[] = { "(the image's own command)", NULL };

	if (cfg->job.argv || !root_has_command(cfg->root))
		return;
	cfg->job.own = true;
	cfg->job.argv = cfg->report->argv = argv;
}

/* What the options say of each other is looked at once all are known. False after one line. */
static bool check(const struct run_cfg *cfg, const struct opt_reader *r)
{
	const struct job_cfg *job = &cfg->guest.job;

	if (job->argv && !job->argv[0]) {
		log_err("run: no command after --");
		return false;
	}
	if (opt_end(r, job->argv) < 0)
		return false;
	if (job->argv && cfg->guest.machine.on_reboot == REBOOT_RESTART) {
		log_err("--on-reboot restart: a command runs once, and a reset ends it; give the "
			"guest its work by its own init, without a command");
		return false;
	}
	if (job->tty && !isatty(STDIN_FILENO)) {
		log_err("--tty: stdin is not a terminal");
		return false;
	}
	if (!cfg->guest.kernel && !job->argv && !root_is_files(cfg->guest.root)) {
		log_err("run: --kernel FILE is missing; lunette run --help tells more");
		return false;
	}
	return job_check(job) == 0 && script_check(&cfg->guest.at) == 0 &&
	       net_check(cfg->guest.net, &cfg->guest.publish) == 0 &&
	       gdb_check(cfg->guest.gdb) == 0 &&
	       expect_check(&cfg->guest.expect) == 0;
}

/* A guest that does not get to its command is no reason to wait, unless the user says so. */
static void set_boot_timeout(struct guest_cfg *cfg)
{
	if (cfg->job.argv && !cfg->machine.limits.boot)
		cfg->machine.limits.boot = BOOT_TIME;
	if (cfg->machine.limits.boot > TIME_MAX) /* "none" */
		cfg->machine.limits.boot = 0;
}

/* Returns an exit status, or -1: go on. */
static int parse(struct run_cfg *cfg, int argc, char **argv)
{
	struct opt_reader r = { run_opts, cfg, "--", 0 };
	int i, n;
	unsigned k;

	opt_defaults(run_opts, cfg);
	for (i = 0; i < argc; i += n) {
		if (!strcmp(argv[i], "--")) {
			cfg->guest.job.argv = argv + i + 1;
			cfg->guest.report->argv = argv + i + 1;
			break;
		}
		if (help_wanted(argv[i])) {
			run_help(stdout);
			return 0;
		}
		n = parse_one(&r, argv + i);
		if (n < 0) {
			find_report(&r, argv + i + 1);
			return causes[CAUSE_USAGE].status;
		}
	}
	for (k = 0; k < cfg->guest.devices.count; k++) {
		n = class_help(cfg->guest.devices.item[k]);
		if (n >= 0)
			return n;
	}
	make_shell(&cfg->guest);
	make_own(&cfg->guest);
	if (!check(cfg, &r))
		return causes[CAUSE_USAGE].status;
	set_boot_timeout(&cfg->guest);
	return -1;
}

static enum cause run_as_expected(struct guest *g, const struct guest_cfg *cfg)
{
	struct report *r = cfg->report;
	bool met;

	r->cause = guest_run(g);
	met = expect_met(&cfg->expect, &g->machine.devices, r, report_status(r) == 0);
	return met || report_status(r) ? r->cause : CAUSE_EXPECT;
}

/* From here on nothing keeps what it was. */
static enum cause begin(const struct run_cfg *cfg)
{
	if (claims_begin(cfg->guest.machine.claims) < 0 ||
	    report_out_begin(cfg->out, cfg->guest.report) < 0)
		return CAUSE_HOST_IO;
	return CAUSE_POWEROFF;
}

static void explain(const struct machine *m)
{
	device_explain_all(&m->devices, stdout);
	if (m->platform.no_pci)
		printf("no PCI: %s; virtio devices are on the memory bus (transport=mmio)\n",
		       m->platform.no_pci);
}

static enum cause run(const struct run_cfg *cfg)
{
	struct report *report = cfg->guest.report;
	struct guest *g = malloc(sizeof(*g));
	enum cause cause;

	if (!g) {
		log_err("the machine cannot be built: %s", strerror(ENOMEM));
		return CAUSE_SETUP;
	}
	cause = guest_create(g, &cfg->guest);
	if (cause == CAUSE_POWEROFF) {
		cause = cause_of_err(claims_check(cfg->guest.machine.claims));
		if (cause == CAUSE_POWEROFF && cfg->explain)
			explain(&g->machine);
		else if (cause == CAUSE_POWEROFF)
			cause = begin(cfg);
		if (!cfg->explain && cause == CAUSE_POWEROFF)
			cause = run_as_expected(g, &cfg->guest);
		report->by_signal = cause == CAUSE_SIGNAL ? g->machine.signal : 0;
		guest_destroy(g);
		cause = limits_cause(&g->machine.limits, cause);
		report_mark(report, PHASE_OFF);
		report_log_times(report);
	}
	free(g);
	return cause;
}

/* When the run is to be over, CLOCK_MONOTONIC in ms; 0: never. */
static uint64_t deadline_of(const struct report *r, const struct guest_cfg *cfg)
{
	uint64_t ms = cfg->machine.limits.run;

	return ms ? r->at[PHASE_ENTERED] / 1000000 + ms : 0;
}

/* Results come within the time and by the rules of the run itself. */
static void collect(struct run_cfg *cfg, struct files *files)
{
	struct report *r = cfg->guest.report;
	uint64_t deadline = deadline_of(r, &cfg->guest);
	int got;

	if (report_time(r, PHASE_ENTERED) < 0)
		return;
	got = files_collect(files, deadline, &r->by_signal);
	if (got == -EINTR)
		r->cause = CAUSE_SIGNAL;
	else if (got == -ETIMEDOUT && deadline)
		r->cause = CAUSE_TIMEOUT;
	else if (got < 0 && report_status(r) == 0)
		r->cause = CAUSE_HOST_IO;
}

/* The run, between its files in and its files out. */
static enum cause run_with_files(struct run_cfg *cfg)
{
	struct report *r = cfg->guest.report;
	unsigned before = log_errors();
	struct files *files;

	cfg->files.claims = cfg->guest.machine.claims;
	cfg->files.root = cfg->guest.root;
	files = files_create(&cfg->files);
	if (!files) {
		return cause_of_err(log_if_silent(before, "--root, --share, --out", -errno));
	}
	cfg->guest.job.files = files;
	r->cause = run(cfg);
	collect(cfg, files);
	files_destroy(files);
	return r->cause;
}

/* Who writes the reports, and ends the process. */
struct ending {
	struct report *report;
	const struct report_out *out;
	pthread_mutex_t taken;
};

/* A disk hangs, and the end of the machine would, too. */
static void abandon(void *arg)
{
	struct ending *e = arg;

	if (pthread_mutex_trylock(&e->taken))
		return;
	e->report->cause = CAUSE_HOST_IO;
	report_out_write(e->out, e->report);
	crash_leave(causes[CAUSE_HOST_IO].status);
}

/* Of a machine that was not built it is not known which files it would have read. */
static void spare_files(struct claims *claims, char *const *words)
{
	char heard[8];

	if (claims_have_begun(claims))
		return;
	log_hear(heard, sizeof(heard));
	run_spare_words(claims, AT_FDCWD, words);
	log_hear(NULL, 0);
}

/* The run, or the failure to make sense of @words, and its report. */
static int run_and_report(struct run_cfg *cfg, char *const *words, bool usage)
{
	struct report *r = cfg->guest.report;
	struct run_kernel kernel = { .archive = -1 };
	struct report_out out;
	struct ending ending = { r, &out, PTHREAD_MUTEX_INITIALIZER };
	int err;

	if (cfg->log_level)
		log_set_level(cfg->log_level - 1);
	else
		log_set_level(cfg->guest.job.argv ? LOG_WARN : LOG_NOTE);
	cfg->out = &out;
	cfg->report.dry = cfg->explain;
	cfg->guest.abandon = abandon;
	cfg->guest.abandon_arg = &ending;
	r->cause = usage ? CAUSE_USAGE : CAUSE_SETUP;
	err = report_out_open(&out, &cfg->report, cfg->guest.machine.claims, r);
	if (err < 0) {
		r->cause = usage ? CAUSE_USAGE : cause_of_err(err);
		return report_status(r);
	}
	err = usage ? 0 : root_check(cfg->guest.root, cfg->guest.job.argv);
	if (!usage && err == 0)
		err = run_kernel_find(&cfg->guest, root_is_files(cfg->guest.root), &kernel);
	if (!usage)
		r->cause = err < 0 ? cause_of_err(err) : run_with_files(cfg);
	spare_files(cfg->guest.machine.claims, words);
	pthread_mutex_lock(&ending.taken);
	if (report_out_write(&out, r) < 0 && report_status(r) == 0)
		r->cause = CAUSE_HOST_IO;
	report_out_close(&out);
	run_kernel_free(&kernel);
	return report_status(r);
}

int run_main(int argc, char **argv)
{
	char **words = run_copy_words(argc, argv);
	struct report report;
	struct run_cfg cfg = { .guest.report = &report };
	int status;

	if (!words) {
		log_err("run: %s", strerror(ENOMEM));
		return causes[CAUSE_SETUP].status;
	}
	inherited_close(argv);
	report_init(&report, &cfg.guest);
	status = parse(&cfg, argc, words);
	if (status != 0 && inherited_env(&cfg.guest.job.env) < 0) {
		status = causes[CAUSE_SETUP].status;
	} else if (status != 0) {
		cfg.guest.machine.claims = claims_create(cfg.explain);
		status = cfg.guest.machine.claims ? run_and_report(&cfg, argv, status > 0) :
					      causes[CAUSE_SETUP].status;
		claims_destroy(cfg.guest.machine.claims);
	}
	opt_free(run_opts, &cfg);
	report_fini(&report);
	run_free_words(words);
	return status;
}

/* Who hears of names of files, and not of values of options. */
struct names {
	opt_hear *fn;
	void *arg;
};

static void hear_name(void *arg, const char *key, const char *value)
{
	const struct names *to = arg;
	char *name = strdup(value), *next = name, *colon = NULL, option[32];

	snprintf(option, sizeof(option), "--%s", key);
	if (!strcmp(key, "trace") && !strncmp(value, "scsi=", 5)) {
		to->fn(to->arg, option, value + 5);
	} else if (!strcmp(key, "out") && name) { /* DIR[:PATH] */
		while ((next = strstr(next, ":/")))
			colon = next++;
		if (colon)
			*colon = 0;
		to->fn(to->arg, option, name);
	} else {
		to->fn(to->arg, option, value);
	}
	free(name);
}

/* --vsock's path= is written, too. */
static void each_vsock_written(const char *text, opt_hear *fn, void *arg)
{
	char *device;

	if (!text || asprintf(&device, "virtio-vsock,%s", text) < 0)
		return;
	device_each_written(device, fn, arg);
	free(device);
}

int run_check(int argc, char *const *argv, uint64_t *memory, unsigned *cpus, opt_hear *written,
	      void *arg)
{
	struct report report = { 0 };
	struct run_cfg cfg = { .guest.report = &report };
	struct names names = { written, arg };
	char **copy = run_copy_words(argc, argv);
	int status;
	unsigned i;

	if (!copy) {
		log_err("%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	status = parse(&cfg, argc, copy);
	*memory = cfg.guest.machine.memory;
	*cpus = cfg.guest.machine.cpus;
	if (status < 0)
		opt_each_written(run_opts, &cfg, hear_name, &names);
	for (i = 0; status < 0 && i < cfg.guest.devices.count; i++)
		device_each_written(cfg.guest.devices.item[i], written, arg);
	if (status < 0)
		each_vsock_written(cfg.guest.vsock, written, arg);
	opt_free(run_opts, &cfg);
	run_free_words(copy);
	return status < 0 ? 0 : -EUSAGE;
}
