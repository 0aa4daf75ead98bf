#!/bin/sh
# SPDX-License-Identifier: MIT
# sg.sh - what sg3-utils say of a disk, in a guest that is booted once for all of it.
. "$(dirname "$0")/lib.sh"
tools=/lab/tools.cpio

shared=$(mktemp -d)
cd "$shared" || exit
mkdir files
cat >files/ask <<'EOF2'
while read -r name command; do
	echo "== $name"
	eval "$command" 2>&1
	echo "status $?"
done <<'END'
inquiry sg_inq /dev/sg0
pages sg_vpd -p 0 /dev/sg0
all-pages sg_vpd -a /dev/sg0
serial sg_vpd -p sn /dev/sg0
names sg_vpd -p di /dev/sg0
names-by-default sg_vpd -p di /dev/sg1
limits sg_vpd -p bl /dev/sg0
rotation sg_vpd -p bdc /dev/sg0
provisioning sg_vpd -p lbpv /dev/sg0
capacity sg_readcap /dev/sg0
capacity-16 sg_readcap -16 /dev/sg0
capacity-of-3t sg_readcap /dev/sg1
capacity-16-of-3t sg_readcap -16 /dev/sg1
capacity-16-of-4k sg_readcap -16 /dev/sg2
opcodes sg_opcodes /dev/sg0
opcode-write-16 sg_opcodes -o 0x8a /dev/sg0
functions sg_opcodes -t /dev/sg0
luns sg_luns /dev/sg0
well-known-luns sg_luns -s 1 /dev/sg0
modes sg_modes -a /dev/sg0
modes-6 sg_modes -a -6 /dev/sg0
modes-readonly sg_modes -p 8 /dev/sg3
sense sg_requests /dev/sg0
ready sg_turs /dev/sg0
flush sg_sync /dev/sg0
verify sg_verify --lba=0 --count=8 /dev/sg0
verify-past-the-end sg_verify --lba=131071 --count=2 /dev/sg0
write-same sg_write_same --lba=8 --num=8 --xferlen=512 --in=/files/block /dev/sg0
write-same-reads dd if=/dev/sda bs=512 skip=15 count=1 iflag=direct | cmp - /files/block
unmap sg_unmap --lba=8 --num=8 --force /dev/sg0
unmap-reads dd if=/dev/sda bs=512 skip=15 count=1 iflag=direct | tr -d '\000' | wc -c
verify-data sg_verify --lba=40 --count=1 --ndo=512 --in=/files/block /dev/sg0
write-verify sg_write_verify --lba=40 --num=1 --ilen=512 --in=/files/block /dev/sg0
verify-the-same sg_verify --lba=40 --count=1 --ndo=512 --in=/files/block /dev/sg0
compare-and-write sg_compare_and_write --lba=40 --num=1 --xferlen=1024 --in=/files/pair /dev/sg0
compare-differs sg_compare_and_write --lba=40 --num=1 --xferlen=1024 --in=/files/pair /dev/sg0
compared dd if=/dev/sda bs=512 skip=40 count=1 iflag=direct | tr -d '\000' | wc -c
lba-status sg_get_lba_status -b --maxlen=256 --lba=0 /dev/sg0
lba-status-past-the-end sg_get_lba_status --lba=131072 /dev/sg0
pre-fetch sg_raw /dev/sg0 34 00 00 00 00 00 00 00 08 00
logs sg_logs -a /dev/sg0
exceptions sg_logs -p 0x2f /dev/sg0
stop sg_start --stop /dev/sg0
stopped sg_turs /dev/sg0
start sg_start --start /dev/sg0
eject-fixed sg_start --eject /dev/sg0
timeouts sg_opcodes -R -o 0x28 /dev/sg0
pr-capabilities sg_persist -i -c /dev/sg0
pr-register sg_persist -o -n -G -S 0xabc /dev/sg0
pr-keys sg_persist -i -n -k /dev/sg0
pr-reserve sg_persist -o -n -R -K 0xabc -T 5 /dev/sg0
pr-reservation sg_persist -i -n -r /dev/sg0
pr-status sg_persist -i -n -s /dev/sg0
pr-wrong-key sg_persist -o -n -L -K 0xdef -T 5 /dev/sg0
pr-aptpl sg_persist -o -n -I -S 0xabd -Z /dev/sg0
pr-release sg_persist -o -n -L -K 0xabc -T 5 /dev/sg0
pr-clear sg_persist -o -n -C -K 0xabc /dev/sg0
pr-no-keys sg_persist -i -n -k /dev/sg0
diagnostic sg_senddiag -t /dev/sg0
reset sg_reset -d /dev/sg0
unknown-opcode sg_raw /dev/sg0 ff 0 0 0 0 0
write-readonly sg_raw -s 512 -i /files/block /dev/sg3 2a 00 00 00 00 00 00 00 01 00
END
EOF2
head -c 512 /dev/urandom >files/block
{ cat files/block; head -c 512 /dev/zero; } >files/pair
truncate -s 64M a.img
truncate -s 3072G b.img
truncate -s 8M c.img
guest 'sh /files/ask' --disk a.img,wwn=3123456789abcdef,serial=the-first --disk b.img \
	--disk null,store=null,size=1G,block-size=4096 --disk c.img,readonly=on
booted=$?

test_guest_ends_well() { cat "$shared/err"; equal "$booted" 0; }

