/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/job.h"
#include "tests/lib/console_driver.h"
#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/machine/console.h"
#include "vmm/machine/machine.h"
#include "vmm/run/files/files.h"
#include "vmm/run/guest.h"
#include "vmm/run/job.h"
#include "vmm/run/report/report.h"

Suite *job_suite(void);

/* Ports of the console device: 0 is not there. */
#define CONTROL 1
#define PORTS 5

static struct stderr_text said;
static struct testbed tb;
static struct vdriver v;
static struct machine m;
static struct report report;
static struct guest_cfg guest_cfg;
static struct job *job;
static char *command[] = { "true", NULL };
static struct job_cfg cfg = { .argv = command };
static sem_t ended, go_on;
static atomic_bool busy; /* the main thread has other things to do once the run is over, */
static enum cause busy_cause; /* and asks for its cause after that */

/* What the job asks of the machine. */

void machine_end(struct machine *machine, enum cause cause)
{
	machine->cause = cause;
	sem_post(&ended);
	if (busy) {
		sem_wait(&go_on);
		busy_cause = job_cause(job, cause);
		sem_post(&ended);
	}
}

void console_set_quiet(struct console *con, bool keys)
{
	(void)con, (void)keys;
}

static struct loop *iothread(struct platform *p, const char *name)
{
	(void)p;
	return tb.p.iothread(&tb.p, name);
}

static void set_up(void)
{
	sem_init(&ended, 0, 0);
	sem_init(&go_on, 0, 0);
	testbed_init(&tb);
	m = (struct machine){ .main_loop = tb.main_loop, .platform = tb.p,
			      .limits = LIMITS_NONE };
	m.platform.iothread = iothread;
	report_init(&report, &guest_cfg);
	stderr_begin(&said); /* so it is not stdout, and has a port of its own */
	job = job_create(&m, &report, &cfg);
	ck_assert_ptr_nonnull(job);
	ck_assert_int_eq(device_ready_all(&m.devices), 0);
	testbed_start(&tb);
	ck_assert(vdriver_probe(&v, &tb, 0));
	ck_assert(vdriver_start(&v, ~0ull, CONSOLE_TX(PORTS - 1) + 1, 64));
	ck_assert(console_open(&v, CONTROL, PORTS));
}

static int destroy(void *arg)
{
	job_destroy(arg);
	return 0;
}

static void tear_down(void)
{
	vdriver_fini(&v);
	device_destroy_all(&m.devices);
	loop_call(tb.main_loop, destroy, job);
	testbed_fini(&tb);
	report_fini(&report);
	sem_destroy(&ended);
	sem_destroy(&go_on);
}

/* By the control port; "end" is the last of it. */
static void guest_says(const char *text, size_t len)
{
	while (len) {
		struct iovec out = { (void *)text, min_u64(len, 4096) };

		ck_assert_int_eq(vdriver_request(&v, CONSOLE_TX(CONTROL), &out, 1, NULL, 0,
						 CONSOLE_WAIT_MS), 0);
		text += out.iov_len;
		len -= out.iov_len;
	}
}

struct asked {
	enum cause machine, job;
};

static int ask(void *arg)
{
	struct asked *asked = arg;

	asked->job = job_cause(job, asked->machine);
	return 0;
}

/* By the main thread, as in a run. */
static enum cause cause_when(enum cause machine)
{
	struct asked asked = { .machine = machine };

	loop_call(tb.main_loop, ask, &asked);
	return asked.job;
}

static enum cause cause_of(const char *text, size_t len)
{
	enum cause cause;

	guest_says(text, len);
	sem_wait(&ended);
	cause = cause_when(m.cause);
	stderr_end(&said);
	return cause;
}

