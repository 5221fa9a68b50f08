#!/usr/bin/env bash
# fetch.sh CACHE KERNEL…: puts each kernel of the matrix (file `kernels`) at CACHE/kernels/KERNEL/vmlinuz.
#
# What is there is kept; remove CACHE/kernels for newer versions.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=$(mkdir -p "$1" && cd "$1" && pwd)
shift
. "$HERE/debian.sh"

# fetch NAME ARCHITECTURE SUITE PATTERN
fetch() {
	local folder=$CACHE/kernels/$1 work package image
	[ -s "$folder/vmlinuz" ] && return
	use "$3" "$2"
	lists || fail "cannot fetch the package lists of $3 for $2"
	work=$(mktemp -d "$CACHE/fetch.XXXXXX")
	# The newest may be listed and gone: then the one before it.
	for package in $(newest "$4" | head -n 2); do
		unpack "$package" "$work/files" || continue
		image=$(find "$work/files" -name 'vmlinuz*' -type f | head -n 1)
		[ -n "$image" ] || fail "$package holds no kernel"
		mkdir -p "$folder"
		printf '%s\n' "$package" >"$folder/package"
		mv "$image" "$folder/vmlinuz"
		printf '%s: %s\n' "$1" "$package"
		break
	done
	rm -rf "$work"
	[ -s "$folder/vmlinuz" ] || fail "no kernel $1: nothing in $3 matches $4, or it cannot be downloaded"
}

for wanted in "$@"; do
	line=$(grep -v '^#' "$HERE/kernels" | awk -v name="$wanted" '$1 == name') || true
	[ -n "$line" ] || fail "unknown kernel $wanted; known: $(grep -v '^#' "$HERE/kernels" | cut -f 1 | tr '\n' ' ')"
	read -r name architecture suite pattern <<<"$line"
	fetch "$name" "$architecture" "$suite" "$pattern"
done
