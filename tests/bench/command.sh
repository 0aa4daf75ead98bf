# SPDX-License-Identifier: MIT
# command.sh - in the lab host: what it takes to have a command run in a fresh guest (see lab.sh, which
# prints the table). The command is "true"; all guests have the same files and the same init.
#
#   usage: command.sh ROWS KERNEL...    ROWS of each kernel, or -1; names of files in /lab
#
# For each VMM a row: NAME|until the first KVM_RUN|until the command begins|until the VMM's end
# shellcheck shell=sh
. /lab/peers.sh
mib=128 vhost=off disk= options= words='quiet nokaslr' qemu=$(cat /lab/qemu)

first_run() { # VMM: the median of three
	local figures
	figures=$("$1" firstrun -n 3) || return
	figures=${figures#* }
	echo "${figures%% *}"
}

# It says itself when the command began, counted from its main().
phase() {
	sed -n "s/^ *\"$1\": \([0-9.]*\),*$/\1/p" json
}
with_true() { # VMM...
	timeto -e '' "$@" --json json -- true
}
ask_lunette() {
	local first all
	first=$(first_run lunette) && all=$(lunette with_true) || return
	echo "$first $(phase entered) $(phase start) $all" | awk '{ print $1, $1 - $2 + $3, $4 }'
}

# A guest with a job of its own prints that it begins.
job() { # VMM
	first_run "$1" && "$1" timeto -e guest-is-up
}

# Of which no more is seen than its end.
ask_virtme() {
	first_run virtme && echo - && virtme timeto -e ''
}

# What virtme-ng wants to find in a host.
set_up_virtme() {
	mkdir -p /run /var/tmp /etc
	echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
	echo root:x:0: >/etc/group
	echo '#!/bin/sh' >/bin/qemu-system-x86_64
	echo "exec $(tr '\n' ' ' </lab/qemu) \"\$@\"" >>/bin/qemu-system-x86_64
	chmod 755 /bin/qemu-system-x86_64
	export PYTHONPATH=/lab/virtme USER=root HOME=/root
}

[ ! -e /lab/virtme ] || set_up_virtme
all=$1
shift
for name; do
	kernel=/lab/$name rows=$all
	initrd=/lab/base.cpio row "$name: lunette" 3 ask_lunette
	[ -z "$made" ] ||
		echo "phases|$(for phase in built entered up start end off; do echo "$phase $(phase $phase)"; done |
			tr '\n' ' ')"
	bus=mmio initrd=/lab/true.cpio row "$name: $smallest" 3 job qemu
	if [ -e /lab/virtme ] && [ -e "$kernel.bzImage" ]; then
		row "$name: virtme-ng" 3 ask_virtme
	fi
	others >others
	while read -r vmm end title; do
		initrd=/lab/$end.cpio words="$words reboot=k" row "$name: $title" 3 job "$vmm"
	done <others
done
