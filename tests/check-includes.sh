#!/bin/sh
# SPDX-License-Identifier: MIT
# Compares the #include lines with the order of layers in ARCHITECTURE.md: each folder may use what
# is listed for it, and no more. Tests may use everything, and nothing uses tests.
cd "$(dirname "$0")/.." || exit 1

# folder (a regular expression for files) : what it may include (a regular expression)
table='
^vmm/core/              ^vmm/core/
^devices/block/         ^(vmm/core|devices/block)/
^devices/scsi/          ^(vmm/core|devices/block|devices/scsi)/
^virtio/                ^(vmm/core|virtio)/
^devices/[^/]*$         ^(vmm/core|virtio|devices/scsi|devices/block)/|^devices/[^/]*$
^vmm/machine/           ^(vmm/(core|machine)|virtio|build)/|^devices/devices\.h$
^vmm/run/files/         ^vmm/(core|run/files)/
^vmm/run/(control|kernel)/ ^vmm/(core|run/control|run/kernel)/|^vmm/(machine/(arch/arch|cause|image|tty|unpack)|run/facts|run/run|run/files/(bundle|extract))\.h$|^devices/devices\.h$|^guest/exec\.h$
^vmm/run/report/        ^vmm/(core|run/report)/|^vmm/(machine/(cause|console_log)|run/(facts|guest))\.h$|^devices/devices\.h$
^vmm/run/matrix/        ^vmm/(core|run/matrix|run/report)/|^vmm/(machine/(cause|memlimit)|run/run)\.h$
^vmm/run/[^/]*$         ^(vmm/(core|machine|run)|virtio)/|^devices/devices\.h$|^guest/(job|exec)\.h$
^vmm/host/              ^vmm/(core|machine|run|host)/|^devices/devices\.h$
^vmm/main\.c$           ^vmm/
^guest/(job|exec)\.h$
^guest/                 ^guest/
'

bad=$(printf '%s\n' "$table" | while read -r files may; do
	[ "$files" ] || continue
	find vmm virtio devices guest -name '*.[ch]' | grep -E "$files" | sort | while read -r file; do
		sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file" | grep -vE "$may" |
			grep -v '\.aml\.h$' | sed "s|^|$file must not include |"
	done
	# KVM is known to the machine alone.
	case $files in *machine*) continue ;; esac
	find vmm virtio devices guest -name '*.[ch]' | grep -E "$files" |
		xargs -r grep -l '#include <linux/kvm' | sed 's|$| must not know KVM|'
done)

[ -z "$bad" ] && echo "includes: in order" && exit 0
printf '%s\n' "$bad"
exit 1
