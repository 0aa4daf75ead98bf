# SPDX-License-Identifier: MIT
# machine.sh - fresh machines of distributions: what debootstrap makes with the fewest packages, entered by
# chroot. Each is made once, with root's rights, and kept in the cache. It is sourced, with $top set.
# shellcheck shell=bash
machines=${XDG_CACHE_HOME:-$HOME/.cache}/lunette/distro

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
		root=$1 packages=$2
		shift 2
		mount --make-rprivate / && mount --bind "$root" "$root" && mount --rbind /dev "$root/dev" &&
			mount --rbind /sys "$root/sys" && mount -t proc proc "$root/proc" &&
			mount --bind "$packages" "$root/var/cache/apt/archives" &&
			exec chroot "$root" env -i HOME=/root TERM=xterm PATH=/usr/sbin:/usr/bin:/sbin:/bin \
				http_proxy="${http_proxy-}" sh -c "cd ~/lunette 2>/dev/null || cd; exec \"\$@\"" sh "$@"
	' bash "$1" "$machines/packages/$2" "${@:3}"
}
