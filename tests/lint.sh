#!/bin/sh
# SPDX-License-Identifier: MIT
# lint.sh OBJECTS - promises of ARCHITECTURE.md that a compiler does not check.
cd "$(dirname "$0")/.." || exit 1
objects=$1
status=0
found=$(mktemp)
trap 'rm -f "$found"' EXIT

# promise TEXT: what comes on stdin breaks it.
promise() {
	broken=$(cat)
	[ -z "$broken" ] && echo "lint: $1" && return
	printf '%s\n' "$broken" | sed "s|^|lint: NOT $1: |"
	status=1
}

sources=$(find vmm virtio devices -name '*.c' | sort)
headers=$(find vmm virtio devices -name '*.h' | sort)

# But for the logger, and the terminal, which has to be put right in a signal handler, too.
for c in $sources; do
	o=$objects/${c%.c}.o
	case $c in
	vmm/core/log.c | vmm/machine/tty.c) continue ;;
	vmm/machine/arch/*) [ -f "$o" ] || continue ;; # another architecture's
	esac
	nm -f sysv "$o" | awk -F'|' -v c="$c" '$7 ~ /^(\.(data|bss|tdata|tbss)|\*COM\*)$/ { print c, $1 }'
done >"$found"
promise "no writable data at file scope" <"$found"

grep -n '\<mem_ptr(' $sources $headers |
	grep -vE '^(vmm/core/mem\.[ch]|virtio/queue\.c|vmm/machine/image\.c|vmm/machine/arch/[^:]*):' >"$found"
promise "mem_ptr() for rings and boot only" <"$found"

grep -nE '\<pthread_(create|setname_np)\(' $sources | grep -v '^vmm/core/thread\.c:' >"$found"
promise "threads are made by thread_start()" <"$found"

grep -nE '\<(exit|_exit|abort)\(' $sources | grep -vE '^vmm/(main|machine/crash|machine/tty|run/files/apart|run/matrix/matrix_child|core/(log|child))\.c:' >"$found"
promise "exit() in main.c, and where there is no way back" <"$found"

# EINVAL and an exit status: the host's word, wherever it is asked; the user's mistakes are EUSAGE.
# Beside those who ask: what is wrong with a caller, a guest's ring, a state that is restored, and no
# name in an archive.
grep -nE '\<EINVAL\>' $sources |
	grep -vE '^(vmm/core/(bus|mem|state)|vmm/machine/arch/(one_reg|[^/]*/state)|virtio/queue|vmm/run/files/(place|fstree)|devices/(net_tap|lio)|devices/block/(uring|step))\.c:' >"$found"
promise "the user's mistakes are EUSAGE (fail.h)" <"$found"

grep -hoE '\<getenv\("[^"]*"\)' $sources | sed 's/.*"\(.*\)".*/\1/' | while read -r name; do
	grep -q "\"$name\"" vmm/run/inherited.c || echo "$name"
done >"$found"
promise "variables that are looked up are kept (inherited.c)" <"$found"

for f in $sources $headers $(find tests guest -name '*.[ch]'); do
	sed 's/§/S/g' "$f" | expand | awk -v f="$f" 'length > 100 { print f ":" NR ": " length " columns" }'
done >"$found"
promise "lines of at most 100 columns" <"$found"

wc -l $sources $headers $(find tests guest -name '*.[ch]') | awk '$2 != "total" && $1 > 600 { print $2, $1 }' >"$found"
promise "files under 600 lines" <"$found"

find Makefile config.mk run-guest.sh .ci vmm virtio devices guest tests packaging docs/man -type f \
	! -path '*/corpus/*' ! -name '*.md' ! -name '*.txt' ! -name '*.asc' -exec grep -L 'SPDX-License-Identifier: MIT' {} + >"$found"
promise "a licence in every source (SPDX)" <"$found"

# Every source has a suite of its name; with the folder's before it where a file of a floor below has
# the same. Parts of one thing are tested as the whole: SOURCE:SUITE.
parts='vmm/run/report/tap_keep.c:tap vmm/run/report/tap_level.c:tap vmm/run/report/tap_line.c:tap
	vmm/run/report/junit_names.c:junit vmm/run/report/report_out.c:report_file vmm/run/exec_client.c:exec
	vmm/machine/arch/fdt.c:aarch64_describe vmm/machine/arch/linux_image.c:aarch64_boot
	vmm/machine/probe.c:x86_64_probe vmm/machine/gdb_xml.c:gdb_stub vmm/host/serve.c:shared_broker'
# KVM of another architecture, which this machine's headers do not know: guests in its lab test it, and
# tests/vm/ARCH/state.c does.
without='vmm/machine/arch/aarch64/probe.c vmm/machine/arch/aarch64/state.c
	vmm/machine/arch/aarch64/vcpu.c vmm/machine/arch/aarch64/vm.c
	vmm/machine/arch/aarch64/debug.c vmm/machine/arch/riscv64/debug.c
	vmm/machine/arch/riscv64/probe.c vmm/machine/arch/riscv64/state.c
	vmm/machine/arch/riscv64/vcpu.c vmm/machine/arch/riscv64/vm.c'
suite_of() {
	name=$(basename "$1" .c)
	for part in $parts; do
		[ "${part%:*}" = "$1" ] && echo "${part#*:}" && return
	done
	case $1 in
	vmm/core/*) same= ;;
	vmm/machine/arch/*/*) same= name=$(basename "$(dirname "$1")")_$name ;;
	*) same=vmm/core ;;
	esac
	for folder in $same; do
		[ ! -f "$folder/$name.c" ] || name=$(basename "$(dirname "$1")")_$name
	done
	echo "$name"
}
for c in $sources; do
	[ -f "tests/unit/test_$(suite_of "$c").c" ] || echo "$c"
done | grep -vxF "$(printf '%s\n' $without)" >"$found"
promise "a suite for every source" <"$found"

# The column of tests in the target's table, as "SUITE: TEST, TEST; SUITE: TEST".
awk -F'|' '/^\| .*[0-9A-F][0-9A-F].*: [a-z_0-9, ;:]+ \|$/ { print $(NF - 1) }' devices/scsi/README.md |
	tr ';' '\n' | while IFS=: read -r suite list; do
	for name in $(echo "$list" | tr , ' '); do
		grep -q "^START_TEST($name)" "tests/unit/test_${suite# }.c" || echo "$suite: $name"
	done
done >"$found"
promise "the tests that devices/scsi/README.md names" <"$found"

exit $status
