#!/bin/sh
# SPDX-License-Identifier: MIT
# vhost.sh - disks that the kernel serves, by vhost-scsi and a target that lunette makes and removes:
# what is missing is said, both data paths are the same to a guest, nothing is left behind. The tests
# are in an order: what this host lacks at first is added on the way.
. "$(dirname "$0")/lib.sh"

node=/dev/vhost-scsi

# What lunette would do: the line is in ./line, it ends with status $1.
choice() { # STATUS OPTION...
	local wanted=$1
	shift
	status "$wanted" lunette run --kernel "$kernel" --explain "$@" >out 2>err
	equal "$(wc -l <err)" 1
	cat err
}

# falls_back REASON: with auto the disks are served in process; without a way out it does not start.
falls_back() {
	choice 0 --disk disk.img
	contains err "^lunette: virtio-scsi0: disks are served in process: $1\$"
	contains out "disks: served in process: $1\$"
	choice 201 --vhost on --disk disk.img
	contains err "^lunette: error: virtio-scsi0: vhost=on: $1\$"
	nothing_left
}

# A target made by hand: WWN, TPG, image
by_hand() {
	mkdir -p $target/vhost $target/core/fileio_7/$1 $target/vhost/$1/tpgt_$2
	echo "fd_dev_name=$3,fd_dev_size=$(stat -c %s $3)" >$target/core/fileio_7/$1/control
	echo 1 >$target/core/fileio_7/$1/enable
	echo naa.5001405fffffffff >$target/vhost/$1/tpgt_$2/nexus
	mkdir $target/vhost/$1/tpgt_$2/lun/lun_0
	ln -s $target/core/fileio_7/$1 $target/vhost/$1/tpgt_$2/lun/lun_0/x
}

by_hand_remove() { # WWN TPG
	rm $target/vhost/$1/tpgt_$2/lun/lun_0/x
	rmdir $target/vhost/$1/tpgt_$2/lun/lun_0
	echo NULL >$target/vhost/$1/tpgt_$2/nexus || true
	rmdir $target/vhost/$1/tpgt_$2 $target/vhost/$1 $target/core/fileio_7/$1 $target/core/fileio_7
}

# A guest that runs SCRIPT, which begins with "echo up"; its lunette is $vmm.
start() { # SCRIPT OPTION...
	job "$1"
	shift
	lunette run --kernel "$kernel" --initrd initrd --append 'quiet loglevel=1' "$@" \
		>out 2>err </dev/null &
	vmm=$!
	until_true 60 grep -q '^up' out
}

mounted() { # FOLDER
	grep -q " $1 " /proc/mounts
}

test_module_not_loaded() {
	[ ! -e $node ] || skip "$node is there already"
	truncate -s 1M disk.img
	falls_back "$node: No such file or directory; modprobe vhost_scsi"
	status 0 guest 'cat /sys/block/sda/size' --vhost auto --disk disk.img
	equal "$(cat out)" 2048
}

test_configfs_not_mounted() {
	modprobe vhost_scsi
	! mounted /sys/kernel/config || skip 'configfs is mounted already'
	truncate -s 1M disk.img
	falls_back '/sys/kernel/config: configfs is not mounted; mount -t configfs none /sys/kernel/config'
}

test_store_module_not_loaded() {
	mounted /sys/kernel/config || mount -t configfs none /sys/kernel/config
	truncate -s 1M disk.img
	falls_back "$target/core/fileio_[0-9]*: cannot be made; modprobe target_core_file"
	modprobe -a target_core_file target_core_iblock
}

test_no_rights() {
	truncate -s 1M disk.img
	chown 1000 . disk.img
	choice() {
		local wanted=$1
		shift
		status "$wanted" user lunette run --kernel "$kernel" --explain "$@" >out 2>err
	}
	falls_back "$node: Permission denied; .*setfacl -m u:USER:rw $node"
	chmod 666 $node
	falls_back "$target/.*: Permission denied; it takes root, who can also make a target for vhost=WWN"
	chmod 600 $node
}

test_explain() {
	truncate -s 1M disk.img fixed.img
	choice 0 --cpus 2 --disk disk.img --disk fixed.img,readonly=on
	contains err 'disks are served by the kernel \(vhost-scsi, target naa.lunette-.*worker'
	contains out '^  queues: control, event, and 2 for requests, one for each CPU'
	contains out '^  interrupts: by pci: '
	contains out '^  disks: served by the kernel'
	contains out '^  image: fixed.img, 1048576 bytes in blocks of 512, write-protected'
	nothing_left
}

