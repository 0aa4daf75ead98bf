#!/bin/bash
# SPDX-License-Identifier: MIT
# install.sh - "make install", as packages use it; and what is installed, without a source tree.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

make_in() { make -s -C "$top" DESTDIR="$PWD/dest" PREFIX=/opt "$@" >&2; }

# hidden COMMAND...: where there is neither a source tree nor a cache
hidden() {
	XDG_CACHE_HOME=$PWD/none unshare -rm sh -c 'mount -t tmpfs hidden "$0" && exec "$@"' "$top" "$@"
}

test_everything_goes() {
	: >vmlinux
	mkdir -p dest/opt/share/man
	: >dest/opt/share/man/mine
	make_in install GUEST_KERNEL="$PWD/vmlinux"
	[ -x dest/opt/bin/lunette ] || fail 'no lunette'
	cmp dest/opt/share/lunette/kernel-micro/vmlinux vmlinux
	for name in man/man1/lunette-run.1 man/man7/lunette-disks.7 doc/lunette/LICENSE \
		bash-completion/completions/lunette zsh/site-functions/_lunette \
		fish/vendor_completions.d/lunette.fish lunette/kernel/build.sh lunette/kernel/fetch.sh \
		lunette/kernel/common.config man/man1/lunette-kernel.1; do
		[ -s "dest/opt/share/$name" ] || fail "no $name"
	done
	equal "$(find dest -type f -perm /022)" ''
	make_in uninstall
	equal "$(find dest | sort)" "$(printf '%s\n' dest dest/opt dest/opt/share dest/opt/share/man{,/mine})"
	make_in uninstall
}

test_without_a_source_tree() {
	local share=$PWD/dest/opt/share/lunette lunette=$PWD/dest/opt/bin/lunette
	make_in install GUEST_KERNEL="$PWD/vmlinux"
	hidden [ ! -e "$top/Makefile" ] || skip 'no namespaces, by which the source tree would be hidden'
	cpio -t <"$share/initramfs.cpio" >list 2>err
	contains list '^init$'
	contains list '^usr/bin/busybox$'
	# no kernel
	status 201 hidden "$lunette" run --kernel micro -- true 2>err
	equal "$(cat err)" "lunette: error: --kernel micro: $share/kernel-micro/vmlinux: No such file or \
directory; 'lunette kernel build' makes it"
	# neither this system has one, nor a tree
	mkdir empty
	status 201 hidden sh -c 'for d in /boot /lib/modules; do
		[ ! -d $d ] || mount -t tmpfs none $d; done; "$@"' sh \
		"$lunette" run -- true 2>err
	contains err "^lunette: error: run: no kernel for the guest: no small one, $share/kernel-micro/vmlinux .*; \
--kernel host: no kernel of this system"
	status 201 hidden "$lunette" run --kernel empty -- true 2>err
	contains err '^lunette: error: --kernel empty: this folder has no kernel: .*make -j'
	# one of a tree, which is none
	mkdir -p tree/arch/x86/boot
	echo 'not a kernel' >tree/arch/x86/boot/bzImage
	status 201 hidden "$lunette" run --kernel tree -- true 2>err
	contains err '^lunette: error: --kernel tree/arch/x86/boot/bzImage: '
	# both are there: what is wrong is the kernel
	mkdir "$share/kernel-micro"
	echo 'not a kernel' >"$share/kernel-micro/vmlinux"
	status 201 hidden "$lunette" run -- true 2>err
	contains err "^lunette: error: --kernel $share/kernel-micro/vmlinux: "
	equal "$(hidden sh "$share/words" "$lunette" run --kern | cut -f 1)" --kernel
	contains <(hidden "$lunette" kernel list) "^\* micro  +$share/kernel-micro/vmlinux$"
	# its scripts are found, and run
	status 200 hidden "$share/kernel/fetch.sh" 2>err
	contains err '^usage: fetch.sh VERSION FOLDER'
}

run_tests
