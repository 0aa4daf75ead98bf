#!/bin/bash
# SPDX-License-Identifier: MIT
# matrix.sh - "lunette matrix", on this machine's own /dev/kvm: the guests power off, or go on for ever.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH

# guests: makes off.elf and loop.elf
guests() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
	printf '%s\n' 'mov $0x3f8, %edx' 'mov $0x68, %al' 'outb %al, %dx' \
		'mov $0x600, %edx' 'mov $0x34, %al' 'outb %al, %dx' >off.S
	: >loop.S
	for name in off loop; do
		{ echo '.globl _start; _start:'; cat $name.S; echo '1: jmp 1b; .section .note.GNU-stack, "", @progbits'; } |
			gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
				-Wl,-Ttext-segment=0x200000 -x assembler -o $name.elf -
	done
}

# file LINE...: makes ./m
file() {
	printf '%s\n' 'run --vhost off --memory 64M' "$@" >m
}
off='a off --kernel off.elf'
loop='a loop --kernel loop.elf'
none='a none --kernel none.elf'

matrix() {
	timeout -k 5 60 lunette matrix "$@" >out 2>err </dev/null
}

# start [OPTION...]: a matrix, $pid, in the background
start() {
	lunette matrix m "$@" >out 2>err </dev/null &
	pid=$!
	trap 'kill -KILL $pid $(children) 2>/dev/null || true' EXIT
}
children() {
	cat /proc/$pid/task/$pid/children 2>/dev/null || true
}
has_children() { # NUMBER
	[ "$(children | wc -w)" = "$1" ]
}
all_gone() { # PID...
	for p; do
		! kill -0 "$p" 2>/dev/null || return 1
	done
}

test_usage() {
	status 0 matrix --help
	contains out '^usage: lunette matrix FILE'
	status 200 matrix
	contains err 'FILE is missing'
	status 200 matrix m m
	contains err "'m': one FILE is wanted"
	status 200 matrix none
	contains err '^lunette: error: none: No such file'
	file "$off"
	status 200 matrix m --slots 0
	status 200 matrix m --junitt x
}

# Nothing has begun then.
test_errors_of_runs_come_first() {
	file "$off" 'b good' 'b bad --cpus 0'
	status 200 matrix m --json r.json
	contains err 'm: off,bad: --cpus 0: out of range'
	[ ! -e r.json ] && [ ! -s out ]
	file "$off" 'b x --json x'
	status 200 matrix m
	contains err 'm: off,x: --json is not for a run'
	file "$off" 'b x -t'
	status 200 matrix m
	contains err 'm: off,x: -t is not for a run'
	file "$off" 'b x -- --json -t' # a command's
	status 0 matrix m --list
}

# Before any begins: each would write over what another has left.
test_outputs_of_many() {
	guests
	mkdir -p folder other
	touch there
	ln there link
	ln -s folder soft
	for pair in '--out=results --out=results' '--out=results:/x --out=./results:/y' '--out=folder --out=soft' \
		'--trace=scsi=t --trace=scsi=folder/../t' '--trace=scsi=there --trace=scsi=link' \
		'--keep-on-fail=k --keep-on-fail=k' '--control=s --control=s' "--out=o --out=$PWD/o" \
		'--device=serial,port=1,file=f --device=console-port,p,out=f' \
		'--device=console-port,id=x,name=p,out=a,,b --trace=scsi=a,b' '--out=new --keep-on-fail=new'; do
		set -- $pair
		file "$off" "b one $1 -- true" "b two $2 -- true"
		status 200 matrix m
		contains err '^lunette: error: m: off,one and off,two would write to the same: .*; .run. in a path'
		[ ! -s out ]
	done
	file "$off" 'run --out results -- true' 'b one' 'b two' 'b three'
	status 200 matrix m --list
	contains err '--out results, --out results; .run. in a path makes it one of each run.s own, as in results/.run.'
	truncate -s 1M disk.img
	file "$off" 'b one --trace scsi=disk.img' 'b two --disk ./disk.img,readonly=on'
	status 200 matrix m
	contains err 'm: --trace disk.img of off,one is the same file as ./disk.img of off,two'
	equal "$(stat -c %s disk.img)" 1048576
	mkdir -p results/sub
	file "$off" 'b one --out results -- true' 'b two --out results/sub -- true' 'b three --device serial,port=1,file=/dev/null' \
		'b four --device serial,port=1,file=/dev/null' 'b five --trace scsi=/dev/stdout' 'b six --trace scsi=/dev/stdout'
	status 0 matrix m --list
}

