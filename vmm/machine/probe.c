/* SPDX-License-Identifier: MIT */
#include "vmm/machine/probe.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/machine/arch/arch.h"
#include "vmm/machine/vm.h"

#define TRIES 3

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t time_host(void)
{
	uint64_t start = now_ns();

	arch_probe_loop();
	return now_ns() - start;
}

/* One round of the guest's code; 0: it did not come to its end. */
static uint64_t time_guest(int vcpu, const struct kvm_run *run)
{
	uint64_t start = now_ns();

	while (ioctl(vcpu, KVM_RUN, 0) < 0) {
		if (errno != EINTR)
			return 0;
	}
	return run->exit_reason == arch_probe_exit ? now_ns() - start : 0;
}

static int run_guest(int vcpu, const struct kvm_run *run, uint64_t *guest_ns, uint64_t *host_ns)
{
	int i;

	*guest_ns = *host_ns = UINT64_MAX;
	for (i = 0; i < TRIES; i++) {
		uint64_t ns = time_guest(vcpu, run);

		if (!ns) {
			log_err("/dev/kvm: a guest of a few instructions fails (KVM exit %u)",
				run->exit_reason);
			return -EIO;
		}
		*guest_ns = min_u64(*guest_ns, ns);
		*host_ns = min_u64(*host_ns, time_host());
	}
	return 0;
}

int probe_kvm(struct vm *vm, uint64_t *guest_ns, uint64_t *host_ns)
{
	struct mem mem = { 0 };
	struct kvm_run *run;
	int vcpu, r;

	vcpu = arch_probe_vcpu(vm, &mem);
	if (vcpu < 0) {
		r = vcpu;
		log_err("/dev/kvm: no guest can be made: %s", strerror(-r));
		goto free_mem;
	}
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED) {
		r = -errno;
		log_err("/dev/kvm: a vCPU's run page: %s", strerror(-r));
		goto close_vcpu;
	}
	r = run_guest(vcpu, run, guest_ns, host_ns);
	munmap(run, vm->run_size);
close_vcpu:
	close(vcpu);
free_mem:
	mem_free(&mem);
	return r;
}
