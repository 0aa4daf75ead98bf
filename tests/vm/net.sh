#!/bin/sh
# SPDX-License-Identifier: MIT
# net.sh - the guest's network: by passt, and on an interface of the host's.
. "$(dirname "$0")/lib.sh"

# passt gives up its file system by pivot_root(), and that is not possible from the very first one.
[ -n "$again" ] || {
	mount --rbind / /mnt
	cd /mnt
	mount --move . /
	exec chroot . env again=1 sh "$0"
}

# This host has a network, by which nobody is reached, and a resolver: the guest is to get to both.
ip link set lo up
modprobe -a dummy tun bridge
ip link add outside type dummy
ip address add 192.0.2.1/24 dev outside
ip address add 2001:db8::1/64 dev outside
ip link set outside up
ip route add default via 192.0.2.254
ip -6 route add default via 2001:db8::fe dev outside
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
/lab/resolver 127.0.0.1 &
echo 'nobody:x:65534:65534::/:' >/etc/passwd # which passt becomes when root starts it

# serve: what is in ./www is at the host's port 8000, until the test is over
serve() {
	mkdir -p www
	echo index >www/index.html
	busybox httpd -f -p 8000 -h www &
	trap "kill $!" EXIT
	until_true 10 wget -q -O /dev/null http://127.0.0.1:8000/
}

# listen: ./got becomes what comes to the host's port 9000; end it by "wait $!"
listen() {
	mkfifo open
	exec 5<>open # an end of nc's input would be the end of all
	nc -l -p 9000 >got <open &
}

no_passt() {
	! pidof passt
}

test_download() { # 20 MB
	serve
	head -c 20000000 /dev/urandom >www/data
	status 0 guest 'wget -q -O - http://192.0.2.1:8000/data | md5sum' --net user
	equal "$(cat out)" "$(md5sum - <www/data)"
	equal "$(cat err)" ''
	no_passt # it has been waited for
}

long_upload() { # 20 MB
	head -c 20000000 /dev/urandom >data
	listen
	mkdir files
	cp data files
	status 0 guest 'nc 192.0.2.1 9000 </files/data' --net user
	wait $!
	cmp data got
}

test_by_mmio() {
	serve
	status 0 guest 'wget -q -O - http://192.0.2.1:8000/' --net user,transport=mmio
	equal "$(cat out)" index
}

test_what_the_guest_has() {
	status 0 guest '
		cat /proc/cmdline
		cat /sys/class/net/eth0/mtu /sys/class/net/eth0/carrier /sys/class/net/eth0/address
		ip address show eth0
		ip route
		cat /etc/resolv.conf' --net user,mac=02:00:00:12:34:56
	contains out ' lunette.net=10.0.2.15/24,10.0.2.2,10.0.2.3( |$)'
	contains out '^65520$'
	contains out '^1$'
	contains out '^02:00:00:12:34:56$'
	contains out 'inet 10.0.2.15/24 '
	contains out '^default via 10.0.2.2 dev eth0'
	contains out '^nameserver 10.0.2.3$'
}

test_without_a_network() {
	status 0 guest 'cat /proc/cmdline; ls /sys/class/net; ip address show lo'
	! grep 'lunette.net\|^eth0' out || fail 'there is one'
	contains out 'inet 127.0.0.1/8'
}

test_addresses_set_by_a_program() { # guest/net.c, which a guest's init may have in place of a shell
	serve
	mkdir files
	cp /lab/netup files
	status 0 guest '
		ip address flush dev lo
		/files/netup 10.0.2.15/24,10.0.2.2,10.0.2.3,
		/files/netup 10.0.2.15/24,10.0.2.2,10.0.2.3
		cat /etc/resolv.conf
		wget -q -O - http://192.0.2.1:8000/' --device virtio-net,user
	equal "$(cat out)" "Invalid argument
nameserver 10.0.2.3
index"
}

test_names() { # by UDP, and forwarded to the host's resolver
	status 0 guest 'nslookup -type=a one.example' --net user
	contains out 'Address: 192.0.2.53$'
	contains out '^Server:.*10.0.2.3'
}

test_ipv6() {
	status 0 guest '
		[ -e /proc/net/if_inet6 ] || { echo none; exit; }
		for try in 1 2 3 4 5 6 7 8 9 10; do
			ip -6 address show dev eth0 scope global | grep -v tentative | grep inet6 && break
			sleep 1
		done
		ip -6 route show default' --net user
	[ "$(cat out)" != none ] || skip 'this kernel has no IPv6'
	contains out 'inet6 2001:db8::'
	contains out '^default via fe80::'
}

# Another program has the guest's queues themselves: Debian 13's passt, which Debian 12's cannot do.
carry() {
	loader=$(echo /lab/trixie/ld-linux-*.so.?)
	rm -f sock
	"$loader" --library-path /lab/trixie /lab/trixie/passt -f --vhost-user -s "$PWD/sock" -a 10.0.2.15 -n 24 -g 10.0.2.2 \
		>passt.log 2>&1 &
	carrier=$!
	trap 'kill $four $carrier' EXIT
	until_true 30 test -S sock
}
by_carrier=--device=vhost-user-net,socket=sock,mac=02:00:00:12:34:56
carried='
	ip link set eth0 up
	ip address add 10.0.2.15/24 dev eth0
	ip route add default via 10.0.2.2
	cat /sys/class/net/eth0/address
	wget -q -O - http://192.0.2.1:8000/data | md5sum'