test_disks_that_the_kernel_cannot_have() {
	truncate -s 1M disk.img
	choice 0 --disk disk.img --disk null,store=null,size=1M
	contains err 'in process: null: its store is ours alone'
	choice 0 --disk disk.img,wwn=5000c50012345678
	contains err "in process: wwn=5000c50012345678: the kernel's target makes its own"
	dd if=/dev/zero of=mounted.img bs=1M count=4 2>/dev/null
	mkfs.ext4 -q mounted.img
	device=$(losetup -f) && losetup "$device" mounted.img && mkdir mnt && mount "$device" mnt
	choice 201 --disk "$device,serial=x"
	contains err "$device: is mounted"
	choice 0 --disk "$device,serial=x,readonly=on"
	umount mnt
	losetup -d "$device"
	contains err "in process: $device: enable: Device or resource busy; it is in use"
	nothing_left
}

# Everything a guest sees of its disks, then 600 verified writes at a time, then a discard.
same_to_a_guest() { # PATH OPTION...
	path=$1
	shift
	rm -rf "$path" && mkdir "$path"
	truncate -s 24M "$path/a.img" "$path/dev.img"
	truncate -s 8M "$path/fixed.img" "$path/big.img"
	head -c 8m /dev/urandom >"$path/trim.img"
	device=$(losetup -f) && losetup "$device" "$path/dev.img"
	seconds=150
	status 0 guest 'cd /sys/bus/scsi/devices
		for d in *:*/block/*; do
			echo ${d##*/} ${d%/block/*} $(cat $d/size $d/ro $d/queue/logical_block_size \
				$d/device/vendor $d/device/model $d/device/rev $d/device/wwid)
		done | sort
		for s in /dev/sg?; do
			echo $s # in the order of REPORT LUNS
			sg_vpd -p sn $s
			sg_vpd -p di $s | sed -n "/Addressed/,/vendor specific/p"
		done
		/files/verify write /dev/sda 7 600 && /files/verify write /dev/sde 8 200 || exit 1
		dd if=/dev/zero of=/dev/sdb count=1 conv=fsync 2>/dev/null && echo written
		blkdiscard -o 2097152 -l 4194304 /dev/sdd && sync
		dd if=/dev/sdd bs=1M skip=2 count=4 iflag=direct 2>/dev/null | tr -d "\000" | wc -c' \
		"$@" --disk "$path/a.img,serial=the first" --disk "$path/fixed.img,readonly=on" \
		--disk "$path/big.img,block-size=4096" --disk "$path/trim.img,lun=200" \
		--disk "$device,serial=dev"
	losetup -d "$device"
	mv out "$path/out"
	nothing_left
}

test_both_paths_are_the_same() {
	tools=/lab/tools.cpio
	mkdir files && cp /lab/verify files
	same_to_a_guest local --vhost off
	same_to_a_guest vhost --vhost on --cpus 2
	same_to_a_guest mmio --vhost on --device virtio-scsi,transport=mmio
	contains local/out '^sda 0:0:0:0 49152 0 512 LUNETTE DISK'
	contains local/out '^sdb 0:0:0:1 16384 1 512'
	contains local/out '^sdc 0:0:0:2 16384 0 4096'
	contains local/out '^sde 0:0:0:201 49152 0 512'
	contains local/out '(Unit|Product) serial number: the first' # sg3-utils 1.46, 1.48
	contains local/out '0x6[0-9a-f]{31}'
	for path in vhost mmio; do
		equal "$(cat $path/out)" "$(cat local/out)"
		cmp local/a.img $path/a.img
		cmp local/dev.img $path/dev.img
	done
	for path in local vhost mmio; do
		[ "$(du -k $path/trim.img | cut -f 1)" -le 4096 ] || fail "$path: no space came back"
	done
}

test_root_file_system() {
	rootfs <<-'END'
		#!/bin/sh
		echo "root: $(grep ' / ' /proc/mounts)"
		echo kept >/tmp/file; sync
		poweroff -f
	END
	vhost=on
	status 0 vmm --initrd "$initrd" --append 'quiet root=/dev/sda rw' --disk disk.img
	contains out '^root: /dev/sda / ext4 rw'
	e2fsck -p disk.img || [ $? = 1 ] # the journal: nobody unmounts the root
	e2fsck -fn disk.img
	mkdir mnt
	mount -o loop disk.img mnt
	contains mnt/tmp/file kept
	umount mnt
	nothing_left
}

# Since Linux 6.5 each request queue has a worker of its own, and they are threads of lunette's; before
# there was one for all.
test_workers() {
	truncate -s 4M disk.img
	case $(uname -r) in
	5.* | 6.[0-4].*) count=1 said='one worker' ;;
	*) count=3 said='a worker for each request queue' ;;
	esac
	start 'echo up
		for cpu in 0 1 2; do
			taskset -c $cpu dd if=/dev/sda of=/dev/null bs=4k count=200 iflag=direct 2>/dev/null
		done
		echo read
		sleep 1000' --vhost on --cpus 3 --disk disk.img
	until_true 60 grep -q ^read out
	contains err "$said"
	workers=$(grep -l ^vhost- /proc/[0-9]*/comm /proc/$vmm/task/*/comm || true)
	equal "$(echo "$workers" | wc -l)" $count
	for worker in $workers; do
		switches=$(awk '/ctxt_switches/ { n += $2 } END { print n }' "${worker%comm}status")
		[ "$switches" -ge 100 ] || fail "$worker: $switches switches"
	done
	kill $vmm
	status 143 wait $vmm
	nothing_left
}

# With the tracer of the host's kernel: while there are reads no thread of lunette makes a system call,
# and no vCPU comes back from KVM_RUN. But the main thread looks now and then whether the guest has
# halted (vmm/machine/halt.h), by read, clock_gettime and epoll_wait; and where the vCPU had little of the
# processors, it is asked: by a signal, at which it comes out, says how it is, and goes on.
test_reads_without_lunette() {
	local trace=/sys/kernel/tracing reads before
	mounted $trace || mount -t tracefs none $trace
	mkdir files && cp /lab/verify files
	truncate -s 16M disk.img
	start 'echo up; sleep 4; /files/verify read /dev/sda 10000; sleep 6; echo end' \
		--vhost on --disk disk.img
	reads=$(echo $target/core/fileio_10*/lunette*/statistics/scsi_lu/num_cmds)
	before=$(cat $reads)
	until_true 60 sh -c "[ \$(cat $reads) -ge $((before + 500)) ]"
	echo 0 >$trace/tracing_on
	echo >$trace/trace
	ls /proc/$vmm/task >$trace/set_event_pid
	echo 1 >$trace/events/raw_syscalls/sys_enter/enable
	echo 1 >$trace/events/kvm/kvm_userspace_exit/enable
	echo 1 >$trace/tracing_on
	until_true 120 sh -c "[ \$(cat $reads) -ge $((before + 8500)) ]"
	grep -v '^#' $trace/trace >events || true
	status 0 wait $vmm
	grep -v '^#' $trace/trace >end_events || true
	echo 0 >$trace/events/raw_syscalls/sys_enter/enable
	echo 0 >$trace/events/kvm/kvm_userspace_exit/enable
	echo >$trace/set_event_pid
	case $(uname -m) in # read, rt_sigprocmask, getpid, clock_gettime, epoll_wait, tgkill; rt_sigreturn, ioctl
	x86_64) main='0|14|39|228|232|234' vcpu='15|16' ask=234 ;;
	*) main='63|135|172|113|22|131' vcpu='139|29' ask=131 ;;
	esac
	looks="-$vmm +\[.*sys_enter: NR ($main) "
	answers="vcpu0-.*(sys_enter: NR ($vcpu) |kvm_userspace_exit: reason restart )"
	equal "$(grep -vE -e "$looks" -e "$answers" events)" ''
	asked=$(grep -c "sys_enter: NR $ask " events || true)
	answered=$(grep -c kvm_userspace_exit events || true)
	[ "$answered" -le $((asked + 1)) ] || fail "$answered exits, $asked signals" # one before the trace
	[ "$(wc -l <events)" -lt 2500 ] || fail "lunette made $(wc -l <events) system calls"
	contains end_events kvm_userspace_exit # at its end it prints, and powers off
	contains end_events sys_enter
}