test_inquiry() {
	says inquiry 'PQual=0  PDT=0  RMB=0' 'version=0x0[67]' 'HiSUP=1  Resp_data_format=2' 'CmdQue=1' \
		'Vendor identification: LUNETTE' 'Unit serial number: the-first' '^status 0'
}
test_vpd_pages() {
	says pages '\[sv\]' '\[sn\]' '\[di\]' '\[ei\]' '\[bl\]' '\[bdc\]' '\[lbpv\]' '^status 0'
	says all-pages 'Supported VPD pages' 'serial number VPD page' 'Device Identification VPD page' \
		'INQUIRY data VPD page' 'Block limits VPD page' 'characteristics VPD page' \
		'provisioning VPD page' '^status 0'
	says serial 'Unit serial number: the-first$'
	says rotation 'Non-rotating medium'
}
test_names() {
	says names 'NAA' '0x3123456789abcdef' 'vendor id: LUNETTE' 'DISK:the-first' '^status 0'
	says names-by-default '0x6[0-9a-f]{31}' 'b.img'
}
test_block_limits() {
	says limits 'WSNZ.: 0' 'Maximum compare and write length: [1-9]' 'Maximum transfer length: [1-9]' \
		'Maximum unmap LBA count: -1' 'Maximum unmap block descriptor count: [1-9]' \
		'Unmap granularity alignment valid: true' 'Maximum write same length: 0x[1-9]'
}
test_provisioning() { # and the two pages agree
	says provisioning 'LBPU.: 1' 'LBPWS.: 1' 'LBPWS10.: 1' 'LBPRZ.: 1' 'thin provisioned'
	says capacity-16 'lbpme=1, lbprz=1'
}
test_capacity() {
	says capacity 'Last LBA=131071 ' 'block length=512 bytes' '^status 0'
	says capacity-16 'Last LBA=131071 ' 'block length=512 bytes' 'prot_en=0' '^status 0'
	says capacity-of-3t 'capacity too large' # ffffffffh
	says capacity-16-of-3t 'Last LBA=6442450943 '
	says capacity-16-of-4k 'Last LBA=262143 ' 'block length=4096 bytes'
}
test_opcodes() {
	says opcodes ' 00 +6 .*Test Unit Ready' ' 28 +10 .*Read\(10\)' ' 42 +10 .*Unmap' \
		' 89 +16 .*Compare and write' ' 93 +16 .*Write same' ' 9e +10 +16 .*Read capacity' \
		' a0 +12 .*Report luns' ' a3 +c +12 .*Report supported operation codes' '^status 0'
	says opcode-write-16 'Write\(16\)' 'Command is supported' 'Usage data: 8a 18 ff'
	says functions 'Abort task$' 'Logical unit reset$' '^status 0'
}
test_luns() {
	says luns 'length = 32 ' '^ +0000000000000000$' '^ +0003000000000000$'
	says well-known-luns '^ +c101000000000000$'
}
test_modes() {
	says modes 'WP=0, DpoFua=1' '>> Caching' '>> Control, ' '^ 00 +08 12 04' '^status 0'
	says modes-6 'WP=0, DpoFua=1' '>> Caching'
	says modes-readonly 'WP=1'
}
test_sense() { says sense 'Sense key: No Sense'; }
test_ready() { says ready '^status 0'; }
test_flush() { says flush '^status 0'; }
test_verify() {
	says verify '^status 0'
	says verify-past-the-end 'LBA out of range'
}
test_write_same() {
	says write-same '^status 0'
	says write-same-reads '^status 0'
}
test_unmap() {
	says unmap '^status 0'
	says unmap-reads '^0$'
}
test_verify_data() {
	says verify-data 'MISCOMPARE|iscompare' '^status 14'
	says write-verify '^status 0'
	says verify-the-same '^status 0'
}
test_compare_and_write() {
	says compare-and-write '^status 0'
	says compare-differs '[Mm]iscompare' '^status 14'
	says compared '^0$'
}
test_lba_status() { # a page has been written: blocks 28h to 2fh
	says lba-status '^0x0+ +0x28 +1' '^0x0*28 +0x8 +0' '^0x0*30 +0x1ffd0 +1' '^status 0'
	says lba-status-past-the-end 'LBA out of range'
}
test_pre_fetch() { says pre-fetch 'SCSI Status: Good' '^status 0'; }
test_logs() {
	says logs 'Supported log pages' '^status 0'
	says exceptions 'IE asc = 0x0, ascq = 0x0' '^status 0'
}
test_start_and_stop() {
	says stop '^status 0'
	says stopped '^status 2'
	says start '^status 0'
	says eject-fixed '[Ii]llegal [Rr]equest|Invalid field'
}
test_timeouts() { says timeouts 'Read\(10\)' '^status 0'; }
test_persistent_reservations() {
	says pr-capabilities 'Persist Through Power Loss Capable.*: 0' \
		'xclusive Access, all registrants: 1' '^status 0'
	says pr-register '^status 0'
	says pr-keys '0xabc$' '^status 0'
	says pr-reserve '^status 0'
	says pr-reservation 'Key=0xabc' 'Write Exclusive, registrants only' '^status 0'
	says pr-status 'Reservation holder' 'Transport Id of initiator' 'SAS address: 0x3000000000000001'
	says pr-wrong-key 'onflict' '^status 24'
	says pr-aptpl '^status 5'
	says pr-release '^status 0'
	says pr-clear '^status 0'
	says pr-no-keys 'NO registered reservation keys' '^status 0'
}
test_diagnostic() { says diagnostic '^status 0'; }
test_reset() { says reset '^status 0'; }
test_unknown_opcode() { says unknown-opcode 'Illegal Request' 'Invalid command operation code'; }
test_write_to_readonly() { says write-readonly 'Data Protect' 'Write protected'; }

run_tests
rm -rf "$shared"
