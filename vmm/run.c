/*
 * run.c - "lunette run": the command line as a machine.
 */
#include "vmm/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/files/cache.h"
#include "vmm/core/log.h"
#include "vmm/core/opt.h"
#include "vmm/core/util.h"
#include "vmm/files/files.h"
#include "vmm/machine.h"
#include "vmm/report/report.h"
#include "vmm/report/report_out.h"

struct run_cfg {
	struct machine_cfg machine;
	struct report_cfg report;
	struct files_cfg files;
	unsigned log_level;
	bool explain;
};

/* The first one: warnings beside a command, as its stderr is not ours; notes otherwise. */
static const char *const log_words[] = { "auto", "error", "warning", "note", "info", "debug",
					 NULL };
static const char *const full_words[] = { "report", "stop", "fail", NULL };
static const char *const console_words[] = { "serial", "hvc", NULL };
static const char *const overlay_words[] = { "auto", "on", "off", NULL };
static const char *const no_time[] = { "none", NULL };
static const char *const vhost_words[] = { "auto", "on", "off", NULL };

#define TIME_MAX (1000ull * 3600 * 1000) /* 1000 h, in ms */
#define BOOT_TIME 60000

#define AT(member) offsetof(struct run_cfg, member)

static const struct opt run_opts[] = {
	{ "kernel", OPT_STR, AT(machine.kernel), .arg = "FILE",
	  .help = "the guest's kernel: a bzImage, an ELF vmlinux, or micro (make guest-kernel)" },
	{ "initrd", OPT_STR, AT(machine.initrd), .arg = "FILE", .help = "its initial file system" },
	{ "append", OPT_STR, AT(machine.append), .arg = "WORDS",
	  .help = "added to its command line: quiet panic=-1 console=ttyS0 and others" },
	{ "root", OPT_STR, AT(machine.root), .arg = "lun:N",
	  .help = "the guest's root file system is on this LUN (guest/init.c)" },
	{ "console", OPT_ENUM, AT(machine.console), "serial", .words = console_words,
	  .arg = "WHERE",
	  .help = "the serial port, or hvc0 for guests that have virtio_console" },
	{ "console-log", OPT_STR, AT(machine.console_log), .arg = "FILE",
	  .help = "all that the guest prints on its console, in a file too" },
	{ "console-limit", OPT_SIZE, AT(machine.console_limit), "64M", KIB(64), GIB(1024),
	  .arg = "SIZE", .help = "how large that may become; what is older is dropped" },
	{ "cpus", OPT_U32, AT(machine.cpus), "1", 1, MACHINE_CPUS_MAX, .help = "virtual CPUs" },
	{ "memory", OPT_SIZE, AT(machine.memory), "512M", MIB(64), GIB(512), .arg = "SIZE",
	  .help = "guest RAM" },
	{ "disk", OPT_LIST, AT(machine.disks), .arg = "FILE[,KEY=VALUE...]",
	  .help = "an image or block device as the next LUN; see --device scsi-disk,help" },
	{ "cdrom", OPT_LIST, AT(machine.cdroms), .arg = "FILE[,KEY=VALUE...]",
	  .help = "an image in a CD-ROM drive, as the LUN after the disks" },
	{ "device", OPT_LIST, AT(machine.devices), .arg = "CLASS[,KEY=VALUE...]",
	  .help = "a device; --device help lists the classes" },
	{ "net", OPT_STR, AT(machine.net), "none", .arg = "WHAT",
	  .help = "the guest's network: none, user (by passt), tap=NAME; see --device virtio-net,"
		  "help" },
	{ "publish", OPT_LIST, AT(machine.publish), .arg = "[tcp:|udp:][ADDRESS:]HOST:GUEST",
	  .help = "a port of the host that is one of the guest's, with --net user" },
	{ "vhost", OPT_ENUM, AT(machine.vhost), "auto", .words = vhost_words, .arg = "WHEN",
	  .help = "let the kernel serve disks: where it can, or not run without, or never" },
	{ "on-enospc", OPT_ENUM, AT(machine.on_enospc), "report", .words = full_words,
	  .arg = "WHAT",
	  .help = "when the host's disk is full: tell the guest, wait for room, end the run" },
	{ "overlay", OPT_ENUM, AT(machine.overlay), "auto", .words = overlay_words, .arg = "WHAT",
	  .help = "are changes of disks kept apart and dropped, where --disk does not say it: auto "
		  "is on with a command" },
	{ "commit", OPT_BOOL, AT(machine.commit),
	  .help = "overlay=on keeps what the guest has written, if the run is a success" },
	{ "keep-on-fail", OPT_STR, AT(machine.keep), .arg = "DIR",
	  .help = "what overlay=on would drop is left in DIR, if the run is no success" },
	{ "control", OPT_STR, AT(machine.control), .arg = "PATH",
	  .help = "a socket for commands while the guest runs; see lunette ctl --help" },
	{ "trace", OPT_STR, AT(machine.trace), .arg = "scsi=FILE",
	  .help = "a line for each SCSI command, with its result, in a file" },
	{ "json", OPT_STR, AT(report.json), .arg = "FILE",
	  .help = "how the run ended, and why, as JSON" },
	{ "junit", OPT_STR, AT(report.junit), .arg = "FILE",
	  .help = "the same for CI systems, with TAP and KTAP results of tests that are printed" },
	{ "expect", OPT_LIST, AT(machine.expect.disks), .arg = "DISK.COUNTER>=N",
	  .help = "the run fails if a disk has done less; or == != < <= >" },
	{ "boot-budget", OPT_TIME, AT(machine.expect.boot_ms), NULL, 1, 86400000, .arg = "TIME",
	  .help = "the run fails if its command begins later" },
	{ "share", OPT_LIST, AT(files.shares), .arg = "DIR[:PATH]",
	  .help = "a folder as it is now, in the guest, which may write there and changes "
		  "nothing here; PATH is DIR's own, and where the command runs" },
	{ "out", OPT_STR, AT(files.out), .arg = "DIR[:PATH]",
	  .help = "what the command leaves in PATH, by default /out, comes to DIR" },
	{ "out-limit", OPT_SIZE, AT(files.out_limit), "16G", MIB(1), GIB(1024), .arg = "SIZE",
	  .help = "how much that may be" },
	{ "tty", OPT_BOOL, AT(machine.job.tty),
	  .help = "-t: this terminal is the command's" },
	{ "env", OPT_LIST, AT(machine.job.env), .arg = "NAME[=VALUE]",
	  .help = "a variable of the command's environment; without a value, as it is here" },
	{ "cwd", OPT_STR, AT(machine.job.cwd), .arg = "DIR",
	  .help = "where in the guest the command runs" },
	{ "timeout", OPT_TIME, AT(machine.limits.run), .min = 1, .max = TIME_MAX, .arg = "TIME",
	  .help = "end the run when it takes longer, and show where the guest is" },
	{ "boot-timeout", OPT_TIME, AT(machine.limits.boot), .min = 1, .max = TIME_MAX,
	  .words = no_time, .arg = "TIME|none",
	  .help = "the same when a command has not begun by then; 60s where nothing is said" },
	{ "explain", OPT_BOOL, AT(explain), .help = "say what would be made, and why, and end" },
	{ "log", OPT_ENUM, AT(log_level), "auto", .words = log_words, .arg = "LEVEL",
	  .help = "how much lunette says of itself; auto: warning beside a command, else note" },
	{ 0 }
};

