#!/bin/bash
# SPDX-License-Identifier: MIT
# static.sh - "make static": one file that runs where nothing else is; and the same bytes wherever it is
# built, which "make test-all" shows, as that takes two whole builds.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

made() { # in FOLDER
	make -s -C "$1" static 2>err || fail 'make static'
	[ ! -s err ] || fail "the linker warns: $(cat err)"
	cp "$1/build/$(uname -m)/lunette-static" "$2"
}

# In a root that has the program alone.
alone() {
	unshare -rm sh -ec '
		mkdir -p root/dev
		mount --rbind /dev root/dev
		exec chroot root /lunette "$@"' - "$@"
}

test_needs_nothing() {
	mkdir root
	made "$top" root/lunette
	equal "$(readelf -lW root/lunette | grep INTERP)" ''
	equal "$(readelf -dW root/lunette | grep NEEDED)" ''
	equal "$(root/lunette --version)" "$("$top/lunette" --version)"
	alone --version >out || skip 'no namespaces, in which the program would be alone'
	equal "$(alone --version)" "$("$top/lunette" --version)"
	status 201 alone run --kernel none 2>err
	contains err '^lunette: error: .*none.*: No such file'
}

test_reproducible() {
	[ "${EXTENT-}" = all ] || skip 'two whole builds: make test-all has them'
	mkdir -p one another/folder/of/a/longer
	(cd "$top" && git ls-files -z | xargs -0 cp --parents -t "$OLDPWD/one")
	cp -a one another/folder/of/a/longer/name
	for folder in one another/folder/of/a/longer/name; do
		CCACHE_DISABLE=1 made $folder "$(basename $folder).static"
		rm -r "$folder"
	done
	cmp one.static name.static
}

run_tests
