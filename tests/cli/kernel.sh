#!/bin/bash
# SPDX-License-Identifier: MIT
# kernel.sh - "lunette kernel" with its scripts, as they are where they have been installed. Programs of ours
# stand in for apt's and dpkg's, and a source of a few lines for Linux's; "make test-all" fetches one, too.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

# What is installed, without a source tree; a cache, which is empty.
installed() {
	mkdir -p opt/bin opt/share/lunette/kernel
	cp "$top/lunette" opt/bin
	cp "$top"/guest/kernel/* "$top/guest/setup.sh" "$top"/tests/lab/{deb,mirror,debian-12.asc} opt/share/lunette/kernel
	export XDG_CACHE_HOME=$PWD/cache
	lunette=$PWD/opt/bin/lunette kernels=$PWD/cache/lunette/kernels
}

# package NAME FILE...: in ./archive; what a file has in it is its name
package() {
	local name=$1 file
	shift
	mkdir -p archive root
	for file; do
		mkdir -p "root/$(dirname "$file")"
		echo "$file" >"root/$file"
	done
	tar -c -C root -f "archive/$name" .
	rm -r root
	echo "$name - a package" >>names
}
# image RELEASE: as Debian 12 has it
image() { package "linux-image-$1" "boot/vmlinuz-$1" "boot/config-$1" "lib/modules/$1/modules.order" "lib/modules/$1/kernel/erofs.ko"; }

# Lists of this machine are ./names, those that lunette fetches ./own.
stand_ins() {
	mkdir -p bin depends archive
	: >names
	cat >bin/apt-get <<-END
		#!/bin/bash
		cd=\$PWD
		cd '$PWD'
		own=; [[ "\$*" != *Dir::State::Lists=* ]] || own=own
		case "\$*" in
		*' update'*) echo update >>did
			[ ! -e no-network ] || echo "W: Failed to fetch http://deb/InRelease  Could not resolve 'deb'" >&2 ;;
		*' download '*) words=\$*
			set -- \${words##* download }
			echo "download\${own:+ \$own} \$*" >>did
			[ ! -e slow ] || { : >begun; exec sleep 60; }
			for name; do
				[ -e archive/\$name ] && [ ! -e no-network ] ||
					{ echo "E: Failed to fetch \$name: it is not there" >&2; exit 100; }
				cp archive/\$name "\$cd/\${name}_1_amd64.deb"
			done ;;
		esac
	END
	cat >bin/apt-cache <<-END
		#!/bin/bash
		cd '$PWD'
		case "\$*" in
		*Dir::State::Lists=*' search '*) cat own 2>/dev/null || cat names ;;
		*' search '*) cat names ;;
		*' depends '*) cat "depends/\${!#}" 2>/dev/null ;;
		esac
	END
	printf '#!/bin/sh\necho amd64\n' >bin/dpkg
	printf '#!/bin/sh\nmkdir -p "$3" && tar -x -C "$3" -f "$2"\n' >bin/dpkg-deb
	chmod +x bin/*
	PATH=$PWD/bin:$PATH
}
nothing_half_made() { equal "$(find "$kernels" -name '.new*')" ''; }

test_newest_of_what_begins_so() {
	installed
	stand_ins
	for release in 6.1.0-9-amd64 6.1.0-10-amd64 6.1.0-10-cloud-amd64 6.1.0-10-rt-amd64 6.12.9+deb12-amd64 \
		6.12.10+deb12-amd64 6.12.10+deb12-amd64-unsigned 5.19.0-1-generic; do
		image $release
	done
	while read -r version release; do
		equal "$("$lunette" kernel get $version)" "$release"
		equal "$(readlink -f "$kernels/$version")" "$kernels/$release"
		equal "$(cat "$kernels/$version/vmlinuz")" "boot/vmlinuz-$release"
		[ -e "$kernels/$release/lib/modules/$release/modules.order" ] && [ -e "$kernels/$release/config" ]
	done <<-END
		6.1 6.1.0-10-cloud-amd64
		6.1.0-9 6.1.0-9-amd64
		6.1.0-10-rt-amd64 6.1.0-10-rt-amd64
		6.12 6.12.10+deb12-amd64
		6.12.9+deb12-amd64 6.12.9+deb12-amd64
		6 6.12.10+deb12-amd64
		5 5.19.0-1-generic
	END
	nothing_half_made
	! grep update did || fail 'lists were fetched for nothing'
	equal "$(grep -c '6.12.10' did)" 1 # once is enough
	# what is there is listed, and a newer one is for who asks for it
	"$lunette" kernel list >out
	contains out "^  6.12.10\+deb12-amd64  +$kernels/6.12.10\+deb12-amd64/vmlinuz$"
	contains out "^  6.12  +$kernels/6.12.10\+deb12-amd64/vmlinuz$"
	image 6.12.11+deb12-cloud-amd64
	equal "$("$lunette" kernel get 6.12)" 6.12.11+deb12-cloud-amd64
	equal "$(readlink "$kernels/6.12")" 6.12.11+deb12-cloud-amd64
}

test_parts_in_packages_of_their_own() {
	installed
	stand_ins
	package linux-image-7.0.1+deb13-amd64
	package linux-binary-7.0.1+deb13-amd64 usr/lib/modules/7.0.1+deb13-amd64/{vmlinuz,config}
	package linux-modules-7.0.1+deb13-amd64 usr/lib/modules/7.0.1+deb13-amd64/{modules.order,erofs.ko.xz}
	printf '%s\n' linux-image '  Depends: linux-base' "  Depends: linux-binary-7.0.1+deb13-amd64" \
		"  Depends: linux-modules-7.0.1+deb13-amd64" '  Depends: linux-modules-7.0.1' >depends/linux-image-7.0.1+deb13-amd64
	equal "$("$lunette" kernel get 7.0)" 7.0.1+deb13-amd64
	equal "$(cat "$kernels/7.0/vmlinuz")" usr/lib/modules/7.0.1+deb13-amd64/vmlinuz
	[ -s "$kernels/7.0/lib/modules/7.0.1+deb13-amd64/modules.order" ] && [ -s "$kernels/7.0/config" ]
	equal "$(cat did)" 'download linux-image-7.0.1+deb13-amd64 linux-binary-7.0.1+deb13-amd64 linux-modules-7.0.1+deb13-amd64'
	# Ubuntu's: an image that only root may read, and file systems apart
	package linux-image-6.8.0-31-generic boot/vmlinuz-6.8.0-31-generic
	package linux-modules-6.8.0-31-generic lib/modules/6.8.0-31-generic/modules.order
	package linux-modules-extra-6.8.0-31-generic lib/modules/6.8.0-31-generic/kernel/erofs.ko.zst
	echo '  Depends: linux-modules-6.8.0-31-generic' >depends/linux-image-6.8.0-31-generic
	equal "$("$lunette" kernel get 6.8)" 6.8.0-31-generic
	[ -e "$kernels/6.8/lib/modules/6.8.0-31-generic/kernel/erofs.ko.zst" ] || fail 'no file systems'
	equal "$(stat -c %a "$kernels/6.8/vmlinuz")" 644
}

test_lists_of_its_own() { # where the machine's are old, or none as in a container
	installed
	stand_ins
	image 6.1.0-9-amd64
	mv names own
	echo 'linux-image-6.2.0-1-amd64 - is gone' | tee -a own >names
	equal "$("$lunette" kernel get 6.1)" 6.1.0-9-amd64
	equal "$(cat did)" 'update
download own linux-image-6.1.0-9-amd64'
	status 201 "$lunette" kernel get 6.2 2>err
	equal "$(cat err)" 'lunette: error: kernel get 6.2: linux-image-6.2.0-1-amd64 cannot be fetched: Failed to fetch linux-image-6.2.0-1-amd64: it is not there'
	nothing_half_made
	equal "$(grep -c update did)" 1 # they are not an hour old
}

# fails VERSION LINE: with one line, and nothing is left
fails() {
	status 201 env "PATH=${path:-$PATH}" "$lunette" run --kernel "$1" -- true >out 2>err
	equal "$(wc -l <err)" 1
	contains err "^lunette: error: --kernel $1: $2"
	[ ! -d "$kernels" ] || nothing_half_made
}

test_failures() {
	installed
	stand_ins
	image 6.1.0-9-amd64
	image 6.1.0-10-amd64
	image 6.2.0-1-amd64
	fails 9.9 'apt has no such kernel; it has 6.1.0-10, 6.2.0-1$'
	: >no-network
	rm -rf cache
	fails 9.9 "apt's lists do not have it, and cannot be renewed: Could not resolve 'deb'$"
	fails 6.1 'linux-image-6.1.0-10-amd64 cannot be fetched: Failed to fetch linux-image'
	rm no-network
	echo 'not an archive' >archive/linux-image-6.1.0-10-amd64
	fails 6.1 'linux-image-6.1.0-10-amd64_1_amd64.deb cannot be unpacked: tar: '
	package linux-image-6.3.0-1-amd64 etc/nothing
	fails 6.3 'linux-image-6.3.0-1-amd64: there is no kernel in it$'
	: >names
	fails 9.9 'apt has no kernels at all'
	# no package tool of Debian's, and those of others
	mkdir empty
	for name in sh id mktemp rm sed; do ln -s "$(command -v $name)" empty; done
	path=$PWD/empty fails 9.9 'kernels are fetched by apt-get and dpkg-deb, which are not here; another package tool fetches one'
	printf '#!/bin/sh\n' >empty/dnf
	chmod +x empty/dnf
	path=$PWD/empty fails 9.9 ".*'dnf download kernel-core kernel-modules-core' fetches one, 'bsdtar -xf' unpacks it, and --kernel takes"
	# no script
	rm opt/share/lunette/kernel/fetch.sh
	fails 9.9 'what fetches it, .*fetch.sh, has not been installed'
}

test_nowhere_to_keep_it() {
	installed
	stand_ins
	image 6.1.0-9-amd64
	: >file
	XDG_CACHE_HOME=$PWD/file status 201 "$lunette" kernel get 6.1 2>err
	equal "$(cat err)" "lunette: error: kernel get: $PWD/file/lunette/kernels: Not a directory; XDG_CACHE_HOME names another folder for kernels"
	XDG_CACHE_HOME=$PWD/file status 201 "$lunette" kernel build 2>err
	equal "$(cat err)" "lunette: error: kernel build: nowhere to keep it: $PWD/file/lunette/. cannot be made, or written to; XDG_CACHE_HOME names another folder"
	env -u XDG_CACHE_HOME -u HOME "$lunette" kernel build 2>err && fail 'it has built one'
	contains err '^lunette: error: kernel build: nowhere to keep it: '
	# without a home there is a place for what is fetched
	mkdir tmp
	equal "$(env -u XDG_CACHE_HOME -u HOME TMPDIR="$PWD/tmp" "$lunette" kernel get 6.1)" 6.1.0-9-amd64
	contains <(env -u XDG_CACHE_HOME -u HOME TMPDIR="$PWD/tmp" "$lunette" kernel list) "^  6.1  +$PWD/tmp/lunette-$(id -u)/kernels/6.1.0-9-amd64/vmlinuz$"
}

test_signals_leave_nothing() {
	installed
	stand_ins
	image 6.1.0-9-amd64
	: >slow
	for signal in INT TERM KILL; do
		rm -f begun
		env --default-signal=INT "$lunette" kernel get 6.1 2>err & # which a job in the background is deaf to
		until_true 60 [ -e begun ]
		kill -$signal $!
		wait $! || true
		until_true 60 sh -c "! ls -d '$kernels'/.new*"
	done
	rm slow
	equal "$("$lunette" kernel get 6.1)" 6.1.0-9-amd64 # nobody holds the lock
}

test_side_by_side() {
	installed
	stand_ins
	image 6.1.0-9-amd64
	for i in 1 2 3 4; do "$lunette" kernel get 6.1 >out.$i 2>&1 & done
	wait
	equal "$(sort -u out.?)" 6.1.0-9-amd64
	equal "$(grep -c download did)" 1
	nothing_half_made
}

# A source whose make has the rules that build.sh asks for, and takes as long as ./slow is there.
recipe() {
	local from=opt/share/lunette/kernel
	mkdir -p source/usr/src source/usr/share/doc/linux-source-6.1 linux
	printf 'linux (6.1.9-1) x\n\n -- a <b>  Mon, 30 Nov 2026 12:00:00 +0000\n' |
		gzip >source/usr/share/doc/linux-source-6.1/changelog.Debian.gz
	cat >linux/Makefile <<-END
		.RECIPEPREFIX = >
		allnoconfig:
		> cp \$(KCONFIG_ALLCONFIG) .config
		vmlinux:
		> while [ -e '$PWD/slow' ]; do : >'$PWD/begun'; sleep 0.1; done
		> [ ! -e '$PWD/broken' ] || { echo 'this does not compile'; false; }
		> cp /bin/true vmlinux
		scripts_gdb:
		> mkdir -p scripts/gdb/linux
		> touch scripts/gdb/vmlinux-gdb.py scripts/gdb/linux/utils.py scripts/gdb/linux/constants.py
		bzImage Image:
		> mkdir -p arch/x86/boot arch/arm64/boot arch/riscv/boot
		> for a in x86/boot/bzImage arm64/boot/Image riscv/boot/Image; do echo image >arch/\$\$a; done
		.PHONY: vmlinux scripts_gdb bzImage Image
	END
	tar -cJ -f source/usr/src/linux-source-6.1.tar.xz linux
	printf '#!/bin/sh\ncase $* in *-d*) echo linux-source-6.1 ;; *) echo "%s" ;; esac\n' "$PWD/source" >$from/deb
	printf '#!/bin/sh\nprintf "%%s\\n" "$*" >>"%s/asked"\n' "$PWD" >$from/setup.sh
}

test_build() {
	local build
	installed
	recipe
	status 0 "$lunette" kernel build >out 2>err
	equal "$(cat out)" "$PWD/cache/lunette/kernel-micro"
	equal "$(cat asked)" '-n kernel' # which installs nothing
	[ -s cache/lunette/kernel-micro/vmlinux ] && contains cache/lunette/kernel-micro/config '^CONFIG_SCSI_VIRTIO=y$'
	contains <("$lunette" kernel list) "^\* micro  +$PWD/cache/lunette/kernel-micro/vmlinux$"
	status 0 "$lunette" kernel build full >out 2>err
	contains cache/lunette/kernel-full/config '^CONFIG_MODULES=y$'
	contains <("$lunette" kernel list) "^  full  +$PWD/cache/lunette/kernel-full/vmlinux$"
	# what is for a debugger is beside what boots, which has nothing of it
	status 0 "$lunette" kernel build debug >out 2>err
	contains cache/lunette/kernel-debug/config '^CONFIG_GDB_SCRIPTS=y$'
	equal "$(cd cache/lunette/kernel-debug && find . -type f | sort | paste -sd ' ')" \
		"./bzImage ./config ./scripts/gdb/linux/constants.py ./scripts/gdb/linux/utils.py ./vmlinux ./vmlinux-gdb.py ./vmlinux.debug"
	contains <("$lunette" kernel list) "^  debug  +$PWD/cache/lunette/kernel-debug/vmlinux$"
	equal "$(ls cache/lunette/kernel-micro)" 'bzImage
config
vmlinux'
	status 0 "$lunette" kernel build >out 2>err # it is there
	equal "$(cat err)" ''
	# other options are another kernel; -n asks alone
	build=$(dirname "$lunette")/../share/lunette/kernel/build.sh
	status 0 "$build" -n >out
	equal "$(cat out)" "$PWD/cache/lunette/kernel-micro"
	echo CONFIG_ONE_MORE=y >>"$(dirname "$build")/common.config"
	status 1 "$build" -n >out
	[ ! -s out ] && ! grep -q ONE_MORE cache/lunette/kernel-micro/config
	status 0 "$lunette" kernel build >out 2>err
	contains cache/lunette/kernel-micro/config '^CONFIG_ONE_MORE=y$'
	# what is missing is said, and not installed
	printf '#!/bin/sh\necho "setup.sh: packages are missing; as root: x" >&2\nexit 201\n' >opt/share/lunette/kernel/setup.sh
	status 201 "$lunette" kernel build 2>err
	equal "$(cat err)" 'setup.sh: packages are missing; as root: x'
}

test_build_that_ends_early() {
	installed
	recipe
	: >slow
	for signal in INT TERM; do
		rm -f begun
		env --default-signal=INT "$lunette" kernel build >out 2>err &
		until_true 60 [ -e begun ]
		kill -$signal $!
		status 130 wait $!
		equal "$(ls cache/lunette)" 'linux.lock
linux.log'
		rm begun
		sleep 0.5
		[ ! -e begun ] || fail 'it goes on'
	done
	rm slow
	: >broken
	status 1 "$lunette" kernel build 2>err
	contains err 'this does not compile'
	contains err 'guest/kernel: linux-source-6.1 6.1.9-1 could not be built$'
	equal "$(ls cache/lunette)" 'linux.lock
linux.log'
	rm broken
	status 0 "$lunette" kernel build >out 2>err
}

# By what "make install" leaves, for an ordinary user's cache, where there is no source tree: to its end. The
# source of Linux may be in this user's cache.
test_build_of_a_real_one() {
	local real=${XDG_CACHE_HOME:-$HOME/.cache}/lunette name
	[ -n "${KERNEL_BUILD-}" ] || skip 'fifteen minutes of two processors, 2 GB: KERNEL_BUILD=1 bash tests/cli/kernel.sh'
	make -s -C "$top" DESTDIR="$PWD/dest" PREFIX=/opt GUEST_KERNEL=none install >&2
	mkdir -p cache/lunette
	for name in apt deb; do [ ! -e "$real/$name" ] || ln -s "$real/$name" cache/lunette; done
	hidden() {
		XDG_CACHE_HOME=$PWD/cache unshare -rm sh -c 'mount -t tmpfs hidden "$0" && "$@"' "$top" "$@"
	}
	hidden [ ! -e "$top/Makefile" ] || skip 'no namespaces, by which the source tree would be hidden'
	status 0 hidden "$PWD/dest/opt/bin/lunette" kernel build >out 2>err
	equal "$(cat out)" "$PWD/cache/lunette/kernel-micro"
	contains err '^guest/kernel: micro: built in [0-9]+ min'
	contains <(hidden "$PWD/dest/opt/bin/lunette" kernel list) "^\* micro  +$PWD/cache/lunette/kernel-micro/vmlinux$"
	status 0 hidden "$PWD/dest/opt/bin/lunette" kernel check cache/lunette/kernel-micro/vmlinux >out 2>err
	contains out '^# .*vmlinux: 0 missing$'
	[ ! -e cache/lunette/linux ] || fail 'the source is still there'
}

test_fetched_from_the_distribution() {
	local version
	[ "${EXTENT-}" = all ] || skip '35 MB from the network: make test-all fetches them'
	command -v apt-get >/dev/null || skip 'no apt-get here'
	installed
	version=$(apt-cache search --names-only '^linux-image-[0-9]' | sed -n 's/^linux-image-\([0-9]*\.[0-9]*\).*/\1/p' | sort -V | tail -n 1)
	status 0 "$lunette" kernel get "${version:-6}" >out
	contains out "^${version:-6}\..*-(cloud-)?(amd64|arm64|riscv64|generic)$"
	cp "$("$top/guest/mkinitramfs.sh" base - "$("$top/tests/lab/busybox")")" opt/share/lunette/initramfs.cpio
	if [ -w /dev/kvm ]; then
		status 0 "$lunette" run --kernel "${version:-6}" --explain >explain 2>err
		contains explain '^serial0: '
	fi
	[ -s "$kernels/$(cat out)/lib/modules/$(cat out)/modules.order" ] || fail 'no modules'
}

run_tests
