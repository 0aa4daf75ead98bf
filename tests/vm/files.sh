#!/bin/sh
# SPDX-License-Identifier: MIT
# files.sh - folders in and results out: --share, --out; and what becomes of disks that a command
# has written to.
. "$(dirname "$0")/lib.sh"

export XDG_CACHE_HOME=$PWD/cache # one for each test: see made()

# run [OPTION...] -- COMMAND...: ./out and ./err are its outputs, ./json the report.
run() {
	given --boot-timeout "$@" || set -- --boot-timeout none "$@"
	XDG_CACHE_HOME=$PWD/cache timeout -k 5 "$seconds" lunette run --kernel "$kernel" \
		--initrd "$initrd" --vhost "$vhost" --log info --json json "$@" >out 2>err </dev/null
}

# How many images the cache has, and whether the last run has made one.
images() { ls cache/lunette/share | grep -c erofs; }
made() { grep -q 'made in' err; }

# One line for each thing in a folder; owners are root's in the guest.
list='find . -mindepth 1 | sort | while read -r f; do
	if [ -h "$f" ]; then echo "$f -> $(readlink "$f")"
	elif [ -f "$f" ]; then echo "$f $(stat -c "%a %s %Y %h" "$f") $(md5sum <"$f")"
	else echo "$f $(stat -c "%a %F %Y" "$f")"
	fi
done'

odd_folder() { # in ./src
	mkdir -p src/sub/deep src/empty "src/a  b" src/closed
	printf 'one\n' >src/one
	: >src/nothing
	printf x >"src/a  b/it's \"\\ *"
	printf y >"src/-n"
	printf z >"src/sub/$(printf '\303\251\377')"
	head -c 3000000 /dev/urandom >src/sub/big
	head -c 4096 /dev/urandom >src/sub/page
	ln -s ../one src/sub/link
	ln -s /etc/passwd src/absolute
	ln -s nowhere src/dangling
	ln src/one src/sub/hard
	mkfifo src/sub/deep/fifo
	chmod 4755 src/one
	chmod 0 src/nothing
	chmod 500 src/closed
	touch -d '2001-02-03 04:05:06' src/sub/page src/sub
	i=0
	while [ $i -lt 300 ]; do echo $i >src/sub/deep/file-with-a-long-name-$i; i=$((i + 1)); done
}

test_share_as_it_is() {
	odd_folder
	(cd src && sh -c "$list") >wanted
	status 0 run --share src:/there --cwd /there -- sh -c "$list"
	cmp out wanted || fail "$(diff out wanted)"
}

test_share_is_where_it_was_and_the_command_too() {
	mkdir src
	echo hello >src/file
	status 0 run --share src -- sh -c 'pwd; cat file'
	equal "$(cat out)" "$PWD/src
hello"
	cd src
	status 0 run --share . -- pwd
	equal "$(cat out)" "$PWD"
}

