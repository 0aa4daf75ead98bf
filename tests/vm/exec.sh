#!/bin/sh
# SPDX-License-Identifier: MIT
# exec.sh - commands in a guest that runs, by its control socket: in one that was only booted, whose init is
# lunette's, and beside a command.
. "$(dirname "$0")/lib.sh"

shared=$(mktemp -d)
cd "$shared" || exit
job 'echo up; sleep 10000'
{
	timeout -k 5 900 lunette run --kernel "$kernel" --initrd initrd --append loglevel=1 \
		--vhost off --control socket >out 2>err </dev/null
	echo $? >status
} &
run=$!

ctl() { lunette ctl "$shared/socket" "$@"; }

# The first one waits until the guest's init is there.
test_streams_and_status() {
	until_true 30 test -S "$shared/socket"
	status 3 ctl exec -- sh -c 'echo one; echo two >&2; exit 3' >out 2>err </dev/null
	equal "$(cat out)" one
	equal "$(cat err)" two
	equal "$(echo lower | ctl exec -- tr a-z A-Z)" LOWER
	status 137 ctl exec -- sh -c 'kill -9 $$' </dev/null
	status 127 ctl exec -- no-such-command 2>err </dev/null
	contains err 'no-such-command: command not found in the guest'
	status 0 ctl exec -- sh -c 'head -c 10; echo' >out </dev/null
}

test_environment() {
	MINE=here ctl exec --env A='a b' --env MINE --cwd /proc/sys -- \
		sh -c 'echo "$A $MINE $PWD $(id -u)"' >out </dev/null
	equal "$(cat out)" 'a b here /proc/sys 0'
	equal "$(ctl exec --user 7:8 -- sh -c 'id -u; id -g; echo >/dev/stderr' 2>/dev/null </dev/null)" '7
8'
	status 213 ctl exec --user nobody-knows -- true 2>err </dev/null
	contains err '^lunette: error: ctl exec: the guest: no such user .*: nobody-knows'
	status 200 ctl exec
	status 200 ctl exec --cwd here -- true
	status 200 lunette ctl --json "$shared/socket" exec -- true
}

# What ctl is told goes to the command; without it the command ends.
test_signals() {
	local pid
	lunette ctl "$shared/socket" exec -- sh -c 'trap "echo got it; exit 5" TERM; echo ready; sleep 1000 & wait' >out </dev/null &
	pid=$!
	until_true 60 grep -q ready out
	kill -TERM $pid
	status 5 wait $pid
	contains out 'got it'
	lunette ctl "$shared/socket" exec -- sh -c 'echo $$; exec sleep 1000' >out </dev/null &
	pid=$!
	until_true 60 test -s out
	kill -KILL $pid
	wait $pid || true
	until_true 60 gone "$(cat out)"
}
gone() { ! ctl exec -- kill -0 "$1" 2>/dev/null </dev/null; }

# COUNT at once: a MiB to each, and back; nothing is lost, and nothing is another one's.
several() {
	local i pids=
	for i in $(seq "$1"); do
		head -c 1m /dev/urandom >"in.$i"
		ctl exec -- sh -c 'echo $1 >&2; exec cat' sh "$i" <"in.$i" >"out.$i" 2>"err.$i" &
		pids="$pids $!"
	done
	for i in $pids; do wait "$i" || echo "status $?" >>failures; done
	for i in $(seq "$1"); do
		equal "$(cat "err.$i")" "$i"
		equal "$(md5sum <"out.$i")" "$(md5sum <"in.$i")"
	done
	[ ! -e failures ] || fail "$(cat failures)"
}
test_several() { several 8; }
long_hundred() { several 100; }

# One that nobody reads stands still alone, and ends as soon as nobody can read it.
test_slow_reader() {
	mkfifo pipe
	sleep 1000 <>pipe &
	local sleep=$! slow
	lunette ctl "$shared/socket" exec -- cat /dev/zero >pipe 2>err </dev/null &
	slow=$!
	sleep 3
	equal "$(ctl exec -- echo quick </dev/null)" quick
	kill -KILL $slow $sleep
	wait $slow $sleep || true
	{ ctl exec -- sh -c 'echo $$ >&2; exec yes' 2>pid </dev/null || echo $? >rc; } | head -n 1 >out
	equal "$(cat out)" y
	equal "$(cat rc)" 141 # SIGPIPE, of the command itself
}

