#!/usr/bin/env bash
# arm64.sh CACHE IMAGE: makes an arm64 guest that loads the arm64 objects with Debian's bpftool: the verifier's word.
#
# Nothing is sampled there: that would need the agent built for arm64.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=$(mkdir -p "$1" && cd "$1" && pwd)
image=$2
. "$HERE/debian.sh"

tools=$CACHE/arm64-tools
if [ ! -x "$tools/usr/sbin/bpftool" ]; then
	use trixie arm64
	lists || fail "cannot fetch the package lists of trixie for arm64"
	rm -rf "$tools"
	for package in bpftool busybox-static libc6 libcap2 libelf1t64 libzstd1 zlib1g; do
		unpack "$package" "$tools.new" || fail "cannot fetch $package for arm64"
	done
	mv "$tools.new" "$tools"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/lib" "$folder/job"
cp "$tools"/usr/lib/aarch64-linux-gnu/{ld-linux-aarch64.so.1,libc.so.6,libcap.so.2,libelf.so.1,libz.so.1,libzstd.so.1} "$folder/lib/"
cp "$tools/usr/sbin/bpftool" "$folder/job/"
cp "$HERE"/../../bpf/objects/*-aarch64-*.bpf.o "$folder/job/"
cat >"$folder/job/run" <<'EOR'
code=0
for object in /job/*.bpf.o; do
	name=$(basename "$object" .bpf.o)
	if bpftool prog loadall "$object" "/sys/fs/bpf/$name" >/job/log 2>&1; then
		echo "figure: arm64, Linux $(uname -r): the verifier takes $name: $(ls "/sys/fs/bpf/$name" | tr '\n' ' ')"
	else
		echo "the verifier refuses $name"
		tail -n 40 /job/log
		code=1
	fi
done
exit $code
EOR
# The applets' list comes from the busybox of this machine; the binary does not run here.
"$HERE/image.sh" "$folder" "$image" "$tools/usr/bin/busybox"
