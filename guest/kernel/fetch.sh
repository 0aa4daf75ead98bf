#!/bin/sh
# SPDX-License-Identifier: MIT
# fetch.sh - a kernel of this distribution's, by its version, into a folder; nothing is installed.
#
#   usage: fetch.sh VERSION FOLDER     "lunette kernel get" and "lunette run --kernel VERSION" run this
#
# VERSION is a release as Debian and Ubuntu have it, 6.1.0-32-amd64, or what one begins with, 6.1: then the
# newest is taken, and of its flavours the one for virtual machines, or the usual one. FOLDER, an absolute
# path, gets RELEASE/vmlinuz, config and lib/modules/RELEASE, and a link from VERSION to RELEASE. Prints
# RELEASE; or a line that says why not, and the status is 1. A signal leaves nothing half made.
#
# Rights are not needed: apt downloads and verifies, and where its lists do not know the kernel, as they are
# old or none in a container, it gets lists of its own in FOLDER/.apt.
set -u
PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
export PATH LC_ALL
case $#:${1-} in
*/* | 2: | 2:.*) set -- ;; # it becomes a name
esac
[ $# = 2 ] || { sed -n 's/^#   *usage/usage/p' "$0" >&2; exit 200; }
version=$1 folder=$2
work= job= own=

# Who runs this takes what is on stderr for the reason: nothing else goes there.
exec 3>&2 2>/dev/null
fail() {
	echo "$*" >&3
	exit 1
}
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap '[ -z "$job" ] || { kill "$job"; wait "$job"; }; exit 143' HUP INT TERM

# A shell heeds signals between its commands alone: what takes long runs beside it.
beside() {
	"$@" 2>"$work/said" &
	job=$!
	wait "$job"
	set -- $?
	job=
	return "$1"
}
last_words() { sed -n 's/^[EWN]: //; /./h; ${x;p;}' "$work/said"; }

apt() { # PROGRAM WORD...
	local program=$1
	shift
	[ -z "$own" ] || set -- -o "Dir::State::Lists=$own/lists" -o "Dir::Cache=$own/cache" "$@"
	beside "$program" -qq -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=2 "$@"
}

# Other distributions have other ways, and packages.
refuse() {
	local how=
	for tool in dnf pacman apk zypper; do
		command -v $tool >/dev/null && break
	done
	case $tool in
	dnf) how="'dnf download kernel-core kernel-modules-core' fetches one" ;;
	pacman) how="'pacman -Sw linux' fetches one" ;;
	apk) how="'apk fetch linux-virt' fetches one" ;;
	*) how="another package tool fetches one" ;;
	esac
	fail "kernels are fetched by apt-get and dpkg-deb, which are not here; $how, 'bsdtar -xf' unpacks it," \
		"and --kernel takes the folder in it that has vmlinuz"
}
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || refuse

# Of a usual flavour, the oldest first: what the release begins with, how good the flavour is, the release.
flavours="cloud-$(dpkg --print-architecture) $(dpkg --print-architecture) generic"
usual() {
	awk -v flavours="$flavours" '{
		n = split(flavours, flavour)
		for (i = 1; i <= n; i++) {
			head = substr($0, 1, length($0) - length(flavour[i]) - 1)
			if (head "-" flavour[i] == $0 && head ~ /^[0-9.]+([+][a-z0-9.]+)?(-[0-9][a-z0-9.]*)*$/)
				print head, n - i, $0
		}
	}' "$work/releases" | sort -k 1,1V -k 2,2n
}

look() { # which release is meant
	apt apt-cache search --names-only '^linux-image-[0-9]' >"$work/names" || :
	sed -n 's/^linux-image-\([0-9][^ ]*\).*/\1/p' "$work/names" >"$work/releases"
	release=$(grep -xF -e "$version" "$work/releases") || release=$(usual | version=$version awk '{
		wanted = ENVIRON["version"]
		if (index($3, wanted) == 1 && substr($3, length(wanted)) !~ /^[0-9][0-9]/)
			found = $3
	} END { print found }')
}