# What a command leaves behind stays, and keeps nobody waiting.
test_left_behind() {
	equal "$(ctl exec -- sh -c 'sleep 9999 & echo $!' </dev/null >pid; echo $?)" 0
	ctl exec -- kill "$(cat pid)" </dev/null
}

test_terminal() {
	mkfifo keys
	cat >session <<-END
		stty rows 30 cols 100
		tty >tty
		stty -g >before
		sh -c 'echo \$\$ >pid; exec lunette ctl $shared/socket shell'
		echo \$? >status
		stty -g >after
	END
	timeout -k 5 200 script -qfec 'sh session' out <keys >/dev/null 2>err &
	exec 3>keys
	until_true 60 grep -q '# ' out
	echo 'stty size; tty' >&3
	until_true 30 grep -q '^30 100' out
	contains out '^/dev/pts/'
	stty -F "$(cat tty)" rows 43 cols 132
	kill -WINCH "$(cat pid)"
	until_true 30 resized
	printf "sh -c 'echo begun; exec sleep 1000'\\n" >&3
	until_true 30 grep -q '^begun' out
	printf '\003' >&3
	printf 'echo the sum is $((6 * 7)); exit 4\n' >&3
	until_true 30 test -s after
	exec 3>&-
	contains out 'the sum is 42'
	equal "$(cat status)" 4
	equal "$(cat after)" "$(cat before)"
}
resized() {
	echo 'stty size' >&3
	sleep 0.5
	grep -q '^43 132' out
}

# By the guest's tar, there and back; what comes out replaces nothing.
test_cp() {
	mkdir -p d/sub
	echo one >d/one
	head -c 300k /dev/urandom >d/sub/large
	ln -s ../one d/sub/link
	ctl cp d :/tmp </dev/null
	ctl exec -- sh -c 'cd /tmp/d && cat one && readlink sub/link && echo more >new && mkfifo pipe' >out </dev/null
	equal "$(cat out)" 'one
../one'
	ctl cp :/tmp/d back 2>err </dev/null
	contains err '1 entry is left out'
	equal "$(md5sum <back/sub/large)" "$(md5sum <d/sub/large)"
	equal "$(cat back/new)" more
	status 1 ctl cp :/tmp/d back/../back/sub/../one 2>err </dev/null # a file that is there
	contains err 'is there already'
	status 1 ctl cp :/tmp/none back 2>err </dev/null
	contains err 'none: No such file'
}

# Each client hears why, by a line and a status.
test_panic() { # the last one of this guest
	local pid
	ctl exec -- sh -c 'echo ready; sleep 1000' >out 2>err </dev/null &
	pid=$!
	until_true 60 grep -q ready out
	status 205 ctl exec -- sh -c 'echo c >/proc/sysrq-trigger' 2>err.1 </dev/null
	equal "$(cat err.1)" "lunette: error: ctl exec: the guest's kernel panicked"
	status 205 wait $pid
	equal "$(cat err)" "$(cat err.1)"
	until_true 30 test -s "$shared/status"
	equal "$(cat "$shared/status")" 205
	status 1 ctl exec -- true 2>err </dev/null
}

# Beside a command, in what it has; with its end they end.
test_beside_a_command() {
	local vmm pid
	run --control socket --env WHOSE=mine -- sh -c 'until [ -e /tmp/end ]; do sleep 0.1; done; exit 6' </dev/null &
	vmm=$!
	until_true 60 test -S socket
	equal "$(lunette ctl socket exec -- sh -c 'echo $WHOSE' </dev/null)" mine
	lunette ctl socket exec -- sh -c 'echo ready; sleep 1000' >ready 2>why </dev/null &
	pid=$!
	until_true 60 grep -q ready ready
	status 0 lunette ctl socket exec -- sh -c 'mkdir -p /tmp; touch /tmp/end' </dev/null
	status 209 wait $pid
	equal "$(cat why)" "lunette: error: ctl exec: the run's own command has ended"
	status 6 wait $vmm
}

# A guest whose init is another one.
long_another_init() {
	local vmm
	rootfs <<-'END'
		#!/bin/sh
		sleep 1000
	END
	vmm --initrd "$initrd" --disk disk.img --overlay on --root lun:0 --control socket &
	vmm=$!
	until_true 60 test -S socket
	status 213 lunette ctl socket exec -- true 2>why </dev/null
	contains why "ctl exec: the guest's init does not answer: it is not lunette's"
	lunette ctl socket quit
	status 208 wait $vmm
}

run_tests
kill $run 2>/dev/null
wait $run
rm -rf "$shared"
