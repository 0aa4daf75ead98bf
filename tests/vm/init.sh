#!/bin/sh
# SPDX-License-Identifier: MIT
# init.sh - the guest's first process is asked for the guest's end.
. "$(dirname "$0")/lib.sh"

# As every init is asked, by busybox's programs, by others' and by the kernel. What was printed
# before is not lost, and who catches signals can put things in order.
test_signals() {
	ends 209 no-result -- sh -c 'trap "echo in order; exit" TERM; seq 10000; poweroff; sleep 1000 & wait'
	equal "$(tail -n 1 out)" 'in order'
	equal "$(grep -c '[0-9]' out)" 10000
	contains err 'powered itself off before the command ended'
	ends 209 no-result -- poweroff
	ends 209 no-result -- sh -c 'trap "" TERM; kill -PWR 1; sleep 1000'
	ends 209 no-result -- sh -c 'kill -38 1; sleep 1000' # SIGRTMIN + 4
	ends 204 reboot -- reboot
	ends 204 reboot -- sh -c 'kill -INT 1; sleep 1000'
}

initctl() { # OCTAL: a request of sysvinit's for the runlevel of this character
	echo "{ printf '\\151\\031\\011\\003\\001\\0\\0\\0\\$1\\0\\0\\0'; head -c 372 /dev/zero; } |
		dd bs=384 iflag=fullblock of=/run/initctl 2>/dev/null"
}
test_fifo() {
	ends 209 no-result -- sh -c "$(initctl 060)"
	ends 204 reboot -- sh -c "$(initctl 066); sleep 1000"
	ends 3 exit -- sh -c "echo nonsense >/run/initctl; $(initctl 063); sleep 1; exit 3"
}

test_console_alone() { # without a command, where that is a good end
	job 'trap "" TERM; echo by the console; kill -USR2 1; sleep 1000'
	status 0 vmm --initrd initrd
	contains out 'by the console'
	job 'reboot; sleep 1000'
	status 204 vmm --initrd initrd
}

run_tests
