#!/bin/bash
# SPDX-License-Identifier: MIT
# lab.sh - which file of tests is run a second time (../lab/files.sh), by a lab host that only says what a
# test here wants.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
set -o pipefail

names() { :; }
told() { cat "$1"; }
seconds() { echo "0 s, 0 s of a processor"; }

# file CPU: runs a file on it in such a host, which says ./said1 the first time, and ./said2 then; ./out
# is what vm_file says, ./runs how often it was run.
file() {
	work=$PWD extent=test
	. "$top/tests/lab/files.sh"
	l1=$work/host
	cat >host <<-END
		#!/bin/sh
		echo >>$work/runs
		cat $work/said\$(grep -c '' $work/runs)
	END
	chmod +x host
	mkdir -p top/tests
	cp -r "$top/tests/lab" top/tests
	printf '#!/bin/sh\n' >top/tests/lab/kernel
	(cd top && vm_file "$1" stock stock console) >out
}
fault='  err: lunette: error: a vCPU shut down on a triple fault
  unwanted triple fault: console/b'

test_triple_fault_is_tried_again() {
	printf '%s\n' 'ok console/a' 'not ok console/b' "$fault" 'ok console/c' >said1
	printf '%s\n' 'ok console/a' 'ok console/b' 'ok console/c' >said2
	file amd
	equal "$(wc -l <runs)" 2
	equal "$(sed 's/:.*//' out)" 'console-amd-stock-stock is run again
ok console/a
ok console/b
ok console/c
vm'
	contains out ': a triple fault in console/b; what it said is in build/lab/console-amd-stock-stock.out$'
	cmp said1 top/build/lab/console-amd-stock-stock.out
	equal "$(cat brought_down)" console/b
}

test_triple_fault_twice_is_a_failure() {
	printf '%s\n' 'not ok console/b' "$fault" | tee said1 >said2
	file amd
	equal "$(wc -l <runs)" 2
	contains out '^not ok console/b'
	contains out '0 passed, 1 failed'
}

test_triple_fault_on_intel_is_a_failure() {
	printf '%s\n' 'not ok console/b' "$fault" >said1
	file intel
	equal "$(wc -l <runs)" 1
	contains out '^not ok intel: console/b'
	[ ! -e brought_down ]
}

test_another_failure_beside_it_is_one() {
	printf '%s\n' 'not ok console/a' '  err: x' 'not ok console/b' "$fault" >said1
	file amd
	equal "$(wc -l <runs)" 1
	contains out '0 passed, 2 failed'
	rm runs
	printf '%s\n' 'not ok console/b' "$fault" 'not ok console/taint_of_the_lab_host is 512' >said1
	file amd
	equal "$(wc -l <runs)" 1
}

test_other_failures_are_not_tried_again() {
	printf '%s\n' 'ok console/a' 'not ok console/b' '  err: lunette: error: the guest is silent' >said1
	file amd
	equal "$(wc -l <runs)" 1
	[ ! -e brought_down ]
}

test_many_of_them_are_a_failure() {
	work=$PWD
	. "$top/tests/lab/files.sh"
	status 1 too_many_brought_down
	printf '%s\n' console/a console/b ctl >brought_down
	status 1 too_many_brought_down
	echo files/a >>brought_down
	status 0 too_many_brought_down
	printf '%s\n' console/a console/a >brought_down
	status 0 too_many_brought_down
}

# Intel's part of a file has tests that there are; and those alone are run, each named one.
test_parts_of_files() {
	local file name EXTENT=test
	. "$top/tests/lab/files.sh"
	[ ${#part[@]} -ge 3 ]
	equal "$(parts boot+files | tr , '\n' | grep -c ^boot/)" "$(wc -w <<<"${part[boot]}")"
	for file in "${!part[@]}"; do
		for name in ${part[$file]}; do contains "$top/tests/vm/$file.sh" "^test_$name\(\) "; done
	done
	cat >file.sh <<-END
		. $tests/../vm/lib.sh
		test_a() { :; }
		test_b() { :; }
		test_c() { :; }
		run_tests
	END
	equal "$(TESTS=c,a bash file.sh)" 'ok file/a
ok file/c'
	equal "$(TESTS=b,d bash file.sh)" 'not ok file/d: no such test
ok file/b'
	equal "$(TESTS= bash file.sh | wc -l)" 3
	equal "$(TESTS=other/x,file/b, bash file.sh)" 'ok file/b'
	equal "$(TESTS=other/x bash file.sh | wc -l)" 3
	sed -i 's/test_b/long_b/' file.sh
	equal "$(bash file.sh)" 'ok file/a
ok file/c'
	equal "$(TESTS=b bash file.sh)" 'ok file/b'
	equal "$(EXTENT=all bash file.sh | wc -l)" 3
}

# What tells vm_file: lib.sh's own line, for a test that did not ask for such an end.
test_who_asks_for_a_triple_fault() {
	local line='lunette: error: a vCPU shut down on a triple fault'
	cat >file.sh <<-END
		. $tests/../vm/lib.sh
		test_wanted() { status 206 sh -c 'exit 206'; echo "$line" >err; fail 'its console is wrong'; }
		test_own() { mkdir one; echo "$line" >one/err; status 0 false; }
		test_of_all() { fail 'the guest is not there'; }
		test_other() { echo 'lunette: error: no memory' >err; fail 'no memory'; }
		run_tests
	END
	mkdir shared
	bash file.sh >out
	equal "$(grep -v '^  [lo]' out | grep -v '^  err: lunette')" "not ok file/wanted
not ok file/own
  unwanted triple fault: file/own
not ok file/of_all
not ok file/other"
	echo "$line" >shared/err
	shared=$PWD/shared bash file.sh >out
	equal "$(grep -A 2 /of_all out | tail -n 1)" '  unwanted triple fault: file'
}

run_tests
