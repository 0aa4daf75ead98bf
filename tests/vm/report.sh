#!/bin/sh
# report.sh - what --json and --junit say of Linux guests and of their disks; --expect.
. "$(dirname "$0")/lib.sh"

write='dd if=/dev/zero of=/dev/sda bs=4k count=2 conv=fsync'

test_disks() {
	truncate -s 4M a.img
	status 0 guest "$write" --disk a.img --json r.json --expect 'lun0.write>=8K' \
		--expect 'lun0.flush>=1'
	contains r.json '"cause": "poweroff"'
	contains r.json '"cmdline": ".* console=ttyS0'
	contains r.json '"file": ".*a.img"'
	contains r.json '"serial": "a"'
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