test_changes_of_a_share_vanish() {
	mkdir -p src/sub
	echo old >src/file
	echo gone >src/sub/gone
	status 0 run --share src -- sh -c 'echo new >file; rm -r sub; mkdir sub; echo more >sub/more
		mv file other; ln other third; cat third sub/*; ls sub'
	equal "$(cat out)" 'new
more
more'
	equal "$(cat src/file src/sub/gone)" 'old
gone'
	equal "$(find src | wc -l)" 4
}

test_image_is_made_once() {
	mkdir src
	echo one >src/file
	status 0 run --share src -- cat file
	made || fail "nothing was made: $(cat err)"
	status 0 run --share src -- cat file
	! made || fail 'made again'
	echo two >src/file # as long
	status 0 run --share src -- cat file
	equal "$(cat out)" two
	made
	equal "$(images)" 2
}

long_two_runs_make_one_image() {
	mkdir src
	head -c 10000000 /dev/urandom >src/file
	for n in 1 2; do
		mkdir $n
		(cd $n; XDG_CACHE_HOME=$OLDPWD/cache timeout "$seconds" lunette run \
			--kernel "$kernel" --initrd "$initrd" --vhost off --log info \
			--share ../src:/src -- md5sum /src/file >out 2>err </dev/null) &
	done
	wait
	equal "$(cat 1/out)" "$(md5sum src/file | sed 's, src, /src,')"
	cmp 1/out 2/out
	equal "$(cat 1/err 2/err | grep -c 'made in')" 1
	equal "$(images)" 1
}

test_several_shares_and_disks() { # which keep their letters and numbers
	mkdir one two
	echo 1 >one/file
	echo 2 >two/file
	truncate -s 1M a.img
	truncate -s 2M b.img
	status 0 run --disk a.img --share one:/one --disk b.img --share two:/two/er --out res -- \
		sh -c 'cat /one/file /two/er/file /sys/block/sda/size /sys/block/sdb/size; pwd
		ls -d /sys/block/sd* | wc -l'
	equal "$(cat out)" '1
2
2048
4096
/root
5'
}

test_one_in_another() { # in any order of the options
	mkdir -p outer/sub inner
	echo outer >outer/file
	echo hidden >outer/sub/file
	echo inner >inner/file
	status 0 run --share inner:/x/sub --share outer:/x --out res:/x/res -- \
		sh -c 'cat /x/file /x/sub/file; cp /x/sub/file /x/res; echo >/x/sub/new'
	equal "$(cat out res/file)" 'outer
inner
inner'
}

test_holes() { # stay holes, in and out
	mkdir src
	truncate -s 3G src/hole
	printf odd | dd of=src/hole bs=1 seek=1234567891 conv=notrunc
	printf end | dd of=src/hole bs=1 seek=3221225469 conv=notrunc
	status 0 run --memory 1G --share src --out res -- sh -c '
		stat -c %s hole
		dd if=hole bs=1 skip=1234567891 count=3
		dd if=hole bs=1 skip=3221225468 | od -An -c
		truncate -s 9G /out/hole
		printf odd | dd of=/out/hole bs=1 seek=3234567891 conv=notrunc
		printf end | dd of=/out/hole bs=1 seek=9663676413 conv=notrunc
		echo last >/out/last'
	equal "$(cat out)" '3221225472
odd  \0   e   n   d'
	[ "$(du -k cache | tail -n 1 | cut -f 1)" -lt 65536 ] || fail "$(du -k cache)"
	equal "$(stat -c %s res/hole; cat res/last)" '9663676416
last'
	[ "$(stat -c %b res/hole)" -le 64 ] || fail "$(stat -c %b res/hole) blocks"
	equal "$(dd if=res/hole bs=1 skip=3234567890 count=5 2>/dev/null | tr '\0' .)" .odd.
	equal "$(dd if=res/hole bs=1 skip=9663676413 2>/dev/null)" end
}

test_no_home() { # whoever it is, the image finds a place
	mkdir src tmp
	echo hello >src/file
	chmod 777 tmp
	for home in '' /proc /proc/nowhere; do # / is everybody's here
		rm -rf tmp/*
		status 0 user env -u XDG_CACHE_HOME HOME=$home TMPDIR="$PWD/tmp" timeout "$seconds" \
			lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --share src -- \
			cat file >out 2>err </dev/null
		equal "$(cat out err; ls tmp)" 'hello
lunette-1000'
	done
	echo secret >src/secret
	chmod 600 src/secret
	status 201 user env HOME=/nowhere TMPDIR="$PWD/tmp" XDG_CACHE_HOME= \
		lunette run --kernel "$kernel" --initrd "$initrd" --share src -- true 2>err
	contains err '^lunette: error: --share src: .*/src/secret: Permission denied$'
}

test_share_with_a_root_on_a_disk() {
	echo none | rootfs
	mkdir src
	echo hello >src/file
	status 0 run --disk disk.img --root lun:0 --share src --out res -- \
		sh -c 'cat file >/out/copy; cat /proc/1/comm; echo kept >/file'
	equal "$(cat out res/copy)" 'init
hello'
	status 1 run --disk disk.img --root lun:0 -- cat /file
}

test_share_mistakes() {
	touch file
	status 201 run --share none -- true
	contains err '^lunette: error: --share none: No such file'
	status 201 run --share file -- true
	contains err '^lunette: error: --share file: '
	status 200 run --share .:/ -- true
	contains err '^lunette: error: --share .:/: /: .*; another PATH: --share DIR:PATH'
	status 200 run --share .:/usr/bin --out res -- true
	status 200 run --share .:/x --share .:/x --out res -- true
	status 200 run --share .:/out/x --out res -- true
	[ ! -e res ]
	status 200 lunette run --kernel "$kernel" --share . 2>err
	contains err '--share: is about a command'
	PATH=/nowhere status 201 "$(command -v lunette)" run --kernel "$kernel" \
		--initrd "$initrd" --share . -- true 2>err
	contains err "mkfs.erofs is missing; 'apt-get install erofs-utils'"
}

test_out() {
	odd_folder
	rm src/sub/deep/fifo src/absolute
	chmod 700 src/closed
	chmod 600 src/nothing
	chmod 755 src/one
	(cd src && sh -c "$list") >wanted
	status 0 run --share src:/src --out res -- sh -c 'cp -a /src/. $LUNETTE_OUT'
	(cd res && sh -c "$list") >got
	cmp got wanted || fail "$(diff got wanted)"
}

test_out_elsewhere_and_over_what_was_there() {
	mkdir -p res/sub
	echo old | tee res/sub/file >res/other
	status 0 run --out "res:/var/my results" -- sh -c '
		echo "$LUNETTE_OUT"; ls -A "$LUNETTE_OUT"; mkdir "$LUNETTE_OUT/sub"
		echo new >"/var/my results/sub/file"'
	equal "$(cat out res/other res/sub/file)" '/var/my results
old
new'
}

