#!/bin/sh
# SPDX-License-Identifier: MIT
# wide.sh - as many CPUs as a guest can have. The host's clock counts its instructions (../lab/l1, --icount):
# in real time an emulated host does not keep up with so many CPUs' timers.
. "$(dirname "$0")/lib.sh"

test_sixty_four_cpus() { # each of them runs what it is given
	status 0 guest 'nproc; for cpu in $(seq 0 63); do taskset -c $cpu cut -d " " -f 39 /proc/self/stat; done' \
		--cpus 64 --memory 1G
	equal "$(cat out)" "64
$(seq 0 63)"
}

run_tests
