#!/bin/bash
# SPDX-License-Identifier: MIT
# options.sh - command lines that are wrong, as people type them: each ends with its status and one
# line, which names the option, what is wrong with it, and what would be right.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
PATH=${LUNETTE:+$(dirname "$LUNETTE"):}$top:$PATH

needs_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
}

# What the command lines name.
files() {
	printf '%s\n' '.globl _start' '_start:' 'mov $0x600, %edx' 'mov $0x34, %al' 'outb %al, %dx' \
		'jmp _start' '.section .note.GNU-stack, "", @progbits' >off.S
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
		-Wl,-Ttext-segment=0x200000 -o off.elf off.S
	truncate -s 1M a.img b.img odd.img
	truncate -s +1 odd.img
	: >empty
	printf 'QFI\373\0\0\0\3' >a.qcow2
	printf 'QFI\373\0\0\0\3' >q.img
	printf 'vhdxfile' >a.vhdx
	printf 'KDMV' >a.vmdk
	printf '\037\213\010' >a.gz
	printf '\050\265\057\375' >a.zst
	truncate -s 1M a.qcow2 q.img a.vhdx a.vmdk a.gz a.zst
	printf 'run --kernel off.elf\na x --cpus 1\na y --cpus 2\n' >m
	printf 'run --kernel off.elf --cpus 1\na x --cpus 2\n' >twice.m
	printf 'run --kernel off.elf\na x --cpus 0\n' >zero.m
	printf 'run --kernel off.elf\na x --kernl y\n' >typo.m
	printf 'run --kernel off.elf\na x --out-limit 1G -- true\n' >alone.m
	printf 'run --kernel off.elf --json r\na x\n' >ours.m
}