test_queues_of_another_program() {
	serve
	four=$!
	head -c 5000000 /dev/urandom >www/data
	carry
	status 0 guest "$carried" $by_carrier
	equal "$(cat out)" "02:00:00:12:34:56
$(md5sum - <www/data)"
	status 0 vmm --explain --initrd "$initrd" $by_carrier
	contains out '^user-net0: Ethernet interface that another program serves$'
	contains out '^  if that ends: requests wait for it, or another, to be there again$'
}

# It ends, another one comes, and the interface goes on.
test_another_program_comes_back() {
	serve
	four=$!
	head -c 100000 /dev/urandom >www/data
	carry
	guest "$carried; echo first
		until timeout 5 wget -q -O - http://192.0.2.1:8000/again; do sleep 0.2; done" $by_carrier &
	guest=$!
	until_true "$seconds" grep -q first out
	kill $carrier
	until_true 30 grep -q 'user-net0: the server at sock has gone away; requests wait until it is back' err
	carry
	until_true 30 grep -q 'the server at sock is back' err
	echo again >www/again
	status 0 wait $guest
	contains out '^again$'
}

test_command() { # of a user without rights
	serve
	status 0 user timeout "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" \
		--net user -- wget -q -O - http://192.0.2.1:8000/ >out 2>err </dev/null
	equal "$(cat out err)" index
	no_passt
}

test_resolver_of_a_root_file_system() { # which knows another one, and cannot be written
	mkdir -p root/etc
	echo 'nameserver 203.0.113.1' >root/etc/resolv.conf
	echo none | rootfs
	status 0 vmm --initrd "$initrd" --disk disk.img,readonly=on --root lun:0 --net user -- \
		busybox nslookup -type=a one.example
	contains out '^Server:.*10.0.2.3'
	contains out 'Address: 192.0.2.53$'
}

