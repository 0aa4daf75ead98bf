#!/bin/bash
# run.sh - all the tests, on any Debian 12 machine, or some of them.
#
#   usage: run.sh                  set-up, build, and everything below
#          run.sh unit             unit tests, also with sanitizers, and lint
#          run.sh vm [NAME...]     tests with guests, in the lab host: tests/vm/NAME.sh
#          run.sh cli [NAME...]    tests of the commands that users type: tests/cli/NAME.sh
#
# Guests get the small kernel of "make guest-kernel" when it has been made, but those of a few files,
# the stock kernel; KERNEL=micro or KERNEL=stock chooses for all.
#
# A line for each test, "ok", "not ok" with what it had to say, or "skip" with the reason; for unit
# tests, of which there are many, a line for each kind of build. The last line has the totals:
# "N passed, N failed", and "N skipped" if there are any. The exit status is 1 when one failed.
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin
top=$(dirname "$(readlink -f "$0")")/..
cd "$top" || exit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
passed=0 failed=0 skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # FILE: the lines of tests/vm/lib.sh's kind
	passed=$((passed + $(grep -c '^ok ' "$1")))
	failed=$((failed + $(grep -c '^not ok ' "$1")))
	skipped=$((skipped + $(grep -c '^skip ' "$1")))
}

