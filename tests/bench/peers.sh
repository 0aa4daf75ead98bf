# peers.sh - the command lines of the VMMs that are compared, for scripts in the lab host (see lab.sh).
#
# Each function runs COMMAND..., with the command line of a guest after it: one vCPU, $mib MiB, the
# kernel $kernel with $words, the file system $initrd, and the disk $disk, if there is one, on $bus
# (pci or mmio); it is the kernel's vhost-scsi that serves it if $vhost is "on". $options are more of
# lunette's for the disk, from their comma on.

lunette() { # COMMAND...
	set -- "$@" lunette run --kernel "$kernel" --initrd "$initrd" --memory "${mib}M" --append "$words"
	[ -z "$disk" ] ||
		set -- "$@" --vhost "$vhost" --device "virtio-scsi,transport=$bus" \
			--disk "$disk$options"
	"$@"
}

# On PCI it is a q35, otherwise the smallest machine that it has. For vhost-scsi $wwn is the target.
qemu() { # COMMAND...
	local machine=microvm,rtc=on,pit=off,pic=off device=device
	[ "$bus" = mmio ] || machine=q35 device=pci
	set -- "$@" $(cat /lab/qemu) -M "$machine,accel=kvm" -cpu host -m "$mib" -smp 1 -nodefaults \
		-no-user-config -display none -no-reboot -serial stdio \
		-kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 panic=-1 $words"
	case $disk,$vhost in
	,*) ;;
	*,on) set -- "$@" -device "vhost-scsi-pci,wwpn=$wwn" ;;
	*) set -- "$@" -object iothread,id=io -device "virtio-scsi-$device,iothread=io" \
		-drive "if=none,id=d,format=raw,file=$disk,cache=none,aio=io_uring" -device scsi-hd,drive=d ;;
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

# It takes no ELF kernel; its disk is a virtio-blk one.
kvmtool() { # COMMAND...
	local kernel=$kernel
	[ ! -e "$kernel.bzImage" ] || kernel=$kernel.bzImage
	set -- "$@" lkvm run -k "$kernel" -i "$initrd" -m "$mib" -c 1 --console serial -n mode=none \
		-p "console=ttyS0 panic=-1 $words"
	[ -z "$disk" ] || set -- "$@" -d "$disk"
	"$@"
}