test_lun_added_and_the_image_removed() {
	truncate -s 4M disk.img added.img
	start 'echo up
		until [ -e /sys/block/sdb ]; do usleep 100000; done
		cat /sys/block/sdb/size
		dd if=/dev/zero of=/dev/sda bs=64k count=32 oflag=direct conv=fsync 2>/dev/null; echo $?' \
		--vhost on --disk disk.img
	rm disk.img
	lun=$(echo $target/vhost/naa.lunette-$vmm-*/tpgt_0/lun)
	mkdir -p $target/core/fileio_9/added
	echo "fd_dev_name=$PWD/added.img,fd_dev_size=4194304" >$target/core/fileio_9/added/control
	echo 1 >$target/core/fileio_9/added/enable
	mkdir $lun/lun_5
	ln -s $target/core/fileio_9/added $lun/lun_5/any
	status 0 wait $vmm
	equal "$(tail -n 2 out)" '8192
0'
	nothing_left
	rmdir $target/core/fileio_9/added $target/core/fileio_9
}

# By the user's word: the target gets and loses the LUN, and the kernel's event queue tells the guest. A
# disk that Linux has just found it looks at once more, for partitions, and takes it for writable until it
# has asked.
test_plug_and_unplug() {
	truncate -s 4M disk.img more.img
	truncate -s 2M fixed.img
	start 'echo up
		there() { [ -e /sys/block/sdb ]; }
		until there; do usleep 100000; done
		cat /sys/block/sdb/size /sys/block/sdb/ro
		echo x | dd of=/dev/sdb conv=sync,fsync 2>/dev/null && echo written
		while there; do usleep 100000; done
		echo gone
		until there; do usleep 100000; done
		for try in 1 2 3 4 5; do grep -q 1 /sys/block/sdb/ro && break; sleep 1; done
		cat /sys/block/sdb/size /sys/block/sdb/ro
		dd if=/dev/sda of=/dev/null bs=64k iflag=direct 2>/dev/null && echo read' \
		--vhost on --control socket --disk disk.img
	lunette ctl socket plug more.img,lun=3,serial=new >answer
	contains answer 'lun=3 served=kernel serial=new'
	ls -d $target/vhost/naa.lunette-$vmm-*/tpgt_0/lun/lun_3 || fail 'there is no such LUN'
	until_true 30 grep -q ^written out
	equal "$(head -c 1 more.img)" x
	status 1 lunette ctl socket plug disk.img,lun=3 2>why
	status 1 lunette ctl socket plug fixed.img,lun=3,readonly=on 2>why
	contains why 'lun=3: is in use by new'
	status 1 lunette ctl socket plug null,store=null,size=1M 2>why
	contains why 'cannot be put on virtio-scsi0: null: its store is ours alone'
	status 1 lunette ctl socket plug fixed.img,overlay=on 2>why
	contains why 'cannot be put on virtio-scsi0: fixed.img: '
	status 1 lunette ctl socket resize lun:3 8M 2>why
	contains why 'served by the kernel \(vhost\), for which there are plug and unplug alone'
	equal "$(stat -c %s more.img)" 4194304
	lunette ctl socket unplug lun:3
	equal "$(echo $target/core/*/lunette-$vmm-*:3)" "$target/core/*/lunette-$vmm-*:3"
	until_true 30 grep -q ^gone out
	lunette ctl socket plug fixed.img,readonly=on >answer
	contains answer 'lun=1 served=kernel serial=fixed.img .*access=ro'
	status 0 wait $vmm
	equal "$(sed 1d out | tr -d '\r')" '8192
0
written
gone
4096
1
read'
	nothing_left
}