# wrong: STATUS | WORDS | LINE, on stdin. WORDS are a shell's, LINE is a regular expression; R is
# "run" with a kernel. Tells of each that is not as it should be.
wrong() {
	local status words line rc bad=0 all=0 R='run --kernel off.elf --memory 64M --vhost off'
	while IFS='|' read -r status words line; do
		[[ $status == [0-9]* ]] || continue
		all=$((all + 1)) rc=0
		words=${words/#R /$R } line=${line# }
		eval "timeout -k 5 60 lunette $words" >out 2>err </dev/null || rc=$?
		[ "$rc" = $status ] && [ "$(wc -l <err)" = 1 ] && [ ! -s out ] &&
			grep -qE -e "^lunette: error: .*${line//!/|}" err && continue
		echo "lunette $words: status $rc, not $status, or not '$line':"
		cat out err
		bad=$((bad + 1))
	done
	echo "$all command lines"
	[ $bad = 0 ] && [ $all -gt 20 ]
}

test_words() { # what is seen without any machine
	files
	wrong <<'END'
200 |rnu|'rnu' is not a command; did you mean run\?
200 |Run|did you mean run\?
200 |kernl list|did you mean kernel\?
200 |--kernel off.elf|'--kernel' is not a command; options come after one
200 |boot|'boot' is not a command; lunette --help lists them
200 |help rnu|did you mean run\?
200 |run|--kernel FILE is missing
200 |run off.elf|'off.elf' is no option; a disk is given with --disk
200 |run ''|'' is no option
200 |run --kernl off.elf|unknown option --kernl; did you mean --kernel\?
200 |run --kernl=off.elf|unknown option --kernl; did you mean --kernel\?
200 |run -kernel off.elf|unknown option -kernel; did you mean --kernel\?
200 |run --Memory 1G|did you mean --memory\?
200 |run --mem 1G|did you mean --memory\?
200 |run --dsik a.img|did you mean --disk\?
200 |run --drive a.img|unknown option --drive; --help lists them
200 |run -m 512|unknown option -m; --help lists them
200 |run -tt|unknown option -tt
200 |run --|no command after --
200 |run --kernel|--kernel needs a value
200 |run --kernel=|--kernel '': is empty; FILE.TREE.VERSION.micro.full.debug.host is wanted
200 |run --kernel --initrd x|--kernel needs a value: .*; '--initrd' is another option
200 |run --append -- true|--append needs a value: .*'--' is another option
200 |R --kernel off.elf|--kernel off.elf: given twice; one of them has to go
200 |R --memory=64M|--memory 64M: given twice
200 |R --cpus 1 --cpus 1|--cpus 1: given twice
200 |R --cpus 1 --cpus=2|--cpus 2: given twice
200 |R --explain --explain|--explain on: given twice
200 |R --json a --json b|--json b: given twice
200 |R --timeout 5m --timeout none|--timeout none: given twice
200 |R -t --tty -- true|--tty on: given twice
200 |R --env A=1 --env A=2 -- true|--env A=2: A is given twice
200 |R --initrd ''|--initrd '': is empty; FILE is wanted
200 |R --disk ''|--disk '': is empty; FILE\[,KEY=VALUE...\] is wanted
200 |R --cdrom ''|--cdrom '': is empty
200 |R --device ''|--device '': is empty
200 |R --json ''|--json '': is empty
200 |R --control ''|--control '': is empty
200 |R --share '' -- true|--share '': is empty; DIR\[:PATH\].* is wanted
200 |R --share .,live=maybe -- true|--share .,live=maybe: live=maybe: on or off is wanted
200 |R --share .,rw=on -- true|--share .: rw=on is for live=on
200 |R --cpus ''|--cpus '': not a number
200 |R --cpus 0|--cpus 0: out of range, 1 to 64
200 |R --cpus 65|--cpus 65: out of range
200 |R --cpus -1|--cpus -1: not a number
200 |R --cpus 2x|--cpus 2x: not a number
200 |R --cpus 1.5|--cpus 1.5: not a number
200 |R --cpus 99999999999999999999|not a number
200 |run --kernel off.elf --memory 512|--memory 512: out of range, 64M to 512G; without K, M, G or T these are bytes
200 |run --kernel off.elf --memory 0|--memory 0: out of range
200 |run --kernel off.elf --memory -1G|not a size
200 |run --kernel off.elf --memory 512MB|--memory 512MB: not a size \(a number; K, M, G or T
200 |run --kernel off.elf --memory '512 M'|not a size
200 |run --kernel off.elf --memory 1.5G|not a size
200 |run --kernel off.elf --memory 1P|not a size
200 |run --kernel off.elf --memory 1T|out of range
200 |R --timeout 5|--timeout 5: not a time \(a number with ms, s, m or h\)
200 |R --timeout 0s|--timeout 0s: out of range, 1ms to
200 |R --timeout 1d|not a time
200 |R --timeout ''|--timeout '': not a time
200 |R --boot-timeout soon -- true|not a time .*, and none of: none
200 |R --boot-budget 1x -- true|not a time
200 |R --vhost=|--vhost '': given twice
200 |R --log loud|--log loud: is none of: auto, error
200 |R --console vga|--console vga: is none of: serial, hvc
200 |R --overlay commit|--overlay commit: is none of: auto, on, off
200 |R --commit=yes|--commit yes: on or off is wanted
200 |R --commit on|'on' is no option
200 |R --on-enospc panic|is none of: report, stop, fail
200 |R --console-limit 1M|--console-limit: is about --console-log, which is not given
200 |R --out-limit 1G -- true|--out-limit: is about --out, which is not given
200 |R --env A=1|--env: is about a command, and there is none; it comes last, after --
200 |R --cwd /|--cwd: is about a command
200 |R --at 5x|--at 5x: when: time=5x: not a time
200 |R --at 5s|--at 5s: a command is wanted behind that
200 |R --at '5s fly'|--at 5s fly: fly: is no command
200 |R --at '5s plug'|--at 5s plug: command plug: FILE.* is missing: as after --disk
200 |R --at '5s resize lun:0 2X'|--at 5s resize lun:0 2X: resize: size=2X: not a size
200 |R --at 'console: quit'|--at console: quit: a text of 1 to 250 bytes is wanted
200 |R --at "console:'x quit"|with its quotes closed
200 |R --reboot-limit 3|--reboot-limit: is about --on-reboot, which is not given
200 |R --on-reboot restart -- true|--on-reboot restart: a command runs once, and a reset ends it
200 |R --on-reboot never|--on-reboot never: 
200 |R -t|--tty: (is about a command!stdin is not a terminal)
200 |R --share .|--share: is about a command
200 |R --out o|--out: is about a command
200 |R --boot-timeout 5s|--boot-timeout: is about a command
200 |R --boot-budget 5s|--boot-budget: is about a command
200 |R --publish 80:80|--publish 80:80: needs --net user
200 |R --net tap=x --publish 80:80|needs --net user
200 |R -t -- true|--tty: stdin is not a terminal
200 |R --env =x -- true|--env =x: a name without blanks is wanted
200 |R --env '' -- true|--env '': is empty
200 |R --env 'A B=1' -- true|--env A B=1: a name without blanks is wanted
200 |R --env $'A\n=1' -- true|--env A\\n=1: a name without blanks
200 |R --env $'\e[2J' -- true|--env \\x1b\[2J: a name without blanks
200 |R --cwd rel -- true|--cwd rel: a path in the guest is wanted that begins with /
200 |R --cwd '' -- true|--cwd '': is empty
200 |R --net bridge|--net bridge: none, user or tap=NAME is wanted
200 |R --net ''|--net '': is empty
200 |R --expect x|--expect x: a disk's counter is wanted first
200 |R --expect lun0.flush=1|one of == .* >= is wanted behind the counter
200 |R --expect 'lun0.flush>=x'|a number is wanted at the end
200 |run --device nosuch,help|--device nosuch: there is no such class
201 |run --kernel none|--kernel none: No such file
201 |run --kernel $'no\nsuch'|--kernel no\\nsuch: No such file
201 |run --kernel empty|--kernel empty: an empty file
201 |run --kernel .|--kernel .: this folder has no kernel: .*'make -j' there builds it
201 |R --initrd off.elf --initrd none|--initrd none: No such file
200 |matrix|FILE is missing
200 |matrix m m|'m': one FILE is wanted
200 |matrix m --slot 1|did you mean --slots\?
200 |matrix m --slots 0|--slots 0: out of range, 1 to 4096
200 |matrix m --keep|--keep needs a value
200 |matrix m --list --list|--list on: given twice
200 |matrix none|none: No such file
200 |matrix twice.m|twice.m: x: --cpus 2: given twice; one of them has to go
200 |matrix zero.m|zero.m: x: --cpus 0: out of range
200 |matrix typo.m|typo.m: x: unknown option --kernl; did you mean --kernel\?
200 |matrix alone.m|alone.m: x: --out-limit: is about --out
200 |matrix ours.m|ours.m: x: --json is not for a run of a matrix
200 |ctl|a socket and a command are wanted
200 |ctl s|a socket and a command are wanted
200 |ctl --jsn s devices|unknown option --jsn
200 |ctl s plgu|plgu: is no command; did you mean plug\?
200 |ctl s resize lun:0|SIZE is missing
200 |ctl s quit now|'now' is one word too many
200 |ctl --wait s quit|--wait is about what is plugged
1   |ctl s devices|ctl: s: No such file or directory
200 |doctor now|'now': it takes --ci github, or nothing
200 |doctor --ci gitlab|it takes --ci github
200 |clean all|'all': it takes no arguments
200 |kernel|a command is wanted: list, which, modules, get, build, check
200 |kernel chek x|'chek' is no command; did you mean check\?
200 |kernel check|FILE is missing
200 |kernel check a b|'b' is one word too many
200 |kernel check -x|unknown option -x
201 |kernel check none|none: No such file
200 |kernel get vmlinux|that is no version
200 |kernel build small|nothing, full or debug is wanted
END
}

test_devices() { # what their own tables and files say
	needs_kvm
	files
	wrong <<'END'
200 |R --device scsi-dsk,a.img|--device scsi-dsk: no such device; did you mean scsi-disk\?
200 |R --device floppy|--device floppy: no such device; there are: virtio-scsi, scsi-disk
200 |R --disk a.img,serail=x|unknown option 'serail'; did you mean serial\?
200 |R --disk a.img,ReadOnly=on|did you mean readonly\?
200 |R --disk a.img,cache=none|unknown option 'cache'; --device scsi-disk,help lists them
200 |R --disk a.img,|nothing is behind a comma
200 |R --disk a.img,serial=x,serial=y|scsi-disk: serial=y: given twice; one of them has to go
200 |R --disk a.img,readonly,readonly=off|readonly=off: given twice
200 |R --disk a.img,file=b.img|file=b.img: given twice
200 |R --disk a.img,id=x,id=y|id=y: given twice
200 |R --disk a.img,serial=|serial=: is empty; TEXT is wanted
200 |R --disk a.img,lun|scsi-disk: lun needs a value
200 |R --disk a.img,lun=-1|lun=-1: not a number, and none of: next
200 |R --disk a.img,lun=16384|lun=16384: out of range, 0 to 16383
200 |R --disk a.img,readonly=yes|readonly=yes: on or off is wanted
200 |R --disk a.img,format=qcow|format=qcow: is none of: auto, raw, qcow2, vmdk, vhdx, vdi
200 |R --disk a.img,backing=all|backing=all: is none of: near, any
200 |R --disk a.img,block-size=1000|block-size=1000: is none of: 512, 4096
200 |R --disk a.img,size=1G|a.img: size= is for store=null
200 |R --disk a.img,id=a/b|id=a/b: 1 to 15 of letters
200 |R --disk a.img,wwn=1|wwn=1: 16 hex digits are wanted
200 |R --disk a.img,fault=write|fault=write: is no rule
200 |R --disk a.img,readonly=on,overlay=on|leave overlay=on out
200 |R --disk a.img,on=ide|--disk a.img,on=ide: on=ide: is none of: scsi, blk
200 |R --disk a.img,on=blk,lun=3|virtio-blk: unknown option 'lun'; --device virtio-blk,help lists them
200 |R --disk a.img,on=blk,serial=twenty-one-characters|has 21 characters, 1 to 20 are wanted
200 |R --disk a.img,on=blk,fault=read:sense=3/11/0|sense= is for SCSI disks
200 |R --disk a.img,on=blk,queue-size=48|queue-size=48: is not a power of two
200 |R --root blk:0 --disk a.img|--root blk:0: there is no such virtio disk
200 |R --device scsi-disk|scsi-disk0: file= is missing: which image\?
200 |R --disk store=null|the null store needs a size
200 |R --disk store=null,size=1M,direct=on|direct=on is about files
200 |R --disk store=null,size=1M,io=threads|io= is about files
200 |R --disk store=tape|store=tape: is none of: file
201 |R --disk none.img|none.img: there is no such file; 'truncate -s 1G FILE' makes an empty disk
201 |R --disk .|is a directory; a disk is a file or a block device
201 |R --disk empty|empty: is empty
201 |R --disk odd.img|odd.img: its size, 1048577 bytes, is not a multiple of the block size, 512
201 |R --disk a.img --disk a.img|a.img: is attached twice
200 |R --disk a.img,serial=x --disk b.img,serial=x|serial=x: is in use by scsi-disk0
200 |R --disk a.img,bus=s9|bus=s9: no virtio-scsi of this name stands before it
200 |R --disk a.img,lun=5 --disk b.img,lun=5|lun=5: is in use by
200 |R --device virtio-rng,id=x --device virtio-rng,id=x|id=x: another device has this name
200 |R --device console-port,x --device console-port,x,id=y|name=x: another port has this name
201 |R --disk q.img|q.img: is a qcow2 disk by its bytes, .*format=qcow2 takes it as one; format=raw
201 |R --disk a.qcow2|a.qcow2: is (qcow2, .*apt-get install qemu-utils!not to be read as qcow2)
201 |R --disk a.vhdx,overlay=on|a.vhdx: is (vhdx, which qemu-nbd!not to be read as vhdx)
201 |R --disk a.vmdk,readonly=on|a.vmdk: is (vmdk, which qemu-nbd!not to be read as vmdk)
201 |R --disk q.img,format=vdi|q.img: is (vdi, which qemu-nbd!not to be read as vdi)
200 |R --disk nbd://|nbd://: nbd://HOST
200 |R --disk nbd://h/x,io=threads|nbd://h/x: io= is about files
201 |R --disk a.gz|a.gz: is gzip data, .*'gzip -d <FILE >NEW' unpacks it
201 |R --disk a.zst,fault=|a.zst: is zstd data
201 |R --cdrom q.img|q.img: is a qcow2 disk by its bytes
201 |R --cdrom none.iso|none.iso: there is no such file
200 |R --cdrom a.img,readonly=on|scsi-cd: unknown option 'readonly'
200 |R --root lun:|--root lun:: lun:N is wanted
200 |R --root lun:x|--root lun:x: lun:N is wanted
200 |R --root /dev/none|--root /dev/none: No such file or directory; a disk, lun:N or blk:N, a folder
200 |R --root /dev/null|--root /dev/null: is neither a folder nor an archive; .*lun:0
200 |R --root /|--root /: is this whole system
200 |R --root host|--root host: is for a command, given after --, or a shell
200 |R --root host,x -- true|--root host,x: host, or host,secrets=on is wanted
200 |R --root a.img --user x|--user: is about a command
200 |R --root lun:7 --disk a.img|--root lun:7: the first controller has no such LUN .*; it has 0
200 |R --root lun:0 --cdrom a.img|--root lun:0: scsi-cd0 is no disk
200 |R --commit|--commit: is about changes that are kept apart, and no disk has them
200 |R --commit --disk a.img|--commit: is about changes that are kept apart
200 |R --keep-on-fail k --disk a.img|--keep-on-fail: is about changes that are kept apart
200 |R --trace scsi=t|--trace scsi=t: there is no disk
200 |R --trace t --disk a.img|--trace t: scsi=FILE is wanted
200 |R --expect 'lun0.flush>=1'|lun:0: the first controller has no such LUN
200 |R --expect 'lun0.flsh>=1' --disk a.img|'flsh' is none of the counters
200 |R --append "$(printf %02000d 0)" --append x|--append: has 2002 characters; there is room for 1[0-9]*, behind lunette's own words
201 |R --control none/s|--control none/s: No such file
200 |R --balloon --disk a.img,direct=on|balloon0: a disk with direct=on has the kernel keep all of .*give the disk io=threads
200 |R --device virtio-balloon --disk a.img,direct=on|scsi-disk0: direct=on has the kernel keep all of .*; give it io=threads
200 |R --device virtio-balloon --balloon|balloon1: there is a balloon already
200 |R --balloon=1M|--balloon
200 |R --gdb 0|--gdb 0: a port, 1 to 65535, or a path is wanted
200 |R --gdb x,wait=maybe|--gdb: wait=maybe
200 |R --vsock 2|cid=2: out of range, 3 to 4294967294
200 |R --vsock x|cid=x:
200 |R --vsock 3,path=|path=:
201 |R --vsock 3,path=/no/such/folder/v|vsock0: path=/no/such/folder/v: No such file or directory
201 |R --net tap=nosuch|tap=nosuch: (there is no such interface!/dev/net/tun)
200 |R --net user,mac=00:00:00:00:00:00|mac=00:00:00:00:00:00: an address of one station is wanted
200 |R --net user,mac=ff:ff:ff:ff:ff:ff|an address of one station is wanted
200 |R --net user,mac=x|mac=x: an address of one station is wanted
200 |R --net user,mtu=67|mtu=67: is less than 68
200 |R --net user,tap=x|one of user, tap=NAME and fd=FD is wanted
200 |R --net user --publish 80|publish=80: .*HOST-PORT:GUEST-PORT is wanted
200 |R --net user --publish 0:80|publish=0:80
200 |R --device console-port,a/b|name=a/b: 1 to 63 of letters
200 |R --device console-port,x,out-fd=x|out-fd=x: not a number, and none of: none
200 |R --device serial,port=9|port=9: out of range, 0 to 1
200 |R --device serial,port=1,file=|file=: is empty
200 |R --device virtio-scsi,queues=0|queues=0: out of range, 1 to 64
200 |R --device virtio-scsi,transport=isa|transport=isa: is none of
END
	[ ! -e k ]
}

test_lists_add_up() {
	needs_kvm
	files
	status 0 lunette run --kernel off.elf --memory 64M --vhost off --json r.json --append one \
		--append '' --append 'two three' --initrd a.img --initrd b.img 2>err
	contains r.json '"cmdline": ".* one two three"'
	tr -d '\n ' <r.json | grep -q '"initrd":\["a.img","b.img"\]'
}

test_any_file_is_taken_as_raw() {
	needs_kvm
	files
	for file in a.qcow2 a.vhdx a.gz; do
		status 0 lunette run --kernel off.elf --memory 64M --vhost off --disk $file,format=raw
		status 0 lunette run --kernel off.elf --memory 64M --vhost off --cdrom $file,format=raw
	done
}

test_any_name_makes_a_serial_number() { # the same each time
	needs_kvm
	files
	for name in grün.img "$(printf %068d 0)" $'a\nb' ' x ' $'\e[2J'; do
		cp --sparse=always a.img "$name"
		for i in 1 2; do
			lunette run --kernel off.elf --memory 64M --vhost off --disk "$name" --explain |
				tee explain | sed -n 's/.*names: serial \(file-[0-9a-f]\{16\}\), NAA .*/\1/p' >serial.$i
			[ -s serial.$i ]
			[ $(($(wc -l <explain))) = $(($(tr -d '\033' <explain | wc -l))) ]
			! grep -q $'\e' explain || fail 'a terminal would obey that'
		done
		cmp serial.1 serial.2
	done
}

test_help_answers_everywhere() { # in 80 columns
	for words in help -h --help 'help run' 'run help' 'run -h' 'run --help' 'run --cpus 2 --help' \
		'help matrix' 'matrix -h' 'matrix m --help' 'help ctl' 'ctl --help' 'ctl s -h' \
		'ctl s plug --help' 'help doctor' 'doctor -h' 'doctor --ci --help' 'help clean' 'clean help' \
		'clean -h' 'help kernel' 'kernel --help' 'kernel check --help' 'help help' 'run --device help' \
		'run --device scsi-disk,help' 'run --device virtio-net,help'; do
		status 0 lunette $words >out 2>err
		[ "$(wc -l <out)" -ge 3 ] || fail "$words says nothing"
		[ ! -s err ] || fail "$(cat err)"
		equal "$(awk 'length > 80' out)" ''
	done
	status 0 lunette --version >out
	contains out '^lunette [0-9]'
	status 200 lunette 2>err
	contains err '^usage: lunette COMMAND'
}

test_many_disks() { # more than the usual soft limit of open files
	needs_kvm
	files
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 2000 ] || skip 'the hard limit is low'
	set --
	for i in $(seq 1200); do
		truncate -s 1M d$i
		set -- "$@" --disk d$i
	done
	ulimit -Sn 256
	status 0 lunette run --kernel off.elf --memory 64M --vhost off --explain "$@" >out 2>err
	equal "$(grep -c '^  image: ' out)" 1200
}

# Each allocation fails once: a line and a status of ours, or what was asked for.
test_no_memory() {
	needs_kvm
	files
	cat >fail.c <<'END'
		#include <errno.h>
		#include <fcntl.h>
		#include <stdlib.h>
		#include <unistd.h>
		extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
		static int fails(void)
		{
			static int left = -1;
			if (left < 0)
				left = atoi(getenv("FAIL"));
			if (left <= 0 || --left)
				return 0;
			close(open("failed", O_CREAT | O_WRONLY, 0600));
			errno = ENOMEM;
			return 1;
		}
		void *malloc(size_t n) { return fails() ? NULL : __libc_malloc(n); }
		void *calloc(size_t a, size_t b) { return fails() ? NULL : __libc_calloc(a, b); }
		void *realloc(void *p, size_t n) { return fails() ? NULL : __libc_realloc(p, n); }
END
	gcc -shared -fPIC -O1 -o fail.so fail.c
	starved run --kernel off.elf --memory 64M --vhost off --disk a.img,overlay=on --initrd b.img --explain
	starved run --kernel off.elf --memory 64M --vhost off --cdrom a.img --console hvc --cpus 2 --explain \
		--device console-port,x,out=o --device virtio-rng --disk b.img,fault=read:error=EIO
	starved matrix m --list
	starved ctl nosuch devices
}

starved() { # WORD...
	local n=0 rc
	while :; do
		n=$((n + 1)) rc=0
		rm -f failed
		timeout -k 5 60 env FAIL=$n LD_PRELOAD=$PWD/fail.so lunette "$@" >out 2>err </dev/null || rc=$?
		[ -e failed ] || break
		case $rc in
		0) ;;
		1 | 200 | 201) equal "$(grep -c '^lunette: error: ' err)" 1 ;;
		*) fail "$*, without allocation $n: status $rc" ;;
		esac
	done
	[ $n -gt 4 ] || fail "only $n allocations"
}

run_tests
