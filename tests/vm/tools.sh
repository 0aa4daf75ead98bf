#!/bin/sh
# SPDX-License-Identifier: MIT
# tools.sh - doctor, kernel check and matrix on a host that can run guests; ../cli has their other tests.
. "$(dirname "$0")/lib.sh"

test_doctor() {
	modprobe -a vhost_scsi target_core_mod
	status 0 lunette doctor >out 2>err
	contains out '^ok +kvm '
	contains out '^ok +vhost-scsi the kernel can serve disks$'
	contains out '^ok +memory +[0-9]+ MiB can be had '
	! grep -vE '^(ok|warning|missing) +[a-z_-]+ +[^ ]' out || fail 'that is no line of it'
	equal "$(cat err)" ''
}

test_doctor_where_kvm_is_not_theirs() {
	status 202 outsider lunette doctor >out 2>err
	contains out '^missing +kvm +/dev/kvm: permission denied; '
}

# What only a kernel of this architecture needs.
test_kernel_check_of_a_configuration() {
	local option options
	case $(uname -m) in
	x86_64) options='ACPI' ;;
	aarch64) options='OF ARM_PSCI_FW ARM_GIC_V3 PCI_HOST_GENERIC ARM_GIC_V3_ITS' ;;
	riscv64) options='OF RISCV_SBI' ;;
	esac
	printf 'CONFIG_64BIT=y\nCONFIG_MMU=y\n' >config
	status 1 lunette kernel check config >out 2>err
	for option in $options; do contains out "^CONFIG_$option=y   # "; done
	contains out '^# config: [0-9]* missing$'
}

# The small kernel carries its configuration, Debian's does not.
test_kernel_check_of_the_guests_kernel() {
	case $(cat /lab/release) in
	*-micro)
		status 0 lunette kernel check "$kernel" >out 2>err
		contains out '^# /lab/vmlinuz: 0 missing$'
		/lab/zstd -q -1 <"$kernel" >packed
		[ "$(uname -m)" = x86_64 ] || status 0 lunette kernel check packed ;;
	*)
		status 201 lunette kernel check "$kernel" >out 2>err
		contains err '^lunette: error: .*/lab/vmlinuz' ;;
	esac
}

test_matrix() {
	cat >m <<-END
		run --kernel $kernel --initrd $initrd --vhost off --boot-timeout none
		transport pci
		transport mmio --device virtio-scsi,transport=mmio
		command good -- uname -m
		command bad -- sh -c 'exit 3'
	END
	status 1 timeout -k 5 "$seconds" lunette matrix m --slots 1 --json json >out 2>err </dev/null
	equal "$(grep -c '"status": 0,' json) $(grep -c '"status": 3,' json)" '2 2'
	contains out '^ok +pci,good '
	contains out '^FAILED +mmio,bad '
}

run_tests
