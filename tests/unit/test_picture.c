/* SPDX-License-Identifier: MIT */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "vmm/core/util.h"
#include "vmm/machine/console.h"
#include "vmm/machine/console_log.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/picture.h"

Suite *picture_suite(void);

static struct machine m;
static struct exits exits[MACHINE_CPUS_MAX];
static struct console_log *console_log;
static struct stderr_text said;
static char told[1024]; /* lines, with | behind each */
static bool quiet;

/* vCPUs without threads, a console without a terminal, and a machine that only ends. */

static char asked[256]; /* "ID:QUESTION " for each */
static enum cause end_cause;

void vcpu_ask(struct vcpu *vcpu, enum vcpu_question what)
{
	sprintf(asked + strlen(asked), "%u:%s ", vcpu->id, what == VCPU_LOOK ? "look" : "nmi");
	if (what == VCPU_LOOK)
		atomic_fetch_or(&vcpu->asked, VCPU_LOOK);
}

/* It answers. */
void vcpu_look(struct vcpu *vcpu)
{
	snprintf(vcpu->picture, sizeof(vcpu->picture), "stands at %#x", 0x1000 * (vcpu->id + 1));
	exits_text(vcpu->exits);
	atomic_store(&vcpu->asked, 0);
	atomic_store(&vcpu->looked, true);
}

void machine_end(struct machine *machine, enum cause cause)
{
	ck_assert_ptr_eq(machine, &m);
	end_cause = cause;
}

unsigned long console_printed(const struct console *con)
{
	ck_assert_ptr_eq(con, (void *)&quiet);
	return 4711;
}

bool console_is_quiet(const struct console *con)
{
	(void)con;
	return quiet;
}

struct console_log *console_get_log(const struct console *con)
{
	(void)con;
	return console_log;
}

static void tell(void *arg, const char *line)
{
	strcat(arg, line);
	strcat(arg, "|");
}

static void set_up(void)
{
	unsigned i;

	m.ncpus = 3;
	m.console = (void *)&quiet;
	for (i = 0; i < m.ncpus; i++) {
		m.vcpu[i].id = i;
		m.vcpu[i].exits = &exits[i];
	}
	exits_note(&exits[1], EXIT_OUT, 0x3f8, 1)->data = 'A';
	console_log = console_log_create();
	ck_assert_ptr_nonnull(console_log);
	console_log_write(console_log, "booting\nand then\n", 17);
	stderr_begin(&said);
}

static void tear_down(void)
{
	console_log_destroy(console_log);
}

/* What limits do */

