/*
 * probe.c - does KVM run kernel code, or does it emulate it?
 *
 * The guest is a loop of 64-bit kernel code, some twenty thousand instructions,
 * and a port write at its end. A processor needs microseconds for it, an
 * emulator some ten milliseconds.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/x86.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/util.h"
#include "vmm/vm.h"

#define CODE_AT 0x100000
#define ROUNDS 10000
#define TRIES 3

/* mov $ROUNDS, %ecx; 1: dec %ecx; jnz 1b; out %al, $0x80; jmp to the start */
static const uint8_t code[] = {
	0xb9, ROUNDS & 0xff, ROUNDS >> 8, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xe6, 0x80, 0xeb, 0xf3,
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t time_host(void)
{
	uint64_t start = now_ns();
	uint32_t n = ROUNDS;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(n) : : "cc");
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
	return run->exit_reason == KVM_EXIT_IO ? now_ns() - start : 0;
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

static int make_guest(struct vm *vm, struct mem *mem)
{
	static const struct arch_entry entry = { .pc = CODE_AT, .mode = X86_LONG };
	int vcpu, r;

	r = mem_add(mem, 0, MIB(2));
	if (r == 0)
		r = x86_write_long_mode_tables(mem);
	if (r == 0)
		r = mem_write(mem, CODE_AT, code, sizeof(code));
	if (r == 0)
		r = vm_set_memory(vm, mem);
	if (r < 0)
		return r;
	vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		return -errno;
	r = x86_set_entry(vcpu, &entry);
	if (r < 0) {
		close(vcpu);
		return r;
	}
	return vcpu;
}

int arch_probe(struct vm *vm, uint64_t *guest_ns, uint64_t *host_ns)
{
	struct mem mem = { 0 };
	struct kvm_run *run;
	int vcpu, r;

	vcpu = make_guest(vm, &mem);
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
