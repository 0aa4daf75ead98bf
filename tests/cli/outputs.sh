#!/bin/bash
# SPDX-License-Identifier: MIT
# outputs.sh - what lunette writes hurts nothing that it reads, and nothing else that it writes; on
# this machine's own /dev/kvm: the guests send a byte by each serial port, and power off.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=$top:$PATH

# guest [INSTRUCTION...]: makes guest.elf
guest() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
	printf '%s\n' '.globl _start' '_start: mov $0x41, %al' 'mov $0x3f8, %edx' 'outb %al, %dx' \
		'mov $0x2f8, %edx' 'outb %al, %dx' "$@" 'mov $0x600, %edx' 'mov $0x34, %al' \
		'outb %al, %dx' '1: jmp 1b' '.section .note.GNU-stack, "", @progbits' >guest.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o guest.elf guest.S
}
run() {
	local kernel=(--kernel guest.elf)
	[[ " $* " != *' --kernel '* ]] || kernel=()
	timeout -k 5 60 lunette run --vhost off "${kernel[@]}" --memory 64M "$@" >out 2>err </dev/null
}

# a.img by four names, and other files of a run
files() {
	guest
	head -c 1M /dev/urandom >a.img
	ln -s a.img soft
	ln a.img hard
	mkdir folder
	cp a.img folder/lun0.img
	cp a.img initrd
	cp a.img con.1
	sha256sum a.img guest.elf initrd con.1 folder/lun0.img >sums
}
untouched() {
	sha256sum --quiet -c sums || fail "$*: a file is changed"
}

# refused OPTION... -- PATTERN...: status 200, one line that has these, and all is as before
refused() {
	local args=() rc
	while [ "$1" != -- ]; do args+=("$1"); shift; done
	shift
	for explain in '' --explain; do
		ls -A >before
		: >>out >>err
		rc=0
		run $explain "${args[@]}" || rc=$?
		equal "$explain ${args[*]}: $rc" "$explain ${args[*]}: 200"
		equal "$(wc -l <err)" 1
		for pattern; do contains err "$pattern"; done
		untouched "$explain ${args[*]}"
		ls -A | diff before - || fail "$explain ${args[*]}: other files than before"
	done
}

test_output_is_an_input() {
	files
	: >out >err >before
	for name in a.img ./a.img "$PWD/a.img" soft hard folder/../hard; do
		refused --disk a.img --console-log $name -- "--console-log $name" '--disk a.img'
		refused --disk a.img --trace scsi=$name -- "--trace scsi=$name" '--disk a.img'
		refused --disk a.img,overlay=on --device serial,port=1,file=$name -- "file=$name" '--disk a.img'
		refused --cdrom a.img --device console-port,p,out=$name -- "out=$name" '--cdrom a.img'
		refused --json $name --disk a.img,readonly=on -- "--json $name" '--disk a.img'
		refused --disk $name --junit a.img -- '--junit a.img' "--disk $name"
	done
	refused --json guest.elf -- '--json guest.elf' '--kernel guest.elf'
	refused --console-log guest.elf -- '--console-log guest.elf' '--kernel guest.elf'
	refused --initrd initrd --trace scsi=initrd -- '--trace scsi=initrd' '--initrd initrd'
	refused --device scsi-disk,file=a.img --json a.img -- '--json a.img' '--disk a.img'
}

# A file, and the disk that the kernel makes of it.
test_loop_devices() {
	files
	: >out >err >before
	loop=$(losetup --find --show a.img) || skip 'no loop device'
	over=$(losetup --find --show $loop) || fail "no loop device over $loop"
	for disk in $loop $over; do
		refused --disk $disk --console-log hard -- '--console-log hard' "--disk $disk"
		refused --disk $disk,readonly=on --json a.img -- '--json a.img' "--disk $disk"
		refused --disk a.img --device serial,port=1,file=$disk -- "file=$disk" '--disk a.img'
	done
	status 0 run --disk $loop,readonly=on --disk a.img,readonly=on,serial=b --console-log new
	losetup -d $over $loop
	untouched
}

# As disks they are one, too.
test_loop_devices_and_files() {
	local two
	files
	loop=$(losetup --find --show a.img) || skip 'no loop device'
	over=$(losetup --find --show $loop) || fail "no loop device over $loop"
	for two in "a.img $loop" "$loop a.img" "hard $over" "$over a.img" "$loop $over"; do
		set -- $two
		status 201 run --disk $1 --disk $2,serial=b
		contains err "^lunette: error: .*$2.*: is attached twice"
		status 201 run --disk $1,readonly=on --disk $2,serial=b
		status 201 run --disk $1 --disk $2,serial=b,overlay=on
		contains err "^lunette: error: .*$2.*: is attached twice; both need readonly=on to share it"
		status 0 run --disk $1,readonly=on --disk $2,serial=b,overlay=on
		status 0 run --disk $1,overlay=on --disk $2,serial=b,overlay=on
	done
	losetup -d $over $loop
	untouched
}

