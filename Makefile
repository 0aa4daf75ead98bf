# make            lunette, at the top
# make test       everything: set-up, unit tests, sanitizers, guests in the lab
# make check      the unit tests; SAN=address,undefined or SAN=thread for a sanitizer's build
# make check-vm   the tests with real guests, in the lab
# make lint       layer order and other promises of ARCHITECTURE.md
# make soak       kills lunette 200 times while a guest writes, and looks at the image; has 1,100 runs
#                 side by side, and looks at what they leave
# make real       busybox's own test suite in a guest, its sources shared in, its results out
# make bench      figures; BENCH='boot io' for some of them (see tests/bench/run.sh)
# make guest-kernel   a small kernel, for run --kernel micro; FULL=1: with modules, BPF and more
# make clean dist install uninstall
#
# Choices are in config.mk. Sources are found by wildcard: a new file needs no edit here.

include config.mk

comma = ,
out = build/$(ARCH)$(if $(SAN),-$(subst $(comma),-,$(SAN)))

flags = -std=c11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -I. -I$(out) -pthread \
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror=implicit \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

# Everything below the machine: what the unit tests link. An upward dependency is a link error.
lower = $(wildcard vmm/core/*.c virtio/*.c devices/*.c devices/*/*.c)
upper = $(filter-out $(lower),$(wildcard vmm/*.c vmm/*/*.c vmm/arch/$(ARCH)/*.c))
asl = $(wildcard vmm/arch/$(ARCH)/*.asl)

lower_o = $(lower:%.c=$(out)/%.o)
upper_o = $(upper:%.c=$(out)/%.o)
aml = $(asl:%.asl=$(out)/%.aml.h)

all: lunette

lunette: $(out)/lunette
	cp -f $< $@

$(out)/lunette: $(upper_o) $(lower_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# The first process of guests: static, as it is alone there.
guest_o = $(patsubst %.c,$(out)/%.o,$(wildcard guest/*.c))

$(out)/guest/init: $(guest_o)
	$(CC) $(flags) $(CFLAGS) $(LDFLAGS) -static -s -o $@ $^

guest-init: $(out)/guest/init
	@echo $(CURDIR)/$<

$(out)/%.o: %.c Makefile config.mk
	@mkdir -p $(@D)
	$(CC) $(flags) $(CFLAGS) -MMD -MP -c -o $@ $<

# ASL as a table of bytes, NAME_aml_code, which describe.c includes.
$(out)/%.aml.h: %.asl Makefile config.mk
	@mkdir -p $(@D)
	$(IASL) -va -oa -vs -tc -p $(out)/$* $< >$(out)/$*.log || { cat $(out)/$*.log >&2; exit 1; }
	sed 's/^unsigned char/static const unsigned char/' $(out)/$*.hex >$@

$(upper_o): $(aml)

include tests/tests.mk

clean:
	rm -rf build lunette

dist:
	git archive --prefix=lunette-$(VERSION)/ HEAD | gzip -n >lunette-$(VERSION).tar.gz

install: lunette
	install -D -m 755 lunette $(DESTDIR)$(PREFIX)/bin/lunette

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/lunette

-include $(shell find build -name '*.d' 2>/dev/null)

.PHONY: all guest-init test check check-vm lint bench fuzz clean dist install uninstall
.DELETE_ON_ERROR:
