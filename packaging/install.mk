# SPDX-License-Identifier: MIT
# Included by ../Makefile: manual pages.

# They come from what lunette says of itself, and from prose. Another machine's is asked by one for this.
native = build/$(shell uname -m)/lunette
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

.PHONY: man
