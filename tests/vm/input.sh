#!/bin/sh
# SPDX-License-Identifier: MIT
# input.sh - bad input gets one clear line and its documented status.
. "$(dirname "$0")/lib.sh"

# refused STATUS PATTERN OPTION...
refused() {
	local wanted=$1 pattern=$2
	shift 2
	status "$wanted" $as timeout 60 lunette run "$@" >out 2>err </dev/null
	contains err "$pattern"
	[ "$(wc -l <err)" = 1 ] || fail "not one line:
$(cat err)"
}
as= # a command that runs it as somebody else

test_kernel_not_given() { refused 200 '--kernel'; }
test_kernel_missing() { refused 201 'none.*No such file' --kernel none; }
test_kernel_is_a_folder() {
	mkdir folder
	refused 201 'folder' --kernel folder
}
test_kernel_not_readable() {
	echo x >secret
	chmod 600 secret
	as=user
	refused 201 'secret.*Permission denied' --kernel secret
}
test_kernel_is_empty() {
	: >empty
	refused 201 'empty' --kernel empty
}
test_kernel_is_text() {
	seq 10000 >text
	refused 201 'text.*bzImage.*vmlinux' --kernel text
}
test_kernel_is_gzipped() {
	seq 10000 | gzip >zipped
	refused 201 'zipped.*gzip' --kernel zipped
}
test_kernel_for_arm64() {
	{ head -c 56 /dev/zero; printf 'ARM\144'; head -c 100000 /dev/zero; } >image
	refused 201 'image.*(arm64|aarch64)' --kernel image
}
elf() { # CLASS MACHINE, both in octal
	printf "\\177ELF\\$1\\1\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\2\\0\\$2\\0\\1\\0\\0\\0"
	head -c 4072 /dev/zero
}
test_kernel_elf_for_arm64() {
	elf 2 267 >arm
	refused 201 'arm.*(arm64|aarch64)' --kernel arm
}
test_kernel_elf_for_riscv() {
	elf 2 363 >riscv
	refused 201 'riscv.*RISC-V' --kernel riscv
}
test_kernel_elf_of_32_bits() {
	elf 1 3 >old
	refused 201 'old.*32-bit' --kernel old
}
test_kernel_is_a_program() { refused 201 '/sbin/e2fsck' --kernel /sbin/e2fsck; }
test_kernel_cut_off() {
	head -c 100000 "$kernel" >cut
	refused 201 'cut' --kernel cut
}

test_initrd_missing() { refused 201 'none.*No such file' --kernel "$kernel" --initrd none; }
test_initrd_is_a_folder() { refused 201 '/lab.*directory' --kernel "$kernel" --initrd /lab; }
test_initrd_larger_than_memory() {
	truncate -s 300M big
	refused 201 'big.*(memory|RAM)' --kernel "$kernel" --initrd big --memory 256M
}

test_memory_too_small() { refused 200 'memory.*64M' --kernel "$kernel" --memory 32M; }
test_memory_not_a_size() { refused 200 'memory.*lots' --kernel "$kernel" --memory lots; }
test_cpus_zero() { refused 200 'cpus.*1.*64' --kernel "$kernel" --cpus 0; }
test_cpus_too_many() { refused 200 'cpus.*1.*64' --kernel "$kernel" --cpus 65; }
test_cpus_not_a_number() { refused 200 'cpus.*two' --kernel "$kernel" --cpus two; }
test_option_unknown() { refused 200 'colour' --kernel "$kernel" --colour red; }
test_option_without_value() { refused 200 'memory' --kernel "$kernel" --memory; }
test_word_that_is_no_option() { refused 200 'disk.img' --kernel "$kernel" disk.img; }
test_class_unknown() { refused 200 'toaster.*virtio-scsi' --kernel "$kernel" --device toaster; }
test_key_unknown() { refused 200 'slices' --kernel "$kernel" --device virtio-scsi,slices=2; }
test_queues_out_of_range() {
	refused 200 'queues.*1.*64' --kernel "$kernel" --device virtio-scsi,queues=65
}