test_out_of_failures() {
	status 3 run --out res -- sh -c 'echo result >/out/file; exit 3'
	equal "$(cat res/file)" result
	status 137 run --out res -- sh -c 'echo killed >/out/file; kill -9 $$'
	equal "$(cat res/file)" killed
	status 214 run --memory ${least}M --out res -- sh -c 'echo oom >/out/file; exec tail /dev/zero'
	equal "$(cat res/file)" oom
}

long_nothing_comes_out_of_a_guest_that_is_gone() { # and what was there stays
	mkdir res
	echo old >res/file
	status 209 run --out res -- sh -c 'echo new >/out/file; poweroff -f'
	contains err '--out res: nothing: the guest went down before it gave its results'
	status 212 run --out res --timeout 5s -- sh -c 'echo new >/out/file; sleep 1000'
	contains err '--out res: nothing'
	status 205 run --out res -- sh -c 'echo c >/proc/sysrq-trigger'
	equal "$(ls -A res; cat res/file)" 'file
old'
}

test_more_than_is_allowed() { # fails a run that was a success
	status 211 run --out res --out-limit 1M -- sh -c '
		head -c 3000000 /dev/zero >/out/b; echo first >/out/a'
	contains err 'the guest cannot give all of its results: some find no room'
	equal "$(cat res/a)" first
	equal "$(ls -A res)" a
	contains json '"cause": "host-io"'
	status 7 run --out res --out-limit 1M -- sh -c 'head -c 3000000 /dev/zero >/out/b; exit 7'
}

test_host_disk_full() {
	mkdir small
	mount -t tmpfs -o size=4M small small
	status 211 run --out small/res -- sh -c 'head -c 3000000 /dev/urandom >/out/b'
	umount small
	contains err '--out small/res: .* missing; the first is .*b: .*No space'
}

test_hostile_results() { # by a command that has the disk itself
	mkdir outside res
	ln -s ../outside res/way
	status 0 run --out res -- sh -c '
		ln -s ../outside /out/link; ln -s /etc/passwd /out/abs; ln -s sub /out/fine
		mkdir /out/way; echo bad >/out/way/file; echo good >/out/file
		mknod /out/null c 1 3; mkfifo /out/pipe; chmod 0 /out/file'
	contains err '4 entries are left out'
	equal "$(ls -A outside)" ''
	equal "$(ls -A res | tr '\n' ' ')" 'file fine way '
	equal "$(cat res/file res/way/file)" 'good
bad'
}

test_build() { # in the folder, as one does, with what was built out
	mkdir -p src/sub
	printf 'cat sub/in >made\ntest "$(cat made)" = input && cp made "$LUNETTE_OUT"\n' >src/build
	echo input >src/sub/in
	status 0 run --share src --out res -- sh ./build
	equal "$(cat res/made)" input
	[ ! -e src/made ]
}

test_kernel_serves_them() { # shares and results are disks like others
	kernel_target
	mkdir src
	echo input >src/in
	vhost=on
	status 0 run --share src --out res -- sh -c 'cat in >/out/copy'
	equal "$(cat res/copy)" input
	nothing_left
}

test_disks_are_thrown_away() {
	truncate -s 1M disk.img
	write="echo kept >/dev/sda"
	status 0 run --disk disk.img -- sh -c "$write"
	equal "$(tr -d '\0' <disk.img)" ''
	status 3 run --disk disk.img --commit -- sh -c "$write; exit 3"
	equal "$(tr -d '\0' <disk.img)" ''
	status 0 run --disk disk.img --commit -- sh -c "$write"
	equal "$(tr -d '\0' <disk.img)" kept
	status 0 run --disk disk.img,overlay=off -- sh -c 'echo more >/dev/sda'
	equal "$(tr -d '\0' <disk.img)" more
	status 0 run --disk disk.img --overlay off -- sh -c 'echo last >/dev/sda'
	equal "$(tr -d '\0' <disk.img)" last
}

test_disks_of_a_failed_run() { # are left where one can look at them
	echo none | rootfs
	write='echo changed >/file; sync; exit'
	status 0 run --disk disk.img --root lun:0 --keep-on-fail kept -- sh -c "$write 0"
	equal "$(ls kept)" ''
	status 3 run --disk disk.img --root lun:0 --keep-on-fail kept --commit -- sh -c "$write 3"
	contains err 'disk.img, as the guest has left it, is scsi-disk0.img'
	equal "$(ls kept)" scsi-disk0.img
	e2fsck -fn kept/scsi-disk0.img >fsck || fail "$(cat fsck)"
	status 0 run --disk kept/scsi-disk0.img --root lun:0 -- cat /file
	equal "$(cat out)" changed
	status 1 run --disk disk.img --root lun:0 -- cat /file
}

test_nothing_is_left() {
	mkdir src res
	echo x >src/file
	status 0 run --share src --out res -- cp file /out
	equal "$(ls -A res src cache/lunette/share | grep -v erofs)" 'cache/lunette/share:
lock

res:
file

src:
file'
}

run_tests
