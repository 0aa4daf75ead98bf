#!/bin/bash
# lab.sh - figures about guests, from the lab host with its clock that counts instructions (see
# ../lab/l1): the same run gives the same figures, whatever else this machine does. run.sh calls it.
#
#   usage: lab.sh OBJECTS boot|command|io
#
# boot  from exec() of a VMM to the guest's /init: million instructions, and exits from the guest;
#       with Debian's stock kernel, and with the micro kernel if it is in the cache.
# command  from exec() of a VMM to its end, when the guest has run "true", by phase: million
#       instructions; with the same kernels.
# io    what a read takes from the guest's system call and back, guest, VMM and kernel together:
#       thousand instructions. The disk is a RAM disk of the lab host (brd).
#
# QEMU, the lab's own, is beside them, kvmtool where LKVM=FILE names its binary, and virtme-ng where
# VIRTME=DIR is what "pip install --target DIR virtme-ng argcomplete" has filled. Exit status 1:
# something could not be measured, and a line says what.
set -uo pipefail
top=$(dirname "$(readlink -f "$0")")/../..
cd "$top" || exit
objects=$1 what=$2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

add=() kernels=(stock)
add_qemu() {
	local words file
	words=$(tests/lab/qemu) || return
	echo "$words" >"$work/qemu"
	for file in $words; do
		case $file in
		*/qemu-system-x86_64) add+=(--add "$file") ;;
		/*) # the firmware of q35 and microvm
			for file in "$file"/{bios-256k,bios-microvm,linuxboot_dma,pvh,kvmvapic}.bin "$file/qboot.rom"; do
				[ ! -e "$file" ] || add+=(--add "$file")
			done ;;
		esac
	done
	add+=(--add "$work/qemu:/lab/qemu")
}

add_kernels() {
	local micro=$cache/kernel-micro
	add+=(--add "$kernel/vmlinuz:/lab/stock")
	[ "$what" != io ] && [ -e "$micro/vmlinux" ] || return 0
	kernels+=(micro)
	add+=(--add "$micro/vmlinux:/lab/micro")
	[ ! -e "$micro/bzImage" ] || add+=(--add "$micro/bzImage:/lab/micro.bzImage")
}

# The guests' file systems: one whose /init says that it is there, one that reads.
add_initramfs() {
	local base file
	base=$(guest/mkinitramfs.sh base "$kernel" "$(tests/lab/deb busybox-static)/bin/busybox") || return
	printf '#!/bin/busybox sh\necho guest-is-up\nexec busybox sleep 100\n' >"$work/up"
	chmod +x "$work/up"
	cat >"$work/job" <<-'END'
		diskread /dev/sda random 4096 1 2000
		diskread /dev/sda random 4096 32 6400
		diskread /dev/sda sequential 1048576 4 128
	END
	guest/mkinitramfs.sh extra "$work/extra" "$work/up:/up" || return
	cat "$base" "$work/extra" >"$work/up.cpio"
	cp "$base" "$work/base.cpio"
	printf 'echo guest-is-up\ntrue\n' >"$work/job" # our init then powers off
	guest/mkinitramfs.sh extra "$work/extra" "$work/job:/job" || return
	cat "$base" "$work/extra" >"$work/true.cpio"
	echo 'reboot -f' >>"$work/job" # for who cannot power off
	guest/mkinitramfs.sh extra "$work/extra" "$work/job:/job" || return
	cat "$base" "$work/extra" >"$work/reboot.cpio"
	guest/mkinitramfs.sh extra "$work/extra" "$work/job:/job" \
		"$objects/tests/bench/diskread:/bin/diskread" || return
	cat "$base" "$work/extra" >"$work/reads.cpio"
	for file in up base true reboot reads; do add+=(--add "$work/$file.cpio:/lab/$file.cpio"); done
}

add_all() {
	local program
	kernel=$(tests/lab/kernel) && add_qemu && add_kernels && add_initramfs || return
	add+=(--add "$PWD/lunette:/bin/lunette" --add "$PWD/tests/bench/peers.sh:/lab/peers.sh")
	for program in firstrun timeto; do
		add+=(--add "$objects/tests/bench/$program:/bin/$program")
	done
	[ -z "${LKVM-}" ] || add+=(--add "$LKVM:/bin/lkvm")
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
			printf form, $2, sprintf("%.1f", $3), $4 == "" ? "" : sprintf("%.1f", $4 - $3),
				$4 == "" ? "" : sprintf("%.1f", $5 - $4), sprintf("%.1f", $5), sprintf("%.2f", $5 / base[kernel])
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
				text[i] = sprintf("%.1f", $i / 1000)
				ratio[i] = sprintf("%.2f", $i / base[i])
			}
			printf form, $2, text[3], ratio[3], text[4], ratio[4], text[5], ratio[5]
		}' "$work/rows"
}

case $what in boot | command | io) ;; *) echo "lab.sh: not a table: $what" >&2; exit 200 ;; esac
add_all || exit
tests/lab/l1 --icount --timeout 900 --mem 3072 "${add[@]}" "tests/bench/$what.sh" "${kernels[@]}" \
	>"$work/rows" 2>"$work/err" </dev/null
rc=$?
echo
"print_$what"
sed -n 's/^failed|\([^|]*\)|/not measured: \1: /p' "$work/rows" >&2
[ $rc = 0 ] || { tail -n 5 "$work/rows" "$work/err" >&2; exit 1; }
! grep -q '^failed' "$work/rows"
