# SPDX-License-Identifier: MIT
# files.sh - the files of tests/vm, each in a lab host: what they need there, and which runs where. It is
# sourced by ../run.sh, whose names these are: $work, a folder; $extent, "test" or "all"; names, seconds,
# step, told, aside and make.
# shellcheck shell=bash
# shellcheck disable=SC2154

arch_of() { # CPU, as the table "places" has it
	case $1 in amd | intel) echo x86_64 ;; *) echo "$1" ;; esac
}

# archs_of FIELD PATTERN: of the lines of what places_of prints whose FIELD is so
archs_of() {
	awk -v n="$1" -v re="$2" '$n ~ re { print $1 }' | while read -r cpu; do arch_of "$cpu"; done | sort -u
}

# The kernel for a file of tests: the stock kernel stays tested in a few.
stock_files=' balloon boot crash fs kernels '
kernel_for() { # NAME GUEST ARCH: as the table "places" has it
	if [ "$1" = fs ]; then echo stock # of which it needs modules that the small kernel has not
	elif [ "$1" = modules ]; then echo backports # whose modules are packed
	elif [ "$1" = atomic ]; then echo backports # which has atomic writes
	elif [ -n "${KERNEL-}" ]; then echo "$KERNEL"
	elif [[ $2 != @(-|micro) ]]; then echo "$2"
	elif [[ $2$stock_files == -*" $1 "* ]] || [ ! -e "$(micro "$3")" ]; then echo stock
	else echo micro
	fi
}
micro() { # ARCH: where the small kernel is, or would be
	if [ "$1" = "$(uname -m)" ]; then echo "$cache/kernel-micro"; else echo "$cache/$1/kernel-micro"; fi
}
kernel_line() {
	if [ -n "${KERNEL-}" ]; then echo "vm: guests have the $KERNEL kernel"
	elif [ -e "$(micro "$(arch_of "${CPU:-amd}")")" ]; then
		echo "vm: guests have the small kernel, and the stock kernel in:$stock_files"
	else echo 'vm: guests have the stock kernel; "make guest-kernel" makes one that starts faster'
	fi
}

# vmlinuz, release and initramfs.cpio of a kernel, and x86_64's vmlinux, in the folder ARCH-NAME
kernel_files() { # ARCH stock | backports | newest | micro
	local arch=$1 dir=$work/$1-$2 modules=-
	mkdir "$dir"
	[ "$2" = micro ] || modules=$(tests/lab/kernel -a "$arch" "$2") || return
	if [ "$arch" = x86_64 ]; then x86_files "$modules"
	elif [ "$2" = micro ]; then
		cp "$(micro "$arch")/vmlinux" "$dir/vmlinuz" &&
			grep -a -o -m 1 'Linux version [0-9][^ ]*' "$dir/vmlinuz" | sed -n '1s/.* //p' >"$dir/release"
	else
		cp "$modules/vmlinuz" "$dir/vmlinuz" && ls "$modules/lib/modules" >"$dir/release"
	fi || return
	cp "$(guest/mkinitramfs.sh -a "$arch" base "$modules" "$(tests/lab/busybox "$arch")")" \
		"$dir/initramfs.cpio"
}
x86_files() { # MODULES
	local from setup offset length packed
	from=$(micro x86_64)
	if [ "$1" != - ]; then
		cp "$1/vmlinuz" "$dir/vmlinuz"
		# The ELF file inside the bzImage, with a size after it that no unpacker likes.
		setup=$((($(od -An -tu1 -j 0x1f1 -N 1 "$dir/vmlinuz") + 1) * 512))
		offset=$(od -An -tu4 -j 0x248 -N 4 "$dir/vmlinuz")
		length=$(od -An -tu4 -j 0x24c -N 4 "$dir/vmlinuz")
		packed=lz4
		! grep -qx CONFIG_KERNEL_ZSTD=y "$1/config" || packed=zstd
		tail -c +$((setup + offset + 1)) "$dir/vmlinuz" | head -c "$length" |
			$packed -dc >"$dir/vmlinux" 2>/dev/null
		[ -s "$dir/vmlinux" ] || return
	else
		cp "$from/bzImage" "$dir/vmlinuz" && cp "$from/vmlinux" "$dir/vmlinux" || return
	fi
	# The header has the place of "RELEASE (builder@host) ...".
	offset=$(od -An -tu2 -j 0x20e -N 2 "$dir/vmlinuz")
	tail -c +$((offset + 512 + 1)) "$dir/vmlinuz" | head -c 100 | tr ' ' '\n' | sed 1q >"$dir/release"
	[ -s "$dir/release" ]
}