# The host's own loopback, where programs listen that trust whoever gets there.
secret() {
	mkdir -p secret
	echo secret >secret/index.html
	busybox httpd -f -p 127.0.0.1:8001 -h secret &
	four=$!
	busybox httpd -f -p '[::1]:8001' -h secret &
	trap "kill $four $!" EXIT
	until_true 10 wget -q -O /dev/null http://127.0.0.1:8001/
	until_true 10 wget -q -O /dev/null 'http://[::1]:8001/'
}
# In the guest: what it gets from there, by the gateway and by frames to the address itself.
reach='
	for try in 1 2 3 4 5 6 7 8 9 10; do
		ip -6 address show dev eth0 scope global | grep -v tentative | grep -q inet6 && break
		sleep 1
	done
	reach() { echo "$1 $(exec 2>/dev/null; timeout 10 wget -q -O - "http://$1:8001/" || :)"; }
	reach 10.0.2.2
	reach "[2001:db8::fe]"
	echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
	ip address del 127.0.0.1/8 dev lo
	ip -6 address del ::1/128 dev lo
	ip route add 127.0.0.0/8 via 10.0.2.2 dev eth0 src 10.0.2.15
	ip -6 route add ::1/128 via 2001:db8::fe dev eth0 onlink
	reach 127.0.0.1
	reach 127.1.2.3
	reach "[::1]"
	wget -q -O - http://192.0.2.1:8000/'

long_host_loopback_is_out_of_reach() { # and nothing else is
	secret
	(serve; status 0 guest "$reach" --net user)
	equal "$(sed 's/ *$//' out)" '10.0.2.2
[2001:db8::fe]
127.0.0.1
127.1.2.3
[::1]
index'
}

long_host_loopback_on_request() {
	secret
	(serve; status 0 guest "$reach" --net user,host-loopback=on)
	contains out '^10.0.2.2 secret$'
	contains out '^\[2001:db8::fe\] secret$'
	contains out '^index$'
}

test_publish() {
	guest '
		mkdir -p /www/cgi-bin
		echo "from the guest" >/www/index.html
		printf "#!/bin/sh\necho; touch /end" >/www/cgi-bin/end
		chmod +x /www/cgi-bin/end
		httpd -p 80 -h /www
		until [ -e /end ]; do sleep 0.1; done' --net user --publish 8081:80 &
	run=$!
	until_true 60 wget -q -O index http://127.0.0.1:8081/
	equal "$(cat index)" 'from the guest'
	wget -q -O - http://127.0.0.1:8081/cgi-bin/end || true # the guest may be gone before it answers
	status 0 wait $run
}

# Debian 12's passt gives answers to programs of this machine with the loopback alone.
test_publish_udp() {
	mkdir files
	cp /lab/resolver files
	guest '
		/files/resolver 0.0.0.0 &
		nc -l -p 80 </dev/null' --net user,host-loopback=on --publish 8081:80 \
		--publish udp:127.0.0.2:53:53 &
	run=$!
	ask() { timeout 5 nslookup -type=a two.example 127.0.0.2 >names; }
	until_true 60 ask
	contains names 'Address: 192.0.2.53$'
	nc 127.0.0.1 8081 </dev/null
	status 0 wait $run
}

test_publish_a_port_that_is_taken() {
	serve
	status 201 vmm --net user --publish 8000:80
	contains err '^lunette: error: virtio-net0: passt has ended: .*8000:80'
	no_passt
}

test_passt_is_missing() {
	mv /bin/passt /bin/no-passt
	status 201 vmm --net user
	mv /bin/no-passt /bin/passt
	contains err 'there is no passt.*apt-get install passt'
}

# slow_download: a guest that is in the middle of one; $run is its lunette
slow_download() {
	mkdir -p www/cgi-bin
	printf '#!/bin/sh\necho; touch begun; exec cat /dev/zero\n' >www/cgi-bin/zeroes
	chmod +x www/cgi-bin/zeroes
	serve
	lunette run --kernel "$kernel" --initrd "$initrd" --vhost off --net user -- sh -c "
		wget -q -O - http://192.0.2.1:8000/cgi-bin/zeroes >/dev/null 2>&1 &
		$1" >out 2>err </dev/null &
	run=$!
	until_true 60 test -e www/cgi-bin/begun
}

test_passt_is_killed() { # in the middle of a transfer
	slow_download 'until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ]; do sleep 0.1; done; kill $!; exit 3'
	kill -9 $(pidof passt)
	status 3 wait $run
	equal "$(cat err)" \
		'lunette: error: virtio-net0: passt has ended, and the guest has no network any more'
}

test_lunette_is_killed() {
	slow_download 'sleep 1000'
	kill -9 $(pidof lunette)
	wait $run || true
	until_true 10 no_passt
}

chmod 666 /dev/net/tun # as udev would

# TCP has sent more segments than there were packets, so some crossed whole. How many is a matter of speed.
large() { # SEGMENTS PACKETS
	[ "$1" -gt "$2" ] || fail "$1 segments in $2 packets: no large ones"
}
segments() { awk '/^Tcp: [0-9]/ { print $12 }' /proc/net/snmp; }
counter() { cat /sys/class/net/t0/statistics/$1; }

tap_words='lunette.net=10.9.0.2/24,10.9.0.1,10.9.0.1'

test_tap() { # by a user without rights, both ways; large packets cross it whole
	local before fetches
	tunctl -t t0 # everybody's, as nobody is its owner
	ip address add 10.9.0.1/24 dev t0
	ip link set t0 up
	serve
	head -c 20000000 /dev/urandom >www/data
	(until_true 120 wget -q -O got http://10.9.0.2:8000/data && : >www/done) &
	fetches=$!
	before=$(segments)
	status 0 user timeout "$seconds" lunette run --kernel "$kernel" --initrd "$initrd" \
		--append "$tap_words" --vhost off --net tap=t0 -- sh -c '
			wget -q -O /data http://10.9.0.1:8000/data
			httpd -p 8000 -h /
			until wget -q -O /dev/null http://10.9.0.1:8000/done 2>/dev/null; do sleep 0.1; done
			cat /sys/class/net/eth0/mtu
			awk "/^Tcp: [0-9]/ { print \$12 }" /proc/net/snmp' >out 2>err </dev/null
	wait $fetches
	cmp www/data got
	equal "$(sed -n 1p out)" 1500
	large $(($(segments) - before)) "$(counter tx_packets)"
	large "$(sed -n 2p out)" "$(counter rx_packets)"
	tunctl -d t0
}

test_two_guests_on_a_bridge() {
	ip link add b0 type bridge
	ip link set b0 up
	for t in t1 t2; do
		tunctl -t $t
		ip link set $t master b0 up
	done
	mkdir one
	(
		cd one
		words='lunette.net=10.9.0.3/24,10.9.0.1,10.9.0.1'
		guest '
			mkdir -p /www/cgi-bin
			printf "#!/bin/sh\necho; echo hello; touch /end" >/www/cgi-bin/end
			chmod +x /www/cgi-bin/end
			httpd -p 80 -h /www
			until [ -e /end ]; do sleep 0.1; done' --net tap=t1
	) &
	run=$!
	words=$tap_words
	status 0 guest '
		for try in $(seq 100); do
			wget -q -O - http://10.9.0.3/cgi-bin/end && exit
			sleep 0.1
		done
		exit 1' --net tap=t2
	status 0 wait $run
	contains out '^hello$'
	tunctl -d t1
	tunctl -d t2
	ip link delete b0
}

test_tap_without_rights() {
	status 201 user lunette run --kernel "$kernel" --net tap=other 2>err
	contains err 'virtio-net0: tap=other: there is no such interface; .*ip tuntap add'
	status 201 vmm --net tap=other # nor is one made for root
	status 201 vmm --net tap=outside
	contains err 'tap=outside: TUNSETIFF: Invalid argument; is it an interface of another kind'
}

run_tests
