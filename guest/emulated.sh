# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # sourced by run-guest.sh, whose variables it uses
# emulated.sh - run-guest.sh's way where this machine's KVM cannot run a guest; sourced by it.
#
# The emulated machine (tests/lab/l1) has the same files at the same paths, so lunette is called
# there as here. What it reads is looked at, and put there; what it writes comes back at its end. What
# cannot be there is refused by name, before anything is started.

inputs=()                   # files that are read
ports=() port_names=()      # files that are written, and which option says so
logs=() folders=()          # a file that has a FILE.1 beside it, and folders, both as they are at the end
shared=() unset=()
lab=(--cpu "$arch" --timeout 0 --chdir "$PWD" --add "$binary:/bin/lunette")

no_such() { # WHAT WHY
	fail 201 "$1: not in the emulated machine, $2; where KVM runs guests it is (lunette doctor)"
}

value() { # DEVICE KEY: of "CLASS,KEY=VALUE,...", into $value; a comma is written twice
	local text=,${1//,,/$'\1'},
	value=
	[[ $text =~ ,$2=([^,]*), ]] || return
	value=${BASH_REMATCH[1]//$'\1'/,}
}

lab_file() { # OPTION FILE: to be read by both sides, so not a pipe
	[ -e "$2" ] || return 0 # lunette says so
	[ -f "$2" ] || no_such "$1 $2" 'which takes regular files'
	inputs+=("$2") lab+=(--add "$2")
}

lab_disk() { # FILE[,...]: as a disk of the emulated machine
	local text=,${1//,,/$'\1'}, file how=--disk lock=-x
	if [[ $text =~ ,file=([^,]*), ]]; then file=${BASH_REMATCH[1]}
	else file=${text#,} file=${file%%,*}
	fi
	file=${file//$'\1'/,}
	[ -e "$file" ] || return 0 # lunette says so
	[ -f "$file" ] || [ -b "$file" ] || fail 201 "$file: not a regular file or block device"
	[ -r "$file" ] || fail 201 "$file: not readable"
	case $text in
	*,readonly,* | *,readonly=on,*) how=--disk-ro lock=-s ;;
	*) [ -w "$file" ] || fail 201 "$file: not writable; add readonly=on to use it all the same" ;;
	esac
	[ $(($(stat -c %s "$file") % 512)) = 0 ] || fail 201 "$file: its size is not a multiple of 512"
	exec {fd}<"$file"
	flock -n $lock "$fd" || fail 201 "$file: in use by another guest"
	inputs+=("$file") lab+=("$how" "$file")
}

# new_output OPTION FILE: false: it is a stream that is the same there. Two that write to one file, or
# one that writes what another reads, would spoil it.
new_output() {
	local other
	case $2 in
	'' | - | /dev/null | /dev/stdout | /dev/stderr | /dev/fd/[12] | /proc/self/fd/[12]) return 1 ;;
	/dev/* | /proc/*) no_such "$1 $2" 'which has streams 0, 1 and 2 alone' ;;
	esac
	[ ! -e "$2" ] || [ -f "$2" ] || no_such "$1 $2" 'which writes to regular files'
	[ -d "$(dirname "$2")" ] || fail 201 "$1 $2: there is no such folder"
	[ ! -e "$2" ] || [ -w "$2" ] || fail 201 "$1 $2: cannot be written"
	[ -e "$2" ] || [ -w "$(dirname "$2")" ] || fail 201 "$1 $2: cannot be made"
	for other in "${inputs[@]}" "${ports[@]}" "${logs[@]}"; do
		[ ! "$2" -ef "$other" ] && [ "$(realpath -m "$2")" != "$(realpath -m "$other")" ] ||
			fail 200 "$1 $2: another option has this file, too"
	done
}
lab_port() { ! new_output "$@" || ports+=("$2") port_names+=("$1"); }
lab_log() { ! new_output "$@" || logs+=("$2"); }

lab_folder() { # OPTION DIR
	[ -d "$2" ] || [[ ! -e $2 && -w $(dirname "$2") ]] || fail 201 "$1 $2: cannot be made"
	folders+=("$2")
}

lab_root() { # lun:N | blk:N | DIR | FILE | oci:DIR[:TAG]
	local dir=${1#oci:}
	case $1 in
	lun:* | blk:*) ;;
	host | host,*) no_such "--root $1" 'which has a file system of its own' ;;
	oci:*)
		[ -d "$dir" ] || dir=${dir%:*}
		[ ! -d "$dir" ] || shared+=("$dir") ;;
	*) if [ -d "$1" ]; then shared+=("$1"); else lab_file --root "$1"; fi ;;
	esac
}

lab_device() { # CLASS[,KEY=VALUE...]
	local key
	case ${1%%,*} in
	scsi-disk | virtio-blk) lab_disk "${1#*,}" ;;
	scsi-cd) lab_disk "${1#*,},readonly=on" ;;
	virtio-net) no_such "--device $1" 'which has no network' ;;
	vhost-user-*) no_such "--device $1" 'which does not see the sockets here' ;;
	shared-disk) no_such "--device $1" 'which no other guest is in' ;;
	virtio-scsi)
		! value "$1" vhost || [[ $value == auto || $value == off ]] ||
			no_such "--device $1" 'whose kernel has no such target' ;;
	console-port)
		for key in in-fd out-fd; do
			! value "$1" $key || [[ $value == [012] || $value == none ]] ||
				no_such "--device $1" 'which has streams 0, 1 and 2 alone'
		done
		! value "$1" out || lab_port "--device $1: out" "$value" ;;
	serial) ! value "$1" file || lab_port "--device $1: file" "$value" ;;
	esac
}

# All options of lunette that name something of this machine; the others mean the same there.
lab_option() { # OPTION VALUE
	case $1 in
	--disk)
		! value "$2" shared || no_such "--disk $2" 'which no other guest is in'
		lab_disk "$2" ;;
	--cdrom) lab_disk "$2,readonly=on" ;;
	--device) lab_device "$2" ;;
	--share)
		[[ $2 != *,live=on* ]] || no_such "--share $2" 'which has a file system of its own'
		[ -d "${2%:/*}" ] || fail 201 "--share ${2%:/*}: there is no such folder"
		shared+=("${2%:/*}") ;;
	--root) lab_root "$2" ;;
	--out | --keep-on-fail | --dump-on-fail) lab_folder "$1" "${2%:/*}" ;;
	--console-log) lab_log "$1" "$2" ;;
	--json | --junit) lab_port "$1" "$2" ;;
	--trace) lab_port "$1" "${2#scsi=}" ;;
	--env) [[ $2 == *=* ]] || unset+=("$2") ;; # run-guest.sh has given it its value, if it has one
	--cpus) [ "$2" = 1 ] || lab+=(--cpus "$(nproc)") ;; # with one CPU a guest of one is faster
	--at) no_such --at 'whose disks and files are not seen here' ;;
	--vsock) no_such --vsock 'which has no sockets to this one' ;;
	--net) [ "$2" = none ] || no_such "--net $2" 'which has no network' ;;
	--publish) no_such "--publish $2" 'which has no network' ;;
	--gdb) no_such "--gdb $2" 'whose sockets and ports are not seen here' ;;
	--control) no_such "--control $2" 'whose sockets are not seen here' ;;
	--vhost) [ "$2" != on ] || no_such '--vhost on' 'where lunette itself serves disks' ;;
	esac
}

# The script of the emulated machine: lunette, and then what is to come back of files.
lab_script() {
	local i
	for i in "${!ports[@]}"; do
		lab+=(--out "$run/port$i")
		printf 'mkdir -p %q; ln -sf %q %q\n' "$(dirname "$(realpath -m "${ports[i]}")")" "$run/port$i" \
			"$(realpath -m "${ports[i]}")"
	done
	for i in "${logs[@]}"; do printf 'mkdir -p %q\n' "$(dirname "$i")"; done
	for i in "${folders[@]}"; do printf 'mkdir -p %q\n' "$i"; done
	for i in "${unset[@]}"; do printf 'unset %q\n' "$i"; done
	echo '/bin/lunette run "$@"; status=$?; cd /'
	for i in "${!logs[@]}"; do
		lab+=(--out "$run/log$i")
		printf 'cd %q; set -- %q %q; [ -e "$2" ] || set -- "$1"; [ ! -e "$1" ] || tar -cf %q "$@"\n' \
			"$(realpath -m "$(dirname "${logs[i]}")")" "./$(basename "${logs[i]}")" \
			"./$(basename "${logs[i]}").1" "$run/log$i"
	done
	for i in "${!folders[@]}"; do
		lab+=(--out "$run/folder$i")
		printf 'tar -cf %q -C %q .\n' "$run/folder$i" "$(realpath -m "${folders[i]}")"
	done
	echo 'exit $status'
}

# What has come back goes to its place. False: not all of it.
lab_collect() {
	local i name whole=0
	for i in "${!ports[@]}"; do
		[ ! -s "$run/port$i" ] || cat "$run/port$i" >"${ports[i]}" || whole=1
	done
	for i in "${!logs[@]}"; do
		[ -s "$run/log$i" ] || continue
		mkdir "$run/logs$i" && tar -xf "$run/log$i" --no-same-owner -C "$run/logs$i" || whole=1
		for name in "${logs[i]}" "${logs[i]}.1"; do
			[ ! -e "$run/logs$i/$(basename "$name")" ] ||
				cat "$run/logs$i/$(basename "$name")" >"$name" || whole=1
		done
	done
	for i in "${!folders[@]}"; do
		[ ! -s "$run/folder$i" ] || tar -xf "$run/folder$i" --no-same-owner -C "${folders[i]}" || whole=1
	done
	return $whole
}

lab_run() {
	local file i mib tools
	mib=$(($(numfmt --from=iec "$memory" 2>/dev/null || echo 0) >> 20))
	lab_file --kernel "$kernel"
	for file in "${initrds[@]}"; do lab_file --initrd "$file"; done
	for i in "${!keys[@]}"; do # first what is read
		[[ ${keys[i]} != --@(disk|cdrom) ]] || lab_option "${keys[i]}" "${values[i]}"
	done
	for i in "${!keys[@]}"; do
		[[ ${keys[i]} == --@(disk|cdrom) ]] || lab_option "${keys[i]}" "${values[i]}"
	done
	if [ ${#shared[@]} -gt 0 ]; then # made into images there, too
		if [ "$arch" = "$here" ]; then lab+=(--add "$(command -v mkfs.erofs)")
		else
			tools=$("$top/tests/lab/deb" -a "$arch" -r erofs-utils) || fail 201 "no mkfs.erofs of $arch"
			lab+=(--root "$tools" --add "$tools/usr/bin/mkfs.erofs:/bin/mkfs.erofs")
		fi
		for file in "${shared[@]}"; do lab+=(--share "$file"); done
		mib=$((mib + 2 * $(du -cm "${shared[@]}" 2>/dev/null | sed -n '$s/[^0-9].*//p')))
	fi
	lab+=(--mem $((mib + 768)))
	[ -z "$terminal" ] || lab+=(--tty)
	for file in "${folders[@]}"; do mkdir -p "$file"; done
	lab_script >"$run/script"
	"$top/tests/lab/l1" "${lab[@]}" "$run/script" "${args[@]}" <&"$in" &
}