# The kernel writes them down in a folder that nobody but lunette makes for it.
test_persistent_reservations() {
	tools=/lab/tools.cpio
	rm -rf "$(cat $target/dbroot)/pr"
	truncate -s 4M disk.img
	status 0 guest 'p() { sg_persist -n "$@" /dev/sda || exit 1; }
		p --out --register --param-sark=123abc
		p --in --read-keys
		p --out --reserve --param-rk=123abc --prout-type=5
		p --in --read-reservation
		sg_reset -d /dev/sda
		p --in --read-reservation
		p --out --release --param-rk=123abc --prout-type=5
		echo end' --vhost on --disk disk.img
	contains out '0x123abc'
	equal "$(grep -c 'Write Exclusive, registrants only' out)" 2
	contains out '^end'
	[ -d "$(cat $target/dbroot)/pr" ]
}

test_killed() {
	truncate -s 4M disk.img fixed.img other.img
	by_hand naa.5001405000000007 1 "$PWD/other.img"
	start 'echo up; sleep 100' --vhost on --disk disk.img --disk fixed.img,readonly=on
	status 0 lunette clean >out
	equal "$(cat out)" '' # it lives
	kill -9 $vmm
	status 137 wait $vmm
	[ "$(ours | wc -l)" -ge 5 ] || fail "$(ours)"
	status 0 lunette clean >out
	contains out "^removed $target/vhost/naa.lunette-$vmm-.*:virtio-scsi0"
	nothing_left
	# and by the next run
	start 'echo up; sleep 100' --vhost on --disk disk.img
	kill -9 $vmm
	status 137 wait $vmm
	choice 0 --disk disk.img
	nothing_left
	[ -e $target/vhost/naa.5001405000000007/tpgt_1/lun/lun_0/x ] || fail "another's target is gone"
	by_hand_remove naa.5001405000000007 1
}

