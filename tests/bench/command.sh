# command.sh - in the lab host: what it takes to have a command run in a fresh guest (see lab.sh, which
# prints the table). The command is "true"; all guests have the same files and the same init.
#
#   usage: command.sh KERNEL...    names of files in /lab
#
# For each VMM a line: row|NAME|until the first KVM_RUN|until the command begins|until the VMM's end
. /lab/peers.sh
mib=128 vhost=off disk= options= words='quiet nokaslr'

first_run() { # VMM: the median of three
	local figures
	figures=$($1 firstrun -n 3 2>err) || return
	figures=${figures#* }
	echo "${figures%% *}"
}

failed() { # NAME
	echo "failed|$1|$(tail -n 1 err)"
}

# It says itself when the command began, counted from its main().
phase() {
	sed -n "s/^ *\"$1\": \([0-9.]*\),*$/\1/p" json
}
with_true() { # VMM...
	timeto -e '' "$@" --json json -- true
}
lunette_row() { # NAME
	local first all start
	initrd=/lab/base.cpio
	first=$(first_run lunette) && all=$(lunette with_true 2>err </dev/null) || {
		failed "$1"
		return
	}
	start=$(echo "$first $(phase entered) $(phase start)" | awk '{ print $1 - $2 + $3 }')
	echo "row|$1|$first|$start|$all"
	echo "phases|$(for name in built entered up start end off; do echo "$name $(phase $name)"; done |
		tr '\n' ' ')"
}

# A guest with a job of its own prints that it begins.
row() { # NAME VMM
	local first times
	first=$(first_run "$2") && times=$($2 timeto -e guest-is-up 2>err </dev/null) || {
		failed "$1"
		return
	}
	echo "row|$1|$first|$(echo $times | tr ' ' '|')"
}

# Of which no more is seen than its end.
virtme_row() { # NAME
	local first all
	first=$(first_run virtme) && all=$(virtme timeto -e '' 2>err </dev/null) || {
		failed "$1"
		return
	}
	echo "row|$1|$first||$all"
}

# What virtme-ng wants to find in a host. Its QEMU has to know by itself where its files are.
set_up_virtme() {
	local word
	mkdir -p /run /var/tmp /etc /usr/share/qemu
	echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
	echo root:x:0: >/etc/group
	for word in $(cat /lab/qemu); do
		[ ! -d "$word" ] || ln -sf "$word"/* /usr/share/qemu/
	done
	ln -s "$(head -n 1 /lab/qemu)" /bin/qemu-system-x86_64
	export PYTHONPATH=/lab/virtme USER=root HOME=/root
}

[ ! -e /lab/virtme ] || set_up_virtme
for name; do
	kernel=/lab/$name
	lunette_row "$name: lunette"
	bus=mmio initrd=/lab/true.cpio row "$name: QEMU microvm" qemu
	if [ -e /lab/virtme ] && [ -e "$kernel.bzImage" ]; then virtme_row "$name: virtme-ng"; fi
	[ ! -e /bin/lkvm ] || initrd=/lab/reboot.cpio words="$words reboot=k" row "$name: kvmtool" kvmtool
done