# The file that a full log becomes, and those that a failed run leaves.
test_output_that_comes_later() {
	files
	: >out >err >before
	refused --disk con.1 --console-log con -- '--console-log con: .*con.1' '--disk con.1'
	refused --disk folder/lun0.img,id=lun0,overlay=on --keep-on-fail folder -- \
		'--keep-on-fail: folder/lun0.img' '--disk folder/lun0.img'
	mkdir new # where none of the two is there
	refused --console-log new/con --trace scsi=new/con.1 -- 'new/con.1' '--trace scsi=new/con.1'
	refused --disk a.img,id=d,overlay=on --keep-on-fail new --trace scsi=new/d.img -- \
		'--keep-on-fail: new/d.img' '--trace scsi=new/d.img'
}

test_configuration_beside_the_kernel() {
	files
	: >out >err >before
	cp guest.elf vmlinuz-1
	echo CONFIG_X=y >config-1
	sha256sum config-1 >>sums
	refused --kernel vmlinuz-1 --console-log config-1 -- '--console-log config-1' 'config-1'
}

test_two_outputs() {
	files
	: >out >err >before
	touch there
	ln there link
	for pair in 'new new' 'new ./new' 'there link'; do
		set -- $pair
		refused --json $1 --junit $2 -- "--junit $2" "--json $1"
		refused --console-log $1 --trace scsi=$2 -- "scsi=$2" "--console-log $1"
		refused --device serial,port=1,file=$1 --device console-port,p,out=$2 -- "out=$2" "file=$1"
	done
}

# By descriptors that lunette is started with: stdin, stdout, others.
test_descriptors() {
	files
	lunette=(lunette run --vhost off --kernel guest.elf --memory 64M)
	status 200 "${lunette[@]}" --disk a.img 2>err </dev/null 1<>hard
	contains err 'stdout: is the same file as --disk a.img'
	status 200 "${lunette[@]}" --disk a.img --json /dev/fd/7 2>err </dev/null 7<>soft
	contains err '--json /dev/fd/7: is the same file as --disk a.img'
	status 200 "${lunette[@]}" --disk a.img --device console-port,p,out-fd=7 2>err </dev/null 7<>a.img
	contains err 'out-fd=7: is the same file as --disk a.img'
	status 200 "${lunette[@]}" --console-log a.img 2>err <a.img
	contains err '--console-log a.img: is the same file as stdin'
	status 200 "${lunette[@]}" --trace scsi=log2 </dev/null >log2 2>err
	contains err '--trace scsi=log2: is the same file as stdout'
	untouched
}

# Without a line, and as one: 2>&1, /dev/null, pipes, /dev/stdout.
test_what_may_be_shared() {
	guest
	truncate -s 1M a.img
	lunette=(lunette run --vhost off --kernel guest.elf --memory 64M --disk a.img,readonly=on)
	status 0 run --disk store=null,size=1M --console-log new --trace scsi=/dev/null \
		--device serial,port=1,file=/dev/null
	status 0 "${lunette[@]}" --device serial,port=1,file=/dev/stdout --device console-port,p,out=/dev/fd/2 \
		--json /dev/fd/1 >both 2>&1 </dev/null
	equal "$(head -n 1 both)" 'AA{'
	mkfifo fifo
	cat fifo >from-fifo &
	status 0 "${lunette[@]}" --device serial,port=1,file=fifo >out 2>err </dev/null
	wait $!
	equal "$(cat from-fifo)" A
	status 0 "${lunette[@]}" --explain --device serial,port=1,file=fifo --console-log new >out 2>err </dev/null
	status 0 "${lunette[@]}" --disk a.img,readonly=on --cdrom a.img <a.img >out 2>err
}

# Until the machine runs nothing is emptied, and nothing new stays.
test_nothing_is_touched() {
	files
	: >out >err
	for name in con trace com2 port r.json r.xml; do echo old >$name; done
	sha256sum con trace com2 port >>sums
	outputs=(--disk store=null,size=1M,overlay=on --console-log con --trace scsi=trace --device serial,port=1,file=com2
		--device console-port,p,out=port)
	status 0 run --explain "${outputs[@]}" --json r.json --junit r.xml --keep-on-fail kept
	untouched
	equal "$(cat r.json r.xml)" $'old\nold'
	[ ! -e kept ]
	status 201 run "${outputs[@]}" --disk none --json r.json
	contains r.json '"cause": "setup"'
	untouched
	rm port con
	status 201 run "${outputs[@]}" --disk none
	[ ! -e port ] && [ ! -e con ]
	status 0 run "${outputs[@]}"
	equal "$(cat com2 con)" AA
	equal "$(cat trace port)" ''
}

