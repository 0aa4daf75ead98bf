#!/bin/sh
# SPDX-License-Identifier: MIT
# paths.sh - several ways to disks, and several targets: two controllers with a disk in common, a
# target with a high number, and a CD-ROM, in a guest that is booted once for all of it.
. "$(dirname "$0")/lib.sh"
tools=/lab/tools.cpio

shared=$(mktemp -d)
cd "$shared" || exit
mkdir files
cat >files/ask <<'EOF2'
# node TARGET LUN SERIAL [NTH]: the sg device
node() {
	for dev in /sys/class/scsi_generic/sg*; do
		case $(readlink "$dev/device") in
		*:"$1":"$2") sg_vpd -p sn "/dev/${dev##*/}" 2>/dev/null | grep -q "$3" && echo "/dev/${dev##*/}" ;;
		esac
	done | sed -n "${4:-1}p"
}
a=$(node 0 1 both.img 1)
b=$(node 0 1 both.img 2)
far=$(node 200 32384 far.img) # Linux counts flat addresses from 4000h
cd=$(node 0 2 disc.iso)
while read -r name command; do
	echo "== $name"
	eval "$command" 2>&1
	echo "status $?"
done <<'END'
nodes echo "$a $b $far $cd"
names-a sg_vpd -p di $a
names-b sg_vpd -p di $b
one-disk [ "$(sg_vpd -p di_lu -q $a)" = "$(sg_vpd -p di_lu -q $b)" ] && [ $a != $b ]
register-a sg_persist -o -n -G -S 0xa $a
register-b sg_persist -o -n -G -S 0xb $b
keys sg_persist -i -n -k $b
reserve sg_persist -o -n -R -K 0xa -T 3 $a
read-b sg_raw -r 512 $b 28 00 00 00 00 00 00 00 01 00
read-a sg_raw -r 512 -o /dev/null $a 28 00 00 00 00 00 00 00 01 00
preempt sg_persist -o -n -A -K 0xb -S 0xa -T 1 $b
attention-a sg_requests $a
reservation sg_persist -i -n -r $a
write-a sg_raw -s 512 -i /files/block $a 2a 00 00 00 00 00 00 00 01 00
write-b sg_raw -s 512 -i /files/block $b 2a 00 00 00 00 00 00 00 01 00
reset-b sg_reset -d $b
attention-after-reset sg_requests $a
far sg_inq $far
far-luns sg_luns $far
cd-inquiry sg_inq $cd
cd-capacity sg_readcap $cd
cd-toc sg_raw -r 20 $cd 43 00 00 00 00 00 00 00 14 00
cd-configuration sg_raw -r 8 $cd 46 02 00 00 00 00 00 00 08 00
cd-eject sg_start --eject $cd
cd-open sg_turs $cd
cd-load sg_start --load $cd
cd-changed sg_requests $cd
END
EOF2
head -c 512 /dev/urandom >files/block
truncate -s 8M one.img
truncate -s 8M both.img
truncate -s 8M far.img
truncate -s 4M disc.iso
guest 'sh /files/ask' --device virtio-scsi,id=s0 --device virtio-scsi,id=s1 \
	--disk one.img,bus=s1 --disk both.img,bus=s0+s1 --disk far.img,bus=s1,target=200,lun=16000 \
	--cdrom disc.iso,bus=s0
booted=$?

test_guest_ends_well() { cat "$shared/err"; equal "$booted" 0; }
test_all_are_found() { says nodes '^/dev/sg[0-9]+ /dev/sg[0-9]+ /dev/sg[0-9]+ /dev/sg[0-9]+$'; }
test_one_disk_by_two_ports() {
	says one-disk '^status 0'
	says names-a 'Relative target port: 0x1'
	says names-b 'Relative target port: 0x2'
}
test_reservation_by_port() {
	says register-a '^status 0'
	says register-b '^status 0'
	says keys '0xa$' '0xb$'
	says reserve '^status 0'
	says read-b 'Reservation Conflict' '^status 24'
	says read-a '^status 0'
}
test_preempt_and_abort() {
	says preempt '^status 0'
	says attention-a 'Registrations preempted'
	says reservation 'Key=0xb' 'Write Exclusive$'
	says write-a 'Reservation Conflict' '^status 24'
	says write-b '^status 0'
}
test_reset_tells_the_other_port() {
	says reset-b '^status 0'
	says attention-after-reset '[Bb]us device reset'
}
test_high_target_and_lun() {
	says far 'LUNETTE' 'Unit serial number: far.img' '^status 0'
	says far-luns '7e80000000000000'
}
test_cd() {
	says cd-inquiry 'PDT=5  RMB=1' 'CD-ROM'
	says cd-capacity 'Last LBA=2047 ' 'block length=2048'
	says cd-toc '00 +00 12 01 01 00 14 01 00' '^status 0'
	says cd-configuration '00 +00 00 00 .. 00 00 00 08'
}
test_eject_and_load() {
	says cd-eject '^status 0'
	says cd-open 'not ready|Medium not present|^status 2'
	says cd-load '^status 0'
	says cd-changed 'medium may have changed'
}

run_tests
rm -rf "$shared"
