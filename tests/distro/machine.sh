# SPDX-License-Identifier: MIT
# machine.sh - fresh machines of distributions: what debootstrap makes with the fewest packages, entered by
# chroot. Each is made once, with root's rights, and kept in the cache. It is sourced, with $top set; what tests
# say wants $work, a folder, too.
# shellcheck shell=bash
# shellcheck disable=SC2154
machines=${XDG_CACHE_HOME:-$HOME/.cache}/lunette/distro
home=root # the folder, in such a machine, of who works there

of_suite() { # SUITE: sets $kind, $mirror, $keyring, and which archives are its sources
	case $1 in
	bookworm | trixie) kind=debian archives=("$1" "$1-updates") components=main ;;
	jammy | noble) kind=ubuntu archives=("$1" "$1-updates" "$1-security") components='main universe' ;;
	*) echo "machine.sh: no suite \"$1\": bookworm, trixie, jammy, noble" >&2; exit 200 ;;
	esac
	mirror=$("$top/tests/lab/mirror" $kind) || return
	case $kind in
	debian) keyring=$("$top/tests/lab/deb" debian-archive-keyring) ;;
	ubuntu) keyring=$("$top/tests/lab/deb" -s trixie ubuntu-keyring) ;;
	esac || return
	keyring+=/usr/share/keyrings/$kind-archive-keyring.gpg
}

# A fresh machine, in the cache. debootstrap is Debian 13's, as older ones do not know newer suites.
fresh() { # SUITE
	local tree archive new=$machines/$1.new
	[ ! -d "$machines/$1" ] || return 0
	tree=$("$top/tests/lab/deb" -s trixie debootstrap) || return
	rm -rf "$new" && mkdir -p "$new" "$machines/packages/$1/partial"
	DEBOOTSTRAP_DIR=$tree/usr/share/debootstrap "$tree/usr/sbin/debootstrap" --variant=minbase \
		--keyring="$keyring" --components="${components// /,}" "$1" "$new" "$mirror" || return
	for archive in "${archives[@]}"; do echo "deb $mirror $archive $components"; done \
		>"$new/etc/apt/sources.list"
	echo force-unsafe-io >"$new/etc/dpkg/dpkg.cfg.d/unsafe-io" # a machine that is thrown away
	mv "$new" "$machines/$1"
}

# inside FOLDER SUITE COMMAND...: in such a machine, in the project's folder if it is there, with nothing of
# this environment. What it mounts and starts ends with it; the packages that it downloads are kept.
inside() {
	unshare --mount --pid --fork --kill-child bash -c '
		root=$1 packages=$2 home=$3
		shift 3
		mount --make-rprivate / && mount --bind "$root" "$root" && mount --rbind /dev "$root/dev" &&
			mount --rbind /sys "$root/sys" && mount -t proc proc "$root/proc" &&
			mount --bind "$packages" "$root/var/cache/apt/archives" &&
			exec chroot "$root" env -i HOME="/$home" TERM=xterm PATH=/usr/sbin:/usr/bin:/sbin:/bin \
				http_proxy="${http_proxy-}" sh -c "cd ~/lunette 2>/dev/null || cd; exec \"\$@\"" sh "$@"
	' bash "$1" "$machines/packages/$2" "$home" "${@:3}"
}

copy_of() { # SUITE FOLDER: a machine to be spoiled
	cp -a "$machines/$1" "$2" && cp -L /etc/resolv.conf "$2/etc/resolv.conf"
}
with_project() { # FOLDER: as it is here, in that machine
	mkdir "$1/$home/lunette" && tar -C "$top" -c --exclude=./build --exclude=./lunette --exclude=./.git . |
		tar -C "$1/$home/lunette" -x --no-same-owner
}

# What tests say: a line for each, as tests/run.sh has them, and totals.
passed=0 failed=0 skipped=0
skip() { # NAME REASON
	echo "skip $1 ($2)"
	skipped=$((skipped + 1))
}
said() { # STATUS NAME MORE: of the log, if it failed, as much as tells why
	if [ "$1" = 0 ]; then
		echo "ok distro/$2 ($3)"
		passed=$((passed + 1))
	else
		grep -v ': [0-9]* passed, 0 failed (status 0)$' "$work/log" | tail -n 60
		echo "not ok distro/$2 ($3)"
		failed=$((failed + 1))
		return 1
	fi
}
made() { # SUITE: one that cannot be made here, as its mirror is out of reach, is skipped
	of_suite "$1" && fresh "$1" >"$work/log" 2>&1 && return
	rm -rf "$machines/$1.new"
	if grep -q 'Failed getting release file' "$work/log"; then skip "distro/$1" "$(tail -n 1 "$work/log")"
	else said 1 "$1/made" 'no such machine'
	fi
	return 1
}
# step NAME SECONDS STATUS WORDS COMMAND...: in the machine $root, of $suite, it ends with STATUS, and its last
# line has WORDS, a regular expression.
step() {
	local name=$1 limit=$2 status=$3 words=$4 rc good=1 began=$SECONDS
	shift 4
	inside "$root" "$suite" timeout "$limit" "$@" >"$work/log" 2>&1 </dev/null
	rc=$?
	[ $rc != "$status" ] || ! grep -q -- "$words" <<<"$(tail -n 1 "$work/log")" || good=0
	[ $good != 0 ] || { said 0 "$suite/$name" "$((SECONDS - began)) s"; return; }
	said 1 "$suite/$name" "status $rc; expected: $status, \"$words\""
}
totals() { # false: one has failed
	local more=
	[ $skipped = 0 ] || more=", $skipped skipped"
	echo "$passed passed, $failed failed$more"
	[ $failed = 0 ]
}
