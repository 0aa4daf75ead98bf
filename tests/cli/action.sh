#!/bin/bash
# SPDX-License-Identifier: MIT
# action.sh - the action for GitHub and the workflow beside it: their shell steps, as they stand there, are
# run. What they would install, build and boot is stood in for by words on a line, but "make test-all" has
# the workflow's guests, too.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
action=$top/packaging/action/action.yml example=$top/packaging/action/example.yml

# shell_step FILE NAME: the lines that it runs
shell_step() {
	awk -v name="$2" '
		function indent(text) { match(text, /^ */); return RLENGTH }
		block && /[^ ]/ && indent($0) <= depth { block = 0 }
		block { print substr($0, depth + 3); next }
		/^ *- / { ours = $0 ~ "^ *- name: " name "$" }
		ours && /^ *run: \|$/ { block = 1; depth = indent($0) }' "$1"
}
step_names() { # FILE: those with shell
	awk '/^ *- name: / { sub(/^ *- name: /, ""); name = $0 } /^ *run: \|$/ { print name }' "$1"
}
run_step() { # FILE NAME: as GitHub does it
	shell_step "$1" "$2" >step
	[ -s step ] || fail "no step $2 in $1"
	bash --noprofile --norc -eo pipefail step
}

# stands_in NAME...: programs that add a line with their words to ./did; what they print is in ./NAME.says, and
# ./NAME.status is their status
stands_in() {
	mkdir -p bin
	for name; do
		cat >"bin/$name" <<-END
			#!/bin/bash
			{ printf '%s' $name; printf ' [%s]' "\$@"; echo; } >>"$PWD/did"
			[ ! -e "$PWD/$name.says" ] || cat "$PWD/$name.says"
			[ ! -e "$PWD/$name.status" ] || exit "\$(cat "$PWD/$name.status")"
		END
		chmod +x "bin/$name"
	done
	PATH=$PWD/bin:$PATH
}

test_all_steps_are_known() {
	equal "$(step_names "$action" | paste -sd ,)" 'Let everybody use KVM,Install lunette,Run the command'
	equal "$(step_names "$example" | paste -sd ,)" 'Build what is to be tested,One more guest, by hand'
	step_names "$action" | while read -r name; do
		shell_step "$action" "$name" >step
		! grep -n '[$][{][{]' step || fail "$name: an expression in a shell step: anybody's text would be run"
		bash -n step
	done
}

test_kvm_as_doctor_says() {
	"$top/lunette" doctor --ci github | sed -n '/^  run: |$/,$s/^    //p' >wanted
	shell_step "$action" 'Let everybody use KVM' >got
	diff wanted got || fail 'lunette doctor --ci github prints another step'
	stands_in sudo
	equal "$(run_step "$action" 'Let everybody use KVM')" ''
	equal "$(cat did)" 'sudo [tee] [/etc/udev/rules.d/99-kvm.rules]
sudo [udevadm] [control] [--reload-rules]
sudo [udevadm] [trigger] [--name-match=kvm]'
}

test_install() {
	stands_in make sudo nproc
	mkdir -p source/guest
	printf '#!/bin/sh\necho set up "$@" >>did\n' >source/guest/setup.sh
	chmod +x source/guest/setup.sh
	echo 3 >nproc.says
	export SOURCE=source KERNEL=micro HOME=/h
	status 127 run_step "$action" 'Install lunette' 2>err # nothing has been installed
	equal "$(grep -v nproc did)" 'set up run
make [-s] [-j] [3] [-C] [source] [lunette]
make [-s] [-C] [source] [guest-kernel]
sudo [make] [-s] [-C] [source] [install] [GUEST_KERNEL=/h/.cache/lunette/kernel-micro/vmlinux]'
	stands_in lunette # once it is there
	: >did
	status 0 run_step "$action" 'Install lunette'
	equal "$(cat did)" 'lunette [doctor]'
	echo 202 >lunette.status
	status 202 run_step "$action" 'Install lunette'
}

run_the_command() { # STATUS
	status "$1" env GITHUB_OUTPUT=output TIMEOUT=5m JUNIT=r.xml bash -c "$(declare -f run_step shell_step fail)
		action='$action'; run_step \"\$action\" 'Run the command'"
}
test_run() {
	stands_in lunette
	export COMMAND='echo "$(id)"; exit 3' SHARE=. OUT='' OPTIONS='--cpus 2 --env "A=b c"' KERNEL=micro
	run_the_command 0
	equal "$(cat did)" "lunette [run] [--timeout] [5m] [--junit] [r.xml] [--share] [.] [--cpus] [2] [--env] [A=b c] [--] [sh] [-c] [$COMMAND]"
	equal "$(cat output)" status=0
	export SHARE='' OUT='my results' OPTIONS='' KERNEL=vmlinux
	echo 212 >lunette.status
	run_the_command 212
	contains did ' \[--kernel\] \[vmlinux\] \[--out\] \[my results\] \[--\] '
	equal "$(tail -n 1 output)" status=212
}

# What the example tells the action is what the action knows.
test_inputs_of_the_example() {
	sed -n '/^inputs:/,/^outputs:/s/^  \([a-z]*\):$/\1/p' "$action" >known
	sed -n '/^ *with:$/,/^ *- /s/^ *\([a-z]*\): .*/\1/p' "$example" >given
	[ -s given ] || fail 'it gives none'
	equal "$(grep -vxF -f known given)" ''
	for name in $(cat known); do
		grep -q "inputs\.$name" "$action" || fail "input $name is for nothing"
	done
}

test_example() {
	status 0 run_step "$example" 'Build what is to be tested'
	equal "$(CPUS=$(nproc) tests/all)" $'1..1\nok 1 - has its CPUs'
	stands_in lunette
	echo 32768 >lunette.says
	status 0 run_step "$example" 'One more guest, by hand'
	contains did '^lunette \[run\] \[--timeout\] \[5m\] \[--disk\] \[disk.img\] \[--\] \[sh\] \[-c\] \[cat /sys/block/sda/size\]$'
	echo 1 >lunette.says
	status 1 run_step "$example" 'One more guest, by hand'
}

test_guests_of_the_example() {
	[ "${EXTENT-}" = all ] || skip 'two guests, of which each may need an emulated machine: make test-all has them'
	mkdir bin
	printf '#!/bin/sh\nshift\nexec "%s/run-guest.sh" "$@"\n' "$top" >bin/lunette
	chmod +x bin/lunette
	PATH=$PWD/bin:$PATH
	run_step "$example" 'Build what is to be tested'
	export GITHUB_OUTPUT=output TIMEOUT=5m JUNIT=r.xml COMMAND=tests/all OPTIONS='--cpus 2 --env CPUS=2 --memory 512M' \
		SHARE=. OUT='' KERNEL=micro
	[ -e "${XDG_CACHE_HOME:-$HOME/.cache}/lunette/kernel-micro" ] || skip 'no small kernel: make guest-kernel makes it'
	status 0 run_step "$action" 'Run the command'
	contains r.xml '<testcase classname="stdout" name="has its CPUs"/>'
	status 0 run_step "$example" 'One more guest, by hand'
}

run_tests