# step NAME SECONDS COMMAND...: its last line may be "N passed, N failed"; otherwise it is one test.
step() {
	local name=$1 limit=$2 rc n
	shift 2
	timeout "$limit" "$@" >"$work/log" 2>&1 </dev/null
	rc=$?
	n=$(tail -n 1 "$work/log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	read -r good bad <<<"${n:-$((rc == 0)) $((rc != 0))}"
	[ $rc = 0 ] || [ "$bad" != 0 ] || bad=1
	passed=$((passed + good)) failed=$((failed + bad))
	if [ "$bad" = 0 ]; then
		echo "ok $name${n:+: $good passed}"
	else
		tail -n 200 "$work/log"
		echo "not ok $name${n:+: $good passed, $bad failed} (status $rc)"
	fi
}

unit() {
	local make=(make -s -j "$(nproc)")
	step build 300 "${make[@]}" lunette lab-programs
	step check 600 "${make[@]}" check
	step 'check SAN=address,undefined' 900 "${make[@]}" check SAN=address,undefined
	step 'check SAN=thread' 900 "${make[@]}" check SAN=thread
	step lint 300 "${make[@]}" lint
}

# names FOLDER [NAME...]
names() {
	local folder=$1
	shift
	if [ $# -gt 0 ]; then printf '%s\n' "$@"
	else find "tests/$folder" -name '*.sh' ! -name lib.sh -printf '%f\n' | sed 's/\.sh$//' | sort
	fi
}

# The kernel for a file of tests: the stock kernel stays tested in a few.
stock_files=' boot console ctl disks fs transport '
kernel_for() { # NAME
	if [ "$1" = fs ]; then echo stock # of which it needs modules that the small kernel has not
	elif [ -n "${KERNEL-}" ]; then echo "$KERNEL"
	elif [[ $stock_files == *" $1 "* ]] || [ ! -e "$cache/kernel-micro" ]; then echo stock
	else echo micro
	fi
}
kernel_line() {
	if [ -n "${KERNEL-}" ]; then echo "vm: guests have the $KERNEL kernel"
	elif [ -e "$cache/kernel-micro" ]; then
		echo "vm: guests have the small kernel, and the stock kernel in:$stock_files"
	else echo 'vm: guests have the stock kernel; "make guest-kernel" makes one that starts faster'
	fi
}

# vmlinuz, vmlinux, release and initramfs.cpio of a kernel, in a folder of its name
kernel_files() { # stock | micro
	local dir=$work/$1 from=$cache/kernel-micro modules=- setup offset length
	mkdir "$dir"
	if [ "$1" = stock ]; then
		modules=$(tests/lab/kernel) || return
		cp "$modules/vmlinuz" "$dir/vmlinuz"
		# The ELF file inside the bzImage, which is LZ4 with a size after it that unlz4 reports.
		setup=$((($(od -An -tu1 -j 0x1f1 -N 1 "$dir/vmlinuz") + 1) * 512))
		offset=$(od -An -tu4 -j 0x248 -N 4 "$dir/vmlinuz")
		length=$(od -An -tu4 -j 0x24c -N 4 "$dir/vmlinuz")
		tail -c +$((setup + offset + 1)) "$dir/vmlinuz" | head -c "$length" |
			lz4 -dc >"$dir/vmlinux" 2>/dev/null
	else
		cp "$from/bzImage" "$dir/vmlinuz" && cp "$from/vmlinux" "$dir/vmlinux" || return
	fi
	# The header has the place of "RELEASE (builder@host) ...".
	offset=$(od -An -tu2 -j 0x20e -N 2 "$dir/vmlinuz")
	tail -c +$((offset + 512 + 1)) "$dir/vmlinuz" | head -c 100 | tr ' ' '\n' |
		head -n 1 >"$dir/release"
	cp "$(guest/mkinitramfs.sh base "$modules" \
		"$(tests/lab/deb busybox-static)/bin/busybox")" "$dir/initramfs.cpio"
}

# The programs and libraries of packages that are unpacked and not installed, as FILE:DEST lines.
unpacked() { # PACKAGE...
	local package tree
	for package; do
		tree=$(tests/lab/deb "$package") || return
		find "$tree" \( -path '*bin/*' -type f \) -o \( -name '*.so*' ! -type d \) |
			sed "s,^$tree\(.*\),&:\1,"
	done
}

# What guests of tests/vm/fs.sh are made of: an archive of its own, as it is ten times the usual one.
storage() {
	local list files
	list=$(unpacked xfsprogs libinih1 liburcu8 btrfs-progs liblzo2-2 parted libparted2 lvm2 \
		libdevmapper-event1.02.1 libdevmapper1.02.1 libaio1 libedit2 libbsd0 libmd0 \
		multipath-tools libjson-c5 |
		grep '\.so\|/sbin/\(mkfs.*\|xfs_repair\|parted\|lvm\|multipath\):\|/bin/btrfs:') || return
	mapfile -t files <<<"$list"
	guest/mkinitramfs.sh extra "$work/storage-tools" "$(command -v e2fsck)" "${files[@]}" || return
	cat "$(guest/mkinitramfs.sh base "$(tests/lab/kernel)" \
		"$(tests/lab/deb busybox-static)/bin/busybox" sd_mod sg virtio_scsi virtio_console virtio_pci \
		-xfs -btrfs -dm_mod -dm_multipath -dm_service_time)" "$work/storage-tools" \
		>"$work/storage.cpio"
}

# What guests in the lab host are made of: see tests/vm/lib.sh.
ingredients() { # NAME...
	local name kernel udev tools=()
	for kernel in $(for name; do kernel_for "$name"; done | sort -u); do
		kernel_files "$kernel" || return
	done
	udev=$(tests/lab/deb udev) || return
	for tool in mkfs.ext4 lsblk sg_inq sg_vpd sg_readcap sg_opcodes sg_luns sg_modes sg_raw \
		sg_unmap sg_requests sg_reset sg_sync sg_turs sg_write_same sg_verify \
		sg_write_verify sg_compare_and_write sg_get_lba_status sg_logs sg_start sg_persist \
		sg_senddiag; do
		tools+=("$(command -v $tool)") || return
	done
	guest/mkinitramfs.sh extra "$work/tools.cpio" "${tools[@]}" "$udev/bin/udevadm:/bin/udevadm" \
		"$udev/lib/udev/scsi_id:/lib/udev/scsi_id" "$udev/lib/udev/rules.d:/lib/udev/rules.d"
	gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code,-Ttext-segment=0x200000 \
		-o "$work/payload.elf" tests/vm/payload.S || return
	[[ " $* " != *' fs '* ]] || storage
}

# vm_file NAME: in a lab host of its own, and in another one if that goes down: QEMU's emulation of
# nested guests is not perfect, and brings the host's kernel down once in some hundred guests.
vm_file() {
	local try rc file kernel own=()
	kernel=$work/$(kernel_for "$1")
	for file in vmlinuz vmlinux release initramfs.cpio; do
		own+=(--add "$kernel/$file:/lab/$file")
	done
	[ "$1" != fs ] || own+=(--add "$work/storage.cpio:/lab/storage.cpio")
	for try in 1 2; do
		tests/lab/l1 --timeout 600 --mem 4096 "${lab[@]}" "${own[@]}" "$work/script" "$1" \
			"SOAK=${SOAK:-1}" "MANY=${MANY:-8}" "SEED=${SEED-}" >"$work/vm-$1" 2>&1 </dev/null
		rc=$?
		[ $rc = 210 ] || [ $rc = 124 ] || break
	done
	[ $rc = 0 ] || echo "not ok $1/end (the lab host's status is $rc)" >>"$work/vm-$1"
	cat "$work/vm-$1"
}

vm() { # [NAME...]: two files at a time
	local file program name
	kernel_line
	ingredients $(names vm "$@") || { step 'vm: kernel and tools for guests' 10 false; return; }
	lab=(--add "$PWD/lunette:/bin/lunette"
		--add "$PWD/tests/vm:/lab/tests"
		--add "$(command -v setpriv):/lab/setpriv") # busybox has a smaller one of that name
	lab+=(--add /lib/terminfo --add /usr/lib/locale/C.utf8) # tmux needs them
	for file in tools.cpio payload.elf; do
		lab+=(--add "$work/$file:/lab/$file")
	done
	for program in vm/handover vm/verify vm/resolver vm/netup soak/soak; do
		lab+=(--add "build/x86_64/tests/$program:/lab/${program#*/}")
	done
	lab+=(--add "$(tests/lab/deb passt)/usr/bin/passt:/bin/passt")
	for program in mkfs.ext4 mkfs.erofs e2fsck script strace tmux; do
		lab+=(--add "$(command -v $program)")
	done
	cat >"$work/script" <<-'END'
		chgrp 106 /dev/kvm # as udev would
		chmod 660 /dev/kvm
		file=$1
		shift
		env "$@" sh "/lab/tests/$file.sh"
		exit 0
	END
	for name in $(names vm "$@"); do
		[ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
		vm_file "$name" &
	done
	wait
	cat "$work"/vm-* >"$work/vm"
	count "$work/vm"
}

cli() { # [NAME...]
	local name rc
	for name in $(names cli "$@"); do
		timeout 600 bash "tests/cli/$name.sh" </dev/null | tee "$work/cli"
		rc=${PIPESTATUS[0]}
		count "$work/cli"
		[ $rc = 0 ] || step "cli: $name ends by itself" 10 false
	done
}

guest/setup.sh run lab test || exit
mkdir -p "$cache"
what=${1-}
[ $# = 0 ] || shift
case $what in
'') unit; vm; cli ;;
unit) unit ;;
vm | cli) step build 300 make -s -j "$(nproc)" lunette lab-programs; [ $failed = 0 ] && "$what" "$@" ;;
*) sed -n 's/^#  *\(usage: run\|  *run\)/\1/p' "$0" >&2; exit 200 ;;
esac
total="$passed passed, $failed failed"
[ $skipped = 0 ] || total+=", $skipped skipped"
echo "$total"
[ $failed = 0 ]