disk() { # STATUS PATTERN DISK...
	local wanted=$1 pattern=$2 disks= name
	shift 2
	for name; do disks="$disks --disk $name"; done
	refused "$wanted" "$pattern" --kernel "$kernel" $disks
}
test_disk_missing() { disk 201 'none.*no such file' none; }
test_disk_is_a_folder() { disk 201 '/lab.*directory' /lab; }
test_disk_not_readable() {
	truncate -s 1M disk.img
	chmod 200 disk.img
	as=user
	disk 201 'disk.img.*Permission denied' disk.img
}
test_disk_not_writable() {
	truncate -s 1M disk.img
	chmod 444 disk.img
	as=user
	disk 201 'disk.img.*readonly=on' disk.img
}
test_disk_of_odd_size() {
	truncate -s 1000 disk.img
	disk 201 'disk.img.*1000.*512' disk.img
}
test_disk_of_odd_size_for_4k() {
	truncate -s 512 disk.img
	disk 201 'disk.img.*512.*4096' disk.img,block-size=4096
}
test_disk_is_empty() {
	: >disk.img
	disk 201 'disk.img.*empty' disk.img
}
test_disk_is_a_character_device() { disk 201 '/dev/zero' /dev/zero; }
test_lun_out_of_range() {
	truncate -s 1M disk.img
	disk 200 'lun.*0.*16383' disk.img,lun=16384
}
test_lun_twice() {
	truncate -s 1M a.img b.img
	disk 200 'lun=5.*a.img' a.img,lun=5 b.img,lun=5
}
test_serial_too_long() {
	truncate -s 1M disk.img
	disk 200 'serial' "disk.img,serial=$(seq -s '' 100)"
}
test_same_disk_twice() {
	truncate -s 1M disk.img
	disk 201 'disk.img' disk.img disk.img
}

# COMMAND... run where something else is in the place of /dev/kvm
with_null_as_kvm() {
	unshare -m sh -c 'mount --bind /dev/null /dev/kvm && exec "$@"' - "$@"
}
without_kvm() {
	unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' - "$@"
}
test_kvm_is_not_kvm() {
	as=with_null_as_kvm
	refused 202 '/dev/kvm' --kernel "$kernel"
}
test_kvm_missing() {
	as=without_kvm
	refused 202 '/dev/kvm' --kernel "$kernel"
	refused 202 '/dev/kvm' --kernel "$kernel" --initrd "$initrd" -- true
}
test_kvm_without_permission() { # says what gives it
	as=outsider
	refused 202 '/dev/kvm.*(group|kvm|106)' --kernel "$kernel"
}

# Every capability that lunette asks for, answered with 0: it is needed, and named, or not needed.
test_kvm_too_old() {
	kernel=/lab/payload.elf
	wants_triple_fault
	strace -f -e trace=ioctl -o calls lunette run --kernel "$kernel" >out </dev/null 2>&1 || true
	grep -o 'ioctl(.*' calls | sed -n '/KVM_RUN/q; /KVM_CHECK_EXTENSION/{
		=
		s/.*\(KVM_CAP_[A-Z0-9_]*\).*/\1/p
	}' | paste - - >asked
	[ "$(grep -c KVM_CAP asked)" -ge 5 ] || fail 'too few capabilities were asked for'
	while read -r n capability; do
		rc=0
		strace -f -o strace -e trace=ioctl -e inject=ioctl:retval=0:when="$n" \
			timeout 60 lunette run --kernel "$kernel" >out 2>err </dev/null || rc=$?
		echo "$capability: $rc, $(cat err)"
		case $rc in
		202) contains err "$capability" && equal "$(wc -l <err)" 1 ;;
		206) contains out '^pvh' ;;
		*) fail "status $rc" ;;
		esac
	done <asked
	grep -q 202 log
}

run_tests
