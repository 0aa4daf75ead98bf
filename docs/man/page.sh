#!/bin/sh
# SPDX-License-Identifier: MIT
# page.sh - make a manual page from its prose and from what lunette says of itself.
#
#   usage: page.sh LUNETTE PAGE
#
# PAGE is in mdoc; a line "@WHICH WORD..." in it becomes a list of the rows of "LUNETTE WORD...": of its
# options, its commands, its devices' keys, or of its exit statuses, which stand behind that title.
lunette=$1

# A row begins with two blanks; what comes behind two more, or below it, is its text.
list() { # options|commands|keys|statuses WORD...
	which=$1
	shift
	"$lunette" "$@" | awk -v which="$which" '
	BEGIN {
		starts["options"] = "^  -"; starts["commands"] = "^  [a-z]"; starts["keys"] = "^  [a-z-]+="
		starts["statuses"] = "^ +([0-9]+|n|128[+]n) "
		print ".Bl -tag -width Ds"
	}
	function plain(text) {
		gsub(/\\/, "\\e", text)
		return text ~ /^[.\x27]/ ? "\\&" text : text
	}
	/^Exit status:/ { behind = 1 }
	behind != (which == "statuses") { next }
	$0 ~ starts[which] {
		row = $0
		sub(/^ +/, "", row)
		text = match(row, /  +/) ? substr(row, RSTART + RLENGTH) : ""
		if (text != "")
			row = substr(row, 1, RSTART - 1)
		if (which == "statuses" && match(text, /  +/)) # its name stands between
			text = substr(text, RSTART + RLENGTH) " (" substr(text, 1, RSTART - 1) ")"
		row = plain(row)
		gsub(/-/, "\\-", row)
		print ".It Cm \"" row "\""
		rows++
		if (text != "")
			print plain(text)
		within = 1
		next
	}
	within && /^   +[^ ]/ { sub(/^ +/, ""); print plain($0); next }
	{ within = 0 }
	END {
		print ".El"
		exit !rows
	}'
}

while IFS= read -r line; do
	case $line in
	@*) list ${line#@} || { echo "page.sh: $2: no rows: $line" >&2; exit 1; } ;;
	*) printf '%s\n' "$line" ;;
	esac
done <"$2"
