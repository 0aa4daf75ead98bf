#!/bin/sh
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
^vmm/files/             ^vmm/(core|files)/
^vmm/(control|kernel)/  ^vmm/(core|control|kernel)/|^vmm/(arch/arch|cause|facts|run|text)\.h$|^devices/devices\.h$
^vmm/report/            ^vmm/(core|report)/|^vmm/(cause|console_log|facts|machine|text)\.h$|^devices/devices\.h$
^vmm/matrix/            ^vmm/(core|matrix|report)/|^vmm/(cause|memlimit|run|text)\.h$
^vmm/(arch/.*|[^/]*)$   ^(vmm|virtio|build)/|^devices/devices\.h$|^guest/job\.h$
^guest/                 ^guest/
'

bad=$(printf '%s\n' "$table" | while read -r files may; do
	[ "$files" ] || continue
	find vmm virtio devices guest -name '*.[ch]' | grep -E "$files" | sort | while read -r file; do
		sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file" | grep -vE "$may" |
			grep -v '\.aml\.h$' | sed "s|^|$file must not include |"
	done
	# KVM is known at the top only.
	case $files in *arch*) continue ;; esac
	find vmm virtio devices guest -name '*.[ch]' | grep -E "$files" |
		xargs -r grep -l '#include <linux/kvm' | sed 's|$| must not know KVM|'
done)

[ -z "$bad" ] && echo "includes: in order" && exit 0
printf '%s\n' "$bad"
exit 1
