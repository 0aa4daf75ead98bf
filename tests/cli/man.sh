#!/bin/bash
# SPDX-License-Identifier: MIT
# man.sh - the manual pages: well formed, and nothing of what --help lists is missing in them.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

# Those of the build, in ./man, with an index, as one page names others.
pages() {
	local tree
	tree=$("$top/tests/lab/deb" mandoc)
	mandoc=$tree/usr/bin/mandoc
	make -s -C "$top" man >&2
	cp -r "$top/build/$(uname -m)/man" .
	"$tree/usr/sbin/makewhatis" "$PWD/man"
	export MANPATH=$PWD/man
}

test_lint_is_clean() {
	pages
	[ "$(find man -name '*.[17]' | wc -l)" = 6 ] || fail "not six pages: $(find man)"
	"$mandoc" -T lint -W style man/man?/*.[17] || fail 'mandoc -T lint has found something'
}

# words PAGE: its words, as a terminal shows them, a line each
words() { "$mandoc" -T utf8 "man/man${1##*.}/$1" | col -b | tr -s ' \t' '\n'; }

# has_all PAGE PATTERN WORD...: the first words of the rows of "lunette WORD..." that match
has_all() {
	local page=$1 pattern=$2 wanted
	shift 2
	wanted=$("$top/lunette" "$@" | sed -nE "s/^ +($pattern).*/\1/p")
	[ -n "$wanted" ] || fail "no rows in lunette $*"
	words "$page" >words
	equal "$(for word in $wanted; do grep -qxF -e "$word" words || echo "$word"; done)" ''
}

test_nothing_is_missing() {
	pages
	has_all lunette-run.1 '--[a-z-]+' run --help
	has_all lunette-run.1 '[0-9]{3}' run --help
	has_all lunette-matrix.1 '--[a-z-]+  ' matrix --help
	has_all lunette-matrix.1 '--(slots|junit|json|html|keep|fail-fast|list)' matrix --help
	has_all lunette-ctl.1 '[a-z-]+  ' ctl --help
	has_all lunette-ctl.1 '--[a-z]+' ctl --help
	has_all lunette-kernel.1 '(list|get|build|check)' kernel --help
	has_all lunette.1 '[a-z-]+  ' --help
	has_all lunette.1 '[0-9]{3}' --help
	has_all lunette-disks.7 '[a-z-]+=[^ ]+' run --device scsi-disk,help
	has_all lunette-disks.7 '[a-z-]+=[^ ]+' run --device virtio-scsi,help
}

test_text_that_is_no_macro() { # what roff would take for a request, and for an escape
	printf '%s\n' '#!/bin/sh' "printf '  --a  x\n  --b X\n        .Sh one \\\\\\\\two\n'" >lunette
	chmod +x lunette
	printf '@options x\n' >page
	"$top/docs/man/page.sh" ./lunette page >out
	contains out '^\\&\.Sh one \\e\\etwo$'
	printf '@statuses x\n' >page
	status 1 "$top/docs/man/page.sh" ./lunette page >out 2>err
	contains err 'page: no rows: @statuses x'
}

run_tests
