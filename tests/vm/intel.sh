#!/bin/sh
# SPDX-License-Identifier: MIT
# intel.sh - what is so on Intel's processors alone. It runs on a host that has one.
. "$(dirname "$0")/lib.sh"

# The parameters of KVM's module are these until the next call, as far as they are said here.
kvm_intel() { # PARAMETER=VALUE...
	local parameter
	rmmod kvm_intel
	modprobe kvm_intel enable_apicv=0 "$@"
	for parameter; do
		equal "$parameter" \
			"${parameter%=*}=$(tr NY 01 </sys/module/kvm_intel/parameters/${parameter%=*})"
	done
	until_true 10 chgrp 106 /dev/kvm
}

# What a guest is told of its processor is what the host has, by Intel's leaves.
test_processor() {
	status 0 guest 'cat /proc/cpuinfo
		echo == caches
		cd /sys/devices/system/cpu/cpu2/cache
		for cache in index*; do echo $(cat $cache/level $cache/shared_cpu_list); done | sort -u
		echo == log
		dmesg' --cpus 3
	tr -d '\r' <out >printed && mv printed out
	for field in vendor_id 'cpu family' model stepping; do
		equal "$(grep "^$field	" out | sort -u)" "$(grep "^$field	" /proc/cpuinfo | sort -u)"
	done
	equal "$(section caches)" '1 2
2 2
3 0-2'
	for flag in hypervisor tsc_deadline_timer x2apic rep_good; do
		equal "$flag $(grep -c "^flags.* $flag\( \|\$\)" out)" "$flag 3"
	done
	section log >log
	equal "$(grep -iE 'unchecked MSR|fast string|MTRR: .*disabled|\[Firmware Bug\]' log)" ''
}

# trace EVENT...: of the host's kernel, until traced
trace=/sys/kernel/tracing
trace() {
	grep -q " $trace " /proc/mounts || mount -t tracefs none $trace
	echo 0 >$trace/tracing_on
	echo 20000 >$trace/buffer_size_kb
	for event; do echo 1 >$trace/events/kvm/$event/enable; done
	echo 1 >$trace/tracing_on
}
traced() { # ./events: what there was
	echo 0 >$trace/tracing_on
	grep -v '^#' $trace/trace >events || true
	echo 0 >$trace/events/kvm/enable
	echo >$trace/trace
}

# kicks TRANSPORT: while a guest reads 2000 times
kicks() {
	kernel_target
	mkdir files && cp /lab/verify files
	truncate -s 4M disk.img
	trace kvm_fast_mmio kvm_mmio kvm_exit
	status 0 guest '/files/verify read /dev/sda 2000' --vhost on \
		--device "virtio-scsi,transport=$1" --disk disk.img
	traced
	nothing_left
}

# A doorbell without a length is rung by the address alone: at an EPT misconfiguration, and without a
# look at the instruction. By MMIO what is written says which queue it is for, so that needs the look.
test_doorbells_without_a_length() {
	kicks pci
	fast=$(grep -c ' kvm_fast_mmio: ' events)
	[ "$fast" -ge 500 ] || fail "$fast kicks, $(wc -l <events) events"
	[ "$(grep -c 'kvm_exit:.* reason EPT_MISCONFIG' events)" -ge "$fast" ] ||
		fail "$(grep -c EPT_MISCONFIG events) exits, $fast kicks"
	# None of them went to the instruction emulator.
	sed -n 's/.*kvm_fast_mmio: fast mmio at gpa \(0x[0-9a-f]*\)/\1/p' events | sort -u >bells
	[ -s bells ]
	equal "$(grep 'kvm_mmio: mmio write' events | grep -F -f bells)" ''
}
test_doorbells_by_mmio() {
	kicks mmio
	at=0xd[0-9a-f]{5}50 # QueueNotify, of devices of which none is a PCI function
	equal "$(grep -E "kvm_fast_mmio: fast mmio at gpa $at\$" events)" ''
	writes=$(grep -cE "kvm_mmio: mmio write len 4 gpa $at " events)
	[ "$writes" -ge 500 ] || fail "$writes kicks"
}

# Linux starts by each way, on two CPUs, of which the second begins in real mode; the disks are there.
starts() {
	truncate -s 1M disk.img
	for kernel in /lab/vmlinuz /lab/vmlinux; do
		for transport in pci mmio; do
			status 0 guest 'nproc; cat /sys/block/sda/size' --cpus 2 \
				--device "virtio-scsi,transport=$transport" --disk disk.img
			equal "$(tr -d '\r' <out)" '2
2048'
		done
	done
	kernel=/lab/vmlinuz
}

# Real mode, and protected mode without paging, are then vm86 and a page table of KVM's.
test_no_unrestricted_guest() {
	kvm_intel unrestricted_guest=0
	starts
}

run_tests
