# SPDX-License-Identifier: MIT
# Included by ../Makefile: manual pages, and what is installed.

# They come from what lunette says of itself, and from prose. Another machine's is asked by one for this.
native = $(if $(cross),build/$(shell uname -m),$(out))/lunette
ifdef cross
$(native):
	$(MAKE) ARCH=$(shell uname -m) $@
endif

pages = $(foreach p,$(wildcard docs/man/*.[1-9]),$(out)/man/man$(lastword $(subst ., ,$p))/$(notdir $p))

man: $(pages)

define page_rule
$(out)/man/man$(1)/%.$(1): docs/man/%.$(1) docs/man/page.sh $(native)
	@mkdir -p $$(@D)
	docs/man/page.sh $(native) $$< >$$@
endef
$(foreach section,1 7,$(eval $(call page_rule,$(section))))

# What a guest has before its root file system, without modules: init, and busybox.
$(out)/initramfs.cpio: $(out)/guest/init guest/mkinitramfs.sh
	file=$$(guest/mkinitramfs.sh -a $(ARCH) base - "$(or $(BUSYBOX),$$(tests/lab/busybox $(ARCH)))") && cp "$$file" $@

# What fetches kernels, and makes a small one.
recipe = guest/setup.sh tests/lab/deb tests/lab/mirror tests/lab/debian-12.asc \
	$(wildcard guest/kernel/*.sh guest/kernel/*.config)

# What goes where below PREFIX: PLACE=FILE. lunette finds share/lunette from its own place.
documents = LICENSE $(wildcard *.md docs/*.md docs/tasks/*.md)
installed = bin/lunette=$(out)/lunette \
	share/lunette/initramfs.cpio=$(out)/initramfs.cpio \
	share/lunette/words=packaging/completion/words \
	$(foreach f,$(recipe),share/lunette/kernel/$(notdir $f)=$f) \
	share/bash-completion/completions/lunette=packaging/completion/lunette.bash \
	share/zsh/site-functions/_lunette=packaging/completion/_lunette \
	share/fish/vendor_completions.d/lunette.fish=packaging/completion/lunette.fish \
	$(foreach p,$(pages),share/$(p:$(out)/%=%)=$p) \
	$(foreach d,$(documents),share/doc/lunette/$(notdir $d)=$d) \
	$(foreach k,$(wildcard $(GUEST_KERNEL)),share/lunette/kernel-micro/vmlinux=$k)
place = $(firstword $(subst =, ,$1))
places = $(foreach i,$(installed),$(call place,$i))
below = $(DESTDIR)$(PREFIX)
programs = bin/% %/words %.sh %/deb %/mirror

define install_one
	install -D -m $(if $(filter $(programs),$(call place,$1)),755,644) $(lastword $(subst =, ,$1)) $(below)/$(call place,$1)

endef

install: $(out)/lunette $(out)/initramfs.cpio man
	$(foreach i,$(installed),$(call install_one,$i))

# With the folders that are empty then.
uninstall:
	rm -f $(addprefix $(below)/,$(places) share/lunette/kernel-micro/vmlinux)
	cd $(below) && rmdir -p --ignore-fail-on-non-empty $(sort $(dir $(places) share/lunette/kernel-micro/.)) \
		2>/dev/null || :

.PHONY: man install uninstall
