#!/bin/bash
# SPDX-License-Identifier: MIT
# e2fsprogs.sh - the test suite of e2fsprogs, from Debian's source, run as its developer would: built on a
# Debian 13, and there, by an installed lunette and an ordinary user, in guests that have that system
# itself (--root host).
#
#   usage: e2fsprogs.sh [FOLDER [TEST...]]
#
# That Debian is a folder (tests/distro/machine.sh), which the lab host makes its root. FOLDER (build/real)
# has e2fsprogs/tap, what the tests came to, and e2fsprogs/junit.xml then. TESTs are the suite's,
# as f_dup; "all" are its 404; if none is named, 73 of them, which take three minutes where a machine is
# emulated. One that takes more than SECONDS_EACH (300) has failed, by its name, and the next one begins:
# f_large_dir and f_large_dir_csum make 65,000 folders each, which took longer than that without a guest, too.
#
# The exit status is 0 when the guests have run, and the JUnit file has each of the tests,
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

# The suite's own names of tests: folders; what they leave are files.
tests_of() {
	(cd "$machine/home/ann/e2fsprogs/tests" && find . -mindepth 1 -maxdepth 1 -type d -name "$1" -printf '%f\n') | sort
}
case $#:${1-} in
0:) set -- $(tests_of 'f_[a-d]*') $(tests_of 'm_[a-e]*') ;;
1:all) set -- $(tests_of '[a-zA-Z]_*') ;;
esac

# What the guest runs, what ann does, and what the lab host does for her.
cat >"$machine/home/ann/suite" <<'SUITE'
limit=$1 n=0
shift
echo 'TAP version 13'
for test; do
	n=$((n + 1))
	timeout -k 5 "$limit" ./test_one "./$test" >said 2>&1 </dev/null &
	wait $!
	rc=$?
	kill -s KILL -- -$! 2>/dev/null # f_mmp leaves one that works for ever, beside all the others
	line=$(grep -E ": (ok|failed|skip.*)$" said | tail -n 1)
	case $rc:$line in
	124:* | 137:*) echo "not ok $n - $test: more than $limit s" ;;
	*': ok') echo "ok $n - ${line%: ok}" ;;
	*': failed') echo "not ok $n - ${line%: failed}" ;;
	*': skip'*) reason=${line##*: skip} && echo "ok $n - ${line%%: skip*} # SKIP${reason#ped}" ;;
	*) echo "not ok $n - $test: no result, status $rc" ;;
	esac
done
echo "1..$n"
SUITE
cat >"$machine/home/ann/develop" <<'END'
kernel=$1 limit=$2
shift 2
cd ~/e2fsprogs/tests
echo 'int main(void) { return 42; }' >answer.c
lunette run --kernel "$kernel" --root host -- sh -c 'gcc answer.c -o answer && ./answer'
echo "gcc in the guest: $?"
lunette run --kernel "$kernel" --root host --memory 1G --timeout 3h --junit /results/junit.xml -- \
	sh ~/suite "$limit" "$@" >/results/tap
echo "the guest: $?"
END
cat >"$dir/script" <<'END'
machine=$1 kernel=$2 results=$3 limit=$4
shift 4
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
	--clear-groups sh /home/ann/develop "$kernel" "$limit" "$@"
tar -C /results -cf "$results" .
END
results=$dir/e2fsprogs.tar
: >"$results"
"$top/tests/lab/l1" --mem 8192 --timeout 12000 --share "$machine" --out "$results" "$dir/script" \
	"$machine" "$kernel" "$results" "${SECONDS_EACH:-300}" "$@" >"$dir/e2fsprogs.log"
rm -rf "$dir/e2fsprogs"
mkdir "$dir/e2fsprogs"
tar -xf "$results" -C "$dir/e2fsprogs"
cat "$dir/e2fsprogs.log"
grep -qx 'gcc in the guest: 42' "$dir/e2fsprogs.log"
count() { grep -c "$1" "$dir/e2fsprogs/tap" || true; }
bad=$(count '^not ok ') out=$(count ' # SKIP')
good=$(($(count '^ok ') - out))
echo "e2fsprogs: $good passed, $bad failed, $out skipped"
sed -n 's/^not ok [0-9]* - /e2fsprogs: failed: /p' "$dir/e2fsprogs/tap"
[ "$good" -gt 0 ]
[ $((good + bad + out)) = $# ]
# One more is the run itself.
[ "$(grep -c '<testcase ' "$dir/e2fsprogs/junit.xml")" = $(($# + 1)) ]
