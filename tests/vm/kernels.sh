#!/bin/sh
# SPDX-License-Identifier: MIT
# kernels.sh - kernels with modules that nobody has made an initramfs for: this system's, as an
# installed lunette takes it, and a build tree. The base of all is /lab/base.cpio.
. "$(dirname "$0")/lib.sh"

release=$(cat /lab/release)
export XDG_CACHE_HOME=$PWD/cache

# run [OPTION...] -- COMMAND...: by what is in the cache
run() {
	mkdir -p cache/lunette src
	ln -sf /lab/base.cpio cache/lunette/initramfs.cpio
	echo shared >src/file
	[ -e disk.img ] || truncate -s 1M disk.img
	XDG_CACHE_HOME=$PWD/cache timeout -k 5 "$seconds" lunette run --vhost off --boot-timeout none \
		--disk disk.img --share src:/src --cwd /src --device virtio-rng "$@" >out 2>err </dev/null
}

look='uname -r; cat /sys/block/sda/size /src/file; head -c 8 /dev/hwrng | wc -c'
saw() {
	equal "$(cat out)" "$release
2048
shared
8"
}

# This system's kernel, where distributions have it.
as_installed() {
	[ -e "/boot/vmlinuz-$release" ] || { mkdir -p /boot && cp /lab/vmlinuz "/boot/vmlinuz-$release"; }
	mount --bind "/lab/modules/$release" "/lib/modules/$release"
}
without_it() {
	umount "/lib/modules/$release"
	rm "/boot/vmlinuz-$release"
}

test_host() {
	[ "$release" = "$(uname -r)" ] || skip "the kernel of guests is not this host's, $(uname -r)"
	as_installed
	status 0 run --kernel host -- sh -c "$look"
	saw
	equal "$(cat err)" ''
	# where there is no small kernel it is what a command has
	status 0 run -- sh -c "$look"
	saw
	chmod 600 "/boot/vmlinuz-$release"
	chmod 777 .
	rm -rf cache
	status 201 user env XDG_CACHE_HOME="$PWD/none" lunette run --kernel host -- true 2>err
	contains err "^lunette: error: --kernel host: /boot/vmlinuz-$release: Permission denied, as Ubuntu.*chmod a\+r"
	without_it
	status 201 run --kernel host -- true
	contains err '^lunette: error: --kernel host: no kernel of this system'
}

# As a build leaves it: objects in modules.order, no index.
tree() {
	local boot=arch/x86/boot name=bzImage
	case $(uname -m) in
	aarch64) boot=arch/arm64/boot name=Image ;;
	riscv64) boot=arch/riscv/boot name=Image ;;
	esac
	mkdir -p "tree/$boot" tree/include/config
	cp /lab/vmlinuz "tree/$boot/$name"
	cp -r "/lab/modules/$release/kernel/"* tree
	find tree -name '*.ko.xz' -exec /lab/xz -d {} +
	(cd tree && find . -name '*.ko' | sed 's,^\./,,; s/ko$/o/') >order
	mv order tree/modules.order
	echo "$release" >tree/include/config/kernel.release
}

long_tree() {
	tree
	status 0 run --kernel tree -- sh -c "$look"
	saw
	equal "$(cat err)" ''
	cd tree
	mv ../disk.img .
	status 0 run --kernel . -- sh -c "$look"
	saw
	# what the configuration lacks has its line before the boot
	printf 'CONFIG_%s=y\n' PCI PCI_MSI SCSI SCSI_LOWLEVEL >.config
	status 0 run --kernel . -- true
	contains err 'warning: --kernel .*: does not have what this guest needs, says .*\.config: .*CONFIG_SCSI_VIRTIO'
}

test_tree_without_a_module() {
	tree
	rm "$(find tree -name virtio_scsi.ko)"
	sed -i '/virtio_scsi/d' tree/modules.order
	status 213 run --kernel tree -- true
	contains err 'this kernel has no virtio_scsi, and the initramfs no module of it'
	echo drivers/scsi/virtio_scsi.o >>tree/modules.order
	status 201 run --kernel tree -- true
	contains err '^lunette: error: --kernel: the module drivers/scsi/virtio_scsi.o in tree: No such file'
}

test_file_with_its_modules_beside() {
	mkdir -p lib/modules
	ln -s "/lab/modules/$release" "lib/modules/$release"
	cp /lab/vmlinuz "vmlinuz-$release"
	status 0 run --kernel "vmlinuz-$release" -- sh -c "$look"
	saw
}

run_tests
