#!/bin/sh
# SPDX-License-Identifier: MIT
# conformance.sh - libiscsi's tests for SCSI targets, all of them, over /dev/sg: with a plain disk, and
# those that want two paths, or a disk that cannot be written, with such. What it skips here: tests of
# iSCSI itself, or that want two sessions of it; of media that go; EXTENDED COPY and SANITIZE.
. "$(dirname "$0")/lib.sh"
tools=/lab/conformance.cpio

shared=$(mktemp -d)
cd "$shared" || exit
mkdir files
# By suites: two run side by side, with a disk each.
first=CompareAndWrite,ExtendedCopy,GetLBAStatus,Inquiry,Mandatory,ModeSense6,NoMedia,OrWrite,Prefetch10
first=$first,Prefetch16,PreventAllow,PrinReadKeys,PrinServiceactionRange,PrinReportCapabilities
first=$first,ProutRegister,ProutReserve,ProutClear,ProutPreempt,Read6,Read10,Read12,Read16
first=$first,ReadCapacity10,ReadCapacity16,ReadDefectData10,ReadDefectData12,ReadOnly
first=$first,ReceiveCopyResults,ReportSupportedOpcodes,Reserve6,Sanitize,StartStopUnit,TestUnitReady
first=$first,Unmap
second=Verify10,Verify12,Verify16,Write10,Write12,Write16,WriteAtomic16,WriteSame10,WriteSame16
second=$second,WriteVerify10,WriteVerify12,WriteVerify16,iSCSIcmdsn,iSCSIdatasn,iSCSIResiduals
cat >files/ask <<EOF2
node() { # HOST LUN: the sg device
	for dev in /sys/class/scsi_generic/sg*; do
		case \$(readlink "\$dev/device") in */\$1:0:0:\$2) echo "/dev/\${dev##*/}" ;; esac
	done
}
try() { # NAME SUITES DEVICE...
	name=\$1 tests=ALL.\$(echo "\$2" | sed 's/,/,ALL./g')
	shift 2
	iscsi-test-cu -d -v -t "\$tests" "\$@" >"/tmp/\$name" 2>&1
}
try first $first \$(node 0 0) &
try second $second \$(node 0 1)
try paths MultipathIO \$(node 0 2) \$(node 1 2)
try readonly ReadOnly \$(node 0 3)
wait
for name in first second paths readonly; do
	echo "== \$name"
	cat "/tmp/\$name"
done
EOF2
for disk in a b both readonly; do truncate -s 64M $disk.img; done
seconds=560
guest 'sh /files/ask' --cpus 2 --device virtio-scsi,id=s0 --device virtio-scsi,id=s1 \
	--disk a.img,bus=s0,overlay=on --disk b.img,bus=s0,overlay=on --disk both.img,bus=s0+s1 \
	--disk readonly.img,bus=s0,readonly=on
booted=$?
for part in first second paths readonly; do section $part; done | awk '
	/^Suite: / { suite = $2 }
	/^  Test: / { name = suite "." $2; skips = 0 }
	/\[SKIPPED\]/ { skips = 1 }
	name && /(passed|FAILED)$/ {
		print (/FAILED$/ ? "fails" : skips ? "skips" : "passes"), name
		name = ""
	}' >results

# names HOW: tests that end so, in one line
names() {
	sed -n "s/^$1 //p" "$shared/results" | sort | tr '\n' ' '
}

test_guest_ends_well() { cat "$shared/err"; equal "$booted" 0; }
test_failures_are_not_ours() {
	# GetLBAStatus.UnmapSingle asks inside a physical block of 4 KiB, of which a part is unmapped.
	# WriteSame10 and 16.InvalidDataOutSize: virtio has no sense data for too short a buffer.
	# WriteSame10.UnmapUntilEnd: blocks of FFh with UNMAP; they are written, as SBC-3 5.43 wants.
	# WriteSame16.Unmap asks sg for more in one piece than sg takes.
	cat "$shared/out"
	equal "$(names fails)" 'GetLBAStatus.UnmapSingle WriteSame10.InvalidDataOutSize WriteSame10.UnmapUntilEnd WriteSame16.InvalidDataOutSize WriteSame16.Unmap '
}
test_passes() {
	cat "$shared/results"
	[ "$(grep -c '^passes' "$shared/results")" -ge 159 ]
}
test_nothing_that_we_have_is_skipped() {
	local of
	for of in OrWrite WriteAtomic16 WriteSame10 WriteSame16 ReadDefectData10 ReadDefectData12 Unmap \
		GetLBAStatus ReportSupportedOpcodes PrinReadKeys ProutRegister ProutClear; do
		grep -q "^passes $of\." "$shared/results"
		equal "$(names skips | tr ' ' '\n' | grep "^$of\.")" ''
	done
}
test_two_paths() {
	contains "$shared/results" '^passes MultipathIO.Simple$'
	contains "$shared/results" '^passes MultipathIO.CompareAndWrite$'
}

run_tests
rm -rf "$shared"
