/* SPDX-License-Identifier: MIT */
/* KVM is ioctl() here; the run page is a file's. The tiny guest is looked at, and not run. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/stderr.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/x86_64/layout.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/probe.h"

Suite *x86_64_probe_suite(void);

#define VM_FD 1000
#define RUN_SIZE 4096

static struct vm vm = { .fd = VM_FD, .run_size = RUN_SIZE };
static int vcpu_fd;
static struct kvm_regs regs;
static struct kvm_sregs sregs;
static unsigned long failing;
static unsigned runs, interrupted, exit_reason = KVM_EXIT_IO, slow_ms;
static const struct mem *memory;
static struct stderr_text said;

static int run_guest(void)
{
	struct timespec time = { .tv_nsec = slow_ms * 1000000l };
	uint8_t code[16];
	uint32_t reason = exit_reason;

	runs++;
	if (interrupted) {
		interrupted--;
		errno = EINTR;
		return -1;
	}
	/* It begins where its code is, and that is a mov. */
	ck_assert_int_eq(mem_read(memory, regs.rip, code, sizeof(code)), 0);
	ck_assert_uint_eq(code[0], 0xb9);
	ck_assert_uint_eq(sregs.cr3, PAGE_TABLES_AT);
	ck_assert_uint_eq(sregs.cs.l, 1);
	nanosleep(&time, NULL);
	ck_assert_int_eq(pwrite(vcpu_fd, &reason, sizeof(reason),
				offsetof(struct kvm_run, exit_reason)), sizeof(reason));
	return 0;
}

int fake_ioctl(int fd, unsigned long request, ...) __asm__("ioctl");

int fake_ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	void *arg;

	va_start(list, request);
	arg = va_arg(list, void *);
	va_end(list);
	if (request == failing) {
		errno = EINVAL;
		return -1;
	}
	ck_assert_int_eq(fd, request == KVM_CREATE_VCPU ? VM_FD : vcpu_fd);
	switch (request) {
	case KVM_CREATE_VCPU:
		vcpu_fd = memfd_create("vcpu", 0);
		ck_assert_int_eq(ftruncate(vcpu_fd, RUN_SIZE), 0);
		return vcpu_fd;
	case KVM_GET_SREGS:
		memset(arg, 0, sizeof(sregs));
		return 0;
	case KVM_SET_SREGS:
		memcpy(&sregs, arg, sizeof(sregs));
		return 0;
	case KVM_SET_REGS:
		memcpy(&regs, arg, sizeof(regs));
		return 0;
	case KVM_RUN:
		return run_guest();
	default:
		ck_abort_msg("%lx", request);
	}
}

int vm_set_memory(struct vm *of, const struct mem *mem)
{
	ck_assert_ptr_eq(of, &vm);
	memory = mem;
	return 0;
}

static int next_fd(void)
{
	int fd = dup(STDIN_FILENO);

	close(fd);
	return fd;
}

static uint64_t guest, host;

/* Nothing is left, whatever it says. */
static int probe(void)
{
	int before, r;

	stderr_begin(&said);
	before = next_fd();
	r = probe_kvm(&vm, &guest, &host);
	ck_assert_int_eq(next_fd(), before);
	stderr_end(&said);
	return r;
}

START_TEST(best_of_some)
{
	slow_ms = 5;
	ck_assert_int_eq(probe(), 0);
	ck_assert_uint_ge(runs, 2);
	ck_assert_uint_ge(guest, 5000000);
	ck_assert_uint_gt(host, 0);
	ck_assert_uint_lt(host, 1000000000);
	ck_assert_str_eq(said.text, "");
}
END_TEST

START_TEST(signals_come)
{
	interrupted = 5;
	ck_assert_int_eq(probe(), 0);
	ck_assert_uint_gt(runs, 5);
}
END_TEST

START_TEST(guest_that_fails)
{
	exit_reason = KVM_EXIT_FAIL_ENTRY;
	ck_assert_int_eq(probe(), -EIO);
	ck_assert_str_eq(said.text, "lunette: error: /dev/kvm: a guest of a few instructions fails "
				    "(KVM exit 9)\n");
}
END_TEST

static const struct {
	unsigned long request;
	int error;
	const char *line;
} failures[] = {
	{ KVM_CREATE_VCPU, -EINVAL, "/dev/kvm: no guest can be made: Invalid argument" },
	{ KVM_GET_SREGS, -EINVAL, "/dev/kvm: no guest can be made: Invalid argument" },
	{ KVM_SET_SREGS, -EINVAL, "/dev/kvm: no guest can be made: Invalid argument" },
	{ KVM_SET_REGS, -EINVAL, "/dev/kvm: no guest can be made: Invalid argument" },
	{ KVM_RUN, -EIO, "/dev/kvm: a guest of a few instructions fails" },
};

START_TEST(kvm_that_refuses)
{
	failing = failures[_i].request;
	ck_assert_int_eq(probe(), failures[_i].error);
	ck_assert_msg(strstr(said.text, failures[_i].line), "%s", said.text);
}
END_TEST

Suite *x86_64_probe_suite(void)
{
	Suite *s = suite_create("x86_64_probe");
	TCase *tc = unit_case(s, "probe");

	tcase_add_test(tc, best_of_some);
	tcase_add_test(tc, signals_come);
	tcase_add_test(tc, guest_that_fails);
	tcase_add_loop_test(tc, kvm_that_refuses, 0, ARRAY_SIZE(failures));
	return s;
}

UNIT_MAIN(x86_64_probe_suite)
