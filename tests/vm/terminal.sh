#!/bin/sh
# SPDX-License-Identifier: MIT
# terminal.sh - the terminal is as it was, whatever way lunette ends.
. "$(dirname "$0")/lib.sh"

# In a terminal of its own: starts a guest, calls the function when its shell is there, and compares
# the terminal's modes before and after. KEYS is a pipe to the terminal's keyboard.
on_terminal() { # STATUS FUNCTION [OPTION...]
	local wanted=$1 action=$2 script
	shift 2
	cat >session <<-END
		stty rows 30 cols 100
		tty >tty
		stty -g >before
		sh -c 'echo \$\$ >pid; exec lunette run --kernel $kernel --initrd $initrd --append quiet $*'
		echo \$? >status
		stty -g >after
	END
	mkfifo keys
	timeout -k 5 "$seconds" script -qfec 'sh session' out <keys >/dev/null 2>err &
	script=$!
	exec 3>keys
	until_true 30 grep -q '# ' out
	stty -F "$(cat tty)" -g >during
	! cmp -s before during || fail 'the terminal was not raw'
	$action
	until_true 20 test -s after
	exec 3>&-
	wait $script || true
	equal "$(cat after)" "$(cat before)"
	equal "$(cat status)" "$wanted"
}

send() { kill "-$1" "$(cat pid)"; }
poweroff_it() { echo 'poweroff -f' >&3; }
panic_it() { echo 'echo c >/proc/sysrq-trigger' >&3; }
sigterm() { send TERM; }
sighup() { send HUP; }
crash() { send SEGV; }
abort() { send ABRT; }
escape() { printf '\001x' >&3; }
begin_sleep() { # the program prints, and not the echo of what is typed: so it has the terminal
	printf "sh -c 'echo begun; exec sleep 1000'\\n" >&3
	until_true 20 grep -q '^begun' out
}
interrupt() { # ^C is for the guest
	begin_sleep
	printf '\003' >&3
	printf 'echo the sum is $((6 * 7)); poweroff -f\n' >&3
	until_true 10 grep -q 'the sum is 42' out
}

resize() { # the window, while the guest runs
	stty -F "$(cat tty)" rows 43 cols 132
	kill -WINCH "$(cat pid)"
	until_true 10 resized
	echo 'poweroff -f' >&3
}
resized() {
	echo 'stty size' >&3
	sleep 0.5
	grep -q '^43 132' out
}

# A command's terminal, which has the size of ours from the beginning.
command_resize() {
	echo 'stty size; tty' >&3
	until_true 10 grep -q '^/dev/pts/0' out
	contains out '^30 100'
	stty -F "$(cat tty)" rows 43 cols 132
	kill -WINCH "$(cat pid)"
	until_true 10 resized
	echo 'exit 3' >&3
}
command_interrupt() {
	begin_sleep
	printf '\003' >&3
	printf 'echo the sum is $((6 * 7)); exit 4\n' >&3
	until_true 10 grep -q 'the sum is 42' out
}
command_jobs() { # the shell has job control: ^Z, and its terminal echoes
	begin_sleep
	printf '\032' >&3
	printf 'jobs; kill -9 %%1; fg; exit 5\n' >&3
	until_true 10 grep -q 'Stopped' out
	contains out '# jobs; kill -9 %1'
}
# What init says to who gets a shell, and its answer to poweroff, without -f.
greeting() {
	contains out '^Linux [^ ]+, 1 CPU, [0-9]+ MiB'
	contains out '^lun:0  sda  3 MiB  first'
	contains out '^target 2, lun:7  sdb  5 MiB  second'
	echo poweroff >&3
}
plain_reboot() { echo reboot >&3; }
command_end_of_file() { printf '\004' >&3; }

test_command_resize() { on_terminal 3 command_resize -t -- sh; }
test_command_interrupt() { on_terminal 4 command_interrupt -t -- sh; }
test_command_jobs() { on_terminal 5 command_jobs -t -- sh; }
test_command_end_of_file() { on_terminal 0 command_end_of_file -t -- sh; }
two_disks='--disk store=null,size=3M,serial=first --disk store=null,size=5M,serial=second,target=2,lun=7'
test_shell() { on_terminal 0 greeting -t $two_disks; }
long_shell_reboot() { on_terminal 204 plain_reboot -t; }
test_shell_on_the_console() { on_terminal 0 greeting $two_disks; }
test_reboot() { on_terminal 204 plain_reboot; }
test_command_escape() { on_terminal 208 escape -t -- sh; }
long_hvc_poweroff() { on_terminal 0 poweroff_it --console hvc; }
test_hvc_escape() { on_terminal 208 escape --console hvc; }
long_hvc_interrupt() { on_terminal 0 interrupt --console hvc; }
long_hvc_resize() { on_terminal 0 resize --console hvc; }
test_hvc_resize_with_ports() { on_terminal 0 resize --console hvc --device console-port,name=p; }
test_poweroff() { on_terminal 0 poweroff_it; }
test_panic() { on_terminal 205 panic_it; }
test_sigterm() { on_terminal 143 sigterm; }
long_sighup() { on_terminal 129 sighup; }
test_crash() { on_terminal 139 crash; }
long_abort() { on_terminal 134 abort; }
test_escape() { on_terminal 208 escape; }
test_interrupt() { on_terminal 0 interrupt; }

run_tests
