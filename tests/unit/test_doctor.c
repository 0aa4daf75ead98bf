/* SPDX-License-Identifier: MIT */
/* KVM is a stand-in; what else the machine has is its own, and does not matter. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "tests/lib/stderr.h"
#include "tests/lib/stdout.h"
#include "vmm/core/fail.h"
#include "vmm/core/log.h"
#include "vmm/core/util.h"
#include "vmm/machine/probe.h"
#include "vmm/machine/vm.h"
#include "vmm/run/run.h"

Suite *doctor_suite(void);

static int create_error, probe_error;
static uint64_t guest_time, host_time; /* ns */
static unsigned made;                  /* VMs that are there */
static struct stderr_text out, err;

int vm_create(struct vm *vm)
{
	*vm = (struct vm){ .fd = -1 };
	if (create_error)
		log_err("/dev/kvm: there is none");
	else
		made++;
	return create_error;
}

void vm_destroy(struct vm *vm)
{
	(void)vm;
	made--;
}

int probe_kvm(struct vm *vm, uint64_t *guest_ns, uint64_t *host_ns)
{
	(void)vm;
	if (probe_error)
		log_err("/dev/kvm: no guest can be made");
	*guest_ns = guest_time;
	*host_ns = host_time;
	return probe_error;
}

/* Words, up to two. Returns the status. */
static int doctor(const char *first, const char *second)
{
	char words[2][32], *argv[3] = { NULL };
	int argc = 0, status;

	if (first)
		argv[argc++] = strcpy(words[0], first);
	if (second)
		argv[argc++] = strcpy(words[1], second);
	stdout_begin(&out);
	stderr_begin(&err);
	status = doctor_main(argc, argv);
	stderr_end(&err);
	stdout_end(&out);
	ck_assert_uint_eq(made, 0);
	return status;
}

START_TEST(kvm_that_works)
{
	guest_time = 3000;
	host_time = 1000;
	ck_assert_int_eq(doctor(NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "/dev/kvm works, and runs kernel code at speed\n"));
	ck_assert_ptr_nonnull(strchr(out.text, '\n')[1] ? out.text : NULL); /* and other lines */
	ck_assert_str_eq(err.text, "");
}
END_TEST

static const struct {
	int create, probe;
	uint64_t guest, host;
	int status;
	const char *why;
} bad[] = {
	{ -ENOKVM, 0, 0, 0, 202, "/dev/kvm: there is none" },
	{ 0, -EIO, 0, 0, 202, "/dev/kvm: no guest can be made" },
	{ 0, 0, 100000, 999, 203, "this KVM emulates kernel code, 100 times slower than" },
	{ 0, 0, 51, 0, 203, "this KVM emulates kernel code, 51 times" },
};

/* The reason is in the list, and the last line, for who looks at no more. */
START_TEST(kvm_that_does_not)
{
	create_error = bad[_i].create;
	probe_error = bad[_i].probe;
	guest_time = bad[_i].guest;
	host_time = bad[_i].host;
	ck_assert_int_eq(doctor(NULL, NULL), bad[_i].status);
	ck_assert_ptr_nonnull(strstr(out.text, bad[_i].why));
	ck_assert_ptr_nonnull(strstr(err.text, bad[_i].why));
	ck_assert_ptr_eq(strchr(err.text, '\n'), err.text + strlen(err.text) - 1);
}
END_TEST

START_TEST(slow_within_bounds)
{
	guest_time = 50 * 1000;
	host_time = 1000;
	ck_assert_int_eq(doctor(NULL, NULL), 0);
}
END_TEST

START_TEST(step_for_a_workflow)
{
	create_error = -ENOKVM; /* it is not looked at */
	ck_assert_int_eq(_i ? doctor("--ci=github", NULL) : doctor("--ci", "github"), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "- name: "));
	ck_assert_ptr_nonnull(strstr(out.text, "sudo tee /etc/udev/rules.d/"));
	ck_assert_str_eq(err.text, "");
}
END_TEST

static const char *const wrong[][2] = {
	{ "now", NULL }, { "--ci", NULL }, { "--ci", "gitlab" }, { "--ci=gitlab", NULL },
	{ "--ci=github", "now" },
};

START_TEST(words_that_are_wrong)
{
	ck_assert_int_eq(doctor(wrong[_i][0], wrong[_i][1]), 200);
	ck_assert_ptr_nonnull(strstr(err.text, "it takes --ci github, or nothing"));
	ck_assert_str_eq(out.text, "");
}
END_TEST

START_TEST(help)
{
	ck_assert_int_eq(doctor("--ci", "--help"), 0);
	ck_assert_ptr_nonnull(strstr(out.text, "usage: lunette doctor"));
}
END_TEST

Suite *doctor_suite(void)
{
	Suite *s = suite_create("doctor");
	TCase *tc = unit_case(s, "doctor");

	tcase_add_test(tc, kvm_that_works);
	tcase_add_loop_test(tc, kvm_that_does_not, 0, ARRAY_SIZE(bad));
	tcase_add_test(tc, slow_within_bounds);
	tcase_add_loop_test(tc, step_for_a_workflow, 0, 2);
	tcase_add_loop_test(tc, words_that_are_wrong, 0, ARRAY_SIZE(wrong));
	tcase_add_test(tc, help);
	return s;
}

UNIT_MAIN(doctor_suite)
