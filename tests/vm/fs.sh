#!/bin/sh
# SPDX-License-Identifier: MIT
# fs.sh - what people make of disks: file systems, partitions, logical volumes, several paths to a
# disk; with blocks of 512 bytes, of 4096, and of 512 on a medium of 4096. Each guest is booted once
# for many tests. They have Debian's tools and kernel.
. "$(dirname "$0")/lib.sh"
initrd=/lab/storage.cpio
tools=/lab/tools.cpio

shared=$(mktemp -d)
cd "$shared" || exit
mkdir -p files volumes paths
head -c 4m /dev/urandom >files/seed

# Every file system on every geometry: /dev/sda is 512n, sdb 512e, sdc 4Kn.
cat >files/file-systems <<'END'
tree() { # writes 24 MiB, and 300 small files in folders
	for i in 1 2 3 4 5 6; do
		{ echo "$i"; cat /files/seed; } >"$1/big$i"
	done
	for i in $(seq 300); do
		mkdir -p "$1/folder$((i % 10))"
		echo "small $i" >"$1/folder$((i % 10))/$i"
	done
	ln -s big1 "$1/link"
}
check() { # FS DEVICE: without repairing anything
	case $1 in
	ext4) e2fsck -fn "$2" ;;
	xfs) xfs_repair -n "$2" ;;
	btrfs) btrfs check "$2" ;;
	esac
}
trial() { # FS DEVICE
	case $1 in ext4) set -- "$@" -F ;; *) set -- "$@" -f ;; esac
	mkfs.$1 -q $3 "$2" || return 11
	mount -t $1 "$2" /mnt || return 12
	tree /mnt && (cd /mnt && find . -type f | sort | xargs md5sum) >/tmp/sums
	umount /mnt || return 13
	check "$1" "$2" || return 14
	mount -t $1 "$2" /mnt || return 15
	(cd /mnt && md5sum -c /tmp/sums) | grep -c ': OK$'
	[ "$(readlink /mnt/link)" = big1 ] || return 16
	rm /mnt/big* && sync && fstrim -v /mnt || return 17
	umount /mnt || return 18
	check "$1" "$2"
}
cat /sys/block/sd[abc]/queue/*_block_size | xargs echo geometry
modprobe -a xfs btrfs
for fs in ext4 xfs btrfs; do
	for device in sda sdb sdc; do
		echo "== $fs-$device"
		trial $fs /dev/$device 2>&1
		echo "status $?"
		blkdiscard /dev/$device
	done
done
END

# Partitions on a disk of either kind, and volumes on the partitions.
cat >files/volumes <<'END'
export LVM_SUPPRESS_FD_WARNINGS=1 DM_DISABLE_UDEV=1 # libdevmapper makes the nodes by itself
mkdir -p /run/lock/lvm /etc/lvm
modprobe dm_mod
while read -r name command; do
	echo "== $name"
	eval "$command" 2>&1 </dev/null
	echo "status $?"
done <<'LIST'
label for disk in sda sdb; do parted -s /dev/$disk mklabel gpt mkpart a 1MiB 40% mkpart b 40% 100%; done
print parted -s /dev/sda unit s print
print-4k parted -s /dev/sdb unit s print
nodes cd /sys/block && cat sda/sda1/size sda/sda2/size sdb/sdb1/size sdb/sdb2/size | xargs echo
aligned parted -s /dev/sda align-check optimal 1 && parted -s /dev/sdb align-check optimal 2
msdos parted -s /dev/sdc mklabel msdos mkpart primary 2048s 100% unit s print
pvcreate lvm pvcreate /dev/sda1 /dev/sda2
vgcreate lvm vgcreate group /dev/sda1 /dev/sda2
volume lvm lvcreate -y -n striped -i 2 -L 128M group
report lvm lvs --noheadings --units m -o lv_name,lv_size,stripes group
make mkfs.ext4 -q /dev/group/striped && mount /dev/group/striped /mnt
fill cp /files/seed /mnt/a && cat /files/seed /files/seed >/mnt/b && umount /mnt
again lvm vgchange -an group && lvm vgchange -ay group && mount /dev/group/striped /mnt
same cmp /files/seed /mnt/a && cat /files/seed /files/seed | cmp - /mnt/b
trim rm /mnt/b && sync && fstrim -v /mnt && umount /mnt
grow lvm lvextend -L +64M group/striped && blockdev --getsize64 /dev/group/striped
fsck e2fsck -fn /dev/group/striped
remove lvm lvremove -y group/striped && lvm vgremove group && lvm pvremove /dev/sda1 /dev/sda2
mixed lvm vgcreate mixed /dev/sda1 /dev/sdb1
huge sg_readcap -16 /dev/sdd
huge-label parted -s /dev/sdd mklabel gpt mkpart all 1MiB 100%
huge-print parted -s /dev/sdd unit s print
huge-make modprobe xfs; mkfs.xfs -q -K -l size=64m /dev/sdd1 && mount -t xfs /dev/sdd1 /mnt
huge-fill df -m /mnt && cp /files/seed /mnt/a && umount /mnt && mount -t xfs /dev/sdd1 /mnt
huge-same cmp /files/seed /mnt/a && umount /mnt
huge-end dd if=/files/seed of=/dev/sdd bs=512 count=1 seek=137438953400 oflag=direct conv=notrunc
huge-status sg_get_lba_status -b --maxlen=256 --lba=137438953392 /dev/sdd
LIST
END

# Two controllers with a disk in common.
cat >files/paths <<'END'
ln -s /bin/udevadm /tmp/systemd-udevd
/tmp/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=block
udevadm settle
export DM_DISABLE_UDEV=1
modprobe -a dm_multipath dm_service_time
printf 'defaults {\n\tfind_multipaths no\n}\n' >/etc/multipath.conf
while read -r name command; do
	echo "== $name"
	eval "$command" 2>&1 </dev/null
	echo "status $?"
done <<'LIST'
make multipath -v2
list multipath -ll
map ls -1 /dev/mapper
write dd if=/files/seed of=/dev/mapper/33123456789abcdef bs=1M oflag=direct
flush blockdev --flushbufs /dev/mapper/33123456789abcdef
read-one dd if=/dev/$(ls /sys/block/dm-0/slaves | tail -n 1) bs=1M count=4 iflag=direct | cmp - /files/seed
lose echo 1 >/sys/block/$(ls /sys/block/dm-0/slaves | head -n 1)/device/delete
other-path dd if=/dev/mapper/33123456789abcdef bs=1M count=4 iflag=direct | cmp - /files/seed
one-path multipath -ll
LIST
END

run() { # NAME OPTION...: its output is in ./NAME/out
	local name=$1
	shift
	(mkdir "$shared/of-$name" && cd "$shared/of-$name" && cp -r ../files . &&
		guest "sh /files/$name" "$@")
	echo $? >"$shared/of-$name/status"
}
truncate -s 512M 512n.img 512e.img 4kn.img
run file-systems --memory 1G --disk "$shared/512n.img,physical-block=512" \
	--disk "$shared/512e.img,physical-block=4096" --disk "$shared/4kn.img,block-size=4096"
allocated=$(du -k 512n.img 512e.img 4kn.img | cut -f 1 | sort -n | tail -n 1)
truncate -s 0 512n.img 4kn.img
truncate -s 512M 512n.img 4kn.img
truncate -s 65536G huge.img
run volumes --disk "$shared/512n.img" --disk "$shared/4kn.img,block-size=4096" \
	--disk "$shared/512e.img" --disk "$shared/huge.img"
truncate -s 64M both.img one.img
run paths --device virtio-scsi,id=s0 --device virtio-scsi,id=s1 \
	--disk "$shared/both.img,bus=s0+s1,wwn=3123456789abcdef" --disk "$shared/one.img,bus=s1"

# says GUEST SECTION PATTERN...: each is in a line
says() {
	local name=$1-$2 pattern
	(cd "$shared/of-$1" && section "$2") >"$name"
	shift 2
	for pattern; do contains "$name" "$pattern"; done
}

test_guests_end_well() {
	cat "$shared"/of-*/err
	equal "$(cd "$shared" && cat of-file-systems/status of-volumes/status of-paths/status | xargs)" \
		'0 0 0'
}
test_geometry() { contains "$shared/of-file-systems/out" '^geometry 512 512 512 4096 4096 4096$'; }