START_TEST(command_ends)
{
	static const char text[] = "up\nstart\nexit 7\nend\n";

	ck_assert_int_eq(cause_of(text, strlen(text)), CAUSE_EXIT);
	ck_assert_int_eq(report.exit, 7);
	ck_assert_int_gt(report_time(&report, PHASE_START), 0);
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(end_without_a_result)
{
	ck_assert_int_eq(cause_of("end\n", 4), CAUSE_NO_RESULT);
	ck_assert_str_eq(said.text, "lunette: error: the guest has come to its end and has not "
			 "said how the command ended\n");
}
END_TEST

START_TEST(no_flood_of_lines)
{
	static char text[40000];
	size_t len = 0;

	while (len < sizeof(text) - 100)
		len += sprintf(text + len, "error no luck\nlost all\noom %zu\n", len + 1);
	len += sprintf(text + len, "end\n");
	ck_assert_int_eq(cause_of(text, len), CAUSE_BOOT);
	ck_assert_str_eq(said.text, "lunette: error: the guest: no luck\n"
			 "lunette: error: --out: the guest cannot give all of its results: all\n"
			 "lunette: warning: out of memory in the guest: its kernel killed 1 "
			 "process; --memory gives it more\n");
}
END_TEST

/* Only whole lines that make sense are heard. */
START_TEST(nonsense)
{
	static const char *const lines[] = {
		"exit 256", "exit -1", "exit  1", "exit 1 ", "exit", "exit 0x1", "signal 0",
		"signal 65", "signal 99999999999999999999", "Exit 1", " exit 1", "exit 1\r",
		"end ?", "oom 0", "", "\033[2J",
	};
	static char text[70000];
	size_t len, i;

	len = sprintf(text, "exit 7\n");
	for (i = 0; i < ARRAY_SIZE(lines); i++)
		len += sprintf(text + len, "%s\n", lines[i]);
	memset(text + len, 'e', 60000); /* longer than a line may be, whatever its end is */
	len += 60000;
	len += sprintf(text + len, " exit 9\nend\n");
	ck_assert_int_eq(cause_of(text, len), CAUSE_EXIT);
	ck_assert_int_eq(report.exit, 7);
	ck_assert_int_lt(report.signal, 0);
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(power_off_before_the_end)
{
	static const char text[] = "up\nstart\n";

	guest_says(text, strlen(text));
	ck_assert_int_eq(cause_when(CAUSE_POWEROFF), CAUSE_NO_RESULT);
	ck_assert_int_eq(cause_when(CAUSE_PANIC), CAUSE_PANIC);
	ck_assert_str_eq(stderr_end(&said),
			 "lunette: error: the guest powered itself off before the command ended\n");
}
END_TEST

static int main_is_slow(void *arg)
{
	sem_post(&ended);
	sem_wait(&go_on);
	return ask(arg);
}

static void *keep_main_busy(void *arg)
{
	loop_call(tb.main_loop, main_is_slow, arg);
	return NULL;
}

/* The guest has said all, and is off before the main thread has read it. */
START_TEST(power_off_is_quicker)
{
	static const char text[] = "up\nstart\nexit 7\nend\n";
	struct asked asked = { .machine = CAUSE_POWEROFF };
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, keep_main_busy, &asked), 0);
	sem_wait(&ended);
	guest_says(text, strlen(text));
	sem_post(&go_on);
	pthread_join(thread, NULL);
	ck_assert_int_eq(asked.job, CAUSE_EXIT);
	ck_assert_int_eq(report.exit, 7);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* The user of a shell may end it so. */
START_TEST(power_off_of_a_shell)
{
	static const char text[] = "up\nstart\n";

	cfg.shell = true;
	guest_says(text, strlen(text));
	ck_assert_int_eq(cause_when(CAUSE_POWEROFF), CAUSE_POWEROFF);
	ck_assert_int_eq(cause_when(CAUSE_REBOOT), CAUSE_REBOOT);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

/* More than there is room for, when nobody listens any more: a reset does not wait for that. */
START_TEST(talk_after_the_end)
{
	static const char end[] = "end\n";
	static char talk[4096];
	struct iovec out = { talk, sizeof(talk) };

	busy = true;
	guest_says(end, strlen(end));
	sem_wait(&ended);
	while (vdriver_request(&v, CONSOLE_TX(CONTROL), &out, 1, NULL, 0, 50) == 0)
		;
	sem_post(&go_on);
	sem_wait(&ended);
	ck_assert_int_eq(busy_cause, CAUSE_NO_RESULT);
	vdriver_reset(&v);
	stderr_end(&said);
}
END_TEST

/* What the guest is told, its NULs as line ends. */
static void check_spec(const char *wanted)
{
	char text[4096];
	int n, k;

	console_give(&v, CONSOLE_RX(CONTROL), sizeof(text) - 1);
	n = console_take(&v, CONSOLE_RX(CONTROL), text, sizeof(text) - 1, CONSOLE_WAIT_MS);
	ck_assert_int_gt(n, 0);
	for (k = 0; k < n; k++)
		text[k] = text[k] ? text[k] : '\n';
	text[n] = 0;
	ck_assert_ptr_nonnull(strstr(text, "cwd="));
	ck_assert_str_eq(strstr(text, "cwd="), wanted);
	stderr_end(&said);
}

/* An image of container tools, whose one layer is empty, as its root file system. */

#define DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char top[] = "/tmp/lunette-job-XXXXXX";
static struct files_cfg files_cfg;
static void (*change)(void); /* what is asked for in this test */

static void set_up_image(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	setenv("XDG_CACHE_HOME", top, 1);
	ck_assert_int_eq(system("mkdir -p i/blobs/sha256; cd i/blobs/sha256; : >" DIGEST "\n"
		"blob() { cat >t; s=$(sha256sum <t | cut -c 1-64); mv t $s; }\n"
		"blob <<-E\n{\"config\":{\"Env\":[\"A=image\"],\"Entrypoint\":[\"/e\"],"
		"\"Cmd\":[\"own\",\"x y\"],\"WorkingDir\":\"/w\",\"User\":\"ann\"}}\nE\n"
		"blob <<-E\n{\"config\":{\"digest\":\"sha256:$s\"},\"layers\":[{\"digest\":"
		"\"sha256:" DIGEST "\"}]}\nE\n"
		"echo \"{\\\"manifests\\\":[{\\\"digest\\\":\\\"sha256:$s\\\"}]}\" "
		">../../index.json"), 0);
	files_cfg.root = "oci:i";
	cfg.files = files_create(&files_cfg);
	ck_assert_ptr_nonnull(cfg.files);
	change();
	set_up();
}

static void tear_down_image(void)
{
	char line[100];

	tear_down();
	files_destroy(cfg.files);
	snprintf(line, sizeof(line), "rm -r %s", top);
	ck_assert_int_eq(system(line), 0);
}

static void ask_for_nothing(void)
{
}

static void set_up_command(void)
{
	change = ask_for_nothing;
	set_up_image();
}

START_TEST(command_in_an_image)
{
	check_spec("cwd=/w\nuser=ann\nenv=A=image\narg=/e\narg=true\ngo\n");
}
END_TEST

static void ask_for_own(void)
{
	static const char *env[] = { "A=mine" };

	cfg.own = true;
	cfg.cwd = "/";
	cfg.user = "0:0";
	cfg.env = (struct opt_list){ env, 1 };
}

static void set_up_own(void)
{
	change = ask_for_own;
	set_up_image();
}

START_TEST(own_command_of_an_image)
{
	check_spec("cwd=/\nuser=0:0\nenv=A=image\nenv=A=mine\narg=/e\narg=own\narg=x y\ngo\n");
}
END_TEST

static void ask_for_a_shell(void)
{
	cfg.shell = true;
}

static void set_up_shell(void)
{
	change = ask_for_a_shell;
	set_up_image();
}

START_TEST(shell_in_an_image)
{
	check_spec("cwd=/w\nuser=ann\nenv=A=image\narg=true\ngo\n");
}
END_TEST

Suite *job_suite(void)
{
	Suite *s = suite_create("job");
	TCase *tc = unit_case(s, "job");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, command_ends);
	tcase_add_test(tc, end_without_a_result);
	tcase_add_test(tc, no_flood_of_lines);
	tcase_add_test(tc, nonsense);
	tcase_add_test(tc, talk_after_the_end);
	tcase_add_test(tc, power_off_before_the_end);
	tcase_add_test(tc, power_off_is_quicker);
	tcase_add_test(tc, power_off_of_a_shell);
	tc = unit_case(s, "image");
	tcase_add_checked_fixture(tc, set_up_command, tear_down_image);
	tcase_add_test(tc, command_in_an_image);
	tc = unit_case(s, "own");
	tcase_add_checked_fixture(tc, set_up_own, tear_down_image);
	tcase_add_test(tc, own_command_of_an_image);
	tc = unit_case(s, "shell");
	tcase_add_checked_fixture(tc, set_up_shell, tear_down_image);
	tcase_add_test(tc, shell_in_an_image);
	return s;
}

UNIT_MAIN(job_suite)
