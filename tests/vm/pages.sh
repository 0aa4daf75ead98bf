#!/bin/sh
# SPDX-License-Identifier: MIT
# pages.sh - the pages of docs/tasks do what they say: an indented line that begins with "$ " is run, with
# the lines behind it that begin with "> ", by a shell that has run those before it; the other indented lines
# below are its output, if there are any, where "..." stands for anything. lunette is as it is where it has
# been installed. "make test" has two of the pages, the others take as long again.
. "$(dirname "$0")/lib.sh"

installed() {
	mkdir -p /usr/local/bin /usr/local/share/lunette/kernel-micro
	cp /bin/lunette /usr/local/bin
	ln -sf /lab/vmlinuz /usr/local/share/lunette/kernel-micro/vmlinux
	ln -sf /lab/initramfs.cpio /usr/local/share/lunette/initramfs.cpio
	mkdir bin # where nobody knows how slow the machine is
	printf '%s\n' '#!/bin/sh' '[ "$1" != run ] || { shift; set -- run --boot-timeout none "$@"; }' \
		'exec /usr/local/bin/lunette "$@"' >bin/lunette
	chmod +x bin/lunette
	PATH=$PWD/bin:$PATH
	export HOME="$PWD/home" XDG_CACHE_HOME="$PWD/cache"
	ln -s /lab/vmlinuz vmlinux
}

# split PAGE: the folder ./steps has N.sh and N.out for each command
split() {
	mkdir steps
	awk '
		/^    \$ / { close(out); n++; sh = "steps/" n ".sh"; out = "steps/" n ".out"
			printf "" >out; print substr($0, 7) >sh; next }
		/^    > / { print substr($0, 7) >sh; next }
		/^    / && n { print substr($0, 5) >out }
		END { print n + 0 >"steps/count" }' "$1"
}

# fits FILE TEXT: "..." in it, a line or a part of one, stands for anything
fits() {
	awk 'function quoted(text) { gsub(/[^A-Za-z0-9 \n]/, "[&]", text); gsub(/\[\^\]/, "\\^", text)
			gsub(/\[\\\]/, "\\\\", text); return text }
		{ all = all $0 "\n" }
		FNR == NR { wanted = all; next }
		FNR == 1 { all = $0 "\n" }
		END {
			n = split(wanted, part, /[.][.][.]\n?/)
			for (i = 1; i <= n; i++)
				pattern = pattern (i > 1 ? "(.|\n)*" : "") quoted(part[i])
			exit all !~ "^" pattern "$"
		}' "$2" "$1"
}

# A shell that is asked for one step after the other; "$?" is what the step before left.
page() { # NAME
	local n count
	installed
	split "/lab/tasks/$1.md"
	count=$(cat steps/count)
	[ "$count" -ge 4 ] || fail "only $count commands in $1"
	n=1
	while [ $n -le "$count" ]; do
		echo "(exit \$rc); . ./steps/$n.sh >steps/$n.got; rc=\$?"
		n=$((n + 1))
	done >all
	(echo 'rc=0'; cat all) >script
	timeout 600 sh ./script </dev/null 2>&1 || true
	n=1
	while [ $n -le "$count" ]; do
		[ ! -s steps/$n.out ] || fits steps/$n.got steps/$n.out ||
			fail "$(cat steps/$n.sh):
$(cat steps/$n.got)
wanted:
$(cat steps/$n.out)"
		n=$((n + 1))
	done
}

long_kernel() { page test-a-kernel; }
test_file_system() { page test-a-file-system; }
long_ci_job() { page ci-job; }
test_broken_disk() { page break-a-disk; }
long_many_machines() { page many-machines; }
test_all_pages() { # are here
	for name in /lab/tasks/*.md; do
		grep -q " page $(basename "$name" .md);" "$0" || fail "no test of $name"
	done
}

run_tests
