#!/bin/bash
# SPDX-License-Identifier: MIT
# lab.sh - figures about guests, from the lab host with its clock that counts instructions (see
# ../lab/l1): the same run gives the same figures, whatever else this machine does. run.sh calls it.
#
#   usage: lab.sh [--short] OBJECTS boot|command|io
#
# OBJECTS are build/ARCH, and the lab host and its guests are of that architecture.
#
# boot  from exec() of a VMM to the guest's /init: million instructions, and exits from the guest;
#       with Debian's stock kernel, and with the micro kernel if it is in the cache.
# command  from exec() of a VMM to its end, when the guest has run "true", by phase: million
#       instructions; with the same kernels.
# io    what a read takes from the guest's system call and back, guest, VMM and kernel together:
#       thousand instructions. The disk is a RAM disk of the lab host (brd).
#
# QEMU, the version of the lab's own, is beside them; kvmtool, Firecracker and Cloud Hypervisor where LKVM=FILE,
# FIRECRACKER=FILE and CLOUD_HYPERVISOR=FILE name their binaries; and virtme-ng where VIRTME=DIR is
# what "pip install --target DIR virtme-ng argcomplete" has filled. Exit status 1: something could
# not be measured, and a line says what. What had to be measured a second time, as the emulated
# processor stops a guest now and then, is told below the table.
#
# --short: two rows, with the micro kernel if it is in the cache, to see whether it all works.
set -uo pipefail
top=$(dirname "$(readlink -f "$0")")/../..
cd "$top" || exit
rows=-1
[ "$1" != --short ] || { rows=2; shift; }
objects=$1 what=$2 arch=${1##*/}
here=$(uname -m)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
if [ "$arch" = "$here" ]; then micro=$cache/kernel-micro; else micro=$cache/$arch/kernel-micro; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

add=() kernels=(stock)
add_qemu() {
	local text words file dir
	text=$(tests/lab/qemu "$arch") || return
	echo "$text" >"$work/qemu"
	mapfile -t words <<<"$text"
	emulator=$("${words[@]:0:4}" --version)
	[ "$arch" = "$here" ] || { add_others_qemu; return; }
	for file in "${words[3]}" $("${words[@]:0:3}" --list "${words[3]}" | grep -o '/[^ ]*'); do
		add+=(--add "$file") # its libraries are not this machine's
	done
	for dir in "${words[@]:4}"; do # the firmware of q35 and microvm
		for file in "$dir"/{bios-256k,bios-microvm,linuxboot_dma,pvh,kvmvapic}.bin "$dir/qboot.rom"; do
			[ ! -e "$file" ] || add+=(--add "$file")
		done
	done
	add+=(--add "$work/qemu:/lab/qemu")
}

# The same one, for the lab host's architecture.
add_others_qemu() {
	local package=qemu-system-arm tree
	[ "$arch" = aarch64 ] || package=qemu-system-riscv
	tree=$(tests/lab/deb -a "$arch" -s trixie -r "$package") || return
	add+=(--root "$tree" --add "$tree/usr/bin/qemu-system-$arch:/bin/qemu-system-$arch")
	echo "qemu-system-$arch" >"$work/qemu"
	add+=(--add "$work/qemu:/lab/qemu")
}

add_kernels() {
	add+=(--add "$kernel/vmlinuz:/lab/stock")
	[ -e "$micro/vmlinux" ] && [ "$what $rows" != 'io -1' ] || return 0
	kernels+=(micro)
	[ $rows = -1 ] || kernels=(micro)
	add+=(--add "$micro/vmlinux:/lab/micro")
	[ ! -e "$micro/bzImage" ] || add+=(--add "$micro/bzImage:/lab/micro.bzImage")
}

# An initramfs whose init runs a script; files that the script needs come along.
with_job() { # NAME SCRIPT [FILE:DEST...]
	local name=$1
	printf '%s\n' "$2" >"$work/job"
	shift 2
	guest/mkinitramfs.sh -a "$arch" extra "$work/extra" "$work/job:/job" "$@" || return
	cat "$work/base.cpio" "$work/extra" >"$work/$name.cpio"
}

# The guests' file systems: one whose /init says that it is there, and some that run a script.
add_initramfs() {
	local base file
	base=$(guest/mkinitramfs.sh -a "$arch" base "$kernel" "$(tests/lab/busybox "$arch")") || return
	cp "$base" "$work/base.cpio"
	printf '#!/bin/busybox sh\necho guest-is-up\nexec busybox sleep 100\n' >"$work/up"
	chmod +x "$work/up"
	guest/mkinitramfs.sh -a "$arch" extra "$work/extra" "$work/up:/up" || return
	cat "$base" "$work/extra" >"$work/up.cpio"
	with_job true $'echo guest-is-up\ntrue' || return               # our init then powers off
	with_job reboot $'echo guest-is-up\ntrue\nreboot -f' || return # for who cannot power off
	with_job small-reads "$small_reads" "$objects/tests/bench/diskread:/bin/diskread" || return
	with_job reads "$small_reads
		diskread \$disk sequential 1048576 4 128" \
		"$objects/tests/bench/diskread:/bin/diskread" || return
	for file in up base true reboot reads small-reads; do
		add+=(--add "$work/$file.cpio:/lab/$file.cpio")
	done
}
# shellcheck disable=SC2016
small_reads='disk=/dev/sda
		[ -e $disk ] || disk=/dev/vda
		diskread $disk random 4096 1 2000
		diskread $disk random 4096 32 6400'

add_all() {
	local program
	kernel=$(tests/lab/kernel -a "$arch") && add_qemu && add_kernels && add_initramfs || return
	add+=(--add "$objects/lunette:/bin/lunette" --add "$PWD/tests/bench/peers.sh:/lab/peers.sh")
	for program in firstrun timeto; do
		add+=(--add "$objects/tests/bench/$program:/bin/$program")
	done
	[ -z "${LKVM-}" ] || add+=(--add "$LKVM:/bin/lkvm")
	[ -z "${FIRECRACKER-}" ] || add+=(--add "$FIRECRACKER:/bin/firecracker")
	[ -z "${CLOUD_HYPERVISOR-}" ] || add+=(--add "$CLOUD_HYPERVISOR:/bin/cloud-hypervisor")
	[ -z "${VIRTME-}" ] || [ "$what" != command ] || add_virtme "$VIRTME"
}

# virtme-ng is a program in Python, of which the lab host has nothing.
add_virtme() { # FOLDER
	local stdlib library
	stdlib=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))') || return
	mkdir -p "$work/python$stdlib" && cp -r "$stdlib/." "$work/python$stdlib" || return
	rm -rf "$work/python$stdlib"/{test,config-*,idlelib,lib2to3}
	add+=(--add "$1:/lab/virtme" --add "$work/python$stdlib:$stdlib"
		--add "$(realpath /usr/bin/python3):/bin/python3")
	for library in $(find "$stdlib/lib-dynload" -name '*.so' -exec ldd {} + |
		sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u); do
		add+=(--add "$library")
	done
}

