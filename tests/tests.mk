# Included by ../Makefile: the unit suites, the fuzzers, lint, and the doors to tests/run.sh.

FUZZ_SECONDS = 60

lib_o = $(patsubst %.c,$(out)/%.o,$(wildcard tests/lib/*.c))
units = $(patsubst %.c,$(out)/%,$(wildcard tests/unit/test_*.c))
fuzzers = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
replays = $(fuzzers:%=$(out)/tests/fuzz/replay_%)

# What needs no KVM above that: most folders, and a few files.
above = $(patsubst vmm/%.c,%,$(wildcard $(patsubst %,vmm/%/*.c,control files kernel matrix report))) \
	arch/$(ARCH)/boot cause console_log facts host_check limits memlimit text
above := $(filter-out matrix/matrix,$(above))
above_o = $(above:%=$(out)/vmm/%.o)

.SECONDARY: $(lib_o) $(units:%=%.o) $(fuzzers:%=$(out)/tests/fuzz/fuzz_%.o) $(out)/tests/fuzz/replay.o

$(out)/tests/unit/test_%: $(out)/tests/unit/test_%.o $(lib_o) $(lower_o) $(above_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(shell pkg-config --libs check)

# Its suite stands in for the machine.
$(out)/tests/unit/test_job: $(out)/vmm/job.o

# The same entry as the fuzzer's, and a main() that feeds it the corpus.
$(out)/tests/fuzz/replay_%: $(out)/tests/fuzz/fuzz_%.o $(out)/tests/fuzz/replay.o $(lib_o) $(lower_o) \
		$(above_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

check: $(units) $(replays)
	$(if $(SAN),CK_TIMEOUT_MULTIPLIER=10) tests/check.sh $(units) $(replays)

# libFuzzer comes with clang, so everything below the fuzz target is built once more.
fuzz_flags = $(filter-out -fsanitize=% -fno-sanitize-recover=all,$(flags)) -O1 -g \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined
fuzz_o = $(patsubst %.c,build/fuzz/%.o,$(lower) $(wildcard tests/lib/*.c) \
	$(patsubst %,vmm/%.c,control/command console_log cause facts text) $(wildcard vmm/report/*.c))

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

lint: $(lower_o) $(upper_o)
	tests/check-includes.sh
	tests/lint.sh $(out)

test:
	tests/run.sh

check-vm: lunette
	tests/run.sh vm

# What tests/vm needs: in the lab host, and, static, in guests.
lab_programs = $(addprefix $(out)/tests/,vm/handover vm/verify vm/resolver vm/netup soak/soak)

$(out)/tests/vm/handover: $(out)/tests/vm/handover.o $(lib_o) $(lower_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(out)/tests/vm/netup: $(out)/guest/net.o

$(patsubst %,$(out)/tests/%,vm/verify vm/resolver vm/netup soak/soak): %: %.o
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -static -o $@ $^

lab-programs: lunette $(lab_programs)

# Guests without a kernel, for tests/cli: a driver (tests/hostile), and what is done with it.
bare_flags = -std=gnu11 -O1 -I. -Wall -Wextra -Wno-missing-field-initializers -ffreestanding -fno-pic \
	-fno-stack-protector -fcf-protection=none -mgeneral-regs-only -nostdlib -static -no-pie \
	-Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-Ttext-segment=0x200000
bare_guests = $(out)/tests/hostile/guest.elf $(out)/tests/soak/writer.elf

$(out)/tests/hostile/guest.elf: $(wildcard tests/hostile/*.[cS])
$(out)/tests/soak/writer.elf: tests/soak/writer.c $(patsubst %,tests/hostile/%,driver.c pci.c start.S)

$(bare_guests): tests/tests.mk $(wildcard tests/hostile/*.h tests/soak/*.h)
	@mkdir -p $(@D)
	$(CC) $(bare_flags) -o $@ $(filter %.c %.S,$^)

bare-guests: $(bare_guests)

# Kills lunette 200 times, and runs it 1,100 times side by side. SEED=N, as a run has printed it, for
# the same choices once more.
soak:
	SOAK=180 MANY=1000 tests/run.sh cli soak many
	SOAK=20 MANY=100 tests/run.sh vm soak many

# The test suite of busybox, from Debian's source, in a guest.
real:
	tests/real/busybox.sh

# What tests/bench/run.sh measures with, some of it in the lab host and, static, in its guests; it
# sets up, and makes them, before it does.
bench_programs = $(addprefix $(out)/tests/bench/,firstrun timeto diskread scsi4k store4k payload.elf)

$(out)/tests/bench/firstrun $(out)/tests/bench/timeto: %: %.o
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^

$(out)/tests/bench/diskread: $(out)/tests/bench/diskread.o
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -static -o $@ $^

$(out)/tests/bench/scsi4k: $(out)/tests/bench/scsi4k.o $(lib_o) $(lower_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(out)/tests/bench/store4k: $(out)/tests/bench/store4k.o $(lower_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(out)/tests/bench/payload.elf: tests/bench/payload.S
	@mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code,-Ttext-segment=0x200000 \
		-o $@ $<

bench-programs: lunette $(bench_programs)

# A small kernel for guests, in the cache; FULL=1: one with modules, BPF and more.
guest-kernel:
	guest/kernel/build.sh $(if $(FULL),full)

bench:
	tests/bench/run.sh $(out) $(BENCH)

.PHONY: guest-kernel bench-programs lab-programs bare-guests soak real
