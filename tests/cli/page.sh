#!/bin/bash
# SPDX-License-Identifier: MIT
# page.sh - the page of "lunette matrix --html", as Chromium shows it: this machine's, or Debian's, which
# takes half a gigabyte of the cache and is unpacked by "make test-all" alone.
. "$(dirname "$0")/../vm/lib.sh"
top=$(readlink -f "$tests/../..")

# browser: sets $browser, a command whose folder here is /page
browser() {
	local tree name
	for name in chromium-headless-shell chromium chromium-browser google-chrome; do
		! type -P "$name" >/dev/null || { browser=(in_place "$name" --headless); return 0; }
	done
	[ "${EXTENT-}" = all ] || skip 'no Chromium here; make test-all unpacks one'
	tree=$("$top/tests/lab/deb" -r chromium-headless-shell fonts-dejavu-core)
	unshare -rm true || skip 'no namespaces, in which an unpacked Chromium would run'
	browser=(unpacked "$tree")
}
in_place() { timeout 120 "${@//\/page\//$PWD/}"; }
# In a root of its own, as it starts itself anew by absolute names.
unpacked() { # TREE WORD...
	mkdir -p root
	# shellcheck disable=SC2016
	timeout 120 unshare -rm sh -ec '
		tree=$1 work=$PWD
		shift
		mount -t tmpfs root root
		cd root
		mkdir proc dev tmp usr etc page
		for link in bin sbin lib lib64; do ln -s usr/$link .; done
		mount --bind "$tree/usr" usr
		mount --bind "$tree/etc" etc
		mount --bind "$work" page
		mount --rbind /proc proc
		mount --rbind /dev dev
		HOME=/tmp exec chroot . /usr/lib/chromium/chromium-headless-shell "$@"' - "$@"
}
show() { "${browser[@]}" --no-sandbox --disable-gpu "$@" 2>>err; }

# guests: one that succeeds, one that says what is hostile and fails, one that says a lot
guests() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip 'no /dev/kvm that may be used'
	cat >text <<-'END'
		TAP version 13
		1..2
		ok 1 - fine
		not ok 2 - <script>top.harmed = 1</script>
		# <img src=x onerror="top.harmed = 1">
		</pre></section><script>top.harmed = 1</script>
	END
	printf '\033[31mred\033[0m %300s|\n' '' >>text
	printf '%s\n' '.globl _start; _start: mov $text, %esi; mov $0x3f8, %edx' "mov \$$(wc -c <text), %ecx" \
		'1: lodsb; outb %al, %dx; loop 1b' 'mov $0x600, %edx; mov $0x34, %al; outb %al, %dx' '2: jmp 2b' \
		'text: .incbin "text"; .section .note.GNU-stack, "", @progbits' |
		gcc -nostdlib -static -no-pie -Wl,--build-id=none,-z,noseparate-code \
			-Wl,-Ttext-segment=0x200000 -x assembler -o says.elf -
	: >none.elf
	printf '%s\n' 'run --vhost off --memory 64M' 'kernel says --kernel says.elf' 'kernel none --kernel none.elf' \
		'cpus one' 'cpus two --cpus 2' 'exclude kernel=none cpus=two' >m
	status 201 "$top/lunette" matrix m --html page.html --json r.json >out 2>err
}

# look WIDTH: ./seen is what a page of that width has, a line each
look() {
	cat >outer.html <<-END
		<iframe id="f" src="page.html" width="$1" height="2000" style="border: 0"></iframe><pre id="o"></pre>
		<script>
		const lines = [], f = document.getElementById("f");
		f.onload = () => {
			const d = f.contentDocument, colour = e => getComputedStyle(e).backgroundColor;
			for (const c of d.querySelectorAll("td"))
				lines.push("cell " + c.className + " " + colour(c));
			lines.push("cells of one colour " + (colour(d.querySelector("td.tests")) ==
				colour(d.querySelector("td.failed"))));
			lines.push("wider than the window " + (d.documentElement.scrollWidth > $1));
			lines.push("bars " + d.querySelectorAll("td .bar i").length);
			lines.push("jumps " + [...d.querySelectorAll("td a")].every(a => d.querySelector(a.hash)));
			lines.push("scripts " + d.scripts.length + " images " + d.images.length + " harmed " + window.harmed);
			for (const p of d.querySelectorAll("li")) lines.push("test " + p.textContent.trim());
			for (const p of d.querySelectorAll("details pre")) lines.push("console " + p.textContent);
			document.getElementById("o").textContent = "\n" + lines.join("\n") + "\n";
		};
		</script>
	END
	show --allow-file-access-from-files --virtual-time-budget=5000 --window-size=1400,2100 --dump-dom \
		file:///page/outer.html | sed 's/&lt;/</g; s/&gt;/>/g' >seen
}

test_narrow_and_wide() {
	browser
	guests
	for width in 360 1280; do
		look $width
		equal "$(grep -c '^cell tests rgb' seen)" 2
		equal "$(grep -c '^cell failed rgb' seen)" 1
		contains seen '^cells of one colour false$'
		contains seen '^wider than the window false$'
		contains seen '^bars [1-9]'
		contains seen '^jumps true$'
		contains seen '^scripts 0 images 0 harmed undefined$'
		contains seen '^test console: <script>top\.harmed = 1</script> not ok# <img src=x'
		contains seen '^</pre></section><script>top'
		contains seen 'red.*  [|]$'
	done
	for width in 360 1280; do # for who wants to look
		show --hide-scrollbars --window-size=$width,1200 --screenshot=/page/$width.png file:///page/page.html >out
		[ -s $width.png ] || fail 'no picture'
	done
}

run_tests
