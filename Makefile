# SPDX-License-Identifier: MIT
# make            lunette, at the top
# make static     lunette as one file that needs no library, in build; the same bytes wherever it is built
# make ARCH=aarch64   for another machine, or riscv64's: it is in build/aarch64
# make test       everything: set-up, unit tests, sanitizers, guests in the lab
# make test-all   all that there is: other processors and kernels, long soaks, fuzzers
# make check      the unit tests; SAN=address,undefined or SAN=thread for a sanitizer's build
# make suites     builds them alone: ARCH=aarch64 suites
# make test-aarch64   tests with guests in a lab host of arm64; test-riscv64: in one of riscv64
# make check-vm   the tests with real guests, in the lab
# make lint       the order of the floors and other promises of ARCHITECTURE.md
# make soak       kills lunette 200 times while a guest writes, and looks at the image; has 1,100 runs
#                 side by side, and looks at what they leave
# make real       other projects' test suites in guests: busybox's, shared in, and e2fsprogs' with --root host
# make bench      figures; BENCH='boot io' for some of them (see tests/bench/run.sh); ARCH=aarch64: in a
#                 lab host of arm64
# make man        the manual pages, of docs/man and the tables of options
# make guest-kernel   a small kernel, for run --kernel micro; FULL=1: with modules, BPF and more; DEBUG=1:
#                 with what GDB needs beside it
# make install    below PREFIX, /usr/local: lunette, what it brings for guests, pages, completions; DESTDIR
#                 is put before that; uninstall
# make clean dist help
#
# Choices are in config.mk. Sources are found by wildcard: a new file needs no edit here.

include config.mk

# For another machine: its name with -gcc, and its libraries.
ifneq ($(ARCH),$(shell uname -m))
cross = $(ARCH)-linux-gnu
sysroot := $(shell guest/setup.sh cross-$(ARCH) && tests/lab/sysroot $(ARCH))
$(if $(sysroot),,$(error ARCH=$(ARCH): no compiler or libraries for it))
CC = $(cross)-gcc --sysroot=$(sysroot) \
	-B$(sysroot)/usr/lib/$(cross)/ -L$(sysroot)/usr/lib/$(cross) \
	-isystem $(sysroot)/usr/include/$(cross) -isystem $(sysroot)/usr/include
endif

# With all archives there; those for another machine are.
ifndef cross
ifneq ($(shell for a in $(ARCHIVES); do [ -e "$$($(CC) -print-file-name=lib$$a.a)" ] || echo $$a; done),)
LIBS = $(shell pkg-config --libs $(MODULES))
endif
endif

comma = ,
out = build/$(ARCH)$(if $(SAN),-$(subst $(comma),-,$(SAN)))

# Hardening. The library's checks need an optimizer; sanitizers check more, and not through them. The
# highest level that compiler and C library know.
fortify := $(lastword 0 $(shell echo __USE_FORTIFY_LEVEL | \
	$(CC) -include features.h -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -E -P - 2>/dev/null))
optimizes = $(filter-out -O0,$(lastword $(filter -O%,$(CFLAGS))))
harden_x86_64 = -fcf-protection
harden_aarch64 = -mbranch-protection=standard
harden = $(if $(SAN),,-fstack-protector-strong -fstack-clash-protection $(harden_$(ARCH)) \
	$(if $(optimizes),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$(fortify)))

flags = -std=c11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -I. -I$(out) -pthread \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror=implicit \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

# With -O2 a sanitizer's code takes half as long again to compile. With -O1 GCC is wrong about what may
# be uninitialized.
compile = $(CC) $(flags) $(harden) -fPIE $(CFLAGS) $(if $(SAN),-O1 -Wno-maybe-uninitialized)
# Debian 12's compiler for riscv64 makes a dynamic program of -static-pie.
static = $(or $(static_$(ARCH)),-static-pie)
static_riscv64 = -static
link = $(CC) $(flags) $(CFLAGS) -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS)

# Everything below the machine: what the unit tests link. An upward dependency is a link error.
lower = $(sort $(wildcard vmm/core/*.c virtio/*.c devices/*.c devices/*/*.c))
with_tree = $(wildcard vmm/machine/arch/*.c) # of all that are not PCs
upper = $(sort $(filter-out $(lower) $(if $(filter x86_64,$(ARCH)),$(with_tree)), \
	$(wildcard vmm/*.c vmm/*/*.c vmm/*/*/*.c vmm/machine/arch/$(ARCH)/*.c)))
asl = $(wildcard vmm/machine/arch/$(ARCH)/*.asl)

lower_o = $(lower:%.c=$(out)/%.o)
upper_o = $(upper:%.c=$(out)/%.o)
aml = $(asl:%.asl=$(out)/%.aml.h)

all: lunette

# Another machine's stays in its folder.
lunette: $(out)/lunette
	$(if $(cross),,cp -f $< $@)

# Which commit it is of. Git is asked each time, and what hangs on the answer is made when that is new.
version := $(shell packaging/version $(VERSION))
version_o = $(out)/version.o

$(out)/version.c: FORCE
	@mkdir -p $(@D)
	@text='const char lunette_version[] = "$(version)";'; \
		[ "$$(cat $@ 2>/dev/null)" = "$$text" ] || echo "$$text" >$@

$(version_o): $(out)/version.c
	$(compile) -c -o $@ $<

$(out)/lunette: $(upper_o) $(lower_o) $(version_o)
	$(link) -pie -o $@ $^ $(LIBS)

# What would ask for the host's libraries when it runs has a warning of the linker's.
$(out)/lunette-static: $(upper_o) $(lower_o) $(version_o)
	$(link) $(static) -s -Wl,--fatal-warnings -o $@ $^ $(LIBS)

static: $(out)/lunette-static
	@echo $<

# The first process of guests: static, as it is alone there.
guest_o = $(patsubst %.c,$(out)/%.o,$(wildcard guest/*.c))

# It goes on, whatever fails: there is nobody to return to.
$(guest_o): flags += -Wno-unused-result

$(out)/guest/init: $(guest_o)
	$(link) $(static) -s -o $@ $^ $(GUEST_LIBS)

guest-init: $(out)/guest/init
	@echo $(CURDIR)/$<

# What the compiler says is kept, for lint.
$(out)/%.o: %.c Makefile config.mk
	@mkdir -p $(@D)
	$(compile) -MMD -MP -c -o $@ $< 2>$(@:.o=.said); rc=$$?; cat $(@:.o=.said) >&2; exit $$rc

# ASL as a table of bytes, NAME_aml_code, which describe.c includes.
$(out)/%.aml.h: %.asl Makefile config.mk
	@mkdir -p $(@D)
	$(IASL) -va -oa -vs -tc -p $(out)/$* $< >$(out)/$*.log || { cat $(out)/$*.log >&2; exit 1; }
	sed 's/^unsigned char/static const unsigned char/' $(out)/$*.hex >$@

$(upper_o): $(aml)

include tests/tests.mk
include packaging/install.mk

clean:
	rm -rf build lunette

dist:
	@mkdir -p build
	echo $(version) >build/version
	git archive --prefix=lunette-$(version)/ --add-file=build/version HEAD | \
		gzip -n >lunette-$(version).tar.gz

help:
	@sed -n '/^# make /,/^#$$/s/^# *\(.*\)/\1/p' Makefile

# Of what is built here: tests keep whole systems in build, with folders that are called so, too.
-include $(shell find $(out) -name '*.d' -type f 2>/dev/null)

.PHONY: all static guest-init test test-all test-aarch64 test-riscv64 check check-vm lint bench fuzz \
	clean dist help FORCE
.DELETE_ON_ERROR:
