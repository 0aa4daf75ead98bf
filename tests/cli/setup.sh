#!/bin/bash
# SPDX-License-Identifier: MIT
# setup.sh - guest/setup.sh on other systems: programs of theirs that say what is there, and write down what
# they were to install, stand in for them. (run-guest.sh and distro/run have it on Debian and Ubuntu.)
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

# system ID [THERE...]: a machine of that system with these packages; ./refused has those that are none of its
system() {
	mkdir bin
	printf 'NAME="x"\nID=%s\n' "$1" >os-release
	shift
	printf '%s\n' "$@" >there
	: >refused
	for program in rpm dnf pacman apk dpkg-query apt-cache apt-get; do
		cat >bin/$program <<-END
			#!/bin/bash
			last=\${!#}
			case "$program \$*" in
			'dpkg-query '*) sed 's/^/installed /' $PWD/there ;;
			'apt-cache '* | *repoquery* | 'pacman -Si'* | 'apk search'*)
				! grep -qxF -e "\$last" $PWD/refused && echo "\$last" ;;
			'rpm -q'* | 'pacman -Q'* | 'apk info'*) grep -qxF -e "\$last" $PWD/there ;;
			'apt-get -q update') ;;
			*) echo "$program \$*" >>$PWD/did
				for word; do grep -qxF -e "\$word" $PWD/broken 2>/dev/null && exit 1; done; true ;;
			esac
		END
		chmod +x bin/$program
	done
}
setup() { OS_RELEASE=os-release PATH=$PWD/bin:$PATH "$top/guest/setup.sh" "$@" 2>err; }
as_root() { [ "$(id -u)" = 0 ] || skip 'only root installs without a question'; }

test_names() {
	as_root
	while read -r id command header; do
		rm -rf bin did
		system $id gcc
		status 0 setup run
		contains did "^$command "
		contains did " $header( |$)"
		contains err "^setup.sh: installing .* $header"
		! grep -E '[?,]| (gcc|libc6-dev|zlib1g-dev|libblkid-dev|xz-utils)( |$)' did || fail 'names that it has not, or has already'
	done <<-END
		fedora dnf.install.-y jansson-devel
		arch pacman.-S.--needed.--noconfirm jansson
		alpine apk.add bsd-compat-headers
	END
}

test_what_is_like_another() {
	as_root
	system almalinux
	echo 'ID_LIKE="rhel centos fedora"' >>os-release
	status 0 setup run
	contains did '^dnf install -y .*libblkid-static'
	rm did
	printf 'ID=linuxmint\nID_LIKE="ubuntu debian"\n' >os-release
	status 0 setup run
	contains did '^apt-get install -y --no-install-recommends .*libblkid-dev'
}

test_nothing_is_missing() {
	as_root
	system arch $(sed -n "/^names='/,/^'/p" "$top/guest/setup.sh" | awk 'NF == 4 { print $3 }' | tr , ' ')
	status 0 setup run kernel
	equal "$(cat err; cat did 2>/dev/null)" ''
}

# None of those stops the others.
test_optional_ones() {
	as_root
	system fedora
	echo passt >refused # it has none
	status 0 setup run
	! grep passt did || fail 'asked for'
	: >refused
	echo passt >broken # it cannot be installed
	: >did
	status 0 setup run
	equal "$(wc -l <did)" 3 # with it, without it, it alone
	contains err '^setup.sh: passt cannot be installed; what needs it will say so$'
	echo gcc >broken
	status 201 setup run
	contains err '^setup.sh: that failed; as root: dnf install -y gcc '
}

# A name of Debian's that has no row would be left out in silence.
test_each_name_has_a_row() {
	sed -n "/^names='/,/^'/p" "$top/guest/setup.sh" | awk 'NF > 1 { print $1 ": " NF }' >rows
	for package in $("$top/guest/setup.sh" -l run device-tree kernel); do
		contains rows "^$package: 4$"
	done
	equal "$(grep -v ': 4$' rows)" ''
}

run_tests
