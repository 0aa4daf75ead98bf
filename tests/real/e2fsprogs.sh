#!/bin/bash
# SPDX-License-Identifier: MIT
# e2fsprogs.sh - the test suite of e2fsprogs, from Debian's source, run as its developer would: built on a
# Debian 13, and there, by an installed lunette and an ordinary user, in guests that have that system
# itself (--root host).
#
#   usage: e2fsprogs.sh [FOLDER [TEST...]]
#
# That Debian is a folder (tests/distro/machine.sh), which the lab host makes its root. FOLDER (build/real)
# has e2fsprogs/tap, what the suite printed, and e2fsprogs/junit.xml then. TESTs are the suite's,
# as f_dup; if none is named, 73 of its 404, which take three minutes where a machine is emulated.
#
# The exit status is 0 when the guests have run, and the JUnit file has all of the suite's tests,
# even if tests of e2fsprogs fail: that is for those to know who maintain it. 77: only root can make such
# a machine.
set -euo pipefail
top=$(readlink -f "$(dirname "$0")/../..")
dir=${1:-$top/build/real}
shift $(($# > 0))
mkdir -p "$dir"
dir=$(readlink -f "$dir")
[ "$(id -u)" = 0 ] || { echo 'e2fsprogs: only root can make a Debian in a folder'; exit 77; }
PATH=$PATH:/usr/sbin:/sbin
. "$top/tests/distro/machine.sh"
"$top/guest/setup.sh" run distro
machine=$dir/trixie

# Once: a compiler, the program that serves folders, the sources, built.
if [ ! -d "$machine" ]; then
	of_suite trixie && fresh trixie >"$dir/machine.log" 2>&1 || { tail -n 20 "$dir/machine.log"; exit 1; }
	rm -rf "$machine.new"
	cp -a "$machines/trixie" "$machine.new"
	cp -L /etc/resolv.conf "$machine.new/etc/resolv.conf"
	inside "$machine.new" trixie sh -ec '
		sed "s/^deb /deb-src /" /etc/apt/sources.list >/etc/apt/sources.list.d/src.list
		apt-get -qq update
		apt-get -qq --no-install-recommends install gcc make libc6-dev pkg-config virtiofsd
		useradd -m ann
		mkdir /results
		cd /home/ann
		apt-get --print-uris source e2fsprogs | grep -E "orig\.tar\.[a-z0-9]+ " | { # not its signature, which mirrors lack
			read -r uri file size hash
			uri=${uri#?} uri=${uri%?} # quotes
			/usr/lib/apt/apt-helper download-file "$uri" "$file" "$hash"
			mkdir e2fsprogs
			tar -xf "$file" -C e2fsprogs --strip-components 1
		}
		chown -R ann: /home/ann /results
		cd e2fsprogs
		setpriv --reuid ann --regid ann --clear-groups sh -ec "
			./configure --disable-nls --disable-uuidd --disable-fuse2fs
			make -j $(nproc)
			make -C tests test_pre test_script"
	' >"$dir/machine.log" 2>&1 || { tail -n 20 "$dir/machine.log"; exit 1; }
	mv "$machine.new" "$machine"
fi

# Each time: lunette, and the small kernel, or Debian's.
make -s -C "$top" install DESTDIR="$machine" PREFIX=/usr >"$dir/install.log" 2>&1 || { tail "$dir/install.log"; exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lunette own=$machine/home/ann/.cache/lunette kernel=micro
rm -rf "$own" && mkdir -p "$own/kernels"
if [ -e "$cache/kernel-micro" ]; then cp -rL "$cache/kernel-micro" "$own/kernel-micro"
else
	stock=$("$top/tests/lab/kernel")
	kernel=$(ls "$stock/lib/modules")
	cp -r "$stock" "$own/kernels/$kernel"
fi

[ $# -gt 0 ] || set -- $(cd "$machine/home/ann/e2fsprogs/tests" && ls -d f_[a-d]* m_[a-e]*)

# What the guest runs, what ann does, and what the lab host does for her.
cat >"$machine/home/ann/suite" <<'SUITE'
./test_script "$@" 2>&1 | tee log | awk '
	BEGIN { print "TAP version 13" }
	/: ok$/ { print "ok " ++n " - " $0 }
	/: failed$/ { print "not ok " ++n " - " $0 }
	/: skipped/ { print "ok " ++n " - " $0 " # SKIP" }
	{ fflush() }
	END { print "1.." n }'
SUITE
cat >"$machine/home/ann/develop" <<'END'
kernel=$1
shift
cd ~/e2fsprogs/tests
echo 'int main(void) { return 42; }' >answer.c
lunette run --kernel "$kernel" --root host -- sh -c 'gcc answer.c -o answer && ./answer'
echo "gcc in the guest: $?"
lunette run --kernel "$kernel" --root host --memory 1G --timeout 90m --junit /results/junit.xml -- \
	sh ~/suite "$@" >/results/tap
echo "the guest: $?"
END
cat >"$dir/script" <<'END'
machine=$1 kernel=$2 results=$3
shift 3
chmod 666 /dev/kvm
mkdir /results
chmod 777 /results
mount --bind /results "$machine/results"
for folder in dev sys; do mount --rbind /$folder "$machine/$folder"; done
mount -t proc proc "$machine/proc"
cd "$machine"
chown 1000:1000 home/ann home/ann/e2fsprogs/tests $(find home/ann/.cache) # in a share all is root's
mount --move . / # as a root of its own: nobody in a chroot may have a user namespace
chroot . /usr/bin/env -i HOME=/home/ann USER=ann PATH=/usr/bin:/usr/sbin /usr/bin/setpriv --reuid 1000 --regid 1000 \
	--clear-groups sh /home/ann/develop "$kernel" "$@"
tar -C /results -cf "$results" .
END
results=$dir/e2fsprogs.tar
: >"$results"
"$top/tests/lab/l1" --mem 8192 --timeout 7200 --share "$machine" --out "$results" "$dir/script" \
	"$machine" "$kernel" "$results" "$@" >"$dir/e2fsprogs.log"
rm -rf "$dir/e2fsprogs"
mkdir "$dir/e2fsprogs"
tar -xf "$results" -C "$dir/e2fsprogs"
cat "$dir/e2fsprogs.log"
grep -qx 'gcc in the guest: 42' "$dir/e2fsprogs.log"
count() { grep -c "$1" "$dir/e2fsprogs/tap" || true; }
bad=$(count '^not ok ') out=$(count ' # SKIP$')
good=$(($(count '^ok ') - out))
echo "e2fsprogs: $good passed, $bad failed, $out skipped"
[ "$good" -gt 0 ]
# One more is the run itself.
[ "$(grep -c '<testcase ' "$dir/e2fsprogs/junit.xml")" = $((good + bad + out + 1)) ]
