#!/bin/sh
# SPDX-License-Identifier: MIT
# live.sh - folders of the host's that a guest has as they are (--share DIR,live=on), by Debian 13's program
# for it, started by somebody who is not root; and by root, by Debian 12's, too.
. "$(dirname "$0")/lib.sh"

[ ! -e /lab/servers.cpio ] || {
	(cd / && cpio -idu </lab/servers.cpio) 2>/dev/null
	rm /lab/servers.cpio
}

# Which program the next runs find: Debian 13's or 12's
newer() {
	mkdir -p path
	printf '#!/bin/sh\nd=/lab/trixie\nexec $d/ld-linux-*.so.? --library-path $d $d/virtiofsd "$@"\n' >path/virtiofsd
	chmod 755 path/virtiofsd
}
older() { rm -rf path; }

# A folder of that user's, with another one for what lunette keeps.
folder() {
	mkdir -p shared/deep own
	echo 'from the host' >shared/note
	chown -R 1000:1000 shared own
}

# live [OPTION...] -- COMMAND...
live() {
	PATH=$PWD/path:$PATH TMPDIR=$PWD/own HOME=$PWD/own XDG_CACHE_HOME=$PWD/own \
		timeout -k 5 "$seconds" /lab/setpriv --reuid 1000 --regid 1000 --groups 106 \
		lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --boot-timeout none "$@" \
		>out 2>err </dev/null
}

# The programs that serve folders, by what they were called with.
servers() { grep -la '/sys/[f]older' /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3; }
no_servers() { [ -z "$(servers)" ]; }

# A guest that has ./shared at /x runs, as $run
started() {
	live --share "$PWD/shared:/x,live=on,rw=on" -- sh -c '
		touch /x/up
		while :; do cat /x/note >/dev/null; done' &
	run=$!
	until_true "$seconds" test -e shared/up
	[ "$(servers | wc -l)" = 1 ] || fail "servers: $(servers)"
	vmm=$(pidof lunette)
}

# Root in the guest makes its mount one that can be written; the host refuses all the same.
attack='
	for turn in "" -w; do
		[ -z "$turn" ] || mount -o remount,rw /x && echo turn || exit 3
		echo no 2>/dev/null >/x/new && echo made
		echo no 2>/dev/null >>/x/note && echo changed
		rm -f /x/note 2>/dev/null && echo removed
		chmod 777 /x/note 2>/dev/null && echo chmod
		mv /x/note /x/deep/note 2>/dev/null && echo moved
		mkdir /x/folder 2>/dev/null && echo mkdir
		truncate -s 0 /x/note 2>/dev/null && echo cut
	done; true'
test_only_read() {
	newer
	folder
	status 0 live --share "$PWD/shared:/x,live=on" -- sh -c "cat /x/note; stat -c '%u %g' /x/note; $attack"
	equal "$(cat out)" 'from the host
0 0
turn
turn'
	equal "$(cat err)" ''
	equal "$(cat shared/note; ls shared; stat -c %a shared/note)" 'from the host
deep
note
644'
	no_servers
}

# What the one side does the other sees, while the guest runs; what is made there is the user's here.
test_written_at_once() {
	newer
	folder
	live --share "$PWD/shared:/x,live=on,rw=on" -- sh -c '
		echo "from the guest" >/x/deep/new
		mv /x/deep/new /x/deep/there
		until [ -e /x/answer ]; do sleep 0.1; done
		cat /x/answer; echo more >>/x/note; rm -r /x/answer' &
	run=$!
	until_true "$seconds" test -e shared/deep/there
	equal "$(cat shared/deep/there; stat -c '%u %g' shared/deep/there)" 'from the guest
1000 1000'
	echo 'while it runs' >shared/new
	mv shared/new shared/answer
	status 0 wait $run
	equal "$(cat out)" 'while it runs'
	equal "$(cat shared/note; ls shared)" 'from the host
more
deep
note'
	no_servers
}

# Who is not root in the guest is the user here, too; that the newer program can do.
test_another_user_in_the_guest() {
	newer
	folder
	chmod 777 shared
	status 0 live --user 1234:1234 --share "$PWD/shared:/x,live=on,rw=on" -- \
		sh -c 'id -u; echo its >/x/own; cat /x/own'
	equal "$(cat out)" '1234
its'
	equal "$(stat -c '%u %g' shared/own)" '1000 1000'
}

