# SPDX-License-Identifier: MIT
# Included by ../Makefile: the unit suites, the fuzzers, lint, and the doors to tests/run.sh.

FUZZ_SECONDS = 60

lib_o = $(patsubst %.c,$(out)/%.o,$(wildcard tests/lib/*.c))
# Suites of other architectures stay out, but for what needs no KVM, of which foreign_rule makes them.
foreign = aarch64 riscv64
elsewhere = $(filter-out $(ARCH) $(foreign),$(patsubst vmm/machine/arch/%/boot.c,%,$(wildcard vmm/machine/arch/*/boot.c)))
units = $(patsubst %.c,$(out)/%,$(filter-out $(elsewhere:%=tests/unit/test_%_%.c),$(wildcard tests/unit/test_*.c)))
fuzzers = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
replays = $(fuzzers:%=$(out)/tests/fuzz/replay_%)

# Above that: what needs neither KVM nor a whole machine.
above = $(patsubst vmm/%.c,%,$(wildcard vmm/run/*/*.c)) machine/arch/$(ARCH)/boot \
	$(addprefix machine/,cause console_log exits gdb_packet gdb_stub gdb_xml halt image limits memlimit tty unpack) \
	$(addprefix run/,cmdline exec_client facts inherited kernel_fetch net run_words wanted) host/host_check
above := $(filter-out run/matrix/matrix,$(above)) \
	$(if $(filter-out x86_64,$(ARCH)),$(with_tree:vmm/%.c=%))
above_o = $(above:%=$(out)/vmm/%.o)

.SECONDARY: $(lib_o) $(units:%=%.o) $(fuzzers:%=$(out)/tests/fuzz/fuzz_%.o) $(out)/tests/fuzz/replay.o

# An archive of what suites link, as each needs a few objects of it. It names them, and has no copies.
$(out)/tests/under.a: $(lib_o) $(lower_o) $(above_o)
	rm -f $@
	ar rcsT $@ $^

link_suite = $(link) -pie -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(out)/tests/unit/test_%: $(out)/tests/unit/test_%.o $(out)/tests/under.a
	$(link_suite) $(check_libs)
# Another machine's libcheck is unpacked when a suite is built for it.
ifdef cross
check_tree = $(eval check_tree := $(shell tests/lab/deb -a $(ARCH) -r check))$(check_tree)
check_libs = -L$(check_tree)/usr/lib/$(cross) -lcheck_pic -lrt -lm -l:libsubunit.a
$(out)/tests/unit/%.o: flags += -isystem $(check_tree)/usr/include
else
check_libs = $(eval check_libs := $(shell pkg-config --libs check))$(check_libs)
endif

# Of other architectures, what needs no KVM; in place of this one's.
tree_o = $(patsubst %.c,$(out)/%.o,$(with_tree))
foreign_of = $(patsubst %,$(out)/vmm/machine/arch/$(1)/%.o,boot describe)
foreign_o = $(tree_o) $(foreach arch,$(foreign),$(call foreign_of,$(arch)))

define foreign_rule
$(filter $(out)/tests/unit/test_$(1)_%,$(units)): %: %.o $(lib_o) $(lower_o) \
		$(filter-out %/$(ARCH)/boot.o,$(above_o)) $(tree_o) $(call foreign_of,$(1))
	$$(link) -pie -o $$@ $$^ $$(LIBS) -l:libfdt.a $$(check_libs)
endef
$(foreach arch,$(foreign),$(eval $(call foreign_rule,$(arch))))

# Their suites stand in for the machine.
$(out)/tests/unit/test_job: $(out)/vmm/run/job.o
$(out)/tests/unit/test_exec: $(out)/vmm/run/exec.o
$(out)/tests/unit/test_guest $(out)/tests/unit/test_guest_live: $(patsubst %,$(out)/vmm/run/%.o,exec guest guest_devices)
$(out)/tests/unit/test_guest_devices: $(patsubst %,$(out)/vmm/run/%.o,exec guest_devices)
$(out)/tests/unit/test_run $(out)/tests/unit/test_run_end: $(patsubst %,$(out)/vmm/run/%.o,job run run_kernel)
$(out)/tests/unit/test_run_kernel: $(out)/vmm/run/run_kernel.o
$(out)/tests/unit/test_kernel_cmd: $(patsubst %,$(out)/vmm/run/%.o,kernel_cmd run_kernel)
$(out)/tests/unit/test_console $(out)/tests/unit/test_console_sysrq: $(patsubst %,$(out)/vmm/machine/%.o,console tty)
$(addprefix $(out)/tests/unit/test_,machine machine_end restart): \
	$(patsubst %,$(out)/vmm/machine/%.o,machine restart)
$(out)/tests/unit/test_dump: $(out)/vmm/machine/dump.o $(out)/vmm/machine/dump_maps.o
$(out)/tests/unit/test_dump_maps: $(out)/vmm/machine/dump_maps.o
$(out)/tests/unit/test_walk: $(out)/vmm/machine/arch/walk.o
$(out)/tests/unit/test_gdb: $(out)/vmm/machine/gdb.o
$(out)/tests/unit/test_$(ARCH)_debug: $(out)/vmm/machine/arch/$(ARCH)/debug.o
$(out)/tests/unit/test_sandbox: $(out)/vmm/machine/sandbox.o
$(out)/tests/unit/test_tty: $(out)/vmm/machine/tty.o
$(out)/tests/unit/test_crash: $(patsubst %,$(out)/vmm/machine/%.o,crash tty)
$(out)/tests/unit/test_vm: $(out)/vmm/machine/vm.o
$(out)/tests/unit/test_one_reg: $(out)/vmm/machine/arch/one_reg.o
$(out)/tests/unit/test_vcpu $(out)/tests/unit/test_vcpu_thread: $(out)/vmm/machine/vcpu.o
$(out)/tests/unit/test_$(ARCH)_describe: $(out)/vmm/machine/arch/$(ARCH)/describe.o
$(out)/tests/unit/test_$(ARCH)_probe: $(patsubst %,$(out)/vmm/machine/%.o,probe arch/$(ARCH)/probe arch/$(ARCH)/vcpu)
$(out)/tests/unit/test_$(ARCH)_vcpu: $(out)/vmm/machine/arch/$(ARCH)/vcpu.o
$(out)/tests/unit/test_$(ARCH)_vm: $(out)/vmm/machine/arch/$(ARCH)/vm.o
$(out)/tests/unit/test_picture: $(out)/vmm/machine/picture.o
$(out)/tests/unit/test_$(ARCH)_state: $(patsubst %,$(out)/vmm/machine/%.o,vm vcpu \
	$(patsubst %,arch/$(ARCH)/%,state vcpu vm))

$(out)/tests/unit/test_shared_broker: $(patsubst %,$(out)/vmm/%.o,host/serve machine/sandbox)
$(out)/tests/unit/test_shared_broker: LDFLAGS += -Wl,--wrap=shared_lun_close
$(out)/tests/unit/test_doctor: $(out)/vmm/host/doctor.o
$(out)/tests/unit/test_matrix: $(out)/vmm/run/matrix/matrix.o
$(out)/tests/unit/test_clean: $(out)/vmm/host/clean.o
$(out)/tests/unit/test_clean: LDFLAGS += -Wl,--wrap=device_clean_all

# Of the guest's init, what needs no guest.
$(patsubst %,$(out)/tests/unit/test_%,pack packed user): $(out)/tests/unit/test_%: $(out)/guest/%.o
$(out)/tests/unit/test_guest_exec: $(patsubst %,$(out)/guest/%.o,command exec run user)

# The same entry as the fuzzer's, and a main() that feeds it the corpus.
$(out)/tests/fuzz/replay_%: $(out)/tests/fuzz/fuzz_%.o $(out)/tests/fuzz/replay.o $(out)/tests/under.a
	$(link_suite)

all_suites = $(units) $(replays)
suites: $(all_suites)

# In a program that starts no thread ThreadSanitizer has nothing to look for.
check: suites
	CK_TIMEOUT_MULTIPLIER=10 tests/check.sh \
		$(if $(filter thread,$(SAN)),$$(grep -l pthread_create $(all_suites)),$(all_suites))

# libFuzzer comes with clang, so everything below the fuzz target is built once more.
fuzz_flags = $(filter-out -fsanitize=% -fno-sanitize-recover=all,$(flags)) -O1 -g \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
fuzz_o = $(patsubst %.c,build/fuzz/%.o,$(lower) $(wildcard tests/lib/*.c) \
	$(above:%=vmm/%.c))

build/fuzz/%.o: %.c Makefile config.mk tests/tests.mk
	@mkdir -p $(@D)
	clang $(fuzz_flags) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o $(fuzz_o)
	clang $(fuzz_flags) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# What is found stays in build/fuzz/corpus; a crash is written to build/fuzz.
fuzz-%: build/fuzz/fuzz_%
	@mkdir -p build/fuzz/corpus/$*
	build/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -close_fd_mask=2 -print_final_stats=1 \
		-artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* tests/fuzz/corpus/$*

fuzz:
	guest/setup.sh run fuzz
	$(MAKE) $(fuzzers:%=fuzz-%)

# Warnings are errors here. In the build they are none, as a compiler that is not known yet may know more of
# them: it keeps what GCC says. Clang, which has others, goes through all sources once more, without making
# code. What is not built with the usual flags is compiled here by both.
lint_bare_c = $(wildcard tests/hostile/*.c) tests/soak/writer.c
lint_c = $(filter-out $(lint_bare_c),$(lower) $(upper) $(foreign_o:$(out)/%.o=%.c) \
	$(wildcard guest/*.c $(patsubst %,tests/%/*.c,lib unit fuzz vm soak bench)))
lint_o = $(lint_c:%.c=$(out)/%.o) $(lint_c:%.c=build/lint/clang/%.o) \
	$(foreach cc,gcc clang,$(lint_bare_c:%.c=build/lint/$(cc)/%.o))

define lint_rule
build/lint/$(1)/%.o: %.c Makefile config.mk tests/tests.mk | $(aml)
	@mkdir -p $$(@D)
	$(1) $$(if $$(filter $$<,$$(lint_bare_c)),$$(bare_flags),$$(flags) -fPIE) \
		$$(if $$(filter guest/%,$$<),-Wno-unused-result) -O2 -Werror -MMD -MP -MF $$(@:.o=.d) \
		$(if $(filter clang,$(1)),-fsyntax-only -MT $$@,-c -o $$@) $$<
	@touch $$@
endef
$(foreach cc,gcc clang,$(eval $(call lint_rule,$(cc))))

lint: $(out)/lunette $(out)/guest/init $(lint_o)
	@cat $(lint_c:%.c=$(out)/%.said) | (! grep .)
	tests/check-includes.sh
	tests/check-floors.sh $(out)
	tests/lint.sh $(out)
	tests/check-elf.sh $(out)
	tests/check-static.sh $(out)

test:
	tests/run.sh

test-all:
	tests/run.sh all

test-aarch64 test-riscv64: test-%:
	CPU=$* tests/run.sh vm boot disks transport vhost job files console end limits

check-vm: lunette
	tests/run.sh vm

# What tests/vm needs: in the lab host, and, static, in guests.
lab_programs = $(addprefix $(out)/tests/,vm/handover vm/resets vm/verify vm/resolver vm/vsock vm/atomic vm/netup soak/soak \
	$(patsubst tests/%/state.c,%/state,$(wildcard tests/vm/$(ARCH)/state.c)))

$(patsubst %,$(out)/tests/vm/%,handover resets): %: %.o $(lib_o) $(lower_o)
	$(link) -pie -o $@ $^ $(LIBS)

# What KVM takes of a machine, and gives: where this machine's headers do not know it.
$(out)/tests/vm/$(ARCH)/state: $(out)/tests/vm/$(ARCH)/state.o tests/vm/$(ARCH)/guest.S \
		$(filter-out $(out)/vmm/main.o,$(upper_o)) $(lower_o) $(version_o)
	$(link) -pie -o $@ $^ $(LIBS)

$(out)/tests/vm/netup: $(out)/guest/net.o

$(patsubst %,$(out)/tests/%,vm/verify vm/resolver vm/vsock vm/atomic vm/netup soak/soak): %: %.o
	$(link) $(static) -o $@ $^

lab-programs: lunette $(lab_programs)

# Guests without a kernel, for tests/cli: a driver (tests/hostile), and what is done with it.
bare_flags = -std=gnu11 -O1 -I. -Wall -Wextra -Wno-missing-field-initializers -ffreestanding -fno-pic \
	-fno-stack-protector -fcf-protection=none -mgeneral-regs-only
bare_link = -nostdlib -static -no-pie \
	-Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-Ttext-segment=0x200000
bare_guests = $(out)/tests/hostile/guest.elf $(out)/tests/soak/writer.elf

$(out)/tests/hostile/guest.elf: $(wildcard tests/hostile/*.[cS])
$(out)/tests/soak/writer.elf: tests/soak/writer.c $(patsubst %,tests/hostile/%,driver.c blk.c pci.c start.S)

$(bare_guests): tests/tests.mk $(wildcard tests/hostile/*.h tests/soak/*.h)
	@mkdir -p $(@D)
	$(CC) $(bare_flags) $(bare_link) -o $@ $(filter %.c %.S,$^)

bare-guests: $(bare_guests)

# Kills lunette 200 times, and runs it 1,100 times side by side. SEED=N, as a run has printed it, for
# the same choices once more.
soak:
	SOAK=180 MANY=1000 tests/run.sh cli soak many
	SOAK=20 MANY=100 tests/run.sh vm soak many

# The test suite of busybox, from Debian's source, in a guest.
real:
	tests/real/busybox.sh
	tests/real/e2fsprogs.sh

# What tests/bench/run.sh measures with, some of it in the lab host and, static, in its guests; it
# sets up, and makes them, before it does.
bench_programs = $(addprefix $(out)/tests/bench/,firstrun timeto diskread scsi4k storeread \
	$(if $(filter x86_64,$(ARCH)),payload.elf))

$(out)/tests/bench/firstrun $(out)/tests/bench/timeto: %: %.o
	$(link) -pie -o $@ $^

$(out)/tests/bench/diskread: $(out)/tests/bench/diskread.o
	$(link) $(static) -o $@ $^

$(out)/tests/bench/scsi4k: $(out)/tests/bench/scsi4k.o $(lib_o) $(lower_o)
	$(link) -pie -o $@ $^ $(LIBS)

$(out)/tests/bench/storeread: $(out)/tests/bench/storeread.o $(lower_o)
	$(link) -pie -o $@ $^ $(LIBS)

$(out)/tests/bench/payload.elf: tests/bench/payload.S
	@mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code,-Ttext-segment=0x200000 \
		-o $@ $<

bench-programs: lunette $(bench_programs)

# A small kernel for guests, in the cache; FULL=1: one with modules, BPF and more; DEBUG=1: and what GDB needs.
guest-kernel:
	guest/kernel/build.sh -a $(ARCH) $(if $(FULL),full,$(if $(DEBUG),debug))

bench:
	tests/bench/run.sh $(out) $(BENCH)

.PHONY: guest-kernel bench-programs lab-programs bare-guests suites soak real
