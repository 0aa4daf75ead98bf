#!/bin/sh
# SPDX-License-Identifier: MIT
# tmux.sh - a command's terminal, as its user sees it: -t in a window of tmux.
. "$(dirname "$0")/lib.sh"
export LC_ALL=C.UTF-8 TMUX_TMPDIR=/tmp

screen() { tmux capture-pane -p; }
shows() { screen | grep -qE -e "$1"; }
type_line() { tmux send-keys "$1" Enter; }

# A window whose shell's modes are in ./before, and in it a guest's shell.
window() {
	cat >session <<-END
		stty -g >before
		sh -c 'echo \$\$ >pid; exec lunette run --kernel $kernel --initrd $initrd --vhost off -t -- sh'
		echo "status \$?"
		stty -g >after
		exec sh
	END
	trap 'tmux kill-server' EXIT
	tmux -f /dev/null new-session -d -x 100 -y 30 'sh session'
	until_true 60 shows '^/root #'
}

ends() { # STATUS: and the window is as it was, so that a line typed there is shown once
	until_true 30 test -s after
	shows "status $1\$" || fail "$(screen)"
	equal "$(cat after)" "$(cat before)"
	type_line 'echo here $((6 * 7))'
	until_true 10 shows '^here 42$'
	equal "$(screen | grep -c 'echo here')" 1
}

test_echo() {
	window
	type_line 'echo there $((6 * 7))'
	until_true 10 shows '^there 42$'
	equal "$(screen | grep -c 'echo there')" 1
	shows '^/root # echo there' || fail "$(screen)"
	type_line 'exit 6'
	ends 6
}

test_interrupt() {
	window
	type_line 'sh -c "echo begun; exec sleep 1000"'
	until_true 10 shows '^begun$'
	tmux send-keys C-c
	type_line 'echo status $?'
	until_true 10 shows '^status 130$'
	tmux send-keys C-d
	ends 130
}

test_resize() {
	window
	type_line 'stty size'
	until_true 10 shows '^30 100$'
	tmux resize-window -x 132 -y 43
	until_true 20 resized
	tmux send-keys C-a x
	ends 208
}
resized() {
	type_line 'stty size'
	sleep 0.5
	shows '^43 132$'
}

test_full_screen_program() { # moves the cursor, and finds the size
	window
	type_line 'seq 100 | less'
	until_true 10 shows '^29$'
	tmux send-keys q
	type_line 'exit'
	ends 0
}

test_killed() { # nothing of lunette is left that could restore the terminal but its watcher
	window
	kill -9 "$(cat pid)"
	ends 137
}

run_tests
