#!/bin/bash
# SPDX-License-Identifier: MIT
# arch.sh - lab hosts of other architectures: a script is run there, with its files, and what it says and
# leaves comes back.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
set -o pipefail

host() { # ARCH
	local root
	root=$("$top/tests/lab/deb" -a "$1" -r e2fsprogs)
	truncate -s 1M disk
	mkdir folder
	echo shared >folder/file
	cat >script <<-END
		uname -m
		[ -c /dev/kvm ] && modprobe vhost_scsi && [ -c /dev/vhost-scsi ] || exit
		cat && cat $PWD/folder/file
		/lab/mke2fs -q $PWD/disk && /lab/e2fsck -n $PWD/disk >$PWD/result && echo "the error" >&2
		exit \$1
	END
	rc=0
	echo input | "$top/tests/lab/l1" --cpu "$1" --timeout 100 --root "$root" --disk disk --share folder \
		--out result --add "$root/sbin/mke2fs:/lab/mke2fs" --add "$root/sbin/e2fsck:/lab/e2fsck" \
		script 3 >out 2>err || rc=$?
	equal "$rc $(cat out)" "3 $1
input
shared"
	contains err '^the error$'
	contains result '/disk: clean, 11/128 files'
	e2fsck -n disk
}

test_aarch64() { host aarch64; }
test_riscv64() { host riscv64; }

# Nothing of them is wanted where nobody asks for it.
test_other_architectures_are_not_set_up() {
	! "$top/guest/setup.sh" -l run | grep -E 'aarch64|riscv64|libfdt' || fail 'they are'
}

test_unknown_processor() {
	status 200 "$top/tests/lab/l1" --cpu z80 /dev/null 2>err
	contains err '^l1: no CPU "z80": amd, intel, aarch64, riscv64$'
}

run_tests