# Programs of Debian's for lab hosts and guests of another architecture, and their libraries.
others_programs() { # ARCH: prints the folder
	tests/lab/deb -a "$1" -r e2fsprogs sg3-utils udev util-linux bsdutils dmsetup erofs-utils strace tmux \
		xz-utils zstd
}
# program ARCH NAME: prints FILE:DEST
program() {
	local tree= dir
	if [ "$1" = "$(uname -m)" ]; then set -- "$1" "$(command -v "$2")"
	else
		tree=$(others_programs "$1")
		for dir in bin sbin; do
			[ ! -e "$tree/usr/$dir/$2" ] || set -- "$1" "/usr/$dir/$2"
		done
	fi
	[ -e "$tree$2" ] && echo "$tree$2:$2"
}

# The programs and libraries of packages that are unpacked and not installed, as FILE:DEST lines.
unpacked() { # PACKAGE...
	local package tree
	for package; do
		tree=$(tests/lab/deb "$package") || return
		find "$tree" \( -path '*bin/*' -type f \) -o \( -path '*/lib/qemu/*' -type f \) -o \( -name '*.so*' ! -type d \) |
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

# libiscsi's tests for targets, for the guests of tests/vm/conformance.sh.
conformance() {
	local list files
	list=$(unpacked libiscsi-bin libiscsi7 libcunit1 libibverbs1 librdmacm1 libnl-3-200 \
		libnl-route-3-200 | grep '\.so\|/iscsi-test-cu:') || return
	mapfile -t files <<<"$list"
	guest/mkinitramfs.sh extra "$work/conformance.cpio" "$(gcc -print-file-name=libpthread.so.0)" \
		"${files[@]}"
}

# $work/ARCH-servers.cpio: servers of vhost-user, of images and of vDPA, for the lab hosts of tests/vm/user.sh,
# live.sh, image.sh and vdpa.sh; and Debian 13's virtiofsd with all that it needs.
servers() { # ARCH
	local list files tree new=$work/$1-trixie
	tree=$(tests/lab/deb -a "$1" -s trixie -r virtiofsd) || return
	mkdir "$new" && cp -L -t "$new" "$tree/usr/libexec/virtiofsd" "$tree"/usr/lib*/ld-linux-*.so.? \
		"$tree/usr/lib/$1-linux-gnu"/lib{c,m,gcc_s,seccomp,cap-ng}.so.? || return
	if [ "$1" != "$(uname -m)" ]; then others_servers "$1" "$new"; return; fi
	list=$(unpacked qemu-system-common qemu-utils iproute2 libmnl0 libaio1 libcap-ng0 libffi8 libfuse3-3 libglib2.0-0 libgmp10 \
		libgnutls30 libhogweed6 libidn2-0 libnettle8 libnuma1 libp11-kit0 libpcre2-8-0 libseccomp2 \
		libtasn1-6 libunistring2 liburing2 libzstd1 |
		grep '\.so\|/bin/qemu-storage-daemon:\|/bin/qemu-img:\|/bin/qemu-nbd:\|/virtiofsd:\|/sbin/vdpa:') || return
	mapfile -t files <<<"$list"
	guest/mkinitramfs.sh extra "$work/$1-servers.cpio" "${files[@]}" "$new:/lab/trixie"
}
others_servers() { # ARCH FOLDER
	local tree file files=("$2:/lab/trixie")
	tree=$(tests/lab/deb -a "$1" -r qemu-system-common qemu-utils iproute2) || return
	for file in bin/qemu-{storage-daemon,img,nbd} lib/qemu/virtiofsd sbin/vdpa; do # Debian 13 has that one elsewhere
		[ ! -e "$tree/usr/$file" ] || files+=("$tree/usr/$file:/usr/$file")
	done
	guest/mkinitramfs.sh -a "$1" -r "$tree" extra "$work/$1-servers.cpio" "${files[@]}"
}

# Debian 13's passt, which serves a network by vhost-user, too, with all that it needs: for tests/vm/net.sh.
carrier() { # ARCH
	local tree new=$work/$1-carrier
	tree=$(tests/lab/deb -a "$1" -s trixie -r passt) || return
	mkdir "$new" && cp -L -t "$new" "$tree/usr/bin/passt" "$tree"/usr/lib*/ld-linux-*.so.? \
		"$tree/usr/lib/$1-linux-gnu/libc.so.6" || return
	guest/mkinitramfs.sh extra "$work/$1-carrier.cpio" "$new:/lab/trixie"
}

# A server of vhost-user of crates.io, for tests/vm/user.sh on hosts of this machine's kind. "make test-all"
# builds it, where there is a cargo; who has none leaves its test out.
crates() { # ARCH
	local program only_there=-n
	[ "$1" = "$(uname -m)" ] || return 0
	[ "$extent" != all ] || only_there=
	# shellcheck disable=SC2086
	program=$(tests/lab/crate $only_there vhost-device-scsi 0.1.0)
	[ -z "$program" ] || guest/mkinitramfs.sh extra "$work/$1-crates.cpio" "$program:/lab/${program##*/}"
}

# GDB, for tests/vm/gdb.sh, with all that it needs: of a package that has no Python.
debugger() { # ARCH
	local tree new=$work/$1-gdb
	tree=$(tests/lab/deb -a "$1" -r gdb-minimal) || return
	mkdir "$new" && cp "$tree/usr/bin/gdb" "$new" &&
		find "$tree" -name '*.so.*' ! -type d -exec cp -L -t "$new" {} \; &&
		guest/mkinitramfs.sh extra "$work/$1-gdb.cpio" "$new:/lab/gdb"
}
# symbols ARCH: sets $gdb, a folder with a GDB that has Python, and $symbols, the kernel of "make guest-kernel
# DEBUG=1". False: there is none.
symbols() {
	symbols=$(realpath -e "$(dirname "$(micro "$1")")/kernel-debug" 2>/dev/null) &&
		gdb=$(tests/lab/deb -a "$1" -r gdb)
}

# The modules of a kernel that guests may want, and an initramfs without any, for tests/vm/kernels.sh.
modules_apart() { # ARCH
	local from to=$work/$1-modules
	from=$(echo "$(tests/lab/kernel -a "$1")"/lib/modules/*)
	mkdir "$to" "$to/${from##*/}" || return
	(cd "$from" && find modules.* && find kernel -name '*.ko*' | grep -E \
		'/(sd_mod|sr_mod|sg|cdrom|.*scsi_.*|virtio.*|pvpanic.*|.*failover|.*vsock.*|erofs|overlay|fuse|libcrc32c)\.ko') |
		cpio -pdL --quiet -D "$from" "$to/${from##*/}" &&
		cp "$(guest/mkinitramfs.sh -a "$1" base - "$(tests/lab/busybox "$1")")" "$work/$1-base.cpio"
}
# And lunette as it is installed below /opt.
installed() { # ARCH
	step "make install ARCH=$1" 600 "${make[@]}" "ARCH=$1" "DESTDIR=$work/$1-installed" PREFIX=/opt \
		"GUEST_KERNEL=$(micro "$1")/vmlinux" install
}

# What guests in the lab host are made of: see tests/vm/lib.sh.
ingredients() { # reads what places_of prints
	local all cpu kernel arch
	all=$(cat)
	while read -r arch kernel; do
		kernel_files "$arch" "$kernel" || return
	done < <(while read -r cpu _ kernel _; do echo "$(arch_of "$cpu") $kernel"; done <<<"$all" | sort -u)
	for arch in $(archs_of 1 . <<<"$all"); do
		[ "$arch" = "$(uname -m)" ] ||
			step "build ARCH=$arch" 900 "${make[@]}" "ARCH=$arch" lunette lab-programs
		tools_of "$arch" && belongings "$arch" || return
		! grep -q ' kernels ' <<<"$all" || { modules_apart "$arch" && installed "$arch"; } || return
	done
	for arch in $(archs_of 4 '^(user|image|live|vdpa)$' <<<"$all"); do servers "$arch" || return; done
	for arch in $(archs_of 4 '^net$' <<<"$all"); do carrier "$arch" || return; done
	for arch in $(archs_of 4 '^user$' <<<"$all"); do crates "$arch" || return; done
	for arch in $(archs_of 4 'gdb$' <<<"$all"); do debugger "$arch" || return; done
	! grep -q ' fs ' <<<"$all" || storage || return
	! grep -q ' conformance ' <<<"$all" || conformance
}

# $work/ARCH-tools.cpio: what a guest may have beside busybox
tools_of() { # ARCH
	local udev tool tools=() roots=()
	[ "$1" = "$(uname -m)" ] || roots=(-r "$(others_programs "$1")")
	udev=$(tests/lab/deb -a "$1" udev) || return
	[ -e "$udev/bin/udevadm" ] || udev+=/usr # Debian 13 has it there
	for tool in mkfs.ext4 lsblk sg_inq sg_vpd sg_readcap sg_opcodes sg_luns sg_modes sg_raw \
		sg_unmap sg_requests sg_reset sg_sync sg_turs sg_write_same sg_verify \
		sg_write_verify sg_compare_and_write sg_get_lba_status sg_logs sg_start sg_persist \
		sg_senddiag; do
		tools+=("$(program "$1" $tool)") || return
	done
	guest/mkinitramfs.sh -a "$1" "${roots[@]}" extra "$work/$1-tools.cpio" "${tools[@]}" \
		"$udev/bin/udevadm:/bin/udevadm" "$udev/lib/udev/scsi_id:/lib/udev/scsi_id" \
		"$udev/lib/udev/rules.d:/lib/udev/rules.d"
}

# $work/ARCH-lab.cpio: what all files have in a lab host
belongings() { # ARCH
	local file dest items roots=()
	[ "$1" = "$(uname -m)" ] || roots=(-r "$(others_programs "$1")")
	items=("$PWD/build/$1/lunette:/bin/lunette" "$PWD/tests/vm:/lab/tests" "$work/$1-tools.cpio:/lab/tools.cpio"
		"$PWD/docs/tasks:/lab/tasks")
	for file in setpriv xz zstd; do # busybox has smaller ones
		dest=$(program "$1" $file)
		items+=("${dest%%:*}:/lab/$file")
	done
	items+=("$(find /lib/terminfo /usr/share/terminfo -path '*/v/vt100' -printf '%H\n' -quit 2>/dev/null)"
		/usr/lib/locale/C.utf8) # tmux needs them
	for file in vm/handover vm/resets vm/verify vm/resolver vm/vsock vm/atomic vm/netup soak/soak; do
		items+=("build/$1/tests/$file:/lab/${file#*/}")
	done
	items+=("$(tests/lab/deb -a "$1" passt)/usr/bin/passt:/bin/passt")
	for file in dmsetup mkfs.ext4 mkfs.erofs e2fsck script strace tmux; do
		items+=("$(program "$1" $file)")
	done
	[ ! -e "build/$1/tests/vm/$1/state" ] || items+=("build/$1/tests/vm/$1/state:/lab/state")
	[ "$1" != x86_64 ] || {
		gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code,-Ttext-segment=0x200000 \
			-o "$work/payload.elf" tests/vm/payload.S || return
		items+=("$work/payload.elf:/lab/payload.elf")
	}
	guest/mkinitramfs.sh -a "$1" "${roots[@]}" extra "$work/$1-lab.cpio" "${items[@]}"
}

# went_down NAME CONSOLE: says so, with the first thing that the lab host's kernel complained of; what
# QEMU's emulation of nested guests does to it, once in some hundred guests, looks like what a guest
# does. The console stays in build/lab.
went_down() {
	mkdir -p build/lab
	mv "$2" "build/lab/$1.console"
	echo "the lab host of $1 went down; its console is build/lab/$1.console"
	grep -m 1 -A 25 -E 'BUG|Oops|WARNING:|general protection|Kernel panic|unable to handle|soft lockup' \
		"build/lab/$1.console" | sed 's/^/  /'
	echo "$1" >>"$work/went_down"
}

# unwanted OUT: the guests that QEMU's emulation of nested guests may have brought down by a triple fault,
# once in some 1,500 guests. It fails when a test has failed for another reason, too.
unwanted() {
	awk 'function end() { bad = bad || failed && !guest }
		/^(ok|not ok|skip) / { end(); failed = /^not/; guest = 0 }
		sub(/^  unwanted triple fault: /, "") { guest = 1; print }
		END { end(); exit bad }' "$1" | sort -u
}

# brought_down NAME OUT: was it nothing but that? Then says so; what the tests said stays in build/lab.
brought_down() {
	local guests
	guests=$(unwanted "$2") && [ -n "$guests" ] || return
	mkdir -p build/lab
	cp "$2" "build/lab/$1.out"
	echo "$1 is run again: a triple fault in ${guests//$'\n'/, }; what it said is in build/lab/$1.out"
	echo "$guests" >>"$work/brought_down"
}

# Four guests in a whole run, or the same one twice, are no accident.
too_many_brought_down() {
	local again
	[ -s "$work/brought_down" ] || return
	again=$(sort "$work/brought_down" | uniq -d)
	[ "$(grep -c . "$work/brought_down")" -gt 3 ] || [ -n "$again" ]
}

# vm_file CPU HOST GUEST NAME[+NAME...] [TESTS]: in a lab host of its own, and once more in another one if that goes
# down, or if the emulator has brought down one of the guests.
vm_file() {
	local try rc file out own=() gdb symbols arch took me=$BASHPID cpu=$1 where="$1 $2 $3" label= name=$4-$1-$2-$3
	[ "$1" = amd ] || label+=" $1"
	[ "$2" = stock ] || label+=" $2"
	arch=$(arch_of "$1")
	[ "$3" = "$(kernel_for "${4%%+*}" - "$arch")" ] || label+=" guest $3"
	out=$work/vm-$name
	own=(--cpu "$1" --kernel "$(tests/lab/kernel -a "$arch" "$2")")
	[ "$1" != amd ] || [[ $many_cpus != *" $4 "* ]] || own+=(--cpus "$(nproc)")
	for file in vmlinuz vmlinux release initramfs.cpio; do
		[ ! -e "$work/$arch-$3/$file" ] || own+=(--add "$work/$arch-$3/$file:/lab/$file")
	done
	shift 3
	[ "$1" != fs ] || own+=(--add "$work/storage.cpio:/lab/storage.cpio")
	[ "$extent" != all ] && [[ $poisoned != *" $1 "* ]] || own+=(--append slub_debug=FZPU)
	[ "$1" != hostile ] || own+=(--add "build/x86_64/tests/hostile/guest.elf:/lab/guest.elf"
		--add "$PWD/tests/hostile/README.md:/lab/hostile.md")
	[ "$1" != kernels ] || own+=(--add "$work/$arch-modules:/lab/modules" --add "$work/$arch-base.cpio:/lab/base.cpio"
		--add "$work/$arch-installed/opt:/opt")
	[[ ' user image live vdpa ' != *" $1 "* ]] || own+=(--add "$work/$arch-servers.cpio:/lab/servers.cpio")
	[ "$1" != net ] || own+=(--archive "$work/$arch-carrier.cpio")
	[ "$1" != user ] || [ ! -e "$work/$arch-crates.cpio" ] || own+=(--archive "$work/$arch-crates.cpio")
	[[ $1 != *gdb ]] || own+=(--archive "$work/$arch-gdb.cpio")
	gdb= symbols=
	[ "$1" != gdb ] || [ "$cpu" = intel ] || ! symbols "$arch" || own+=(--share "$gdb" --share "$symbols")
	[ "$1" != wide ] && [ -z "${ICOUNT-}" ] || own+=(--icount)
	[ "$1" != conformance ] || own+=(--add "$work/conformance.cpio:/lab/conformance.cpio")
	took=$(seconds "$me")
	for try in 1 2; do
		"$l1" --timeout 1500 --mem 4096 --console "$work/$name.console" \
			--archive "$work/$arch-lab.cpio" "${own[@]}" "$work/script" "$1" \
			"EXTENT=$extent" "TESTS=${2-${TESTS-}}" "SOAK=${SOAK:-1}" "MANY=${MANY:-8}" \
			"SEED=${SEED-}" "GDB=$gdb" "SYMBOLS=$symbols" >"$out" 2>&1 </dev/null
		rc=$?
		if [ $rc = 210 ] || [ $rc = 124 ]; then went_down "$name-$try" "$work/$name.console"
		else [ "$cpu $rc $try" = 'amd 0 1' ] && brought_down "$name" "$out" || break
		fi
	done
	[ $rc = 0 ] || echo "not ok $1/end (the lab host's status is $rc)" >>"$out"
	[ -z "$label" ] || sed -i "s,^\(ok\|not ok\|skip\) ,\1$label: ," "$out"
	echo "vm: $where $1: $(grep -c '^ok ' "$out") passed," \
		"$(grep -c '^not ok ' "$out") failed," \
		"$(seconds "$me" "$took")" >>"$out"
	told "$out"
}

l1=tests/lab/l1

# Which files run where: by both "make test" and "make test-all" (test), by the first alone, and then only
# the tests in $part (short), or by the second alone (all); on which processor and kernel of the host; with
# which kernel of the guests (-: as kernel_for has it). "every" are those that have no row for AMD of their
# own. The longest come first. The files of $poisoned, and
# with "make test-all" all of them, ask what guests do to the host's memory, by a kernel that looks at freed
# memory.
places='
short intel stock    micro vhost+intel+job+boot+gdb
all  intel stock     -     job vhost boot intel gdb
short aarch64 stock  -     boot
test aarch64 stock   -     state
short riscv64 stock  -     boot
test riscv64 stock   -     state
short amd  stock     -     modules hang
test amd   stock     -     every
test amd   backports -     atomic vdpa
all  amd   stock     -     hostile fs conformance rebind many
all  intel stock     micro end
all  aarch64 stock   -     wide boot tools disks transport vhost job files console end limits shared reboot
all  aarch64 stock   -     blk vsock exec
all  riscv64 stock   -     wide boot disks transport vhost job files console end limits exec
all  amd   stock     -     modules hang
all  amd   stock     stock console ctl disks transport user
all  amd   backports -     hostile vhost job resets
'
poisoned=' hostile resets '
# A lab host has one CPU, as an emulated one with two takes a third more time for the same; more are for
# files in which it matters that threads of lunette, the kernel's and the guest's CPUs really run at once.
many_cpus=' hostile many paths rebind resets soak stores vhost '
# On Intel's processor, whose emulator takes five times as long, on arm64's and on riscv64's: what it, its
# interrupts and its ways to end have a part in, and the first three of vhost, which load what the others
# need. Of modules, whose guests take five times as long to boot: each way to fail. Of hang, whose tests wait
# for a minute each: one of each kind. Of a file that is not here, all.
declare -A part=(
	[boot]='usual_image pvh four_cpus'
	[job]='signal panic reboot streams_are_apart'
	[vhost]='module_not_loaded configfs_not_mounted store_module_not_loaded killed bus_mastering_in_kernel
		hand_over_on_pci'
	[gdb]='software_breakpoints'
	[hang]='task_management_is_answered'
	[modules]='as_the_distribution_has_them no_driver_of_disks'
)

# Short files, which leave a lab host as it was, share one: each has the same kernel of guests. (vhost.sh
# does not, and wants one without the modules that it asks for.)
together='
console+end+job
ctl+disks+sg
init+input+luns+report+tools
rights+terminal+tmux
'
sets() { # [NAME...]: the files of tests/vm, or those sets of them; nothing is shared by files that are named
	local set
	names vm "$@" | if [ $# -gt 0 ]; then cat
	else
		for set in $together; do echo "$set"; done
		grep -vxF "${together//+/$'\n'}"
	fi
}

parts() { # NAME[+NAME...]: what $part has of them, as TESTS
	local file name
	for file in ${1//+/ }; do
		for name in ${part[$file]-}; do printf '%s/%s,' "$file" "$name"; done
	done
}

of_their_own() { # the files that have a row for AMD beside "every"
	awk '$2 $3 $4 == "amdstock-" && $5 != "every" { for (n = 5; n <= NF; n++) print $n }' <<<"$places"
}

# places_of [NAME...]: CPU HOST GUEST NAME TESTS of each file that is to run; no TESTS are all of them
places_of() {
	local when cpu host guest files file tests named=" $* "
	{
		if [ "${CPU-}${HOSTKERNEL-}" ]; then echo "test ${CPU:-amd} ${HOSTKERNEL:-stock} - every"
		else sed '/^$/d' <<<"$places"
		fi
	} | while read -r when cpu host guest files; do
		case $when-$extent in test-* | short-test | all-all) ;; *) continue ;; esac
		[ -d "vmm/machine/arch/$(arch_of "$cpu")" ] || continue # lunette is not there yet
		tests=
		[ "$when" != short ] || [ $# = 0 ] || continue # what is named runs whole
		if [ "$files" = every ]; then
			files=$(sets "$@")
			[ $# != 0 ] || files=$(grep -vxF "$(of_their_own)" <<<"$files")
		fi
		for file in $files; do
			[ $# = 0 ] || [[ $named == *" $file "* ]] || continue
			# intel.sh, state.sh and wide.sh are about some processors alone, atomic.sh and vdpa.sh about Linux
			# 6.11 and later; what is named runs on AMD unless CPU is said.
			if [ "$file" = intel ]; then [ "$cpu" = intel ] || continue
			elif [[ $file == @(state|wide) ]]; then [[ $cpu == @(aarch64|riscv64) ]] || continue
			elif [[ $file == @(atomic|vdpa) ]]; then [ "$host" != stock ] || continue
			elif [ $# != 0 ] && [ "$cpu" != "${CPU:-amd}" ]; then continue
			fi
			[ "$when" != short ] || tests=$(parts "$file")
			echo "$cpu $host $(kernel_for "${file%%+*}" "$guest" "$(arch_of "$cpu")") $file $tests"
		done
	done
}
vm() { # [NAME...]
	local chosen place
	kernel_line
	chosen=$(places_of "$@")
	ingredients <<<"$chosen" || { step 'vm: kernel and tools for guests' 10 false; return; }
	cat >"$work/script" <<-'END'
		chgrp 106 /dev/kvm # as udev would
		chmod 660 /dev/kvm
		files=$1
		shift
		for file in $(echo "$files" | tr + " "); do
			env "$@" sh "/lab/tests/$file.sh"
			taint=$(cat /proc/sys/kernel/tainted)
			[ "$taint" = 0 ] || { echo "not ok $file/taint_of_the_lab_host is $taint"; dmesg | tail -n 60; }
		done
		exit 0
	END
	while read -r place; do aside vm_file $place; done <<<"$chosen"
}