static void help(FILE *out)
{
	fputs("usage: lunette run --kernel FILE [OPTION...]\n"
	      "       lunette run [OPTION...] -- COMMAND [ARGUMENT...]\n\n"
	      "Boots a Linux guest, its console on this terminal; or runs a command in one, with\n"
	      "stdin, stdout, stderr and status as if it ran here. Ctrl-A x ends it.\n\n",
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

/* An option that may stand alone takes no word that follows. */
static bool is_switch(const char *key)
{
	const struct opt *o = run_opts;

	while (o->key && strcmp(o->key, key))
		o++;
	return o->key && o->type == OPT_BOOL;
}

/*
 * One option, "--key value" or "--key=value", from argv on. Returns how many words it took, -EINVAL
 * after one line.
 */
static int parse_one(struct run_cfg *cfg, char **argv)
{
	char *key = argv[0] + 2, *value = strchr(argv[0], '=');
	int words = 1;

	if (!strcmp(argv[0], "-t"))
		return opt_set(run_opts, cfg, "--", "tty", NULL) < 0 ? -1 : 1;
	if (strncmp(argv[0], "--", 2)) {
		log_err("run: '%s' is no option; a disk is given with --disk, a kernel with "
			"--kernel, a command after --", argv[0]);
		return -1;
	}
	if (value) {
		*value++ = 0;
	} else if (argv[1] && !is_switch(key)) {
		value = argv[1];
		words = 2;
	}
	return opt_set(run_opts, cfg, "--", key, value) < 0 ? -1 : words;
}

/* A word that makes no sense is reported, too: where to may stand in those that follow. */
static void find_report(struct run_cfg *cfg, char **argv)
{
	char heard[256];

	log_hear(heard, sizeof(heard));
	for (; *argv && strcmp(*argv, "--"); argv++) {
		if (!strncmp(*argv, "--json", 6) || !strncmp(*argv, "--junit", 7))
			parse_one(cfg, argv);
	}
	log_hear(NULL, 0);
}

/* What the command has of options is looked at once all are known. False after one line. */
static bool check_job(struct run_cfg *cfg)
{
	struct job_cfg *job = &cfg->machine.job;

	if (job->argv && !job->argv[0]) {
		log_err("run: no command after --");
		return false;
	}
	if (!job->argv && (job->tty || job->cwd || job->env.count || cfg->machine.limits.boot ||
			   cfg->files.shares.count || cfg->files.out)) {
		log_err("run: --tty, --env, --cwd, --share, --out and --boot-timeout are about a "
			"command; it comes last, after --");
		return false;
	}
	if (job->tty && !isatty(STDIN_FILENO)) {
		log_err("run: -t: stdin is not a terminal");
		return false;
	}
	if (!cfg->machine.kernel && !job->argv) {
		log_err("run: --kernel FILE is missing; lunette run --help tells more");
		return false;
	}
	return true;
}

/* A guest that does not get to its command is no reason to wait, unless the user says so. */
static void set_boot_timeout(struct machine_cfg *cfg)
{
	if (cfg->job.argv && !cfg->limits.boot)
		cfg->limits.boot = BOOT_TIME;
	if (cfg->limits.boot > TIME_MAX) /* "none" */
		cfg->limits.boot = 0;
}

/* Returns an exit status, or -1: go on. */
static int parse(struct run_cfg *cfg, int argc, char **argv)
{
	int i, n;
	unsigned k;

	opt_defaults(run_opts, cfg);
	for (i = 0; i < argc; i += n) {
		if (!strcmp(argv[i], "--")) {
			cfg->machine.job.argv = argv + i + 1;
			cfg->machine.report->argv = argv + i + 1;
			break;
		}
		if (!strcmp(argv[i], "--help")) {
			help(stdout);
			return 0;
		}
		n = parse_one(cfg, argv + i);
		if (n < 0) {
			find_report(cfg, argv + i + 1);
			return causes[CAUSE_USAGE].status;
		}
	}
	for (k = 0; k < cfg->machine.devices.count; k++) {
		n = class_help(cfg->machine.devices.item[k]);
		if (n >= 0)
			return n;
	}
	if (!check_job(cfg) || expect_check(&cfg->machine.expect, cfg->machine.job.argv) < 0)
		return causes[CAUSE_USAGE].status;
	set_boot_timeout(&cfg->machine);
	return -1;
}

/*
 * A file that "make guest-kernel" leaves in the user's cache. Returns its name, malloc()ed; NULL
 * after one line.
 */
static char *find_cached(const char *option, const char *name)
{
	char *path = cache_path(name);

	if (!path)
		return NULL;
	if (access(path, R_OK) == 0)
		return path;
	log_err("%s: %s: %s; \"make guest-kernel\" makes it", option, path, strerror(errno));
	free(path);
	return NULL;
}

/*
 * The small kernel stands for "micro", and is what commands run on. They also need the initramfs
 * that suits it. False after one line.
 */
static bool find_kernel(struct machine_cfg *cfg, char **kernel, char **initrd)
{
	bool micro = !cfg->kernel || !strcmp(cfg->kernel, "micro");

	if (micro)
		cfg->kernel = *kernel = find_cached("--kernel micro", "kernel-micro/vmlinux");
	if (!cfg->kernel)
		return false;
	if (!cfg->job.argv || cfg->initrd)
		return true;
	if (!micro) {
		log_err("run: a command needs an --initrd that suits the kernel; run-guest.sh "
			"makes one");
		return false;
	}
	cfg->initrd = *initrd = find_cached("--initrd", "initramfs.cpio");
	return *initrd;
}

static enum cause run_as_expected(struct machine *m, const struct machine_cfg *cfg)
{
	struct report *r = cfg->report;
	bool met;

	r->cause = machine_run(m);
	met = expect_met(&cfg->expect, &m->devices, r, report_status(r) == 0);
	return met || report_status(r) ? r->cause : CAUSE_EXPECT;
}

static enum cause run(const struct run_cfg *cfg)
{
	struct report *report = cfg->machine.report;
	struct machine *m = malloc(sizeof(*m));
	enum cause cause;

	if (!m)
		return CAUSE_SETUP;
	cause = machine_create(m, &cfg->machine);
	if (cause == CAUSE_POWEROFF) {
		if (cfg->explain)
			device_explain_all(&m->devices, stdout);
		else
			cause = run_as_expected(m, &cfg->machine);
		report->by_signal = cause == CAUSE_SIGNAL ? m->signal : 0;
		machine_destroy(m);
		cause = limits_cause(&m->limits, cause);
		report_mark(report, PHASE_OFF);
		report_log_times(report);
	}
	free(m);
	return cause;
}

/* The run, between its files in and its files out. */
static enum cause run_with_files(struct run_cfg *cfg)
{
	struct report *r = cfg->machine.report;
	struct files *files;

	if (cfg->log_level)
		log_set_level(cfg->log_level - 1);
	else
		log_set_level(cfg->machine.job.argv ? LOG_WARN : LOG_NOTE);
	files = files_create(&cfg->files);
	if (!files)
		return errno == EINVAL ? CAUSE_USAGE : CAUSE_SETUP;
	cfg->machine.job.files = files;
	r->cause = run(cfg);
	if (report_time(r, PHASE_ENTERED) >= 0 && files_collect(files) < 0 &&
	    report_status(r) == 0)
		r->cause = CAUSE_HOST_IO;
	files_destroy(files);
	return r->cause;
}

/* The run, or the failure to make sense of what was asked for, and its report. */
static int run_and_report(struct run_cfg *cfg, bool usage)
{
	struct report *r = cfg->machine.report;
	struct report_out out;
	char *kernel = NULL, *initrd = NULL;

	if (cfg->explain)
		cfg->report = (struct report_cfg){ 0 };
	r->cause = usage ? CAUSE_USAGE : CAUSE_SETUP;
	if (report_out_open(&out, &cfg->report, r) < 0)
		return report_status(r);
	if (!usage && find_kernel(&cfg->machine, &kernel, &initrd))
		r->cause = run_with_files(cfg);
	if (report_out_write(&out, r) < 0 && report_status(r) == 0)
		r->cause = CAUSE_HOST_IO;
	report_out_close(&out);
	free(kernel);
	free(initrd);
	return report_status(r);
}

int run_main(int argc, char **argv)
{
	struct report report;
	struct run_cfg cfg = { .machine.report = &report };
	int status;

	report_init(&report, &cfg.machine);
	status = parse(&cfg, argc, argv);
	if (status != 0)
		status = run_and_report(&cfg, status > 0);
	opt_free(run_opts, &cfg);
	report_fini(&report);
	return status;
}

int run_check(int argc, char *const *argv, uint64_t *memory, unsigned *cpus)
{
	struct report report = { 0 };
	struct run_cfg cfg = { .machine.report = &report };
	char **copy = calloc(argc + 1, sizeof(*copy)); /* as parse() cuts words up */
	int i, status = 0;

	for (i = 0; copy && i < argc; i++)
		copy[i] = strdup(argv[i]);
	if (copy)
		status = parse(&cfg, argc, copy);
	*memory = cfg.machine.memory;
	*cpus = cfg.machine.cpus;
	opt_free(run_opts, &cfg);
	for (i = 0; copy && i < argc; i++)
		free(copy[i]);
	free(copy);
	return status < 0 ? 0 : -EINVAL;
}
