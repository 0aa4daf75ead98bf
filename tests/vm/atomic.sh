#!/bin/sh
# SPDX-License-Identifier: MIT
# atomic.sh - atomic writes of a guest whose kernel has them (6.11 and later), by pwritev2() on the
# block device; those of a disk with direct=on are the host's own, of a disk that scsi_debug makes.
. "$(dirname "$0")/lib.sh"

shared=$(mktemp -d)
cd "$shared" || exit
mkdir files
cp /lab/atomic files/
cat >files/ask <<'END'
while read -r name command; do
	echo "== $name"
	eval "$command" 2>&1
	echo "status $?"
done <<'LIST'
release uname -r
most cat /sys/block/sda/queue/atomic_write_unit_max_bytes
least cat /sys/block/sda/queue/atomic_write_unit_min_bytes
most-kept cat /sys/block/sdb/queue/atomic_write_unit_max_bytes
most-plain cat /sys/block/sdc/queue/atomic_write_unit_max_bytes
small /files/atomic /dev/sda 512 1024
large /files/atomic /dev/sda 65536 65536
again /files/atomic /dev/sda 65536 65536 7
uneven /files/atomic /dev/sda 12288 0
unaligned /files/atomic /dev/sda 8192 4096
kept /files/atomic /dev/sdb 4096 8192
kept-too-large /files/atomic /dev/sdb 8192 8192
plain /files/atomic /dev/sdc 4096 0
most-host cat /sys/block/sdd/queue/atomic_write_unit_max_bytes
least-host cat /sys/block/sdd/queue/atomic_write_unit_min_bytes
most-cached cat /sys/block/sdf/queue/atomic_write_unit_max_bytes
host-small /files/atomic /dev/sdd 1024 3072
host-large /files/atomic /dev/sdd 65536 65536
host-threads /files/atomic /dev/sde 65536 131072
host-too-small /files/atomic /dev/sdd 512 512
host-too-large /files/atomic /dev/sdd 131072 0
host-unaligned /files/atomic /dev/sdd 8192 4096
cached /files/atomic /dev/sdf 4096 0
LIST
END
truncate -s 16M a.img b.img c.img
modprobe sd_mod
modprobe scsi_debug atomic_wr=1 dev_size_mb=16 add_host=3 per_host_store=1
echo 1 >/sys/bus/pseudo/drivers/scsi_debug/opts # it logs all commands
until_true 20 [ -b /dev/sdc ]
guest 'sh /files/ask' --trace scsi=trace --disk a.img,overlay=on --disk b.img,overlay=commit \
	--disk c.img --disk /dev/sda,direct=on,io=uring --disk /dev/sdb,direct=on,io=threads --disk /dev/sdc
booted=$?

test_guest_ends_well() { cat "$shared/err"; equal "$booted" 0; }
test_limits() {
	says most '^(65536|131072|262144|524288|1048576)$'
	says least '^(512|4096)$'
	says most-kept '^4096$'
	says most-plain '^0$'
}
test_writes() {
	local name
	for name in small large again kept; do says $name '^written$' '^status 0'; done
	contains "$shared/trace" ' 1:0:0 9c000000000000000080000000800000 GOOD '
	contains "$shared/trace" ' 1:0:1 9c000000000000000010000000080000 GOOD '
	equal "$(tr -d '\000' <"$shared/a.img" | wc -c)" 0
	equal "$(head -c 12288 "$shared/b.img" | tail -c 4096 | tr -d Z | wc -c)" 0
}
test_host_limits() { # no more than lunette copies at a time, whatever the disk can
	says most-host '^65536$'
	says least-host '^1024$'
	says most-cached '^0$'
}
test_host_writes() {
	local name
	for name in host-small host-large host-threads; do says $name '^written$' '^status 0'; done
	for name in host-too-small host-too-large host-unaligned cached; do
		says $name '^not written: ' '^status 1'
	done
	dmesg | sed -n 's/.*scsi_debug: .* cmd \(9c [0-9a-f ]*\)$/\1/p' >commands
	equal "$(sed 's/ *$//' commands)" '9c 00 00 00 00 00 00 00 00 06 00 00 00 02 00 00
9c 00 00 00 00 00 00 00 00 80 00 00 00 80 00 00
9c 00 00 00 00 00 00 00 01 00 00 00 00 80 00 00'
	equal "$(dd if=/dev/sda bs=1024 skip=3 count=1 2>/dev/null | tr -d Z | wc -c)" 0
	equal "$(dd if=/dev/sdb bs=65536 skip=2 count=1 2>/dev/null | tr -d Z | wc -c)" 0
}
test_refused() { # by the guest's kernel, which knows the limits
	local name
	for name in uneven unaligned kept-too-large plain; do says $name '^not written: ' '^status 1'; done
}

run_tests
rm -rf "$shared"
