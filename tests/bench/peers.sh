# SPDX-License-Identifier: MIT
# peers.sh - the command lines of the VMMs that are compared, and how a row of figures is made; for
# scripts in the lab host (see lab.sh), and for run.sh.
#
# Each VMM's function runs COMMAND..., with the command line of a guest after it: one vCPU, $mib MiB,
# the kernel $kernel with $words, the file system $initrd, and the disk $disk, if there is one, on $bus
# (pci or mmio). With lunette and QEMU it is by virtio-blk if $kind is "blk", otherwise by virtio-scsi,
# which the kernel serves if $vhost is "on". $options are more of lunette's for the disk, from their
# comma on. $qemu is how QEMU is called. $KERNEL.bzImage may be the same kernel as a bzImage.
# shellcheck shell=sh

lunette() { # COMMAND...
	set -- "$@" lunette run --kernel "$kernel" --initrd "$initrd" --memory "${mib}M" --append "$words"
	case $disk,${kind-scsi} in
	,*) ;;
	*,blk) set -- "$@" --device "virtio-blk,$disk,transport=$bus$options" ;;
	*) set -- "$@" --vhost "$vhost" --device "virtio-scsi,transport=$bus" --disk "$disk$options" ;;
	esac
	"$@"
}

# On PCI it is a q35, otherwise the smallest machine that it has; on other architectures it has one for
# both. For vhost-scsi $wwn is the target. arm64's micro kernel has no driver of its serial port (PL011),
# so the console is virtio's there.
qemu() { # COMMAND...
	local machine=virt device=device has console=ttyS0 serial='-serial stdio'
	[ "$bus" = mmio ] || device=pci
	case $(uname -m),$bus in
	x86_64,mmio) machine=microvm,rtc=on,pit=off,pic=off ;;
	x86_64,*) machine=q35 ;;
	aarch64,*) console=ttyAMA0 ;;
	esac
	case $(uname -m),$kernel in aarch64,*/micro)
		console=hvc0
		serial='-device virtio-serial-device -chardev stdio,id=c -device virtconsole,chardev=c' ;;
	esac
	set -- "$@" $qemu -M "$machine,accel=kvm" -cpu host -m "$mib" -smp 1 -nodefaults \
		-no-user-config -display none -no-reboot $serial \
		-kernel "$kernel" -initrd "$initrd" -append "console=$console panic=-1 $words"
	has="-device virtio-scsi-$device,iothread=io -device scsi-hd,drive=d"
	[ "${kind-scsi}" != blk ] || has="-device virtio-blk-$device,iothread=io,drive=d"
	case $disk,$vhost in
	,*) ;;
	*,on) set -- "$@" -device "vhost-scsi-pci,wwpn=$wwn" ;;
	*) set -- "$@" -object iothread,id=io \
		-drive "if=none,id=d,format=raw,file=$disk,cache=none,aio=io_uring" $has ;;
	esac
	"$@"
}

# It takes no ELF kernel. Its guest's files are the lab host's own, by 9p. The guest finds the ports for
# the command's streams by udev, which there is none of here; so what is seen is that the run ends well.
virtme() { # COMMAND...
	set -- "$@" python3 -c 'from virtme.commands.run import main; main()' --kimg "$kernel.bzImage" \
		--memory "${mib}M" --cpus 1 --mods none --force-9p --script-sh true
	"$@"
}

smallest='QEMU microvm' # its name in rows
[ "$(uname -m)" = x86_64 ] || smallest='QEMU virt'

# It takes no ELF kernel; its disk is a virtio-blk one.
kvmtool() { # COMMAND...
	local kernel=$kernel
	[ ! -e "$kernel.bzImage" ] || kernel=$kernel.bzImage
	set -- "$@" "${LKVM-lkvm}" run -k "$kernel" -i "$initrd" -m "$mib" -c 1 --console serial \
		-n mode=none -p "console=ttyS0 panic=-1 $words"
	[ "$(uname -m)" != aarch64 ] || set -- "$@" --irqchip gicv3-its
	[ -z "$disk" ] || set -- "$@" -d "$disk"
	"$@"
}

# It takes only an ELF kernel; its disk is a virtio-blk one on MMIO. Its filter of system calls is left
# out, as builds differ in whether they have one.
firecracker() { # COMMAND...
	local drives= config=${work-.}/firecracker.json
	[ -z "$disk" ] || drives="{\"drive_id\": \"d\", \"path_on_host\": \"$disk\",
		\"is_root_device\": false, \"is_read_only\": false, \"io_engine\": \"Async\"}"
	cat >$config <<-END
		{"boot-source": {"kernel_image_path": "$kernel", "initrd_path": "$initrd",
			"boot_args": "console=ttyS0 reboot=k panic=-1 $words"},
		"machine-config": {"vcpu_count": 1, "mem_size_mib": $mib},
		"drives": [$drives]}
	END
	"$@" "${FIRECRACKER-firecracker}" --no-api --no-seccomp --config-file $config
}

# Its disk is a virtio-blk one on PCI.
cloud_hypervisor() { # COMMAND...
	set -- "$@" "${CLOUD_HYPERVISOR-cloud-hypervisor}" --kernel "$kernel" --initramfs "$initrd" \
		--memory "size=${mib}M" --cpus boot=1 --console off --serial tty \
		--cmdline "console=ttyS0 panic=-1 $words"
	[ -z "$disk" ] || set -- "$@" --disk "path=$disk,direct=on"
	"$@"
}

# The VMMs that Debian has not, of which binaries are here, for $kernel, which for two of them has to be
# an ELF file: lines of a function, the init of a guest that ends (some know no power-off), and a name.
others() {
	[ ! -e /bin/lkvm ] || echo kvmtool reboot kvmtool
	[ -e "$kernel.bzImage" ] || return
	[ ! -e /bin/firecracker ] || echo firecracker reboot Firecracker
	[ ! -e /bin/cloud-hypervisor ] || echo cloud_hypervisor true Cloud Hypervisor
}

# row NAME COUNT COMMAND...: a line row|NAME|FIGURE..., the COUNT numbers that COMMAND prints; "-" is
# none. As the emulated processor stops a guest now and then, COMMAND is called once more if there are
# not so many, and a line again|NAME|WHY tells of it. In the short form only the first $rows are made,
# and never those that an earlier lab host has made. $made is empty then, or when there is no such line.
row() {
	local name=$1 count=$2 try
	shift 2
	made=
	[ "$rows" != 0 ] || return 0
	rows=$((rows - 1))
	! grep -qxF "$name" /lab/made || return 0
	for try in 1 2; do
		"$@" >figures 2>err </dev/null
		if [ "$(tr -s ' ' '\n' <figures | grep -Ec '^([0-9]+(\.[0-9]+)?|-)$')" = "$count" ]; then
			echo "row|$name|$(tr -s ' \n' '||' <figures | sed 's/|$//')"
			made=1
			return
		fi
		[ $try = 2 ] || echo "again|$name|$(cat figures err | tail -n 1)"
	done
	echo "failed|$name|$(cat figures err | tail -n 1)"
}