# Lines row|NAME|FIGURE... become tables; ratios are to a row's name without what is compared.
print_boot() {
	echo "Boot: exec to the guest's /init, 128 MiB, 1 vCPU, 1 run; millions of instructions"
	awk -F '|' '
		BEGIN {
			form = "  %-28s %8s %8s %8s %8s %8s %8s\n"
			printf form, "", "to KVM_RUN", "guest", "in all", "ratio", "exits", "to user"
		}
		$1 == "row" {
			lunette = $2
			sub(/:.*/, $2 ~ /disk/ ? ": lunette, disk on PCI" : ": lunette", lunette)
			if ($2 == lunette) base[lunette] = $4
			printf form, $2, sprintf("%.1f", $3), sprintf("%.1f", $4 - $3), sprintf("%.1f", $4),
				base[lunette] ? sprintf("%.2f", $4 / base[lunette]) : "", $5, $6
		}' "$work/rows"
}

print_command() {
	echo "A command: exec to exit of the VMM, 128 MiB, 1 vCPU, 1 run; millions of instructions"
	awk -F '|' '
		BEGIN {
			form = "  %-28s %8s %8s %8s %8s %8s\n"
			printf form, "", "to KVM_RUN", "to true", "to exit", "in all", "ratio"
		}
		$1 == "row" {
			kernel = $2
			sub(/:.*/, "", kernel)
			if (!base[kernel]) base[kernel] = $5
			printf form, $2, sprintf("%.1f", $3), $4 == "-" ? "" : sprintf("%.1f", $4 - $3),
				$4 == "-" ? "" : sprintf("%.1f", $5 - $4), sprintf("%.1f", $5), sprintf("%.2f", $5 / base[kernel])
		}
		$1 == "phases" { print "    " $2 }' "$work/rows"
}