test_change_is_seen() {
	newer
	folder
	live --share "$PWD/shared:/x,live=on" --share "$PWD/own:/own,live=on,rw=on" -- sh -c '
		cat /x/note; touch /own/up
		until [ "$(cat /x/note)" = other ]; do sleep 0.1; done; echo seen' &
	run=$!
	until_true "$seconds" test -e own/up
	echo other >shared/note
	status 0 wait $run
	equal "$(cat out)" 'from the host
seen'
}

# Some thousand files in folders, as builds make them.
# By a disk's file system, as the lab host's own loses its place in a folder from which files go.
test_many_files() {
	newer
	mkdir shared
	truncate -s 64M disk
	mkfs.ext4 -q disk
	mount -o loop disk shared
	trap 'umount shared' EXIT
	folder
	status 0 live --share "$PWD/shared,live=on,rw=on" -- sh -e -c '
		for a in 1 2 3 4 5; do
			mkdir -p tree/$a
			for b in $(seq 60); do echo "$a $b" >tree/$a/$b; done
			ln -s ../1/7 tree/$a/link
		done
		tar -cf tree.tar tree
		mkdir again && tar -xf tree.tar -C again
		(cd tree && find . -type f | sort | xargs md5sum) >sums
		(cd again/tree && md5sum -c ../../sums) | grep -c OK
		rm -r tree; pwd'
	equal "$(cat out)" "300
$PWD/shared"
	equal "$(cd shared/again/tree && md5sum -c ../../sums | grep -c OK)" 300
	equal "$(readlink shared/again/tree/3/link)" ../1/7
	[ ! -e shared/tree ]
}

test_server_killed() {
	newer
	folder
	started
	kill -9 $(servers)
	status 211 wait $run
	equal "$(grep -c . err)" 1
	contains err "^lunette: error: --share $PWD/shared: virtiofsd has ended, and the run ends here"
	no_servers
}

# However the run ends, nothing is left.
test_nothing_left() {
	local sig
	newer
	folder
	for sig in INT KILL; do
		started
		kill -$sig "$vmm"
		if [ $sig = INT ]; then status 130 wait $run; else status 137 wait $run; fi
		until_true 10 no_servers
		equal "$(ls own shared)" 'own:

shared:
deep
note
up'
		rm shared/up
	done
}

# Without a program that will do: a copy, and a line; or nothing, where the folder is to be written to.
test_no_program() {
	folder
	mkdir path
	printf '#!/bin/sh\necho "usage: none of this"\n' >path/virtiofsd
	chmod 755 path/virtiofsd
	status 0 live --share "$PWD/shared:/x,live=on" -- cat /x/note
	equal "$(cat out)" 'from the host'
	equal "$(grep -c . err)" 1
	contains err "warning: --share $PWD/shared: the guest gets a copy, .*/path/virtiofsd is no virtiofsd that serves here; as root: apt-get install virtiofsd"
	status 201 live --share "$PWD/shared:/x,live=on,rw=on" -- cat /x/note
	contains err "error: --share $PWD/shared: rw=on: .*/path/virtiofsd is no"
	# Debian 12's
	older
	status 0 live --share "$PWD/shared:/x,live=on" -- cat /x/note
	contains err 'the guest gets a copy, .*: /usr/lib/qemu/virtiofsd is no virtiofsd that serves here: '
	# nor one that may not be shut in
	newer
	echo 0 >/proc/sys/user/max_user_namespaces
	status 0 live --share "$PWD/shared:/x,live=on" -- cat /x/note || { echo 9999 >/proc/sys/user/max_user_namespaces; return 1; }
	echo 9999 >/proc/sys/user/max_user_namespaces
	contains err 'the guest gets a copy, .*user namespaces are wanted'
}

test_explained() {
	newer
	folder
	status 0 live --explain --share "$PWD/shared:/x,live=on" -- true
	contains out '^user-fs0: folder that another program serves$'
	contains out "^  served by: $PWD/path/virtiofsd, for $PWD/shared \(to be read\), in namespaces of its own"
	contains out '^  if that ends: the run ends, too$'
	no_servers
}

