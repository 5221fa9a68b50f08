#!/usr/bin/env bash
# image.sh FOLDER IMAGE [BUSYBOX]: makes FOLDER, a root file system with the job in it, bootable, and packs it.
#
# Adds busybox, /init and the shared libraries that executables in FOLDER name. The image stays
# uncompressed: a guest without hardware virtualisation reads it faster than it could unpack it.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
folder=$1 image=$2 busybox=${3:-$(command -v busybox)}

mkdir -p "$folder"/{bin,dev,proc,root,sys,tmp,job}
cp "$busybox" "$folder/bin/busybox"
"${BUSYBOX_RUN:-busybox}" --list | while read -r applet; do
	[ -e "$folder/bin/$applet" ] || ln -s busybox "$folder/bin/$applet"
done
install -m 755 "$HERE/init" "$folder/init"

# Libraries lie in the guest where they lie here. Executables of another architecture bring their own.
if [ $# -lt 3 ]; then
	{ find "$folder" -type f -perm -u+x -exec ldd {} \; 2>/dev/null || true; } |
		sed -nE 's@^[[:space:]]*([^ ]+ => )?(/[^ ]+) \(0x[0-9a-f]+\)$@\2@p' | sort -u |
		while read -r library; do
			[ -e "$folder$library" ] || install -D "$(readlink -f "$library")" "$folder$library"
		done
fi
(cd "$folder" && find . -mindepth 1 | cpio --quiet --create --format newc --owner 0:0) >"$image"
