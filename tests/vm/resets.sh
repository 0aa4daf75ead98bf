#!/bin/sh
# SPDX-License-Identifier: MIT
# resets.sh - what a guest may do to a host whose kernel serves its disks: task management in a storm.
# The host's kernel has SLUB's checks on, so that it notices memory that is not as it should be; it is
# asked after each test. run.sh has this file run on Debian's kernel and on the newer one of backports.
. "$(dirname "$0")/lib.sh"

kernel_target

images() { # COUNT: $images
	images=
	for i in $(seq "$1"); do
		truncate -s 16M "disk$i.img"
		images="$images disk$i.img"
	done
}

test_kernel_looks_at_its_memory() {
	equal "$(cat /sys/kernel/slab/kmalloc-2k/red_zone)" 1
	whole
}

# By a driver of ours, which knows that nothing comes behind an abort; see resets.c.
storm() { # TRANSPORT
	for n in 1 2 8; do
		images $n
		status 0 timeout 120 /lab/resets "$1" $images
		whole
	done
}
test_storm_on_pci() { storm pci; }
long_storm_on_mmio() { storm mmio; }

# By Linux, while it writes and reads. Its driver knows the reset of a device; the others come to
# nothing there.
linux_resets() { # COUNT
	tools=/lab/tools.cpio
	mkdir -p files && cp /lab/verify files
	images "$1"
	options=
	for image in $images; do options="$options --disk $image"; done
	vhost=on
	status 0 guest '
		{
			for disk in /sys/block/sd*; do
				{ /files/verify write /dev/${disk##*/} 7 60 || echo wrong; } &
			done
			wait
			echo >/tmp/end
		} &
		until [ -e /tmp/end ]; do
			for s in /dev/sg?; do
				sg_reset -d $s >/dev/null || echo failed
				sg_reset -N -t $s >/dev/null 2>&1
				sg_reset -N -b $s >/dev/null 2>&1
			done
			echo round
		done
		echo end' --cpus 2 $options
	contains out '^round'
	equal "$(grep -v '^round' out)" end
	for image in $images; do cmp "$image" disk1.img; done
	whole
}
test_linux_resets_one_of_one() { linux_resets 1; }
test_linux_resets_two() { linux_resets 2; }
test_linux_resets_eight() { linux_resets 8; }

run_tests
