/* SPDX-License-Identifier: MIT */
#ifndef TESTS_GUEST_FIXTURE_H
#define TESTS_GUEST_FIXTURE_H

/*
 * A run of a guest, whose machine is a stand-in: it has the test bed's platform, and does as told.
 * Devices, files, control socket and report are real. The host is open() and mkdir(), which fail
 * as they are told to.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "tests/lib/testbed.h"
#include "tests/lib/tree.h"
#include "vmm/core/claim.h"
#include "vmm/core/fail.h"
#include "vmm/core/util.h"
#include "vmm/machine/gdb.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/console.h"
#include "vmm/machine/dump.h"
#include "vmm/machine/image.h"
#include "vmm/machine/picture.h"
#include "vmm/run/guest.h"
#include "vmm/run/job.h"
#include "vmm/run/report/report.h"
#include "vmm/run/report/tap.h"

static struct testbed tb;
static struct tree tree;
static struct guest g;
static struct guest_cfg cfg;
static struct report report;
static struct stderr_text said;
static bool is_there; /* is there a guest? */

static char calls[512]; /* of the machine, in order */
static const char *failing;
static int failure; /* what that call gives */
static enum cause ends, drained;
static bool begins; /* does it get to its first instruction? */

/* The machine */

static inline int call(const char *name)
{
	strcat(strcat(calls, name), " ");
	return failing && !strcmp(failing, name) ? failure : 0;
}

int machine_init(struct machine *m, const struct machine_spec *spec,
		 const struct machine_user *user, void *arg)
{
	*m = (struct machine){ .spec = *spec, .user = user, .user_arg = arg,
			       .main_loop = tb.main_loop };
	return call("init");
}

static inline struct loop *iothread(struct platform *p, const char *name)
{
	(void)p;
	return tb.p.iothread(&tb.p, name);
}

int machine_build(struct machine *m)
{
	m->platform = tb.p;
	m->platform.iothread = iothread;
	m->platform.claims = m->spec.claims;
	m->platform.overlay = m->spec.overlay;
	m->platform.commit = m->spec.commit;
	m->platform.keep = m->spec.keep;
	return call("build");
}

int machine_load(struct machine *m, const struct image *kernel, const struct image_list *initrds,
		 const char *cmdline)
{
	ck_assert_ptr_eq(m, &g.machine);
	ck_assert_str_eq(kernel->path, cfg.kernel);
	ck_assert_uint_eq(initrds->count, cfg.initrds.count);
	ck_assert_ptr_nonnull(strstr(cmdline, "panic=-1"));
	return call("load");
}

enum cause machine_run(struct machine *m)
{
	call("run");
	if (begins) {
		m->user->entered(m->user_arg);
		m->user->printed(m->user_arg, "ok 1 works\n1..1\n", 16);
	}
	atomic_store(&m->ended, begins);
	return ends;
}

enum cause machine_drain(struct machine *m, enum cause cause)
{
	(void)m;
	call("drain");
	return drained == CAUSE_COUNT ? cause : drained;
}

void machine_close(struct machine *m)
{
	call("close");
	device_destroy_all(&m->devices);
}

void machine_fini(struct machine *m)
{
	(void)m;
	call("fini");
}

void machine_end(struct machine *m, enum cause cause)
{
	(void)m;
	call(causes[cause].name);
}

int machine_pause(struct machine *m)
{
	(void)m;
	return call("pause");
}

void machine_resume(struct machine *m)
{
	(void)m;
	call("resume");
}

int gdb_create(struct gdb **gdb, struct machine *m, const char *text)
{
	(void)m;
	*gdb = NULL;
	return text ? call("gdb") : 0;
}

void gdb_destroy(struct gdb *gdb)
{
	ck_assert_ptr_null(gdb);
}

void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what)
{
	ck_assert_ptr_eq(vcpu, &g.machine.vcpu[1]);
	ck_assert_int_eq(what, VCPU_NMI);
	call("nmi");
}

int console_sysrq(struct console *con, char key)
{
	(void)con;
	ck_assert_int_eq(key, 'h');
	return call("sysrq");
}

static const char *dumped; /* to which file */

