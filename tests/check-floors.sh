#!/bin/sh
# SPDX-License-Identifier: MIT
# check-floors.sh OUT - no object of a floor needs a symbol that is on a floor above it.
# A declaration is enough for the compiler, so #include lines (check-includes.sh) do not tell all.
cd "$(dirname "$0")/.." || exit 1
out=$1

# From the ground up; what is on one line is one floor.
floors='
vmm/core/
virtio/ devices/block/ devices/scsi/
devices/
vmm/machine/
vmm/run/
vmm/host/
vmm/main.o
'

# Reads objects, prints for each the number of its floor: the line with the longest beginning of it.
floor_of() {
	awk -v out="$out/" -v floors="$floors" 'BEGIN { n = split(floors, line, "\n") }
		{
			name = substr($0, length(out) + 1)
			best = 0
			for (i = 1; i <= n; i++) {
				count = split(line[i], folder, " ")
				for (k = 1; k <= count; k++)
					if (index(name, folder[k]) == 1 && length(folder[k]) > best) {
						best = length(folder[k])
						floor = i
					}
			}
			if (best)
				print floor, name
		}'
}

find "$out" -name '*.o' ! -path "$out/tests/*" ! -path "$out/guest/*" | floor_of | sort -k 2 |
	while read -r floor name; do
		[ -e "${name%.o}.c" ] || continue # of a source that is gone
		nm --format=posix "$out/$name" | awk -v floor="$floor" -v name="$name" '
			$2 ~ /^[TDBRVWC]$/ { print "has", floor, name, $1 }
			$2 == "U" { print "needs", floor, name, $1 }'
	done | sort | awk '
		$1 == "has" { floor[$4] = $2; where[$4] = $3 }
		$1 == "needs" && $4 in floor && floor[$4] > $2 {
			print $3 " needs " $4 " of " where[$4] ", which is above"
			bad++
		}
		END {
			if (!bad)
				print "floors: nothing needs what is above"
			exit bad > 0
		}'