file_system() { # NAME: made, filled, checked, read again, trimmed, checked, on each disk
	for disk in sda sdb sdc; do
		says file-systems "$1-$disk" '^306$' ': [1-9][0-9]{7,} bytes( were)? trimmed' '^status 0'
	done
}
test_ext4() { file_system ext4; }
test_xfs() { file_system xfs; }
test_btrfs() { file_system btrfs; }
test_blkdiscard() { [ "$allocated" -le 64 ] || fail "$allocated KiB are left of an empty disk"; }

test_parted() {
	says volumes label '^status 0'
	says volumes print '512B/4096B' '^ 1 +2048s +419839s ' '^ 2 +419840s +1046527s ' '^status 0'
	says volumes print-4k '4096B/4096B' '^ 1 +256s +52479s ' '^ 2 +52480s +130815s ' '^status 0'
	says volumes nodes '^417792 626688 417792 626688$'
	says volumes aligned '^status 0'
	says volumes msdos 'Partition Table: msdos' '^ 1 +2048s ' '^status 0'
}
test_logical_volumes() {
	says volumes pvcreate '/dev/sda1" successfully created' '/dev/sda2" successfully created'
	says volumes vgcreate 'Volume group "group" successfully created'
	says volumes volume 'Logical volume "striped" created'
	says volumes report 'striped +128.00m +2'
	for part in make fill again same fsck remove; do says volumes $part '^status 0'; done
	says volumes trim ': [1-9][0-9]{6,} bytes( were)? trimmed' '^status 0'
	says volumes grow '^201326592$'
	says volumes mixed 'inconsistent logical block size' '^status 5'
}

