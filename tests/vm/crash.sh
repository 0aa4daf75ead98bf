#!/bin/sh
# SPDX-License-Identifier: MIT
# crash.sh - what is asked of a guest's kernel from outside, and what is left of one that has crashed. Guests
# have Debian's kernel, which takes a break on its serial port for SysRq and has VMCOREINFO.
. "$(dirname "$0")/lib.sh"

# begin SCRIPT OPTION...: a guest that runs SCRIPT, which begins with "echo up"; its lunette is $vmm.
begin() {
	job "$1"
	shift
	lunette run --kernel "$kernel" --initrd initrd --vhost off --control socket "$@" >out 2>err </dev/null &
	vmm=$!
	until_true 100 grep -q '^up' out
}
ask() { # WORDS...: the guest's kernel answers on the console
	tries=20
	until lunette ctl socket "$@" 2>asked; do
		sleep 1
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "$*: $(cat asked)"
	done
}
# field OFFSET BYTES: of ./core, as a number
field() { od -An -v -tu"$2" -j "$1" -N "$2" core | tr -d ' '; }

# An ELF core of this machine with a note for each of so many vCPUs, and VMCOREINFO.
is_core() { # FILE VCPUS
	local machine
	[ "$1" = core ] || mv "$1" core
	case $(uname -m) in x86_64) machine=62 ;; aarch64) machine=183 ;; riscv64) machine=243 ;; esac
	equal "$(od -An -c -j 1 -N 3 core | tr -d ' ')" ELF
	equal "$(field 16 2) $(field 18 2)" "4 $machine"
	head -c 64k core | tr '\0' '\n' >notes
	equal "$(grep -a -c '^CORE$' notes)" "$2"
	contains notes '^VMCOREINFO$'
	contains notes "^OSRELEASE=$(cat /lab/release)\$"
	[ "$(du -k core | cut -f 1)" -lt 400000 ] || fail 'it is not sparse'
}

test_sysrq() {
	begin 'echo up; sleep 1000' --cpus 2 --append sysrq_always_enabled
	ask sysrq m
	until_true 30 grep -q 'sysrq: Show Memory' out
	ask sysrq c
	status 205 wait $vmm
	contains out 'Kernel panic - not syncing: sysrq triggered crash'
}

long_nmi() {
	begin 'echo up; sleep 1000' --cpus 2
	lunette ctl socket nmi 1
	status 205 wait $vmm
	contains out 'Kernel panic - not syncing'
}

test_dump() { # and the guest goes on
	begin 'echo up; until [ -e /sys/block/sda ]; do sleep 0.2; done; poweroff -f' --cpus 2 --device virtio-scsi
	lunette ctl socket dump core
	is_core core 2
	status 1 lunette ctl socket dump core
	truncate -s 1M more.img
	lunette ctl socket plug more.img
	status 0 wait $vmm
}

long_dump_on_fail() {
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd --dump-on-fail dumps --cpus 2
	is_core dumps/guest.core 2
	status 0 run --dump-on-fail dumps -- true
	equal "$(ls dumps)" ''
	status 3 run --dump-on-fail dumps -- sh -c 'exit 3'
	is_core dumps/guest.core 1
}

run_tests
