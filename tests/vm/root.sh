#!/bin/sh
# SPDX-License-Identifier: MIT
# root.sh - a root file system that is a folder, an archive or an image of container tools here, and
# in the guest one that can be written to.
. "$(dirname "$0")/lib.sh"

export XDG_CACHE_HOME=$PWD/cache

# run [OPTION...] -- COMMAND...
run() {
	XDG_CACHE_HOME=$PWD/cache timeout -k 5 "$seconds" lunette run --kernel "$kernel" \
		--initrd "$initrd" --vhost off --boot-timeout none --log info --json json "$@" \
		>out 2>err </dev/null
}

# tree DIR: busybox, and two users; no /proc, /sys, /dev, /run
tree() {
	mkdir -p "$1/bin" "$1/etc" "$1/home/ann"
	cp /bin/busybox "$1/bin"
	for applet in sh cat id ls echo stat grep pwd rm; do ln -s busybox "$1/bin/$applet"; done
	printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\nusers:x:100:\nkvm:x:106:ann\n' >"$1/etc/group"
	echo "this is $1" >"$1/etc/name"
}

# layer DIR: makes a layer of it, packed, and says its digest
layer() {
	tar -cz -C "$1" -f layer.tgz .
	blob layer.tgz
}
blob() { # FILE
	local sum
	sum=$(sha256sum "$1" | cut -c 1-64)
	mkdir -p oci/blobs/sha256
	mv "$1" "oci/blobs/sha256/$sum"
	echo "sha256:$sum"
}
# image CONFIG DIGEST...: an image of these layers, in ./oci
image() {
	local config=$1 layers= digest
	shift
	for digest; do
		layers="$layers${layers:+,}{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"$digest\",\"size\":1}"
	done
	echo "{\"architecture\":\"any\",\"os\":\"linux\",\"config\":$config}" >config
	echo "{\"schemaVersion\":2,\"config\":{\"digest\":\"$(blob config)\"},\"layers\":[$layers]}" >manifest
	echo '{"imageLayoutVersion":"1.0.0"}' >oci/oci-layout
	echo "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"$(blob manifest)\",\
\"annotations\":{\"org.opencontainers.image.ref.name\":\"one\"}}]}" >oci/index.json
}

test_folder() {
	tree root
	echo secret >root/kept
	status 0 run --root root -- sh -c 'cat /etc/name; echo new >/etc/name; cat /etc/name; rm /kept
		echo x >/run/x; ls /; grep -c . /proc/mounts >/dev/null && ls -d /dev/vda /dev/sda 2>&1 | grep -c /dev/sda'
	equal "$(sed 2q out)" 'this is root
new'
	equal "$(tail -n 1 out)" 1
	equal "$(cat root/etc/name root/kept)" 'this is root
secret'
	contains err 'made in'
	status 0 run --root root/ -- cat /etc/name # from the cache
	equal "$(cat out)" 'this is root'
	! grep -q 'made in' err || fail "made again: $(cat err)"
	# with folders in and out, and another user
	mkdir src
	echo shared >src/file
	status 3 run --root root --share src:/src --out res --user ann -- \
		sh -c 'id -u; id -g; cat /src/file; echo $HOME; pwd; echo to >/dev/stdout; exit 3'
	equal "$(cat out)" '1000
100
shared
/home/ann
/src
to'
	status 213 run --root root --user bob -- true
	contains err 'no user bob in /etc/passwd'
}

test_folder_of_a_whole_system() {
	tree root
	mkdir -p root/sbin root/proc root/sys root/dev
	printf '#!/bin/sh\necho "init is $$"; cat /etc/name\nexec /bin/busybox poweroff -f\n' >root/sbin/init
	chmod +x root/sbin/init
	status 0 vmm --initrd "$initrd" --root root --append loglevel=1
	contains out '^init is 1'
	contains out '^this is root'
}

long_archive() {
	local format
	tree root
	ln root/etc/name root/etc/second
	ln -s ../etc/name root/home/link
	mknod root/etc/null c 1 3
	chown 1000:100 root/home/ann
	chmod 4711 root/bin/busybox
	tar -c -C root -f root.tar .
	gzip -k root.tar
	/lab/xz -k root.tar
	/lab/zstd -q root.tar
	for format in tar tar.gz tar.xz tar.zst; do
		status 0 run --root root.$format -- sh -c 'cat /etc/second /home/link; stat -c "%a %u %g" /home/ann
			stat -c "%a %h" /bin/busybox; stat -c "%F %t %T" /etc/null; stat -c %h /etc/name'
		equal "$(cat out)" 'this is root
this is root
755 1000 100
4711 1
character special file 1 3
2'
	done
	# one that breaks off
	head -c 100000 root.tar.gz >cut.tar.gz
	status 201 run --root cut.tar.gz -- true
	contains err '^lunette: error: --root cut.tar.gz: '
	equal "$(ls cache/lunette/share | grep -c tmp)" 0
}

test_image_of_container_tools() {
	local one two three config # as layers, folders and then digests
	tree one
	mkdir -p one/data/old one/srv
	echo old >one/data/old/file
	echo gone >one/gone
	ln -s /srv one/link
	mkdir -p two/data two/link/in
	: >two/.wh.gone
	: >two/data/.wh..wh..opq
	echo new >two/data/new
	echo through >two/link/in/file
	mkdir -p three/etc three/bin
	echo 'this is three' >three/etc/name
	printf '#!/bin/sh\necho "entry: $*"\nexec "$@"\n' >three/bin/entry
	chmod +x three/bin/entry
	config='{"Env":["PATH=/bin","GREETING=good day","X=image"],"Entrypoint":["/bin/entry"],
		"Cmd":["sh","-c","echo own"],"WorkingDir":"/srv/here","User":"ann:kvm"}'
	one=$(layer one) two=$(layer two) three=$(layer three)
	image "$config" "$one" "$two" "$three"
	status 0 run --root oci:oci:one --env X=mine -- \
		sh -c 'cat /etc/name; echo $GREETING $X $PATH; pwd; id -u; id -g; ls /data; cat /link/in/file; [ ! -e /gone ]'
	equal "$(sed 1d out)" 'this is three
good day mine /bin
/srv/here
1000
106
new
through'
	contains out '^entry: sh -c cat'
	# its own command
	status 0 run --root oci:oci
	equal "$(cat out)" 'entry: sh -c echo own
own'
	! grep -q 'made in' err || fail 'the image was made twice'
	# another user, another folder
	status 0 run --root oci:oci --user root --cwd / -- sh -c 'id -u; pwd'
	equal "$(sed 1d out)" '0
/'
	status 201 run --root oci:oci:two -- true
	contains err 'no image of that tag for .* in it; there are: one'
	# a layer that is another one
	rm -rf cache
	echo more >>"oci/blobs/sha256/${two#*:}"
	status 201 run --root oci:oci -- true
	contains err '^lunette: error: --root oci:oci: layer 2 .*another digest'
}

run_tests