sector() { # NUMBER: of the image of 64 TiB
	dd if="$shared/huge.img" bs=512 skip="$1" count=1 2>/dev/null
}
test_64_tib() {
	says volumes huge 'Last LBA=137438953471 ' '^status 0'
	says volumes huge-label '^status 0'
	says volumes huge-print '^Disk /dev/sdd: 137438953472s' '^ 1 +2048s +137438951423s'
	says volumes huge-make '^status 0'
	says volumes huge-fill ' 6710[0-9]{4} ' '^status 0'
	says volumes huge-same '^status 0'
	says volumes huge-end '^status 0'
	says volumes huge-status '^0x0*1fffffffb0 +0x8 +1' '^0x0*1fffffffb8 +0x8 +0' '^status 0'
	for place in 1 137438953471; do equal "$(sector $place | head -c 8)" 'EFI PART'; done
	head -c 512 "$shared/files/seed" >wanted
	sector 137438953400 | cmp - wanted
	sector 137438953399 | cmp -n 512 - /dev/zero
}

test_multipath() {
	says paths make '^status 0'
	says paths map '^33123456789abcdef$'
	says paths list '33123456789abcdef dm-0 LUNETTE *,DISK' '^size=64M' ' 0:0:0:0 +sd[a-z] ' \
		' 1:0:0:0 +sd[a-z] ' '^status 0'
	equal "$(grep -c ' ready ' paths-list)" 3 # one is the path to the other disk
	says paths write '^status 0'
	says paths read-one '^status 0'
}
test_multipath_with_a_path_lost() {
	says paths lose '^status 0'
	says paths other-path '^status 0'
	says paths one-path '33123456789abcdef dm-0 LUNETTE *,DISK' '^status 0'
	equal "$(grep -c ' ready ' paths-one-path)" 2
}

run_tests
rm -rf "$shared"