int dump_guest(struct machine *m, int folder, const char *name)
{
	ck_assert_ptr_eq(m, &g.machine);
	ck_assert_int_eq(folder, AT_FDCWD);
	dumped = name;
	return call("dump");
}

void dump_failed(struct machine *m, int folder, const char *path)
{
	struct stat st;

	ck_assert_ptr_eq(m, &g.machine);
	ck_assert_int_eq(fstat(folder, &st), 0);
	ck_assert(S_ISDIR(st.st_mode));
	dumped = path;
	call("dumped");
}

struct console_log *console_get_log(const struct console *con)
{
	(void)con;
	return NULL;
}

void picture_end(struct machine *m, void (*vcpu)(void *arg, const char *line), void *arg)
{
	(void)m, (void)vcpu, (void)arg;
	call("picture");
}

int arch_platform_devices(struct platform *p, struct device_list *list)
{
	(void)p, (void)list;
	return call("devices");
}

struct job *job_create(struct machine *m, struct report *r, const struct job_cfg *of)
{
	(void)m, (void)r, (void)of;
	errno = -call("job");
	return errno ? NULL : (struct job *)&cfg;
}

void job_destroy(struct job *job)
{
	(void)job;
}

enum cause job_cause(struct job *job, enum cause cause)
{
	(void)job;
	return cause == CAUSE_POWEROFF && report.exit >= 0 ? CAUSE_EXIT : cause;
}

/* The host */

static const char *refused; /* the file, or folder, which is */
static int host_error;

static inline bool refuses(const char *path)
{
	errno = host_error;
	return refused && !strcmp(path, refused);
}

int fake_open(const char *path, int flags, ...) __asm__("open");

int fake_open(const char *path, int flags, ...)
{
	unsigned mode;
	va_list list;

	va_start(list, flags);
	mode = flags & O_CREAT ? va_arg(list, unsigned) : 0;
	va_end(list);
	return refuses(path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* What open() without a mode is, where string functions are checked. */
int fake_open_2(const char *path, int flags) __asm__("__open_2");

int fake_open_2(const char *path, int flags)
{
	return fake_open(path, flags);
}

int mkdir(const char *path, mode_t mode)
{
	return refuses(path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* Runs */

static inline void set_up(void)
{
	testbed_init(&tb);
	tree_create(&tree);
	tree_put(&tree, "/kernel", "a kernel");
	tree_put(&tree, "/a.img", "");
	ck_assert_int_eq(chdir(tree.root), 0);
	ck_assert_int_eq(truncate("a.img", 1 << 20), 0);
	setenv("TMPDIR", tree.root, 1);
	cfg.kernel = "kernel";
	cfg.report = &report;
	cfg.net = "none";
	cfg.machine.memory = 64 << 20;
	cfg.machine.cpus = 1;
	cfg.machine.vhost = VHOST_OFF;
	cfg.machine.claims = claims_create(false);
	cfg.overlay = OVERLAY_OFF;
	ends = CAUSE_POWEROFF;
	drained = CAUSE_COUNT;
	begins = true;
	report_init(&report, &cfg);
	stderr_begin(&said);
}

static inline void tear_down(void)
{
	stderr_end(&said);
	if (is_there)
		guest_destroy(&g);
	report_fini(&report);
	claims_destroy(cfg.machine.claims);
	free(cfg.disks.item);
	free(cfg.devices.item);
	free(cfg.initrds.item);
	free(cfg.expect.disks.item);
	tree_remove(&tree);
	testbed_fini(&tb);
}

static inline void add(struct opt_list *list, const char *value)
{
	ck_assert_int_eq(opt_list_add(list, value), 0);
}

static inline enum cause create(void)
{
	enum cause cause = guest_create(&g, &cfg);

	is_there = cause == CAUSE_POWEROFF;
	return cause;
}

static inline void make(void)
{
	enum cause cause = create();

	ck_assert_msg(cause == CAUSE_POWEROFF, "%s", stderr_end(&said));
	ck_assert_int_eq(claims_begin(cfg.machine.claims), 0);
	*calls = 0;
}

static inline unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

#endif