# Root's is not in a user namespace: all owners are as they are.
test_by_root() {
	local which
	for which in newer $([ "$EXTENT" != all ] || echo older); do
		$which
		rm -rf shared
		mkdir -p shared/deep
		echo its >shared/note
		chown 12:34 shared/note
		status 0 run --share "$PWD/shared:/x,live=on" -- sh -c "stat -c '%u %g' /x/note; $attack" </dev/null
		equal "$(cat out)" '12 34
turn
turn'
		equal "$(cat shared/note; ls shared)" 'its
deep
note'
		status 0 run --share "$PWD/shared:/x,live=on,rw=on" -- \
			sh -c 'echo new >/x/new; chown 5:6 /x/new; rm /x/note' </dev/null
		equal "$(stat -c '%u %g' shared/new; ls shared)" '5 6
deep
new'
		no_servers
	done
}

# This system itself, by who has a home in it: where he is, as himself; nothing that is written comes back,
# and what is secret even the guest's root does not find.
home() {
	grep -qs '^ann:' /etc/passwd || {
		echo 'ann:x:1000:1000::/lab-home:/bin/sh' >>/etc/passwd
		printf 'ann:x:1000:\nothers:x:1234:ann\n' >>/etc/group
	}
	rm -rf /lab-home
	mkdir -p /lab-home/.ssh /lab-home/src /lab-home/own
	echo key >/lab-home/.ssh/id
	echo word >/lab-home/.netrc
	echo text >/lab-home/src/text
	chmod 700 /lab-home
	chown -R 1000:1000 /lab-home
}

# at_home [OPTION...] -- COMMAND...
at_home() {
	(
		cd /lab-home/src
		PATH=$dir/path:$PATH TMPDIR=/lab-home/own HOME=/lab-home \
			timeout -k 5 "$seconds" /lab/setpriv --reuid 1000 --regid 1000 --groups 106 \
			lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --boot-timeout none "$@"
	) >out 2>err </dev/null
}

test_root_host() {
	newer
	home
	mkdir -p /run
	echo its >/run/host
	status 0 at_home --root host -- sh -c '
		pwd; id -u; id -g; id -G; echo "$HOME"; cat text; stat -c "%u %g" . /bin/busybox
		echo new >text; cat text; echo more >own; ls
		ls -A ~/.ssh; cat ~/.netrc; ls /run | grep host; ls /proc/self >/dev/null && echo proc'
	equal "$(cat out)" '/lab-home/src
1000
1000
1000 1234
/lab-home
text
1000 1000
0 0
new
own
text
proc'
	equal "$(cat err)" ''
	equal "$(cat /lab-home/src/text; ls /lab-home/src)" 'text
text'
	no_servers
	# root in the guest finds no more
	status 0 at_home --root host --user 0 -- sh -c 'id -u; mount -o remount,rw / && echo x >/made && cat /made
		ls -A /lab-home/.ssh; cat /lab-home/.netrc'
	equal "$(cat out)" '0
x'
	[ ! -e /made ]
}

test_root_host_with_secrets() {
	newer
	home
	status 3 at_home --root host,secrets=on -- sh -c 'cat ~/.ssh/id ~/.netrc; exit 3'
	equal "$(cat out)" 'key
word'
	# by root there is no user namespace, and all is whose it is
	echo its >/lab-home/owned
	chown 12:34 /lab-home/owned
	status 0 run --root host -- sh -c 'id -u; stat -c "%u %g" /lab-home/owned /lab-home/src'
	equal "$(cat out)" '0
12 34
1000 1000'
}

test_root_host_refused() {
	home
	status 201 at_home --root host -- true
	contains err 'error: --root host: /usr/lib/qemu/virtiofsd is no virtiofsd that serves here: .*apt-get install virtiofsd'
	status 200 lunette run --kernel "$kernel" --root host 2>err
	contains err 'error: --root host: is for a command, given after --, or a shell, -t'
	status 200 at_home --root host,x -- true
	contains err 'host, or host,secrets=on is wanted'
}

run_tests
