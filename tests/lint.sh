#!/bin/sh
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
	case $c in vmm/core/log.c | vmm/tty.c) continue ;; esac
	nm -f sysv "$o" | awk -F'|' -v c="$c" '$7 ~ /^(\.(data|bss|tdata|tbss)|\*COM\*)$/ { print c, $1 }'
done >"$found"
promise "no writable data at file scope" <"$found"

grep -n '\<mem_ptr(' $sources $headers |
	grep -vE '^(vmm/core/mem\.[ch]|virtio/queue\.c|vmm/kernel/image\.c|vmm/arch/[^:]*):' >"$found"
promise "mem_ptr() for rings and boot only" <"$found"

grep -nE '\<(exit|_exit|abort)\(' $sources | grep -vE '^vmm/(main|crash|tty|matrix/matrix_child|core/log)\.c:' >"$found"
promise "exit() in main.c, and where there is no way back" <"$found"

for f in $sources $headers $(find tests guest -name '*.[ch]'); do
	sed 's/§/S/g' "$f" | expand | awk -v f="$f" 'length > 100 { print f ":" NR ": " length " columns" }'
done >"$found"
promise "lines of at most 100 columns" <"$found"

wc -l $sources $headers | awk '$2 != "total" && $1 > 600 { print $2, $1 }' >"$found"
promise "files under 600 lines" <"$found"

# Everything below the machine has a suite of its name; with the folder's before it where a file of
# the core has the same.
for c in $sources; do
	suite=$(basename "$c")
	case $c in vmm/core/*) ;; virtio/* | devices/*)
		[ ! -f "vmm/core/$suite" ] || suite=$(basename "$(dirname "$c")")_$suite ;;
	*) continue ;; esac
	[ -f "tests/unit/test_$suite" ] || echo "$c"
done >"$found"
promise "a suite for every source" <"$found"

exit $status