START_TEST(all_are_asked)
{
	picture_limits.look(&m);
	ck_assert_str_eq(asked, "0:look 1:look 2:look ");
	ck_assert(atomic_load(&m.platform.hurry)); /* a vCPU may wait for who reads */
	ck_assert(!picture_limits.looked(&m));
	vcpu_look(&m.vcpu[0]);
	vcpu_look(&m.vcpu[2]);
	ck_assert(!picture_limits.looked(&m));
	vcpu_look(&m.vcpu[1]);
	ck_assert(picture_limits.looked(&m));
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

START_TEST(answers_are_shown)
{
	picture_limits.look(&m);
	vcpu_look(&m.vcpu[0]);
	vcpu_look(&m.vcpu[1]);
	picture_limits.show(&m);
	ck_assert_str_eq(stderr_end(&said),
			 "vCPU 0: stands at 0x1000\n"
			 "vCPU 1: stands at 0x2000\n"
			 "vCPU 1 left the guest last for: out1 3f8=41\n"
			 "vCPU 2: not in the guest; lunette waits, most likely for who reads its "
			 "output\n");
}
END_TEST

/* Who gets the NMI: the one in the worst trouble of those that have answered, one only. */
START_TEST(suspects)
{
	static const struct {
		enum vcpu_trouble trouble[3];
		bool looked[3];
		const char *asked;
	} examples[] = {
		{ { VCPU_IDLE, VCPU_IDLE, VCPU_IDLE }, { true, true, true }, "0:nmi " },
		{ { VCPU_IDLE, VCPU_BUSY, VCPU_IDLE }, { true, true, true }, "1:nmi " },
		{ { VCPU_IDLE, VCPU_BUSY, VCPU_DEAF }, { true, true, true }, "2:nmi " },
		{ { VCPU_DEAF, VCPU_BUSY, VCPU_DEAF }, { true, true, true }, "0:nmi " },
		{ { VCPU_DEAF, VCPU_IDLE, VCPU_BUSY }, { false, true, true }, "2:nmi " },
		{ { VCPU_DEAF, VCPU_DEAF, VCPU_DEAF }, { false, false, false }, "" },
	};
	unsigned i, k;

	for (i = 0; i < ARRAY_SIZE(examples); i++) {
		for (k = 0; k < m.ncpus; k++) {
			m.vcpu[k].trouble = examples[i].trouble[k];
			atomic_store(&m.vcpu[k].looked, examples[i].looked[k]);
		}
		*asked = 0;
		picture_limits.show(&m);
		ck_assert_str_eq(asked, examples[i].asked);
	}
	stderr_end(&said);
}
END_TEST

START_TEST(rest_is_the_machine_s)
{
	ck_assert_uint_eq(picture_limits.printed(&m), 4711);
	picture_limits.end(&m, CAUSE_BOOT);
	ck_assert_int_eq(end_cause, CAUSE_BOOT);
	stderr_end(&said);
}
END_TEST

/* The end */

#define TAIL "lunette: the last lines of the guest's console:\nbooting\nand then\n"
#define VCPUS                                                   \
	"vCPU 0: stands at 0x1000\n"                            \
	"vCPU 1: stands at 0x2000\n"                            \
	"vCPU 1 left the guest last for: out1 3f8=41\n"         \
	"vCPU 2: stands at 0x3000\n"

/* Of each cause: on a console that is seen, and on one that is not. */
static const struct {
	const char *seen, *quiet;
	bool vcpus; /* they are told to who asks */
} ends[CAUSE_COUNT] = {
	[CAUSE_REBOOT] = { "", "lunette: error: the guest asked for a reset\n" TAIL, false },
	[CAUSE_PANIC] = { "", "lunette: error: the guest's kernel panicked\n" TAIL, false },
	[CAUSE_TRIPLE_FAULT] = {
		"lunette: error: a vCPU shut down on a triple fault\n" VCPUS,
		"lunette: error: a vCPU shut down on a triple fault\n" VCPUS TAIL, true },
	[CAUSE_HALTED] = {
		"lunette: error: all vCPUs halted for good, with interrupts off\n" VCPUS,
		"lunette: error: all vCPUs halted for good, with interrupts off\n" VCPUS TAIL,
		true },
	[CAUSE_KVM_ERROR] = { VCPUS, VCPUS TAIL, true },
	[CAUSE_NO_RESULT] = { "", TAIL, false },
	[CAUSE_HOST_IO] = { "", TAIL, false },
	[CAUSE_TIMEOUT] = { "", TAIL, false },
	[CAUSE_BOOT] = { "", TAIL, false },
	[CAUSE_OOM] = { "", TAIL, false },
	/* All others are the guest's own wish, or the user's, or have been explained. */
};

static void check_end(enum cause cause)
{
	const char *wanted = quiet ? ends[cause].quiet : ends[cause].seen;

	m.cause = cause;
	picture_end(&m, tell, told);
	ck_assert_msg(!strcmp(stderr_end(&said), wanted ? wanted : ""), "%s: %s",
		      causes[cause].name, said.text);
	ck_assert_msg(!!*told == ends[cause].vcpus, "%s: %s", causes[cause].name, told);
}

START_TEST(end_of_one_that_is_seen)
{
	check_end(_i);
}
END_TEST

START_TEST(end_of_one_that_is_not)
{
	quiet = true;
	check_end(_i);
}
END_TEST

/* After a limit, where vCPUs were asked: what was shown then is not shown again, but told. */
START_TEST(what_was_asked_is_told)
{
	picture_limits.look(&m);
	vcpu_look(&m.vcpu[0]);
	vcpu_look(&m.vcpu[1]);
	m.cause = CAUSE_TIMEOUT;
	picture_end(&m, tell, told);
	ck_assert_str_eq(stderr_end(&said), "");
	ck_assert_str_eq(told, "vCPU 0: stands at 0x1000|vCPU 1: stands at 0x2000|"
			 "vCPU 1 left the guest last for: out1 3f8=41|"
			 "vCPU 2: not in the guest; lunette waits, most likely for who reads its "
			 "output|");
}
END_TEST

START_TEST(console_that_said_nothing)
{
	console_log_destroy(console_log);
	console_log = console_log_create();
	quiet = true;
	m.cause = CAUSE_TIMEOUT;
	picture_end(&m, tell, told);
	ck_assert_str_eq(stderr_end(&said), "");
}
END_TEST

Suite *picture_suite(void)
{
	Suite *s = suite_create("picture");
	TCase *tc = unit_case(s, "limits");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, all_are_asked);
	tcase_add_test(tc, answers_are_shown);
	tcase_add_test(tc, suspects);
	tcase_add_test(tc, rest_is_the_machine_s);

	tc = unit_case(s, "end");
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, end_of_one_that_is_seen, 0, CAUSE_COUNT);
	tcase_add_loop_test(tc, end_of_one_that_is_not, 0, CAUSE_COUNT);
	tcase_add_test(tc, what_was_asked_is_told);
	tcase_add_test(tc, console_that_said_nothing);
	return s;
}

UNIT_MAIN(picture_suite)