# {run}, whose commas are no commas of an option's
test_outputs_of_each() {
	guests
	file "$off" 'run --device serial,port=1,file={run}.com2 --trace scsi={run}.trace --keep-on-fail {run}' \
		'run --device=console-port,p,out={run}.port --console hvc' \
		'run --disk kept.img,overlay=on' 'b one' 'b two'
	truncate -s 1M kept.img
	status 0 matrix m
	ls >there
	for run in off,one off,two; do
		for end in .com2 .trace .port ''; do contains there "^$run$end$"; done
	done
	file "$off" 'b one -- --device {run},x'
	status 0 matrix m --list
	contains out '-- --device off,one,x$'
}

# What the matrix itself writes is none of what it and its runs read.
test_reports_hurt_nothing() {
	guests
	truncate -s 1M disk.img
	ln -s disk.img soft
	file "$off" 'run --disk disk.img,readonly=on' 'b one'
	sha256sum m disk.img off.elf >sums
	for name in m disk.img soft off.elf; do
		for option in --json --junit --html; do
			status 200 matrix m $option $name
			contains err "error: $option $name: is the same file as"
			sha256sum --quiet -c sums
		done
	done
	status 200 matrix m --json r --junit r
	contains err '--junit r: is the same file as --json r'
	status 200 matrix m --junit r --html ./r
	contains err '--html ./r: is the same file as --junit r'
	[ ! -e r ]
	mkdir -p kept/off,one
	ln disk.img kept/off,one/console
	status 200 matrix m --keep kept
	contains out 'console-log.*is the same file as --disk disk.img'
	sha256sum --quiet -c sums
}

test_list() {
	file "$off" "$loop" 'b one --append "x y"' 'b two -- sh -c "it'"'"'s {run}"' 'exclude a=off b=one'
	status 0 matrix m --list
	equal "$(cat out)" "off,two   lunette run --vhost off --memory 64M --kernel off.elf -- sh -c 'it'\''s off,two'
loop,one  lunette run --vhost off --memory 64M --kernel loop.elf --append 'x y'
loop,two  lunette run --vhost off --memory 64M --kernel loop.elf -- sh -c 'it'\''s loop,two'"
}

test_success() {
	guests
	file "$off" 'cpus 1' 'cpus 2 --cpus 2' 'b p' 'b q'
	status 0 matrix m
	equal "$(grep -c '^ok      off,[12],[pq]  poweroff      0 .* s$' out)" 4
	equal "$(tail -n 1 out | cut -d , -f 1-2)" '4 runs: 4 succeeded, 0 failed'
}

test_files_are_relative_to_the_matrix() {
	guests
	file "$off"
	mkdir elsewhere
	cd elsewhere
	status 0 matrix ../m --json r.json --keep kept
	contains r.json '"kernel": "off.elf"'
	equal "$(cat kept/off/stdout)" h
	cp out err ..
}

test_matrix_from_a_pipe() {
	guests
	file "$off"
	timeout 60 lunette matrix /dev/stdin <m >out 2>err # a file, after all
	contains out '^ok      off '
	cat m | timeout 60 lunette matrix /dev/stdin >out 2>err
	contains out '^ok      off '
}

test_reports() {
	guests
	file "$off" "$none" 'a big --kernel off.elf --memory 512G' 'b x'
	sed -i 's/ --memory 64M//' m
	status 215 matrix m --json r.json --junit r.xml --keep kept
	contains out '^FAILED  none,x  setup       201 '
	contains out '^  \| lunette: error: --kernel none.elf: No such file'
	contains out '^big,x: guest and overhead need 5[0-9]{5}M of memory, and all there is are [0-9]+M \('
	contains out '^3 runs: 1 succeeded, 2 failed, '
	contains r.xml '<testsuite name="off,x" .* tests="1" failures="0" errors="0"'
	contains r.xml '<testcase classname="off,x.lunette" name="lunette run"'
	contains r.xml '<testsuite name="none,x" .* errors="1"'
	contains r.xml '<error type="memory" message="guest and overhead need'
	contains r.json '"run": "none,x"'
	equal "$(cat kept/off,x/stdout kept/off,x/console)" hh
	contains kept/none,x/stderr none.elf
	! command -v python3 >/dev/null || python3 - <<-'END'
		import json, xml.etree.ElementTree as tree
		runs = json.load(open("r.json"))
		assert [(r["run"], r["cause"], r["status"]) for r in runs] == [
			("off,x", "poweroff", 0), ("none,x", "setup", 201), ("big,x", "memory", 215)]
		assert runs[0]["values"] == {"a": "off", "b": "x"}
		assert [s.get("name") for s in tree.parse("r.xml").getroot()] == ["off,x", "none,x", "big,x"]
	END
}

