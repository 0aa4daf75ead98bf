#!/bin/sh
# SPDX-License-Identifier: MIT
# boot.sh - kernels, CPUs, memory, and the shell on the console.
. "$(dirname "$0")/lib.sh"

test_usual_image() { # bzImage, Image
	status 7 guest 'uname -r; exit 7'
	equal "$(cat out)" "$(cat /lab/release)"
}

test_vmlinux() { # ELF, by the 64-bit entry, or by PVH where it has the note
	only x86_64
	kernel=/lab/vmlinux
	status 0 guest 'uname -r'
	equal "$(cat out)" "$(cat /lab/release)"
}

test_pvh() { # ELF with a PVH note
	only x86_64
	kernel=/lab/payload.elf
	status 206 vmm --append hello
	contains out '^pvh: quiet .* pci=noearly .* scsi_mod.dev_flags=[^ ]* console=ttyS0 hello$'
}

# Packed, as a build of Linux leaves it, and in a program for EFI's firmware, by zboot-header.S of Linux.
boots() { # FILE
	kernel=$1
	status 0 guest 'uname -r'
	equal "$(cat out)" "$(cat /lab/release)"
}
le32() {
	printf "$(printf '\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24)))"
}
zboot() { # TYPE PAYLOAD
	{
		printf 'MZ\0\0zimg'
		le32 512
		le32 "$(stat -c %s "$2")"
		printf '\0\0\0\0\0\0\0\0%s' "$1"
	} >head
	truncate -s 512 head
	cat head "$2"
	[ "$1" = gzip ] || le32 "$(stat -c %s "$kernel")" # which is the end of gzip's
}
test_image_gz() {
	only aarch64
	gzip <"$kernel" >Image.gz
	zboot gzip Image.gz >vmlinuz.efi
	[ "$EXTENT" = test ] || boots Image.gz
	boots vmlinuz.efi
}
test_image_zst() {
	only aarch64
	/lab/zstd -q -1 <"$kernel" >Image.zst
	zboot zstd Image.zst >vmlinuz.efi
	[ "$EXTENT" = test ] || boots vmlinuz.efi
	boots Image.zst
}

test_one_cpu() {
	status 0 guest 'nproc' --cpus 1
	equal "$(cat out)" 1
}

test_four_cpus() {
	status 0 guest 'for cpu in 0 1 2 3; do taskset -c $cpu cut -d " " -f 39 /proc/self/stat; done' \
		--cpus 4
	equal "$(cat out)" "$(seq 0 3)"
}

# One package, and each CPU a core of it. The processor is the host's.
test_topology() {
	local model='^(model name|CPU part|marchid)'
	status 0 guest "model='$model'"'
		cd /sys/devices/system/cpu
		for cpu in cpu[0-9]*; do
			cd $cpu/topology
			echo $(cat physical_package_id core_id thread_siblings_list core_siblings_list)
			cd ../..
		done
		grep -E "$model" /proc/cpuinfo | sort -u' --cpus 3
	equal "$(sed -n 1,3p out)" '0 0 0 0-2
0 1 1 0-2
0 2 2 0-2'
	equal "$(sed 1,3d out)" "$(grep -E "$model" /proc/cpuinfo | sort -u)"
}

# The kernel itself takes some of it; the rest must be what was asked for.
memory_is_about() { # MIB AT-LEAST OPTION
	status 0 guest "awk '/MemTotal/ { print int(\$2 / 1024) }' /proc/meminfo" --memory "$3"
	[ "$(cat out)" -ge "$2" ] && [ "$(cat out)" -le "$1" ] || fail "MemTotal is $(cat out) MiB"
}

test_memory_64m() { # Debian's kernel and init's modules need some 79 MiB
	case $(cat /lab/release) in
	*-micro) memory_is_about 64 30 64M ;;
	*)
		only x86_64
		kernel=/lab/payload.elf
		status 206 vmm --memory 64M
		contains out '^pvh: ' ;;
	esac
}
test_memory_96m() {
	case $(uname -m)-$(cat /lab/release) in
	*-micro) ;;
	riscv64-*) skip "Debian's kernel takes 66 MiB there" ;;
	esac
	memory_is_about 96 55 96M
}
test_memory_128m() { memory_is_about 128 55 128M; }
test_memory_3g() { memory_is_about 3072 2800 3G; }
test_memory_5g() { memory_is_about 5120 4800 5G; }

# The most that there can be, of which the guest takes little: its table of pages alone would be 8 GiB.
test_memory_512g() {
	only aarch64
	words=mem=1G
	status 0 guest 'awk "/MemTotal/ && \$2 > 900000 && \$2 < 1048576 { print \"some of\" }" /proc/meminfo
		hexdump -v -e "1/1 \"%02x\"" /proc/device-tree/memory@40000000/reg' --memory 512G
	equal "$(cat out)" 'some of
00000000400000000000008000000000'
}

test_memory_in_the_large() { # of which the host has some for the table of pages
	local g=8
	only aarch64
	[ "$EXTENT" = test ] || g=32
	memory_is_about $((g * 1024)) $((g * 990)) ${g}G
}

test_memory_above_the_hole() { # every part of it can be used
	status 0 guest 'mount -t tmpfs -o size=4g none /mnt && truncate -s 3600M /mnt/hole &&
		grep -c "System RAM" /proc/iomem && awk "/DirectMap|MemFree/" /proc/meminfo' --memory 5G
	[ "$(uname -m)" != x86_64 ] || contains out '^[2-9]' # that there is a hole
	contains out '^MemFree'
}

test_shell_on_the_console() {
	mkfifo keys
	timeout -k 5 "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" --append quiet \
		>out 2>err <keys &
	exec 3>keys
	until_true 30 grep -q '# ' out
	echo 'echo the sum is $((6 * 7))' >&3
	until_true 10 grep -q 'the sum is 42' out
	echo exit >&3
	status 0 wait $!
}

test_kernel_without_virtio_console() { # early messages, and what init says, by the serial port
	cpio -t <"$initrd" 2>/dev/null | grep -q /virtio_console.ko ||
		skip 'this kernel has virtio_console built in; run with KERNEL=stock'
	job 'echo seen; readlink /proc/self/fd/1'
	mkdir over
	cat >over/pre <<-'END'
		rm /lib/modules/*/kernel/drivers/char/virtio_console.ko*
		exec /init
	END
	{ cat initrd; (cd over && echo pre | cpio -o -H newc 2>/dev/null); } >initrd2
	status 0 vmm --initrd initrd2 --console hvc --append 'rdinit=/bin/sh -- /pre'
	contains out '^seen'
	contains out '^/dev/ttyS0'
}

run_tests