# What is not understood, or fails before all is known, may still mean a file.
test_report_of_a_wrong_command_line() {
	files
	: >out >err
	for options in '--cpus 0 --disk a.img' '--disk=a.img,readonly=on --nonsense' '--nonsense --disk a.img' \
		'--device scsi-disk,id=x,file=a.img --cpus 0' '--device nonsense --disk a.img' \
		'--cpus 0 --disk a.img,,serial=,' '--share nosuch:/x --disk a.img -- true' '--initrd nosuch --disk a.img'; do
		for report in --json --junit; do
			rc=0
			run $report hard $options || rc=$?
			[ $rc = 200 ] || [ $rc = 201 ] || fail "status $rc: $options"
			untouched "$report hard $options"
		done
	done
	status 201 run --kernel nosuch --disk a.img --json a.img
	untouched
	status 200 run --json new --cpus 0 # of others there is a report
	contains new '"cause": "usage"'
}

# By another run: a disk, and another output.
test_files_of_another_run() {
	files
	{
		printf '%s\n' '.globl _start' '_start: jmp _start' '.section .note.GNU-stack, "", @progbits'
	} | gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -x assembler -o loop.elf -
	lunette run --vhost off --kernel loop.elf --memory 64M --disk a.img,readonly=on --console-log con \
		--control socket >out.1 2>err.1 </dev/null &
	pid=$!
	trap 'kill -KILL $pid 2>/dev/null || true' EXIT
	until_true 20 lunette ctl socket devices >out.2
	for option in --json --junit --console-log; do
		status 201 run $option soft
		contains err "$option soft: the file is in use by process $pid .lunette."
	done
	status 201 run --console-log con
	status 201 run --disk con
	contains err "con: in use by process $pid"
	status 1 lunette ctl socket plug con >out 2>err # its own
	contains err 'console-log con'
	untouched
}

# Only who reads may leave. Each stream has its name, and each error its own.
test_what_cannot_be_written() {
	guest
	lunette=(timeout -k 5 60 lunette run --vhost off --kernel guest.elf --memory 64M)
	status 211 "${lunette[@]}" >/dev/full 2>err </dev/null
	equal "$(grep -v "console:$\|^A" err)" "lunette: error: stdout: cannot be written: No space left on device; the run ends here, as what the guest says would be lost"
	status 211 "${lunette[@]}" >&- 2>err </dev/null
	contains err 'error: stdout: cannot be written: Bad file descriptor'
	for file in /dev/full /dev/fd/7; do
		status 211 "${lunette[@]}" --device serial,port=1,file=$file >out 2>err </dev/null 7>/dev/full
		contains err "error: serial1: file=$file: cannot be written: No space left on device"
	done
	for option in --json --junit; do
		status 211 run $option /dev/full
		contains err "error: $option /dev/full: No space left on device"
	done
	rc=0
	"${lunette[@]}" 2>err </dev/null | : || rc=$?
	equal "$rc" 0
	equal "$(cat err)" ''
}

# As many bytes as the limit on a file's size lets through: a kind of error of its own.
test_files_that_become_too_large() {
	guest '2: jmp _start'
	for option in --console-log=con --device=serial,port=1,file=com2; do
		rc=0
		(
			ulimit -f 1
			run $option
		) || rc=$?
		equal "$rc" 211
		contains err 'cannot be written: File too large'
		equal "$(stat -c %s "${option##*=}")" 1024
	done
}

# The bound of lunette's own, of each file; a trace has one line for each command, so that takes disks'
# drivers: see the suites trace and stream.
test_files_within_the_limit() {
	guest '2: mov $0x3f8, %edx' 'mov $_start, %esi' 'mov $4096, %ecx' 'rep outsb' 'mov $0x2f8, %edx' \
		'mov $_start, %esi' 'mov $4096, %ecx' 'rep outsb' 'jmp 2b'
	status 211 run --file-limit 64K --device serial,port=1,file=com2
	contains err '^lunette: error: .*: file=com2: cannot be written: File too large \(--file-limit, ulimit -f\); the run'
	equal "$(stat -c %s com2)" 65536
}

# A guest that never stops: by both ports, to files, which let nobody wait.
test_flood_and_the_deadline() {
	guest '2: mov $0x3f8, %edx' 'mov $_start, %esi' 'mov $4096, %ecx' 'rep outsb' 'mov $0x2f8, %edx' \
		'mov $_start, %esi' 'mov $4096, %ecx' 'rep outsb' 'jmp 2b'
	status 212 run --timeout 300ms --device serial,port=1,file=com2 --console-log con --console-limit 64K
	contains err '^lunette: error: --timeout 300ms: the guest has not ended'
	[ "$(wc -l <err)" -lt 10 ] || fail "$(wc -l <err) lines"
	[ -s com2 ] && [ "$(cat con con.1 | wc -c)" -le 65536 ]
}

# What lunette itself prints, too.
test_own_words() {
	for command in --help --version 'run --help' 'run --device help' 'ctl --help' 'matrix --help'; do
		status 211 lunette $command >/dev/full 2>err
		contains err '^lunette: error: stdout: cannot be written: No space left on device$'
		status 211 lunette $command >&- 2>err
		contains err 'stdout: cannot be written: Bad file descriptor'
	done
}

run_tests