# See also page.sh.
test_page() {
	guests
	file "$off" "$none" 'b x' 'b y'
	status 201 matrix m --html page.html
	contains page.html '^<tr><th scope="row">off</th><td class="ok"><a href="#r0">'
	contains page.html '^<tr><th scope="row">none</th><td class="failed"><a href="#r2">'
	contains page.html '<span class="said">--kernel none.elf: No such file or directory</span>'
	status 200 matrix m --html
	echo old >page.html
	status 200 matrix m --html page.html --slots 0
	equal "$(cat page.html)" old
}

test_report_that_cannot_be_written() {
	file "$off"
	status 201 matrix m --json none/r.json
	contains err '^lunette: error: --json none/r.json: No such file'
	status 201 matrix m --html none/page.html
	contains err '^lunette: error: --html none/page.html: No such file'
	status 201 matrix m --keep none/kept
	contains err '^lunette: error: --keep none/kept: No such file'
	echo text >kept
	status 201 matrix m --keep kept
	equal "$(cat out err)" 'lunette: error: --keep kept: Not a directory'
	equal "$(cat kept)" text
	mkdir -p folder
	echo text >folder/off # where a run's own would be
	status 201 matrix m --keep folder
	contains err "^lunette: error: --keep: .*/folder/off: Not a directory"
	equal "$(wc -l <out)" 0
	equal "$(cat folder/off)" text
	[ ! -s out ]
}

test_slots_and_a_signal() {
	guests
	file "$loop" 'b 1' 'b 2' 'b 3'
	start --slots 2 --json r.json --junit r.xml
	until_true 20 has_children 2
	contains r.json '"cause": "unfinished"'
	runs=$(children)
	kill $pid
	status 143 wait $pid
	all_gone $runs
	contains out '^stopped loop,1  signal      143 '
	contains out '^stopped loop,2  signal      143 '
	contains out '^3 runs: 0 succeeded, 0 failed, 3 stopped or not run'
	contains r.xml '<testcase classname="loop,3.lunette" name="lunette run"><skipped message="not run"/>'
	contains r.json '"cause": "signal"'
}

# One that does not end when it is told to: stopped, as by a debugger.
test_second_signal() {
	guests
	file "$loop"
	start
	until_true 20 has_children 1
	run=$(children)
	kill -STOP $run
	kill -TERM $pid
	until_true 20 grep -q 'once more: at once' err
	kill -0 $run
	kill -HUP $pid
	status 143 wait $pid
	all_gone $run
}

test_killed_matrix() {
	guests
	file "$loop" 'b 1' 'b 2'
	start --slots 2
	until_true 20 has_children 2
	runs=$(children)
	trap 'kill -KILL $runs 2>/dev/null || true' EXIT
	kill -KILL $pid
	until_true 20 all_gone $runs
}

test_killed_run() {
	guests
	file "$loop" "$off"
	start --slots 1 --json r.json
	until_true 20 has_children 1
	kill -KILL $(children)
	status 217 wait $pid
	contains out '^FAILED  loop  bug         137 '
	contains out '^loop: lunette was killed by signal 9'
	contains out '^ok      off '
	contains r.json '"cause": "bug"'
}

test_fail_fast() {
	guests
	file "$loop" "$none" "$off"
	status 201 matrix m --slots 2 --fail-fast
	contains out '^FAILED  none '
	contains out '^stopped loop '
	contains out '^3 runs: 0 succeeded, 1 failed, 2 stopped or not run'
}

test_ignored_signals_stay_ignored() {
	guests
	file "$loop"
	trap '' HUP
	start
	until_true 20 has_children 1
	kill -HUP $pid
	kill -TERM $pid
	status 143 wait $pid
}

test_terminal() {
	guests
	file "$off" "$none"
	rc=0
	timeout -k 5 60 script -qec 'stty cols 40; lunette matrix m --slots 1' typescript >/dev/null </dev/null || rc=$?
	equal $rc 201
	contains typescript '0 of 2 done, 0 failed; running: off'
	contains typescript 'FAILED  none'
	contains typescript '2 runs: 1 succeeded, 1 failed'
	! grep -q '^ok' typescript
}

run_tests