print_io() {
	echo 'Reads in a guest: 256 MiB, 1 vCPU, 1 run; thousands of instructions each, and ratios'
	awk -F '|' '
		BEGIN {
			form = "  %-28s %8s %6s %8s %6s %8s %6s\n"
			printf form, "", "4K QD1", "", "4K QD32", "", "1M QD4", ""
		}
		$1 == "row" {
			for (i = 3; i <= 5; i++) {
				if (!base[i]) base[i] = $i
				text[i] = $i == "-" ? "" : sprintf("%.1f", $i / 1000)
				ratio[i] = $i == "-" ? "" : sprintf("%.2f", $i / base[i])
			}
			printf form, $2, text[3], ratio[3], text[4], ratio[4], text[5], ratio[5]
		}' "$work/rows"
}

# What the figures are about.
print_conditions() {
	local name text stock
	stock=$(ls "$kernel/lib/modules")
	for name in "${kernels[@]}"; do
		case $name in
		stock) text+=", $name $stock" ;;
		micro) text+=", $name $(grep -a -o -m 1 'Linux version [0-9][^ ]*' "$micro/vmlinux" |
			sed -n '1s/.* //p')" ;;
		esac
	done
	echo
	echo "In the lab: host $stock, guests ${text#, };" \
		"$(sed -n '1s/^QEMU emulator version \([^ ]*\).*/QEMU \1/p' <<<"$emulator")"
}

# Runs l1, whose rows go to $work/rows, until its emulator has taken $patience seconds of a processor
# without a line: whole boots of the stock kernel take a third of that. 124: that was so.
patience=120
while_rows_come() { # ARGUMENT...
	local l1 timeout pid lines=-1 at=0
	tests/lab/l1 "$@" >>"$work/rows" 2>"$work/err" </dev/null &
	l1=$!
	while sleep 1 && [ -e "/proc/$l1" ]; do
		timeout=$(pgrep -P $l1 -x timeout) && pid=$(pgrep -P "$timeout") || continue
		if [ "$(wc -l <"$work/rows")" != $lines ]; then
			lines=$(wc -l <"$work/rows") at=$(ps -o times= -p "$pid")
		elif [ $(($(ps -o times= -p "$pid") - at)) -gt $patience ]; then
			kill $l1
			wait $l1
			echo "no row in $patience s of a processor" >"$work/err"
			return 124
		fi
	done
	wait $l1
}

# In a lab host of its own; if that hangs or goes down, the rows that are missing in another one. QEMU
# gives an AMD's guest an interrupt twice if a timer of the lab host is due before the guest's next exit, and
# then the guest may wait for ever for a lock that it holds itself; the more so, the longer it runs by itself.
measure() {
	local try rc=1
	: >"$work/rows"
	for try in {1..10}; do
		sed -n 's/^row|\([^|]*\)|.*/\1/p' "$work/rows" >"$work/made"
		while_rows_come --cpu "$arch" --icount --timeout 1800 --mem 3072 "${add[@]}" \
			--add "$work/made:/lab/made" "tests/bench/$what.sh" $rows "${kernels[@]}"
		rc=$?
		[ $rc = 124 ] || [ $rc = 210 ] || return $rc
		echo "what came after $(grep -c '^row' "$work/rows") rows: the lab host: $(tail -n 1 "$work/err")" \
			>>"$work/again"
	done
	return $rc
}

case $what in boot | command | io) ;; *) echo "lab.sh: not a table: $what" >&2; exit 200 ;; esac
add_all || exit
measure
rc=$?
sed -n 's/^again|\([^|]*\)|/\1: /p' "$work/rows" >>"$work/again"
print_conditions
"print_$what"
[ ! -s "$work/again" ] || {
	echo "  measured again, as the first try failed: $(wc -l <"$work/again")"
	sed 's/^/    /' "$work/again"
}
sed -n 's/^failed|\([^|]*\)|/not measured: \1: /p' "$work/rows" >&2
[ $rc = 0 ] || { tail -n 5 "$work/rows" "$work/err" >&2; exit 1; }
grep -q '^row' "$work/rows" && ! grep -q '^failed' "$work/rows"
