# SPDX-License-Identifier: MIT
# config.mk - choices; customize below to fit your system. The rules are in Makefile.

VERSION = 0.1

PREFIX = /usr/local
# What "make install" gives guests where it is there: the small kernel, as "make guest-kernel" leaves it.
GUEST_KERNEL = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lunette/$(if $(cross),$(ARCH)/)kernel-micro/vmlinux
# The static busybox of its guests; Debian's is fetched if none is named.
BUSYBOX =

# The machine that lunette is built for, and whose guests it runs: x86_64, aarch64 or riscv64.
ARCH := $(shell uname -m)

CC = gcc
# iasl, of acpica-tools, compiles vmm/machine/arch/x86_64/*.asl.
IASL = iasl

CFLAGS = -O2 -g
LDFLAGS =
# Libraries, as archives where all of them are there: to load so many would take longer than all else that
# happens before the guest runs. Elsewhere as pkg-config has them.
ARCHIVES = jansson uring archive z lz4 zstd lzma acl md
LIBS = $(ARCHIVES:%=-l:lib%.a)
MODULES = jansson liburing libarchive zlib liblz4 libzstd liblzma libmd
# What writes device trees, where guests get one.
ifneq ($(ARCH),x86_64)
ARCHIVES += fdt
MODULES += libfdt
endif
# Of the guest's init.
GUEST_LIBS = -lblkid -lz -lzstd -llzma

# Sanitizers for a build of its own, e.g. make check SAN=address,undefined
SAN =
