#!/bin/bash
# SPDX-License-Identifier: MIT
# crash.sh - lunette itself fails, or is killed: what it says, its status, and the terminal. Guests
# are a few instructions, on this machine's own /dev/kvm; to fail, lunette is given an epoll_wait()
# that does so once the file "crash" is there.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH

prepare() { # HOW: a statement in C
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
	printf '%s\n' '.globl _start' '_start: jmp _start' '.section .note.GNU-stack, "", @progbits' >guest.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
	cat >crash.c <<-END
		#include <stdlib.h>
		#include <sys/epoll.h>
		#include <unistd.h>
		int epoll_wait(int fd, struct epoll_event *e, int n, int timeout)
		{
			(void)timeout;
			for (;;) {
				int r = epoll_pwait(fd, e, n, 50, NULL);
				if (access("crash", F_OK) == 0) { $1; }
				if (r) return r;
			}
		}
	END
	gcc -shared -fPIC -o crash.so crash.c
}
run='lunette run --vhost off --kernel guest.elf --memory 64M'

crash() { # STATUS HOW
	prepare "$2"
	: >crash
	ulimit -c 0
	status "$1" env LD_PRELOAD="$PWD/crash.so" timeout -k 5 20 $run >out 2>err </dev/null
	equal "$(wc -l <err)" 1
}

test_bad_pointer() {
	crash 217 '*(volatile int *)8 = 1'
	contains err 'error: this is a bug in lunette .*: SIGSEGV in lunette at .* 0x8; please report'
}
test_abort() {
	crash 217 'abort()'
	contains err 'error: this is a bug in lunette .*: SIGABRT in lunette'
}
test_core_wanted() {
	prepare 'abort()'
	: >crash
	ulimit -c unlimited 2>/dev/null || skip 'no core dumps are allowed here'
	(cd "$PWD" && status 134 env LD_PRELOAD="$PWD/crash.so" $run >out 2>err </dev/null)
	contains err 'this is a bug in lunette'
}

# In a terminal of its own: ACTION ends it; the terminal is as it was before, at once or soon.
on_terminal() { # STATUS ACTION
	local wanted=$1
	shift
	cat >session <<-END
		ulimit -c 0
		tty >tty
		stty -g >before
		sh -c 'echo \$\$ >pid; LD_PRELOAD=$PWD/crash.so exec $run'
		echo \$? >status
		read -r end
	END
	mkfifo keys
	timeout -k 5 60 script -qfec 'sh session' out <keys >/dev/null 2>&1 &
	exec 3>keys
	until_true 20 is_raw
	until_true 5 watched
	"$@"
	until_true 20 test -s status
	until_true 10 is_as_before
	equal "$(cat status)" "$wanted"
	until_true 10 nobody_left
	exec 3>&-
}
is_raw() { [ -s before ] && stty -F "$(cat tty)" -a | grep -q -- '-icanon'; }
is_as_before() { [ "$(stty -F "$(cat tty)" -g)" = "$(cat before)" ]; }
watchers() { # of this test: what is in a folder of its name
	local p
	for p in /proc/[0-9]*; do
		[ "$(readlink $p/cwd 2>/dev/null)" != "$PWD" ] || [ "$(cat $p/comm)" != lunette-tty ] ||
			echo "${p#/proc/}"
	done
}
watched() { [ -n "$(watchers)" ]; }
nobody_left() { [ -z "$(watchers)" ]; }

test_terminal_after_a_crash() {
	prepare '*(volatile int *)8 = 1'
	on_terminal 217 touch crash
	contains out 'this is a bug in lunette'
}
kill_it() { kill -KILL "$(cat pid)"; }
test_terminal_after_sigkill() {
	prepare 'abort()'
	on_terminal 137 kill_it
}
crash_by_somebody() { kill -SEGV "$(cat pid)"; }
test_terminal_after_a_signal() { # which is no bug
	prepare 'abort()'
	on_terminal 139 crash_by_somebody
	! grep 'this is a bug' out
}
escape() { printf '\001x' >&3; }
test_terminal_after_the_escape() {
	prepare 'abort()'
	on_terminal 208 escape
}
test_killed_watcher() { # is not missed
	prepare 'abort()'
	on_terminal 208 kill_watcher_and_escape
}
kill_watcher_and_escape() {
	kill -KILL "$(watchers)"
	escape
}

run_tests
