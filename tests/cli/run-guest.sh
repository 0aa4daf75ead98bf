#!/bin/bash
# SPDX-License-Identifier: MIT
# run-guest.sh - what a user sees of ../../run-guest.sh. A guest takes some seconds where it has to
# run in the emulated machine, so one guest shows several things.
. "$(dirname "$0")/../vm/lib.sh"
top=$tests/../..
run=$top/run-guest.sh

# A cache like the user's, but for the scratch disk, which another run may have.
own_scratch() {
	local entry cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette
	mkdir -p cache/lunette
	for entry in "$cache"/*; do
		[[ $entry == */scratch.* ]] || ln -s "$entry" cache/lunette
	done
	export XDG_CACHE_HOME=$PWD/cache
}

run_guest() { again_if_hung run_guest_once "$@"; }
run_guest_once() {
	timeout -k 5 120 "$run" "$@" >out 2>err </dev/null
}

test_command_output_and_status() { # byte for byte, and arguments as they are
	status 7 run_guest -- sh -c 'printf "[%s]\n" "$@"
		awk "BEGIN { for (i = 0; i < 256; i++) printf \"%c\", i }"; exit 7' - 'a  b' "it's" '"$HOME"' '*' '' 'é'
	{
		printf '[%s]\n' 'a  b' "it's" '"$HOME"' '*' '' 'é'
		for ((i = 0; i < 256; i++)); do printf "\\x$(printf %x $i)"; done
	} | cmp - out
}

long_reports() { # whichever machine it was
	mkdir 'a, b'
	status 4 run_guest --json 'a, b/r.json' --junit=r.xml -- \
		sh -c 'printf "1..2\nok 1 - a\nnot ok 2 - b\n"; exit 4'
	contains 'a, b/r.json' '"cause": "exit"'
	contains 'a, b/r.json' '"status": 4'
	contains r.xml '<failure type="exit" message="exit status 4">'
	contains r.xml '<testcase classname="stdout" name="b"><failure'
	status 201 run_guest --json none/r.json -- true
	contains err 'none/r.json: '
}

test_killed_command() { status 137 run_guest -- sh -c 'kill -9 $$'; }

test_script_on_stdin() { # the guest's: nothing that is run before it reads any of it
	seq 2000 | sed 's/^/echo /' >script
	echo 'echo the sum is $((6 * 7)); exit 3' >>script
	rc=0
	timeout 120 "$run" --cpus 2 --memory 300M <script >out 2>err || rc=$?
	equal "$rc" 3
	{ seq 2000; echo the sum is 42; } | cmp - out
}

long_scratch_disk_is_kept() {
	own_scratch
	status 0 run_guest -- sh -c 'mount LABEL=scratch /mnt && cat /proc/sys/kernel/random/uuid |
		tee /mnt/lunette-test'
	mv out first
	status 0 run_guest -- sh -c 'mount /dev/sda /mnt && cat /mnt/lunette-test && rm /mnt/lunette-test'
	cmp out first
}

test_own_disks() { # by relative paths, with a blank and a comma
	mkdir 'my disks'
	head -c 1M /dev/urandom >'my disks/a, b.img'
	head -c 1M /dev/urandom >fixed.img
	cp fixed.img before.img
	cd 'my disks'
	status 0 run_guest --disk 'a,, b.img,serial=mine,overlay=off' --disk=../fixed.img,readonly=on -- sh -c '
		cat /sys/block/sd?/size /sys/block/sd?/ro; dd if=/dev/sdb of=/dev/sda bs=64k conv=fsync'
	contains out '^2048$'
	equal "$(sed -n 3,4p out)" '0
1'
	cmp ../fixed.img ../before.img
	cmp 'a, b.img' ../before.img
}

test_files_in_and_out() { # whatever the command's end
	mkdir 'my src'
	echo input >'my src/in'
	ln -s in 'my src/link'
	status 3 run_guest --share 'my src' --out 'my res' --json report --trace scsi=trace -- sh -c '
		pwd; cat link; cp in "$LUNETTE_OUT/copy"; echo x >new; exit 3'
	equal "$(cat out)" "$PWD/my src
input"
	equal "$(cat 'my res/copy')" input
	equal "$(ls 'my src' 'my res' | tr '\n' ' ')" 'my res: copy  my src: in link '
	contains report '"status": 3,'
	contains trace 'INQUIRY|12'
}

