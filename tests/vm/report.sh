#!/bin/sh
# SPDX-License-Identifier: MIT
# report.sh - what --json and --junit say of Linux guests and of their disks; --expect.
. "$(dirname "$0")/lib.sh"

write='dd if=/dev/zero of=/dev/sda bs=4k count=2 conv=fsync'

test_disks() {
	truncate -s 4M a.img
	status 0 guest "$write" --disk a.img --json r.json --expect 'lun0.write>=8K' \
		--expect 'lun0.flush>=1'
	contains r.json '"cause": "exit"'
	contains r.json '"cmdline": ".* console=ttyS0'
	contains r.json '"file": ".*a.img"'
	contains r.json '"serial": "a.img"'
	contains r.json '"served": "process"'
	contains r.json '"written": 8192'
	equal "$(grep -c '"met": true' r.json)" 2
}

test_disks_that_should_only_be_read() {
	truncate -s 4M a.img
	status 216 guest "$write" --disk a.img --expect lun0.write==0
	contains err 'error: --expect lun0.write==0: not met: written of lun:0 is 8192'
}

test_panic() {
	job 'echo c >/proc/sysrq-trigger'
	status 205 vmm --initrd initrd --json r.json --junit r.xml
	contains r.json '"cause": "panic"'
	contains r.json '"status": 205'
	contains r.json 'Kernel panic - not syncing: sysrq triggered crash'
	contains r.xml '<failure type="panic"'
	contains r.xml 'Kernel panic - not syncing: sysrq triggered crash'
}

test_results_of_tests() {
	status 0 guest 'printf "TAP version 13\n1..3\nok 1 - a\nnot ok 2 - b\n# why\n" >/dev/console' \
		--junit r.xml
	contains r.xml '<testcase classname="console" name="a"/>'
	contains r.xml '<testcase classname="console" name="b"><failure'
	contains r.xml '<failure type="tap" message="2 of 3 planned tests came">'
}

# reported STATUS [OPTION...] -- COMMAND...
reported() {
	local wanted=$1
	shift
	status "$wanted" vmm --initrd "$initrd" --json r.json --junit r.xml "$@"
}

test_command() {
	reported 3 -- sh -c 'exit 3'
	contains r.json '"argv": \['
	contains r.json '^ +"exit": 3,'
	for phase in built entered up start end off; do
		contains r.json "^ +\"$phase\": [0-9]+\\.[0-9]+,?$"
	done
	contains r.xml '<testcase classname="lunette" name="sh -c exit 3" time="[0-9.]+">'
	contains r.xml '<failure type="exit" message="exit status 3">'
}

test_results_of_a_command() { # whose own word is that all is well
	reported 0 -- sh -c 'printf "1..3\nok 1 - a\nnot ok 2 - b\n# why\nok 3 - c # SKIP none\n"; echo no >&2'
	equal "$(head -n 2 out)" "1..3
ok 1 - a"
	contains r.json '"not_ok": 1,'
	contains r.xml ' tests="4" failures="1" errors="0" skipped="1" '
	contains r.xml '<testcase classname="stdout" name="a"/>'
	contains r.xml '<testcase classname="stdout" name="b"><failure'
	contains r.xml '># why$'
}

test_results_end_early() {
	reported 0 -- printf '1..3\nok 1 - a\nBail out! no disk\n'
	contains r.xml '<failure type="tap" message="Bail out! no disk">'
}

test_expectations_of_a_command() {
	truncate -s 4M a.img
	reported 0 --disk a.img --expect 'lun0.flush>=1' --boot-budget 1h -- sh -c "$write"
	reported 216 --disk a.img --expect lun0.write==0 -- sh -c "$write"
	contains r.xml '<failure type="expect" message="--expect lun0.write==0: not met: written of'
	reported 1 --disk a.img --expect lun0.write==1 -- false
	! grep expect err || fail 'the command has failed anyway'
	reported 216 --boot-budget 1ms -- true
	contains err 'error: --boot-budget 1ms: not met: it took [0-9.]+ ms$'
}

test_kernel_serves() {
	kernel_target
	truncate -s 4M a.img
	status 0 guest "$write" --vhost on --disk a.img --json r.json
	contains r.json '"served": "kernel"'
	contains r.json '"counters": null'
	contains r.json '"error": null'

	status 200 vmm --vhost on --disk a.img --expect 'lun0.flush>=1'
	contains err 'the kernel serves .* run with --vhost off'
	status 0 guest "$write" --vhost auto --disk a.img --expect 'lun0.flush>=1' --json r.json
	contains r.json '"served": "process"'
	nothing_left
}

run_tests
