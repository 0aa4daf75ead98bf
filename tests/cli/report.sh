#!/bin/bash
# SPDX-License-Identifier: MIT
# report.sh - what --json and --junit say of a run, on this machine's own /dev/kvm: the guests print
# a text by the serial port, and power off or go on for ever.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH

# guest END TEXT: makes guest.elf; END is poweroff or forever
guest() {
	{
		cat <<-'END'
			.globl _start
			_start: mov $text, %esi
			mov $0x3f8, %edx
			1: lodsb
			test %al, %al
			jz 2f
			outb %al, %dx
			jmp 1b
			2:
		END
		[ "$1" = forever ] || printf '%s\n' 'mov $0x600, %edx' 'mov $0x34, %al' 'outb %al, %dx'
		printf '3: jmp 3b\ntext: .asciz "%s"\n' "$2"
		echo '.section .note.GNU-stack, "", @progbits'
	} >guest.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
}

needs_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
}

run() {
	timeout -k 5 60 lunette run --vhost off --kernel guest.elf --memory 64M "$@" >out 2>err </dev/null
}

# start [OPTION...]: runs $pid, which has printed "up", until it is killed
start() {
	lunette run --vhost off --kernel guest.elf --memory 64M "$@" >out 2>err </dev/null &
	pid=$!
	trap 'kill -KILL $pid 2>/dev/null || true' EXIT
	until_true 20 grep -q up out
}

# is_json FILE: somebody else can read it, too
is_json() {
	! command -v python3 >/dev/null || python3 -m json.tool "$1" >/dev/null
}

nothing_beside() { # FILE...: no file of a report's name but these
	equal "$(find . -name 'r.*' | sort)" "$(printf './%s\n' "$@")"
}

test_usage_errors_are_reported() {
	status 200 run --cpus 0 --json r.json --junit=r.xml
	is_json r.json
	contains r.json '"cause": "usage"'
	contains r.json '"status": 200'
	contains r.json '"error": "--cpus 0: out of range'
	contains r.xml '<error type="usage" message="--cpus 0: out of range'
	status 200 run --json
	status 200 run --expect 'lun0.flush=1' --json r.json
	contains r.json '"error": "--expect lun0.flush=1: one of =='
}

test_what_cannot_be_set_up_is_reported() {
	status 201 lunette run --kernel none --json r.json 2>err
	contains r.json '"cause": "setup"'
	contains r.json '"error": "--kernel none: No such file'
	nothing_beside r.json
}

test_report_that_cannot_be_written() {
	status 201 run --json none/r.json
	contains err 'error: --json none/r.json: No such file'
	status 201 run --junit .
	contains err 'error: --junit .: Is a directory'
}

test_poweroff() {
	needs_kvm
	guest poweroff 'one\ntwo\377\n'
	status 0 run --json r.json --disk store=null,size=1M,serial=abc
	is_json r.json
	contains r.json '"finished": true'
	contains r.json '"cause": "poweroff"'
	contains r.json '"status": 0'
	contains r.json '"entered": [0-9]+\.'
	contains r.json '"up": null'
	contains r.json '"serial": "abc"'
	contains r.json '"flushes": 0'
	contains r.json '"one",'
	nothing_beside r.json
}

test_killed() {
	needs_kvm
	guest forever up
	echo old >r.json
	start --json r.json --junit r.xml
	kill -KILL $pid
	status 137 wait $pid
	is_json r.json
	contains r.json '"finished": false'
	contains r.json '"cause": "unfinished"'
	contains r.json '"kernel": "guest.elf"'
	contains r.xml '<error type="unfinished"'
	nothing_beside r.json r.xml
}

test_signal() {
	needs_kvm
	guest forever up
	start --json r.json
	kill $pid
	status 143 wait $pid
	contains r.json '"cause": "signal"'
	contains r.json '"signal": 15'
}

test_time_limit() {
	needs_kvm
	guest forever up
	status 212 run --timeout 500ms --json r.json --junit r.xml
	contains r.json '"cause": "timeout"'
	contains r.json '"vCPU 0: .*rip'
	contains r.xml '<failure type="timeout"'
}

test_descriptors_and_pipes() {
	needs_kvm
	guest poweroff 'hello\n'
	status 0 run --json /dev/stdout
	equal "$(head -n 2 out)" $'hello\n{'
	sed 1d out >r.json
	is_json r.json
	status 0 run --json /dev/fd/7 7>r.7
	is_json r.7
	mkfifo pipe
	cat pipe >r.pipe &
	status 0 run --json pipe
	wait $!
	is_json r.pipe
	contains r.pipe '"cause": "poweroff"'
}

test_results_on_the_console() {
	needs_kvm
	local text='[ 0.1] KTAP version 1\r\n[ 0.1] 1..2\r\n[ 0.2]   KTAP version 1\r\n'
	text+='[ 0.2]   1..1\r\n[ 0.2]   not ok 1 a<b\r\n[ 0.3] not ok 1 s\r\n'
	text+='[ 0.4] ok 2 t # SKIP none\r\n'
	guest poweroff "$text"
	status 0 run --json r.json --junit r.xml
	contains r.json '"not_ok": 2,'
	contains r.xml '<testsuite name="lunette".* tests="3" failures="1" errors="0" skipped="1"'
	contains r.xml '<testcase classname="console.s" name="a&lt;b"><failure'
	contains r.xml '<testcase classname="console" name="t"><skipped message="SKIP none">'
}

test_expectations() {
	needs_kvm
	guest poweroff 'hello\n'
	status 0 run --disk store=null,size=1M,id=d --expect lun0.flush==0 --expect 'd.commands < 1'
	status 216 run --disk store=null,size=1M --expect 'lun0.flush>=1' --json r.json
	contains err '^lunette: error: --expect lun0.flush>=1: not met: flushes of lun:0 is 0$'
	contains r.json '"cause": "expect"'
	contains r.json '"met": false'
	status 200 run --disk store=null,size=1M --expect 'lun1.flush>=1'
	status 200 run --boot-budget 1s
	contains err '--boot-budget: is about a command, and there is none'
}

run_tests