test_a_target_that_is_there() {
	truncate -s 4M other.img disk.img
	by_hand naa.5001405000000001 3 "$PWD/other.img"
	start 'echo up; ls /sys/bus/scsi/devices | grep :; sleep 5' \
		--device virtio-scsi,vhost=naa.5001405000000001
	until_true 10 grep -q '^0:0:3:0' out
	choice 201 --device virtio-scsi,vhost=naa.5001405000000001
	contains err 'vhost=naa.5001405000000001: .*no such target, .*no nexus, .*another virtual machine'
	status 0 wait $vmm
	choice 201 --device virtio-scsi,vhost=naa.5001405000000009
	contains err 'vhost=naa.5001405000000009: .*there is no such target'
	choice 200 --device virtio-scsi,vhost=naa.5001405000000001 --disk disk.img
	contains err 'disk.img cannot be added to a target that is there'
	[ -e $target/vhost/naa.5001405000000001/tpgt_3/lun/lun_0/x ] || fail 'the target is gone'
	by_hand_remove naa.5001405000000001 3
}

# Bus mastering off, as before a kexec: reads wait, and go on when it is on again.
bus_mastering() { # OPTION...
	mkdir -p files && cp /lab/verify files
	truncate -s 4M disk.img
	status 0 guest '
		function=$(readlink -f /sys/block/sda | sed "s,/virtio[0-9]*/.*,,")
		bits() { printf "$1" | dd of=$function/config bs=1 seek=4 conv=notrunc 2>/dev/null; }
		/files/verify read /dev/sda 50 || exit 1
		bits "\002\004"
		/files/verify read /dev/sda 50 &
		sleep 3
		kill -0 $! && echo waits
		bits "\006\004"
		wait $! && echo goes on' "$@" --disk disk.img
	equal "$(cat out)" 'waits
goes on'
}
test_bus_mastering_in_process() { bus_mastering --vhost off; }
test_bus_mastering_in_kernel() { bus_mastering --vhost on; }

# Gone when a driver comes, the second one, so that there is time to take it away: a line for the user,
# and the run goes on, with a device that needs a reset. (Linux waits for its disks all the same, some in
# the background.)
test_a_target_that_goes_away() {
	truncate -s 4M other.img
	by_hand naa.5001405000000002 0 "$PWD/other.img"
	mkfifo keys
	lunette run --kernel "$kernel" --initrd "$initrd" --log note \
		--device virtio-scsi,vhost=naa.5001405000000002 -- sh -c '
			cd /sys/bus/virtio/drivers/virtio_scsi
			device=$(basename virtio*)
			echo $device >unbind
			echo up
			read line
			echo $device >bind
			sleep 1000' <keys >out 2>err &
	vmm=$!
	exec 3>keys
	until_true 60 grep -q ^up out
	by_hand_remove naa.5001405000000002 0
	echo go >&3
	until_true 60 grep -q 'naa.5001405000000002: there is no such target' err
	sleep 2
	kill $vmm
	status 143 wait $vmm
	exec 3>&-
	equal "$(wc -l <err)" 2
}

# The property on which all that rests, with the same driver for both: see handover.c.
test_hand_over_on_pci() {
	truncate -s 4M disk.img
	status 0 timeout 200 /lab/handover pci disk.img
	nothing_left
}
long_hand_over_on_mmio() {
	truncate -s 4M disk.img
	status 0 timeout 200 /lab/handover mmio disk.img
	nothing_left
}

run_tests
