#!/bin/sh
# SPDX-License-Identifier: MIT
# kernels.sh - kernels with modules that nobody has made an initramfs for: this system's, as an
# installed lunette takes it, a build tree, and one that was fetched; and all of an installed lunette.
# The base of all is /lab/base.cpio.
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
	status 201 user env XDG_CACHE_HOME="$PWD/none" lunette run -- true 2>err # nor has a command another one
	contains err "no kernel for the guest: no small one, .*'lunette kernel build' makes it.*; --kernel host: .*chmod a\+r"
	contains err "Permission denied, as Ubuntu has it"
	equal "$(wc -l <err)" 1
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

# As "lunette kernel get" leaves it: a package that was unpacked has no index.
test_version() {
	local dir=cache/lunette/kernels/$release name
	mkdir -p "$dir/lib/modules/$release"
	cp /lab/vmlinuz "$dir/vmlinuz"
	for name in kernel modules.order modules.builtin; do
		ln -s "/lab/modules/$release/$name" "$dir/lib/modules/$release"
	done
	ln -s "$release" cache/lunette/kernels/6
	status 0 run --kernel 6 -- sh -c "$look"
	saw
	status 0 run --kernel "$release" -- uname -r
	equal "$(cat out)" "$release"
}

# image: ./oci, whose one layer is ./root
image() {
	local layer config manifest
	mkdir -p oci/blobs/sha256
	tar -c -C root -f layer .
	layer=$(sha256sum layer | cut -c 1-64)
	printf '{"architecture":"any","os":"linux","config":{}}' >config
	config=$(sha256sum config | cut -c 1-64)
	printf '{"schemaVersion":2,"config":{"digest":"sha256:%s"},"layers":[{"mediaType":"%s","digest":"sha256:%s","size":1}]}' \
		"$config" application/vnd.oci.image.layer.v1.tar "$layer" >manifest
	manifest=$(sha256sum manifest | cut -c 1-64)
	for name in layer config manifest; do
		mv $name "oci/blobs/sha256/$(sha256sum $name | cut -c 1-64)"
	done
	printf '{"imageLayoutVersion":"1.0.0"}' >oci/oci-layout
	printf '{"schemaVersion":2,"manifests":[{"digest":"sha256:%s"}]}' "$manifest" >oci/index.json
}

# As "make install" has left it where there is neither a source tree nor make, for somebody without rights, a home
# and a cache.
test_installed_for_anybody() {
	[ -e /opt/share/lunette/kernel-micro/vmlinux ] || skip 'no small kernel has been made'
	! find / -xdev \( -name Makefile -o -name config.mk \) ! -path '/proc/*' ! -path '/lab/modules/*' | grep . ||
		fail 'here is a source tree'
	tree
	mkdir -p root/bin root/etc
	cp /bin/busybox root/bin
	ln -s busybox root/bin/cat
	echo 'NAME=small' >root/etc/os-release
	image
	chmod 777 .
	anybody() {
		user env -i PATH=/opt/bin:/bin TMPDIR="$PWD" timeout -k 5 "$seconds" lunette "$@" >out 2>err </dev/null
	}
	status 0 anybody run --boot-timeout none -- true
	equal "$(cat out err)" ''
	status 0 anybody run --boot-timeout none --root oci:oci -- cat /etc/os-release
	equal "$(cat out err)" 'NAME=small'
	status 0 anybody run --boot-timeout none --kernel tree -- uname -r
	equal "$(cat out err)" "$release"
	status 0 anybody kernel list
	contains out '^\* micro +/opt/share/lunette/kernel-micro/vmlinux$'
}

run_tests
