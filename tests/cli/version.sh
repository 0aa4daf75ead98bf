#!/bin/bash
# SPDX-License-Identifier: MIT
# version.sh - what "lunette --version" says: of a commit, of a release, of an archive.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

# tree: ./tree, a git tree with one commit, and nothing but what tells the version
tree() {
	mkdir -p tree/packaging
	cp "$top/packaging/version" tree/packaging
	git init -q tree
	git() { command git -C tree -c user.name=n -c user.email=e "$@"; }
	git add -A
	git commit -q -m one
}
version() { tree/packaging/version 0.7; }

test_of_git() {
	tree
	commit=$(git rev-parse --short=12 HEAD)
	equal "$(version)" "0.7-g$commit"
	echo >>tree/packaging/version
	equal "$(version)" "0.7-g$commit-dirty"
	git checkout -q .
	git tag v0.6
	equal "$(version)" "0.7-g$commit"
	git tag v0.7
	equal "$(version)" 0.7
	git commit -q --allow-empty -m two
	equal "$(version)" "0.7-1-g$(git rev-parse --short=12 HEAD)"
}

test_without_git() {
	tree
	rm -r tree/.git
	equal "$(version)" 0.7
	command git init -q . # one around it
	equal "$(version)" 0.7
	echo 0.7-g123 >tree/version
	equal "$(version)" 0.7-g123
}

test_of_this_program() {
	release=$(sed -n 's/^VERSION = //p' "$top/config.mk")
	[[ $("$top/lunette" --version) == "lunette $release"* ]] || fail "$("$top/lunette" --version)"
	[ ! -e "$top/.git" ] || [[ $("$top/lunette" --version) == "lunette $("$top/packaging/version" "$release")" ]] ||
		fail "not $("$top/packaging/version" "$release")"
}

test_archive() {
	[ -e "$top/.git" ] || skip 'no git tree, of which an archive would be made'
	git clone -q -s "$top" clone
	make -s -C clone dist >&2
	mkdir archive
	tar -xzf clone/lunette-*.tar.gz -C archive --strip-components 1
	equal "$(archive/packaging/version 0.7)" "$(clone/packaging/version "$(sed -n 's/^VERSION = //p' "$top/config.mk")")"
}

run_tests