# An image of Linux 7, as Debian has it, and of Ubuntu's any: its files are in packages that it depends on.
list() { # sets $packages
	local part
	packages=linux-image-$release
	apt apt-cache depends "$packages" >"$work/depends" || :
	for part in base binary modules; do
		! grep -qxF "  Depends: linux-$part-$release" "$work/depends" ||
			packages="$packages linux-$part-$release"
	done
}

download() { # PACKAGE...
	rm -rf "$work/deb"
	mkdir "$work/deb" && cd "$work/deb" || return
	apt apt-get download "$@" >/dev/null
}

unpack() {
	local deb
	for deb in "$work"/deb/*.deb; do
		beside dpkg-deb -x "$deb" "$work/x" || fail "${deb##*/} cannot be unpacked: $(last_words)"
		rm "$deb"
	done
}

# first FILE...: the first of them that is there
first() {
	local file
	for file; do
		[ ! -f "$file" ] || { echo "$file"; return; }
	done
}

arrange() { # as --kernel takes a folder
	local x=$work/x out=$work/out image config dir
	image=$(first "$x"/boot/vmlinuz-* "$x"/boot/vmlinux-* "$x"/usr/lib/modules/*/vmlinuz)
	config=$(first "$x"/boot/config-* "$x"/usr/lib/modules/*/config)
	[ -n "$image" ] || { echo 'there is no kernel in it' >&2; return 1; }
	# Ubuntu's is root's alone
	mkdir -p "$out/lib/modules" && mv "$image" "$out/vmlinuz" && chmod 644 "$out/vmlinuz" || return
	[ -z "$config" ] || mv "$config" "$out/config" || return
	for dir in "$x/lib/modules/$release" "$x/usr/lib/modules/$release"; do
		[ ! -d "$dir" ] || cp -rl "$dir" "$out/lib/modules/" || return
	done
	mv -T "$out" "$folder/$release"
}

get() { # false: apt does not have it, or cannot fetch it
	[ -n "$release" ] || return
	[ ! -d "$folder/$release" ] || return 0
	list
	download $packages || return
	unpack
	# Ubuntu has some file systems in a package of their own
	if [ -z "$(find "$work/x" -name 'erofs.ko*')" ] && download "linux-modules-extra-$release"; then unpack; fi
	arrange 2>"$work/why" || fail "linux-image-$release: $(cat "$work/why")"
}

exec 9>"$folder/.lock" || fail "$folder: it cannot be written to"
flock 9 # one at a time; what another one has left is of the dead
rm -rf "$folder"/.new.*
work=$(mktemp -d "$folder/.new.XXXXXX") || exit 1

# Lists of our own that are less than an hour old are not fetched again.
renew() {
	own=$folder/.apt
	mkdir -p "$own/lists/partial" "$own/cache/archives/partial"
	[ -z "$(find "$own/renewed" -mmin -60 2>/dev/null)" ] || return 0
	apt apt-get update >/dev/null || :
	cp "$work/said" "$work/update"
	[ -s "$work/update" ] || : >"$own/renewed"
}
why_none() {
	local why known
	why=$(sed -n 's/^[EW]: Failed to fetch [^ ]* *//p' "$work/update" 2>/dev/null | head -n 1)
	[ -z "$why" ] || fail "apt's lists do not have it, and cannot be renewed: $why"
	# the newest of each series
	known=$(usual | awk '{ split($1, part, /[.]/); series = part[1] "." part[2] }
		NR > 1 && series != last { all = all newest ", " }
		{ last = series; newest = $1 }
		END { printf "%s", all newest }')
	[ -n "$known" ] || fail 'apt has no kernels at all in its lists: no package linux-image-VERSION'
	fail "apt has no such kernel; it has $known"
}

look
get || {
	renew
	look
	[ -n "$release" ] || why_none
	get || fail "linux-image-$release cannot be fetched: $(last_words)"
}
if [ "$version" != "$release" ]; then
	ln -s "$release" "$work/link" && mv -T "$work/link" "$folder/$version" ||
		fail "$folder/$version: it cannot be made"
fi
echo "$release"