test_whatever_is_written() { # also where the guest runs in an emulated machine
	echo old >trace
	status 5 run_guest --console-log log --trace=scsi=trace --device serial,port=1,file=com2 \
		--device 'console-port,name=p,out=a,, b' --env HOME --env NONE --env FROM='a b' \
		--append loglevel=7 -- sh -c 'echo $HOME ${NONE-none} $FROM
		port=$(dirname "$(grep -lx p /sys/class/virtio-ports/*/name)")
		echo by a port >/dev/${port##*/}; echo by the serial port >/dev/ttyS1; exit 5'
	equal "$(cat out)" "$HOME none a b"
	contains log 'Linux version'
	contains trace 'INQUIRY|12'
	! grep old trace || fail 'it was not emptied'
	contains com2 'by the serial port'
	equal "$(cat 'a, b')" 'by a port'
}

long_disk_of_a_failed_run_is_kept() {
	truncate -s 1M disk.img
	status 1 run_guest --disk disk.img,serial=mine --keep-on-fail kept -- sh -c 'echo kept >/dev/sda; exit 1'
	equal "$(tr -d '\0' <disk.img)" ''
	equal "$(cat kept/* | tr -d '\0')" kept
}

long_disks_are_thrown_away() { # unless it is said otherwise
	truncate -s 1M disk.img
	status 0 run_guest --disk disk.img -- sh -c 'echo kept >/dev/sda'
	equal "$(tr -d '\0' <disk.img)" ''
	status 0 run_guest --disk disk.img --commit -- sh -c 'echo kept >/dev/sda'
	equal "$(tr -d '\0' <disk.img)" kept
}

long_two_at_once() {
	own_scratch
	timeout 120 "$run" -- sh -c 'echo up; sleep 5; cat /sys/block/sda/size' >first 2>&1 </dev/null &
	first=$!
	until_true 60 grep -q ^up first
	status 0 run_guest -- cat /sys/block/sda/size
	equal "$(cat out)" 524288
	contains err 'scratch disk is in use'
	status 0 wait $first
}

test_kernel_missing() {
	status 201 run_guest --kernel none -- true
	cat out >>err # where the emulated machine's console is
	contains err 'none.*No such file'
}

test_kernel_micro_not_made() { # says how
	status 201 env XDG_CACHE_HOME="$PWD" "$top/lunette" run --kernel micro 2>err
	contains err "$PWD/lunette/kernel-micro/vmlinux: No such file.*lunette kernel build"
}

# fails_by LINE OPTION...: with that line alone, a pattern
fails_by() {
	local line=$1
	shift
	status 201 run_guest "$@" -- true
	contains err "^$line"
	equal "$(wc -l <err)" 1
}

test_kernel_that_is_none() { # a folder, a version, of another machine; nothing is started
	mkdir empty
	fails_by 'lunette: error: --kernel empty: this folder has no kernel: .*make -j' --kernel empty
	fails_by 'run-guest: --kernel full: not there yet; "make guest-kernel FULL=1" makes it$' --kernel full
	fetch_fails
	fails_by 'lunette: error: --kernel 9.9: apt' --kernel 9.9
	fails_by 'run-guest: --kernel host: of [^ ]*, as this system is; --arch [^ ]* takes a FILE' \
		--kernel host --arch "$(uname -m | sed 's/^x86_64$/aarch64/; t; s/.*/x86_64/')"
}

test_kernel_of_this_system_that_has_none() {
	unshare -rm true || skip 'no namespaces, in which this system has none'
	run_guest() {
		unshare -rm sh -c 'for d in /boot /lib/modules; do
			[ ! -d $d ] || mount -t tmpfs none $d; done; "$@"' sh timeout 120 "$run" "$@" >out 2>err </dev/null
	}
	fails_by 'lunette: error: --kernel host: no kernel of this system: .*its package brings one' --kernel host
}

# Debian's, as a build leaves it: objects in modules.order, no index.
tree() {
	local stock
	stock=$("$top/tests/lab/kernel")
	release=$(ls "$stock/lib/modules")
	mkdir -p tree/arch/x86/boot tree/include/config
	cp "$stock/vmlinuz" tree/arch/x86/boot/bzImage
	cp -rs "$stock/lib/modules/$release/kernel/"* tree
	(cd tree && find . -name '*.ko' | sed 's,^\./,,; s/ko$/o/') >order
	mv order tree/modules.order
	echo "$release" >tree/include/config/kernel.release
}
looks() { # KERNEL: it is that one, and has its modules
	truncate -s 1M disk.img
	status 0 run_guest --kernel "$1" --disk disk.img -- sh -c 'uname -r; cat /sys/block/sda/size'
	equal "$(cat out)" "$release
2048"
}

test_kernel_of_a_tree() {
	[ "$(uname -m)" = x86_64 ] || skip 'the tree is of x86_64'
	tree
	looks tree
}

long_kernel_of_a_version() { # as "lunette kernel get" leaves it
	[ "$(uname -m)" = x86_64 ] || skip 'the kernel is of x86_64'
	tree
	own_scratch
	rm -f cache/lunette/kernels
	mkdir -p cache/lunette/kernels
	cp -rs "$(readlink -f "$("$top/tests/lab/kernel")")" "cache/lunette/kernels/$release"
	ln -s "$release" cache/lunette/kernels/6.1
	looks 6.1
}

# The cache has these entries of the user's alone, and apt fails.
fetch_fails() { # NAME...
	local name
	mkdir -p bin cache/lunette
	printf '#!/bin/sh\nexit 1\n' >bin/apt-get
	chmod 755 bin/apt-get
	for name; do ln -s "${XDG_CACHE_HOME:-$HOME/.cache}/lunette/$name" cache/lunette; done
	export XDG_CACHE_HOME=$PWD/cache PATH=$PWD/bin:$PATH
}

test_kernel_not_fetched() {
	fetch_fails
	status 201 run_guest -- true
	contains err '^run-guest: no kernel for guests'
}

test_busybox_not_fetched() {
	fetch_fails kernel
	status 201 run_guest -- true
	contains err '^run-guest: no busybox for guests'
}

test_small_kernel_needs_no_other() {
	fetch_fails
	mkdir cache/lunette/kernel-micro
	touch cache/lunette/kernel-micro/vmlinux
	status 201 run_guest --kernel micro -- true
	contains err '^run-guest: no busybox for guests'
}

test_no_sense() { # is refused at once, and no machine is emulated for that
	local words
	for words in '--cpus 65 -- true' '--cpu 2 -- true' 'true' '--memory 4'; do
		status 200 run_guest $words
		contains err "^lunette: error: .*${words%% *}"
		equal "$(wc -l <err)" 1
	done
	status 200 run_guest --json r.json --share -- true
	contains r.json '"cause": "usage"'
}

test_disk_missing() {
	status 201 run_guest --disk none.img -- true
	cat out >>err # where the emulated machine's console is
	contains err 'none.img.*no such file'
}

test_disk_is_a_folder() {
	status 201 run_guest --disk . -- true
	cat out >>err # where the emulated machine's console is
	contains err '(directory|regular file)'
}

test_help() {
	status 0 run_guest --help
	contains out '^  --disk FILE'
	[ ! -s err ]
}

# A terminal of its own; KEYS go to its keyboard when the guest's shell is there.
session() { # STATUS KEYS
	mkfifo keys
	cat >session <<-END
		stty -g >before
		'$run'
		echo \$? >status
		stty -g >after
	END
	TERM=vt100 timeout -k 5 120 script -qfec 'sh session' out <keys >/dev/null 2>err &
	exec 3>keys
	until_true 60 grep -q '# ' out
	printf "$2" >&3
	until_true 30 test -s after
	exec 3>&-
	equal "$(cat after)" "$(cat before)"
	equal "$(cat status)" "$1"
}

test_shell() {
	session 0 'echo $TERM $((6 * 7)); exit\n'
	contains out 'vt100 42'
}

long_poweroff_from_the_shell() { # it has said what there is
	own_scratch
	session 0 'poweroff\n'
	contains out '^Linux [^ ]+, 1 CPU, [0-9]+ MiB'
	contains out '^lun:0  sda  256 MiB  scratch.img'
}

test_escape_from_the_shell() { session 208 'echo hello\n\001x'; }

test_terminated() {
	"$run" -- sh -c 'echo up; sleep 100' >out 2>err </dev/null &
	until_true 60 grep -q ^up out
	kill $!
	status 143 wait $!
}

# What cannot be in the emulated machine is refused by name, and nothing is started.
refused() { # PATTERN OPTION...
	local pattern=$1
	shift
	emulated || skip 'guests run on this KVM'
	status 201 run_guest "$@" -- true
	contains err "^run-guest: $pattern"
	! [ -s out ] || fail 'it was started'
}
test_control_socket() { refused '--control s: not in the emulated machine' --control s; }
test_network() {
	refused '--net user: not in the emulated machine' --net user
	refused '--device virtio-net,tap=t0: not in' --device=virtio-net,tap=t0
}
test_devices_of_other_programs() {
	refused '--device vhost-user-blk,socket=s: not in the emulated machine, which does not see' \
		--device vhost-user-blk,socket=s
	refused '--device vhost-user-fs,socket=s,tag=t: not in' --device=vhost-user-fs,socket=s,tag=t
	refused '--disk d.img,shared=x: not in the emulated machine, which no other guest is in' \
		--disk d.img,shared=x
}
test_descriptors() {
	refused '--device console-port,p,out-fd=3: not in' --device console-port,p,out-fd=3 3>file
	refused '--json /dev/fd/3: not in' --json /dev/fd/3 3>file
}
test_files_that_are_none() {
	refused '--initrd /dev/fd/[0-9]*: not in' --initrd <(echo)
	mkfifo pipe
	refused '--trace pipe: not in' --trace scsi=pipe
}
test_kernels_target() {
	refused '--vhost on: not in' --vhost on
	refused '--device virtio-scsi,vhost=on: not in' --device virtio-scsi,vhost=on
}
test_share_that_is_not_there() { status 201 run_guest --share nosuch -- true; contains err 'share nosuch'; }

test_output_that_is_an_input() { # and stays as it was
	echo precious >disk.img
	truncate -s 1M disk.img
	cp disk.img before
	ln disk.img other
	for option in --json --console-log; do
		status 200 run_guest --disk disk.img $option other -- true
		cmp disk.img before
	done
	status 200 run_guest --json same --junit ./same -- true
	[ ! -e same ]
}

test_option_without_its_value() {
	status 200 run_guest --disk disk.img --json -- true
	cat out >>err # where the emulated machine's console is
	contains err 'json'
}

# So that an option that is added is thought of, too.
test_every_option_is_known_there() {
	plain='--kernel --initrd --append --user --console --console-limit --cpus --memory --on-enospc --on-reboot
		--balloon --reboot-limit --overlay
		--commit --expect --boot-budget --out-limit --file-limit --tty --cwd --timeout --boot-timeout --explain --log'
	for option in $("$top/lunette" run --help | grep -oE '^ *(-t, )?--[a-z-]+' | grep -oE -- '--.*'); do
		grep -qE -- "^	$option( \||\)| )|\| $option\b" "$top/guest/emulated.sh" ||
			[[ " ${plain//[$'\n\t']/ } " == *" $option "* ]] || fail "$option: is it of the host?"
	done
}

long_second_start_makes_nothing() {
	local built
	built=$top/build/$(uname -m)
	own_scratch # others may put something into the user's cache meanwhile
	status 0 run_guest -- true
	: >mark
	status 0 run_guest -- true
	find cache "$built"/{vmm,devices,virtio,guest} "$top/lunette" -type f \
		! -name 'scratch.*' -newer mark >made
	equal "$(cat made)" ''
}

test_setup_without_root() { # says the command
	[ "$(id -u)" = 0 ] || skip 'only root can be somebody without sudo'
	mkdir bin
	printf '#!/bin/sh\nexit 1\n' | tee bin/dpkg-query >bin/sudo
	chmod 755 bin/*
	chmod 755 . && cp "$top/guest/setup.sh" .
	status 201 setpriv --reuid 65534 --clear-groups env PATH="$PWD/bin:$PATH" ./setup.sh run 2>err
	contains err 'apt-get install -y .*gcc .*acpica-tools'
	equal "$(wc -l <err)" 1
}

run_tests
