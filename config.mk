# SPDX-License-Identifier: MIT
# config.mk - choices; customize below to fit your system. The rules are in Makefile.

VERSION = 0.1

PREFIX = /usr/local
# What "make install" gives guests where it is there: the small kernel, as "make guest-kernel" leaves it.
GUEST_KERNEL = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lunette/$(if $(cross),$(ARCH)/)kernel-micro/vmlinux

# The machine that lunette is built for, and whose guests it runs: x86_64, aarch64 or riscv64.
ARCH := $(shell uname -m)

CC = gcc
# iasl, of acpica-tools, compiles vmm/machine/arch/x86_64/*.asl.
IASL = iasl

CFLAGS = -O2 -g
LDFLAGS =
# Most as archives: to load five more libraries would take longer than all else that happens before
# the guest runs.
LIBS = -l:libjansson.a -l:liburing.a -l:libarchive.a -l:libz.a -l:liblz4.a -l:libzstd.a \
	-l:liblzma.a -l:libacl.a -l:libmd.a
# What writes device trees, where guests get one.
ifneq ($(ARCH),x86_64)
LIBS += -l:libfdt.a
endif
# Of the guest's init.
GUEST_LIBS = -lblkid -lz -lzstd -llzma

# Sanitizers for a build of its own, e.g. make check SAN=address,undefined
SAN =
