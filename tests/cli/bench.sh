#!/bin/bash
# SPDX-License-Identifier: MIT
# bench.sh - "make bench" tells what it could not measure, and starts VMMs whose binaries are named.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

bench() { # PART...
	"$top/tests/bench/run.sh" --short build/x86_64 "$@" >out 2>err
}

stand_in() { # COMMAND...: it in a VMM's place; what that is asked for is in ./asked
	printf '#!/bin/sh\nprintf "%%s " "$@" >>%s/asked\necho >>%s/asked\n%s\n' "$PWD" "$PWD" "$*" >vmm
	chmod +x vmm
}

test_other_vmms() {
	local pattern micro=${XDG_CACHE_HOME:-$HOME/.cache}/lunette/kernel-micro
	stand_in exec "$top/lunette" run --kernel "$top/build/x86_64/tests/bench/payload.elf"
	export LKVM=$PWD/vmm FIRECRACKER=$PWD/vmm CLOUD_HYPERVISOR=$PWD/vmm
	if [ ! -e "$micro/vmlinux" ]; then
		status 1 bench start
		contains err 'not measured: the micro kernel: "make guest-kernel" has not been run'
		return
	fi
	status 0 bench start
	for pattern in 'kvmtool, kernel' 'kvmtool, kernel, disk' 'Firecracker, micro kernel' \
		'Firecracker, micro kernel, disk' 'Cloud Hypervisor, micro kernel' \
		'Cloud Hypervisor, micro kernel, disk'; do
		contains out "^  $pattern +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$"
	done
	contains asked "^run -k [^ ]*vmlinuz -i [^ ]*cpio .* -d "
	contains asked '^--no-api --no-seccomp --config-file '
	contains asked "^--kernel $micro/vmlinux --initramfs [^ ]*cpio .* --disk path="
}

test_vmm_that_does_not_start() {
	stand_in 'echo "no such machine" >&2; exit 3'
	export LKVM=$PWD/vmm
	status 1 bench start
	contains err '^not measured: kvmtool, kernel: .'
	contains err '^not measured: kvmtool, kernel, disk: .'
	contains out '^  kernel, disk +[0-9.]+' # the others are measured all the same
	contains out '^0 passed, 1 failed$'
}

test_unknown_part() {
	status 200 bench start stop
	contains err '^run.sh: not a part: stop \(start, reads, stores, boot, command, io\)$'
}

test_part_of_another_architecture() {
	status 200 "$top/tests/bench/run.sh" build/riscv64 boot reads 2>err
	contains err '^run.sh: reads: is about this machine, and that is no riscv64$'
}

run_tests
