#!/bin/bash
# SPDX-License-Identifier: MIT
# completion.sh - what a shell makes of a command line of lunette at the Tab key.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")
from=$top/packaging/completion

installed() { # as it is where it has been installed
	mkdir -p bin share/lunette
	cp "$top/lunette" bin
	cp "$from/words" share/lunette
	PATH=$PWD/bin:$PATH
}

# asked WORD...: the words that may follow, on a line
asked() {
	sh share/lunette/words "$(command -v lunette)" "$@" >out
	cut -f 1 out | paste -sd ' '
}

test_words() { # of commands, options, values; none of them is listed in the program that is asked
	installed
	equal "$(asked '')" "$(lunette --help | sed -n 's/^  \([a-z-][a-z-]*\)  .*/\1/p' | paste -sd ' ')"
	equal "$(asked run --)" "$(lunette run --help | sed -nE 's/^  (-t, )?(--[a-z-]+).*/\2/p' | paste -sd ' ')"
	equal "$(asked run --junit out.xml --time)" --timeout
	contains out '^--timeout	end the run when it takes longer'
	equal "$(asked run --vhost '')" 'auto on off'
	equal "$(asked run --boot-timeout '')" none
	equal "$(asked run --publish '')" ''
	equal "$(asked run --kernel o)" @files
	mkdir -p cache/lunette/kernel-micro cache/lunette/kernels/6.2-x
	: >cache/lunette/kernel-micro/vmlinux
	: >cache/lunette/kernels/6.2-x/vmlinuz
	export XDG_CACHE_HOME=$PWD/cache
	equal "$(asked run --kernel mi)" '@files micro'
	equal "$(asked run --kernel 6)" '@files 6.2-x'
	contains out "^6.2-x	$PWD/cache/lunette/kernels/6.2-x/vmlinuz$"
	equal "$(asked kernel '')" 'list which modules get build check'
	equal "$(asked kernel b)" build
	equal "$(asked kernel build '')" 'full debug'
	equal "$(asked kernel which mi)" '@files micro'
	equal "$(asked kernel check x)" @files
	equal "$(asked kernel get 6)" ''
	equal "$(asked kernel --)" ''
	equal "$(asked run --share '')" @folders
	equal "$(asked run --device virtio-sc)" virtio-scsi
	equal "$(asked run --device 'virtio-scsi,queues=2,t')" 'virtio-scsi,queues=2,transport='
	equal "$(asked run --disk 'a|&\1,io=')" 'a|&\1,io=auto a|&\1,io=uring a|&\1,io=threads'
	equal "$(asked run --cdrom a.iso,read)" ''
	equal "$(asked run -- ls --ke)" @files
	equal "$(asked matrix --keep '')" @folders
	equal "$(asked ctl run.sock coun)" counters
	equal "$(asked help doc)" doctor
	equal "$(asked nothing --)" ''
}

# line KEYS WANTED: what the shell has on its line when KEYS have been typed, where "|" is Tab; a "." that is
# typed last shows whether a blank came behind it
line() {
	local part rest=$1'|'
	while [ -n "$rest" ]; do
		part=${rest%%|*} rest=${rest#*|}
		[ -z "$part" ] || tmux send-keys -l -- "$part"
		[ -z "$rest" ] || tmux send-keys Tab
	done
	until_true 60 shows "> $2"
	tmux send-keys C-u C-l
}
shows() { tmux capture-pane -p | sed 's/ *$//' | grep -qxF -e "$1"; }

# driven COMMAND: a shell whose prompt is "> ", which is to read the lines on stdin first
driven() {
	installed
	: >off.elf
	mkdir -p folder tmux home
	export TMUX_TMPDIR=$PWD/tmux HOME=$PWD/home
	cat >first
	trap 'tmux kill-server' EXIT
	tmux -f /dev/null new-session -d -x 100 -y 30 "exec env PS1='> ' $1"
	until_true 60 shows '>'
	tmux send-keys ". $PWD/first; clear" Enter
	until_true 60 shows '>'
}

# The same in all of them.
lines() {
	line 'lunette ru|.' 'lunette run .'
	line 'lunette run --ker|of|.' 'lunette run --kernel off.elf .'
	line 'lunette run --out fo|.' 'lunette run --out folder/.'
	line 'lunette run --vh|of|--cp|2.' 'lunette run --vhost off --cpus 2.'
	line 'lunette run --disk off.elf,reado|of|.' 'lunette run --disk off.elf,readonly=off .'
	line 'lunette run --device virtio-sc|' 'lunette run --device virtio-scsi'
	line 'lunette kernel ch|of|.' 'lunette kernel check off.elf .'
	line 'lunette ctl off.elf cou|.' 'lunette ctl off.elf counters .'
	line 'lunette run -- true of|.' 'lunette run -- true off.elf .'
}

test_bash() {
	driven 'bash --norc --noprofile' <<<". $from/lunette.bash"
	lines
}

test_zsh() {
	command -v zsh >/dev/null || skip 'no zsh here'
	driven 'zsh -f' <<-END
		fpath=($from \$fpath)
		autoload -Uz compinit
		compinit -u -d dump
	END
	lines
}

test_fish() {
	command -v fish >/dev/null || skip 'no fish here'
	driven 'fish --no-config -C "function fish_prompt; printf \"> \"; end; set -g fish_autosuggestion_enabled 0"' \
		<<<"source $from/lunette.fish"
	lines
}

run_tests
